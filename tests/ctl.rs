//! Live control: a program changes its mode while it works, in every direction, and nothing is claimed that
//! is not so; nobody but the ring's owner changes anything.

mod common;

use anyhow::{Context, ensure};
use common::fixture::skip;
use common::gocc::GOCC;
use common::process::{Running, may_mount};
use common::{Ends, Outcome, Program, Rings, fixture, patch, sample_versions};
use gocc::ring::Ring;
use gocc::ring::layout::Control;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MODES: [&str; 6] = ["off", "observe", "trace", "hunt", "guard", "block"];
/// Far longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(200);

fn ctl(ring: &Path, options: &[&str]) -> anyhow::Result<Outcome> {
    Program::new(GOCC).arg("ctl").arg(ring).args(options).run()
}

/// The ring of a program that was just started.
fn ring_of(rings: &Rings) -> anyhow::Result<PathBuf> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        let ready = |path: &PathBuf| Ring::open(path).is_ok();
        if let Some(path) = rings.files()?.into_iter().find(ready) {
            return Ok(path);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    anyhow::bail!("no ring in {}", rings.path().display())
}

fn control(ring: &Path) -> anyhow::Result<Control> {
    Ok(Ring::open(ring)?.control()?)
}

/// Every ordered pair of modes: a closed walk that takes each step once.
fn all_directions() -> Vec<&'static str> {
    let mut left: Vec<Vec<usize>> = (0..MODES.len())
        .map(|from| (0..MODES.len()).filter(|to| *to != from).collect())
        .collect();
    let (mut path, mut walk) = (vec![1], Vec::new());
    while let Some(&at) = path.last() {
        match left[at].pop() {
            Some(next) => path.push(next),
            None => {
                walk.push(MODES[at]);
                path.pop();
            }
        }
    }
    walk
}

/// Switches until the program ends, in the order of the walk.
fn switch(
    running: &mut Running,
    ring: &Path,
    walk: &mut impl Iterator<Item = &'static str>,
) -> anyhow::Result<u32> {
    let mut changes = 0;
    while running.child.try_wait()?.is_none() {
        let mode = walk.next().context("the walk is endless")?;
        let changed = ctl(ring, &["--mode", mode])?;
        ensure!(changed.status.success(), "to {mode}: {}", changed.tail());
        changes += 1;
        // Not in step with anything of the program's.
        std::thread::sleep(Duration::from_millis(5 + u64::from(changes * 7 % 23)));
    }
    Ok(changes)
}

/// Hunt asks the file system for no room for lanes, which it does not write to: whoever wants to record events later gets
/// it, or is refused, since the program would die of SIGBUS at the first store.
#[test]
fn without_room_for_lanes_nothing_is_recorded() -> anyhow::Result<()> {
    let Some(fixture) = fixture("stress", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    let directory = place.path().join("small");
    std::fs::create_dir(&directory)?;
    if !may_mount(&directory) {
        return skip("a small tmpfs: this user may not mount one (unshare -rm)");
    }
    // Room for the front, and for some of the eight lanes or more.
    let script = r#"
        mount -t tmpfs -o size=6m none "$0" || exit 90
        GOCC="dir=$0 mode=hunt ring=1048576" "$1" 500 20 > /dev/null &
        while ! "$2" ctl --dir "$0" $! > /dev/null 2>&1; do kill -0 $! || exit 91; done
        "$2" ctl --dir "$0" $! --mode trace > /dev/null && exit 92
        "$2" ctl --dir "$0" $! --mode guard > /dev/null || exit 93
        mount -o remount,size=64m "$0" || exit 94
        "$2" ctl --dir "$0" $! --mode trace > /dev/null || exit 95
        wait $!"#;
    let outcome = Program::new("unshare")
        .args(&["-rm", "sh", "-c", script])
        .arg(&directory)
        .arg(&patched)
        .arg(GOCC)
        .limit(LIMIT)
        .run()?;
    ensure!(
        outcome.status.success(),
        "{}: {}",
        outcome.status,
        outcome.tail()
    );
    ensure!(
        outcome.stderr.contains("no room for its lanes"),
        "{}",
        outcome.tail()
    );
    Ok(())
}

/// Thousands of goroutines under locks, collector and profiler at work, and the mode changes all the
/// time: marks and registrations of one mode must mean nothing in the next. Block would end the program at
/// the first false claim.
#[test]
fn modes_change_under_load_in_every_direction() -> anyhow::Result<()> {
    for version in sample_versions(&["1.21", "1.27"]) {
        let Some(fixture) = fixture("stress", &version, "static")? else {
            continue;
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        let before = Program::new(&fixture.path).args(&LOAD).run()?;
        ensure!(before.status.success(), "unpatched: {}", before.tail());
        let every = all_directions();
        let mut walk = every.iter().copied().cycle();
        let mut changes = 0;
        // How often a busy machine lets ctl run cannot be known.
        while changes < every.len() as u32 {
            changes += walk_through_modes(&patched, &before.stdout, &mut walk)
                .with_context(|| format!("Go {version}, after {changes} changes"))?;
        }
    }
    Ok(())
}

/// Goroutines, and how often.
const LOAD: [&str; 2] = ["1500", "8"];

fn walk_through_modes(
    patched: &Path,
    expected: &str,
    walk: &mut impl Iterator<Item = &'static str>,
) -> anyhow::Result<u32> {
    let rings = Rings::new()?;
    let mut running = Program::new(patched)
        .args(&LOAD)
        .env("GOCC", rings.setting("observe"))
        .start()?;
    let ring = ring_of(&rings)?;
    let changes = switch(&mut running, &ring, walk)?;
    let after = running.finish(LIMIT)?;
    ensure!(
        after.status.success() && after.stdout == expected,
        "{}",
        after.tail()
    );
    let report = rings.report().with_context(|| after.tail())?;
    ensure!(report.findings.is_empty(), "{:#?}", report.findings);
    Ok(changes)
}

/// Records that a ring's lanes have taken so far.
fn committed(ring: &Path) -> anyhow::Result<u64> {
    let ring = Ring::open(ring)?;
    let lanes = ring.lanes().collect::<Result<Vec<_>, _>>()?;
    Ok(lanes.iter().map(|lane| lane.loss().committed).sum())
}

/// A change of the mode is in force within a second, whatever the mode was before.
#[test]
fn a_change_is_in_force_within_a_second() -> anyhow::Result<()> {
    let Some(fixture) = fixture("counter", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    let rings = Rings::new()?;
    let mut running = Program::new(&patched)
        .env("GOCC", rings.setting("observe sample=1000000000"))
        .limit(LIMIT)
        .start()?;
    let ring = ring_of(&rings)?;
    let traced = || committed(&ring);
    for mode in ["guard", "hunt", "block", "off"] {
        let changed = ctl(&ring, &["--mode", mode])?;
        ensure!(changed.status.success(), "{}", changed.tail());
        let before = traced()?;
        let changed = ctl(&ring, &["--mode", "trace"])?;
        ensure!(changed.status.success(), "{}", changed.tail());
        let started = Instant::now();
        while traced()? == before {
            ensure!(started.elapsed() < Duration::from_secs(1), "from {mode}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    running.child.kill()?;
    running.finish(LIMIT)?;
    Ok(())
}

/// `paced` at work in one of its ways, and its ring.
struct Paced {
    rings: Rings,
    ring: PathBuf,
    running: Running,
    _place: tempfile::TempDir,
}

impl Paced {
    /// `None` when there is no toolchain.
    fn start(what: &str, mode_and_more: &str) -> anyhow::Result<Option<Paced>> {
        let Some(fixture) = fixture("paced", "1.27", "static")? else {
            return Ok(None);
        };
        let place = tempfile::tempdir()?;
        let patched = patch(&fixture, place.path())?;
        let rings = Rings::new()?;
        let running = Program::new(&patched)
            .args(&[what, "60000"])
            .env("GOCC", rings.setting(mode_and_more))
            .env("GOMAXPROCS", "2")
            .start()?;
        let ring = ring_of(&rings)?;
        Ok(Some(Paced {
            rings,
            ring,
            running,
            _place: place,
        }))
    }

    /// What the control page says after a while.
    fn after(&self, time: Duration) -> anyhow::Result<Control> {
        std::thread::sleep(time);
        control(&self.ring)
    }

    /// Makes a change: within a second the control page must look as expected.
    fn change(
        &self,
        options: &[&str],
        is_in_force: impl Fn(&Control) -> bool,
    ) -> anyhow::Result<()> {
        let changed = ctl(&self.ring, options)?;
        ensure!(changed.status.success(), "{}", changed.tail());
        let started = Instant::now();
        while !is_in_force(&control(&self.ring)?) {
            ensure!(
                started.elapsed() < Duration::from_secs(1),
                "{options:?} had no effect: {}",
                ctl(&self.ring, &[])?.stdout
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.running.child.kill()?;
        self.running.finish(LIMIT)?;
        Ok(())
    }
}

const MOMENT: Duration = Duration::from_millis(300);

/// Two goroutines come to a map 5 ms apart: no near miss in a narrow window, no hold without a budget, and no
/// catch by a short hold.
#[test]
fn window_budget_and_hold_are_in_force_within_a_second() -> anyhow::Result<()> {
    let setting = "hunt window=1us budget=0 hold=1ms";
    let Some(paced) = Paced::start("apart", setting)? else {
        return Ok(());
    };
    ensure!(
        paced.after(MOMENT)?.suspects == 0,
        "1 us is a narrow window"
    );
    paced.change(&["--window", "100ms"], |control| control.suspects != 0)?;
    ensure!(paced.after(MOMENT)?.holds == 0, "there is no budget");
    paced.change(&["--budget", "10000"], |control| control.holds != 0)?;
    let before = control(&paced.ring)?.conflicts_claimed;
    paced.change(&["--hold", "20ms"], |control| {
        control.conflicts_claimed > before
    })?;
    paced.end()
}

/// A reader is inside for milliseconds, again and again, and a writer waits for it: a hundred times as long as
/// `wait`, since it is known to be there.
#[test]
fn guards_wait_is_in_force_within_a_second() -> anyhow::Result<()> {
    let Some(paced) = Paced::start("long", "guard wait=100ms")? else {
        return Ok(());
    };
    let patient = paced.after(2 * MOMENT)?;
    ensure!(patient.waited != 0, "nobody waits");
    ensure!(patient.waited_in_vain == 0, "10 s are long enough");
    paced.change(&["--wait", "1us"], |control| control.waited_in_vain != 0)?;
    paced.end()
}

/// A count of operations that has begun is no reason to wait for its end.
#[test]
fn sample_and_rate_are_in_force_within_a_second() -> anyhow::Result<()> {
    for change in [["--sample", "1"], ["--rate", "1000"]] {
        let Some(paced) = Paced::start("locked", "observe sample=1000000000")? else {
            return Ok(());
        };
        std::thread::sleep(MOMENT);
        let before = committed(&paced.ring)?;
        paced.change(&change, |_| {
            committed(&paced.ring).is_ok_and(|now| now > before)
        })?;
        paced.end()?;
    }
    Ok(())
}

/// What an earlier run suspected is held in a program that runs already, and did not hunt before.
#[test]
fn suspects_are_told_to_a_running_program() -> anyhow::Result<()> {
    let Some(fixture) = fixture("paced", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let file = place.path().join("suspects");
    let learned = Program::new(GOCC)
        .args(&["exec", "--mode", "hunt", "--budget", "0", "--suspects"])
        .arg(&file)
        .arg("--")
        .arg(&fixture.path)
        .args(&["apart", "300"])
        .run()?;
    ensure!(learned.status.success(), "{}", learned.tail());
    // In so narrow a window nothing is suspected anew.
    let Some(paced) = Paced::start("apart", "observe window=0us hold=20ms")? else {
        return Ok(());
    };
    ensure!(paced.after(MOMENT)?.suspects == 0, "nothing is known yet");
    let named = file.to_str().context("a name in UTF-8")?;
    let told = ["--suspects", named, "--mode", "hunt"];
    paced.change(&told, |control| control.conflicts_claimed != 0)?;
    ensure!(
        control(&paced.ring)?.suspects >= 2,
        "both places are suspect"
    );
    let report = paced.rings.report()?;
    let caught = report
        .findings
        .iter()
        .find(|finding| finding.grade == "confirmed");
    let ends = caught
        .context("nobody was caught")?
        .names(&fixture.sides, None);
    ensure!(ends == Ends::Both, "{caught:#?}");
    paced.end()
}

/// With a target the number of recorded operations follows it, whatever the program does.
#[test]
fn recorded_operations_follow_the_rate() -> anyhow::Result<()> {
    let Some(fixture) = fixture("counter", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    let rings = Rings::new()?;
    let mut running = Program::new(&patched)
        .env("GOCC", rings.setting("observe sample=1 rate=2000 ring=1M"))
        .limit(LIMIT)
        .start()?;
    let ring = ring_of(&rings)?;
    let recorded = || committed(&ring);
    for target in [2000, 200] {
        let changed = ctl(&ring, &["--rate", &target.to_string()])?;
        ensure!(changed.status.success(), "{}", changed.tail());
        // It finds the period in a few steps.
        std::thread::sleep(Duration::from_secs(2));
        let (before, started) = (recorded()?, Instant::now());
        std::thread::sleep(Duration::from_secs(2));
        let rate = (recorded()? - before) as f64 / started.elapsed().as_secs_f64();
        let wanted = f64::from(target);
        ensure!(
            (wanted / 3.0..wanted * 3.0).contains(&rate),
            "{rate} a second, not {target}; 1 in {}",
            control(&ring)?.sample_period
        );
    }
    running.child.kill()?;
    running.finish(LIMIT)?;
    Ok(())
}

/// Another user may neither see nor change it.
#[test]
fn only_the_owner_and_root_change_a_program() -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let Some(fixture) = fixture("passthrough", "1.27", "static")? else {
        return Ok(());
    };
    let place = tempfile::tempdir()?;
    let patched = patch(&fixture, place.path())?;
    let rings = Rings::new()?;
    // The directory lets everybody in: what refuses is the ring.
    std::fs::set_permissions(rings.path(), std::fs::Permissions::from_mode(0o755))?;
    Program::new(&patched)
        .env("GOCC", rings.setting("observe"))
        .run()?;
    let ring = ring_of(&rings)?;
    let own = ctl(&ring, &["--sample", "7"])?;
    ensure!(own.status.success(), "{}", own.tail());

    // A copy that another user can reach.
    let gocc = rings.path().join("gocc");
    std::fs::copy(GOCC, &gocc)?;
    let as_nobody = |command: &[&str]| -> anyhow::Result<Outcome> {
        let (program, arguments) = command.split_first().context("no command")?;
        Program::new(program)
            .args(arguments)
            .arg(&gocc)
            .arg("ctl")
            .arg(&ring)
            .args(&["--sample", "9"])
            .run()
    };
    let ways: [&[&str]; 2] = [
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ],
        &["sudo", "-n", "-u", "nobody"],
    ];
    let tried = ways.iter().filter_map(|way| as_nobody(way).ok());
    // Neither setpriv nor sudo can become nobody when they end without a word of gocc's.
    let Some(refused) = tried
        .into_iter()
        .find(|outcome| outcome.stderr.contains("gocc: error:"))
    else {
        return skip("the owner's right: this user cannot become another one");
    };
    ensure!(refused.status.code() == Some(1), "{}", refused.tail());
    ensure!(
        refused.stderr.contains("ermission denied"),
        "{}",
        refused.tail()
    );
    ensure!(control(&ring)?.sample_period == 7, "it was changed");
    Ok(())
}
