//! Damaged executables: recognised, asked everything, planned, written, verified, unpatched.

use super::edits::damaged;
use super::seeds::{Program, Seeds};
use gocc::golang::GoBinary;
use gocc::image::{Image, Vaddr};
use gocc::patch::plan::PatchPlan;
use gocc::patch::planner::{self, PlanOptions};
use gocc::patch::write::{self, WriteOptions};
use gocc::patch::{Mode, note as patch_note, unpatch, verify};
use std::ops::Range;

/// Program and section headers, dynamic section, relocations, notes.
pub fn headers(seeds: &Seeds, case: &[u8]) -> bool {
    program(seeds, case, |seed| &seed.headers)
}

/// pclntab, inline trees and what else lies in read-only data.
pub fn functions(seeds: &Seeds, case: &[u8]) -> bool {
    program(seeds, case, |seed| &seed.functions)
}

/// runtime.firstmoduledata.
pub fn moduledata(seeds: &Seeds, case: &[u8]) -> bool {
    program(seeds, case, |seed| &seed.moduledata)
}

/// Build info, build ID, version string.
pub fn build_info(seeds: &Seeds, case: &[u8]) -> bool {
    program(seeds, case, |seed| &seed.build_info)
}

/// Debug information.
pub fn dwarf(seeds: &Seeds, case: &[u8]) -> bool {
    program(seeds, case, |seed| &seed.dwarf)
}

/// A case for the parsers of executables. True if what it made is still taken for a Go program.
fn program(seeds: &Seeds, case: &[u8], part: fn(&Program) -> &[Range<usize>]) -> bool {
    let Some((choice, case)) = case.split_first() else {
        return false;
    };
    // Some cases are files of their own.
    if *choice == 0xff {
        return Image::from_bytes(case.to_vec()).is_ok_and(|image| interrogate(&image));
    }
    let seed = &seeds.programs[*choice as usize % seeds.programs.len()];
    let mut bytes = damaged(&seed.bytes, part(seed), case);
    if *choice & 0xf0 == 0xe0 && case.len() >= 4 {
        let length = u32::from_le_bytes([case[0], case[1], case[2], case[3]]);
        bytes.truncate(length as usize % seed.bytes.len());
    }
    Image::from_bytes(bytes).is_ok_and(|image| interrogate(&image))
}

/// Asks everything there is to ask.
fn interrogate(image: &Image) -> bool {
    for address in [0, 1, 0x40_0000, u64::MAX] {
        image.bytes_at(Vaddr(address), 16);
        image.pointer_at(Vaddr(address));
    }
    let _ = patch_note::find(image);
    let Ok(go) = GoBinary::parse(image) else {
        return false;
    };
    let size = go.text_end.0.saturating_sub(go.text_start.0).max(1);
    for step in 0..24 {
        let pc = Vaddr(go.text_start.0.wrapping_add(size / 24 * step + step * 7));
        let frames = go.frames_at(pc);
        assert!(frames.len() <= 1001, "{} frames", frames.len());
        go.function_at(pc);
        go.sp_delta_at(pc);
    }
    for load in image.loads() {
        go.type_name(load.vaddr);
        go.type_name(Vaddr(load.vaddr.0.wrapping_add(load.mem_size / 2)));
    }
    go.frames_of_return(Vaddr(0));
    go.frames_at(Vaddr(u64::MAX));
    go.functions().take(200_000).count();
    true
}

/// A case for the planner: the code of hooked functions is damaged, so that other instructions than a compiler's
/// are displaced. True if a plan was made; some plans are carried out, verified and taken back.
pub fn plan(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((choice, case)) = case.split_first() else {
        return false;
    };
    let seed = &seeds.programs[*choice as usize % seeds.programs.len()];
    let regions = if choice & 0x40 == 0 {
        &seed.code
    } else {
        &seed.moduledata
    };
    let bytes = damaged(&seed.bytes, regions, case);
    let Ok(image) = Image::from_bytes(bytes.clone()) else {
        return false;
    };
    let Ok(go) = GoBinary::parse(&image) else {
        return false;
    };
    let options = PlanOptions {
        mode: Mode::Observe,
        dir: None,
        ring_size: None,
    };
    let Ok(plan) = planner::plan(&go, &options) else {
        return false;
    };
    if choice & 0xc0 == 0x80 {
        carry_out(&bytes, &plan);
    }
    true
}

/// The whole way on files. What the writer accepts, the verifier must accept too, and it must come back
/// as it was.
fn carry_out(bytes: &[u8], plan: &PatchPlan) {
    let place = tempfile::tempdir().expect("a directory");
    let [input, output, again] = ["input", "output", "again"].map(|name| place.path().join(name));
    std::fs::write(&input, bytes).expect("a file");
    let image = Image::open(&input).expect("as before");
    let go = GoBinary::parse(&image).expect("as before");
    let options = WriteOptions::default();
    if write::write(&image, plan, &output, &options).is_err() {
        return;
    }
    let patched = Image::open(&output).expect("a patched file is an executable");
    // Hostile code may be so that the second disassembler stops: an error, never a wrong file.
    let _ = verify::verify_image(&go, plan, &patched);
    unpatch::unpatch(&patched, &again).expect("what was patched comes back");
    assert!(
        std::fs::read(&again).expect("a file") == bytes,
        "unpatched, it is another file"
    );
}

/// A case for what reads a patched file's note: find, restore. True if the note was read.
pub fn note(seeds: &Seeds, case: &[u8]) -> bool {
    let Some((choice, case)) = case.split_first() else {
        return false;
    };
    let seed = &seeds.patched[*choice as usize % seeds.patched.len()];
    let at = memchr::memmem::rfind(seed, b"\"restore\"").unwrap_or(seed.len() / 2);
    let regions = [
        at.saturating_sub(0x4000)..at + 0x4000,
        at.saturating_sub(200)..at + 200,
        0..0x1000,
        0..seed.len(),
    ];
    let bytes = damaged(seed, &regions, case);
    let Ok(image) = Image::from_bytes(bytes) else {
        return false;
    };
    let place = tempfile::tempdir().expect("a directory");
    let _ = unpatch::unpatch(&image, &place.path().join("output"));
    matches!(patch_note::find(&image), Ok(Some(note)) if note.restored_ranges().is_ok())
}
