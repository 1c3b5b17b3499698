//! A process that saves is killed at any moment.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ebph::{Key, Profile, Store};

use crate::helper::{self, Running};
use crate::{content, names, profile, scratch};

const PART: &str = "kill::part_saves_over_and_over";
/// How often the process is killed.
const KILLS: u32 = 320;

fn is_unfinished(name: &str) -> bool {
    name.starts_with(".ebph-") && name.ends_with(".tmp")
}

/// The two contents, beside the store.
fn contents(scratch: &Path) -> [PathBuf; 2] {
    ["one.json", "other.json"].map(|name| scratch.join(name))
}

/// Kills a saving process hundreds of times, at moments that sweep the time a save takes: the
/// file is always one of the two, whole, and nothing else is left after the next load.
#[test]
fn one_of_two_whole() {
    let (scratch, folder) = scratch();
    let key = Key::new(8, 1, 42, 0);
    let two = [60, 45].map(|calls| profile(key, calls));
    for (profile, path) in two.iter().zip(contents(scratch.path())) {
        profile.write_to(&path).unwrap();
    }
    let store = Store::open(&folder).unwrap();
    let start = Instant::now();
    store.save(&two[0]).unwrap();
    let one_save = start.elapsed();
    let two = two.map(|profile| content(&profile));
    assert_ne!(two[0], two[1]);

    let (mut found, mut unfinished) = ([0, 0], 0);
    for round in 0..KILLS {
        let saves = 1 + round as usize % 3;
        kill_after(scratch.path(), saves, one_save * round / KILLS);

        let left = names(&folder);
        unfinished += left.iter().filter(|name| is_unfinished(name)).count();
        let loaded = store.load().unwrap();
        assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
        let [stored] = &loaded.profiles[..] else {
            panic!("round {round}: {left:?}");
        };
        let text = content(&stored.profile);
        let which = two.iter().position(|one| *one == text);
        found[which.expect("the file is one of the two")] += 1;
        let file = stored.path.file_name().unwrap().to_string_lossy();
        assert_eq!(names(&folder), [file], "leftovers are removed");
    }
    // Otherwise the kills were not where it matters.
    assert!(unfinished > 0, "no write was interrupted");
    assert!(found[0] > 0 && found[1] > 0, "{found:?}");
    println!("{KILLS} kills: {found:?}, {unfinished} writes interrupted");
}

/// Runs the saving process until some time after so many saves.
fn kill_after(scratch: &Path, saves: usize, delay: Duration) {
    let mut running = Running::start(PART);
    let mut input = running.child.stdin.take().expect("it is piped");
    writeln!(input, "{}", scratch.display()).expect("the part reads it");
    for _ in 0..saves {
        running.expect("saved");
    }
    let until = Instant::now() + delay;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    running.child.kill().expect("it is ours");
    running.child.wait().expect("it is ours");
}

/// Saves until it is killed.
#[test]
fn part_saves_over_and_over() {
    if !helper::part(PART) {
        return;
    }
    let scratch = std::io::stdin().lines().next().expect("it is told where");
    let scratch = PathBuf::from(scratch.expect("it is text"));
    let two = contents(&scratch).map(|path| Profile::read_from(&path).unwrap());
    let store = Store::open(scratch.join("profiles")).unwrap();
    // Whoever was to kill this may be gone.
    let until = Instant::now() + Duration::from_secs(60);
    for profile in two.iter().cycle() {
        store.save(profile).unwrap();
        // Nobody listens any more when it is about to be killed.
        let _ = writeln!(std::io::stdout(), "saved");
        assert!(Instant::now() < until, "not killed");
    }
}
