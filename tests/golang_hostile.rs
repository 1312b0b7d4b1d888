//! Damaged executables get errors or answers, never a panic: real ones, with bytes changed at places
//! that a fixed sequence of random numbers picks.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation fails the test, as it should"
)]

mod common;

use common::fixture;
use common::random::Random;
use gocc::golang::GoBinary;
use gocc::image::{Image, Vaddr};
use std::ops::Range;

/// Asks everything there is to ask. True if the executable was accepted.
fn exercise(bytes: Vec<u8>, random: &mut Random) -> bool {
    let Ok(image) = Image::from_bytes(bytes) else {
        return false;
    };
    let Ok(go) = GoBinary::parse(&image) else {
        return false;
    };
    let size = go.text_end.0.saturating_sub(go.text_start.0) as usize;
    for _ in 0..50 {
        let pc = Vaddr(go.text_start.0.wrapping_add(random.below(size + 16) as u64));
        let frames = go.frames_at(pc);
        assert!(frames.len() <= 1001);
        go.function_at(pc);
        go.sp_delta_at(pc);
    }
    for load in image.loads() {
        let at = load
            .vaddr
            .0
            .wrapping_add(random.next() % load.mem_size.max(1));
        go.type_name(Vaddr(at));
        image.pointer_at(Vaddr(at));
    }
    go.frames_of_return(Vaddr(0));
    go.frames_at(Vaddr(u64::MAX));
    go.functions().count();
    true
}

/// Parts of the file whose damage is interesting, with how many damaged files to make.
fn targets(image: &Image) -> Vec<(Range<usize>, usize)> {
    let go = GoBinary::parse(image).unwrap();
    let at = |vaddr| image.offset_of(vaddr).unwrap().0 as usize;
    let (moduledata, pclntab) = (at(go.first_moduledata), at(go.pclntab));
    let mut targets = vec![
        (0..0x400, 120),
        (moduledata..moduledata + 0x240, 60),
        (pclntab..pclntab + 72, 40),
        (pclntab..pclntab + 0x4_0000, 60),
        (0..image.data().len(), 60),
    ];
    let names = [
        ".debug_info",
        ".debug_abbrev",
        ".dynamic",
        ".rela.dyn",
        ".go.buildinfo",
        ".note.go.buildid",
        ".shstrtab",
    ];
    for section in image
        .sections()
        .iter()
        .filter(|section| names.contains(&section.name.as_str()))
    {
        let start = section.offset.0 as usize;
        targets.push((start..start + section.size as usize, 25));
    }
    targets
}

fn mutate(good: &[u8], target: &Range<usize>, random: &mut Random) -> Vec<u8> {
    const EXTREMES: [u64; 6] = [0, 1, u64::MAX, u64::MAX / 2, 1 << 31, 0xffff_ffff_ffff_f000];
    let mut bytes = good.to_vec();
    for _ in 0..1 + random.below(3) {
        let at = target.start + random.below(target.len());
        match random.below(4) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => {
                let at = at & !7;
                let word = EXTREMES[random.below(EXTREMES.len())].to_le_bytes();
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&word[..end - at]);
            }
            _ => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes[at..end].fill(random.next() as u8);
            }
        }
    }
    bytes
}

fn attack(version: &str, variant: &str) {
    let Some(fixture) = fixture("maps", version, variant).unwrap() else {
        return;
    };
    let good = std::fs::read(fixture.path).unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    assert!(exercise(good.clone(), &mut random));
    let (mut accepted, mut refused) = (0, 0);
    let image = Image::from_bytes(good.clone()).unwrap();
    for (target, count) in targets(&image) {
        for _ in 0..count {
            match exercise(mutate(&good, &target, &mut random), &mut random) {
                true => accepted += 1,
                false => refused += 1,
            }
        }
    }
    for _ in 0..60 {
        let length = random.below(good.len());
        exercise(good[..length].to_vec(), &mut random);
    }
    // Both ways were taken, so the damage was neither too small nor too great to test anything.
    assert!(
        accepted > 20 && refused > 20,
        "accepted {accepted}, refused {refused}"
    );
}

#[test]
fn damaged_hmap_executable() {
    attack("1.18", "static");
}

#[test]
fn damaged_swiss_executable() {
    attack("1.27", "static");
}

#[test]
fn damaged_position_independent_executable() {
    attack("1.25", "externalpie");
}
