//! The cache of patched programs that `gocc exec` keeps.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod common;

use common::place::{Place, make_executable};
use std::path::Path;

#[test]
fn a_program_is_patched_and_hashed_once() {
    let Some(place) = Place::with_built("passthrough") else {
        return;
    };
    let run = || {
        assert_eq!(
            place.exec(&[], &["exit", "0"]).status().unwrap().code(),
            Some(0)
        )
    };
    run();
    let first = place.cached();
    assert_eq!(first.len(), 1);
    let made = std::fs::metadata(&first[0]).unwrap().modified().unwrap();
    run();
    assert_eq!(place.cached(), first);
    assert_eq!(
        std::fs::metadata(&first[0]).unwrap().modified().unwrap(),
        made
    );

    // What the cache says about the content is believed: the file is not read again.
    let seen = std::fs::read_dir(place.path().join("cache/gocc/exec/seen"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    std::fs::write(seen.path(), "0".repeat(64)).unwrap();
    run();
    assert_eq!(place.cached().len(), 2);

    // Another content is another program.
    let mut bytes = std::fs::read(&place.program).unwrap();
    bytes.extend([0; 16]);
    std::fs::remove_file(&place.program).unwrap();
    std::fs::write(&place.program, bytes).unwrap();
    make_executable(&place.program);
    run();
    assert_eq!(place.cached().len(), 3);
}

fn aged(path: &Path, days: u64) {
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(days * 24 * 3600);
    let file = std::fs::File::open(path).unwrap();
    file.set_modified(then).unwrap();
}

#[test]
fn what_nobody_uses_any_more_leaves_the_cache() {
    let Some(place) = Place::with_built("passthrough") else {
        return;
    };
    let run = || place.exec(&[], &["exit", "0"]).status().unwrap();
    assert!(run().success());
    let first = place.cached();
    // Used again, it stays; the next build finds it unused for a week.
    aged(first[0].parent().unwrap(), 7);
    assert!(run().success());
    assert!(place.build("passthrough", &["-trimpath"]));
    assert!(run().success());
    assert_eq!(place.cached().len(), 2);
    aged(first[0].parent().unwrap(), 7);
    assert!(place.build("passthrough", &["-ldflags=-s"]));
    assert!(run().success());
    assert_eq!(place.cached().len(), 2);
    assert!(!first[0].exists());
}
