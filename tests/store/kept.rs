//! What was normal stays beside what has taken its place.

use std::fs;

use ebph::{Profile, State, Store};

use super::*;

/// The same program at work: once normal, then not any more.
fn lost() -> (Profile, Profile) {
    let mut detector = Detector::new(Limits::default());
    let id = detector.add_profile(Key::new(8, 1, 42, 0));
    let task = detector.spawn(id);
    for call in [0, 1, 2, 0, 1, 2] {
        detector.call(task, Symbol::native(call), 0, Duration::ZERO);
    }
    detector.command(id, Command::Normalize, Duration::ZERO);
    let normal = detector.profile(id).unwrap();
    for call in 100..200 {
        detector.call(task, Symbol::native(call), 0, Duration::ZERO);
    }
    let training = detector.profile(id).unwrap();
    assert_eq!(
        (normal.state(), training.state()),
        (State::Normal, State::Training)
    );
    (normal, training)
}

/// Check that what many anomalies made of a profile does not replace what it was for good.
#[test]
fn beside_what_follows() {
    let (_scratch, folder) = scratch();
    let store = Store::open(&folder).unwrap();
    let (normal, training) = lost();
    let path = store.save(&normal).unwrap();
    let kept = path.with_extension("normal");
    assert!(!kept.exists());
    for _ in 0..3 {
        assert_eq!(store.save(&training).unwrap(), path);
        assert_eq!(
            content(&Profile::read_from(&kept).unwrap()),
            content(&normal)
        );
    }
    // It is not taken for a profile of today.
    let loaded = store.load().unwrap();
    assert_eq!(loaded.profiles.len(), 1);
    assert_eq!(content(&loaded.profiles[0].profile), content(&training));
    assert!(store.remove(&training).unwrap());
    assert!(!kept.exists());
}

/// Check that nothing is kept of what never was normal, or still is.
#[test]
fn nothing_to_keep() {
    let (_scratch, folder) = scratch();
    let store = Store::open(&folder).unwrap();
    let (normal, training) = lost();
    store.save(&training).unwrap();
    store.save(&training).unwrap();
    store.save(&normal).unwrap();
    let path = store.save(&normal).unwrap();
    assert_eq!(names(&folder).len(), 1);
    // What is there is no profile: that is for a load to say.
    fs::write(&path, "{").unwrap();
    store.save(&training).unwrap();
    assert_eq!(names(&folder).len(), 1);
}
