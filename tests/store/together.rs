//! Several at work in one folder.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ebph::{Key, Store};

use crate::{content, names, profile, scratch};

/// Check that saving and loading at once loses nothing: a load removes no file that is being
/// written, and finds each profile whole.
#[test]
fn saving_and_loading() {
    const SAVES: usize = 150;

    let (_scratch, folder) = scratch();
    let profiles = [30, 20].map(|inode| profile(Key::new(8, 1, inode.into(), 0), inode));
    let first = Store::open(&folder).unwrap();
    for profile in &profiles {
        first.save(profile).unwrap();
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let savers: Vec<_> = profiles
            .iter()
            .map(|profile| {
                let store = Store::open(&folder).unwrap();
                scope.spawn(move || {
                    for _ in 0..SAVES {
                        store.save(profile).unwrap();
                    }
                })
            })
            .collect();
        let loader = scope.spawn(|| {
            let mut loads = 0;
            while !done.load(Ordering::Relaxed) {
                let loaded = first.load().unwrap();
                assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
                assert_eq!(loaded.profiles.len(), 2);
                for stored in loaded.profiles {
                    let text = content(&stored.profile);
                    assert!(profiles.iter().any(|profile| content(profile) == text));
                }
                loads += 1;
            }
            loads
        });
        let saved: Vec<_> = savers.into_iter().map(|saver| saver.join()).collect();
        done.store(true, Ordering::Relaxed);
        assert!(loader.join().unwrap() > 0);
        assert!(saved.iter().all(Result::is_ok));
    });
    assert_eq!(names(&folder).len(), 2);
}
