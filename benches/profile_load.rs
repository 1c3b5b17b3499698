//! How long a monitor takes to start, without profiles and with a thousand of them: the difference
//! is what it takes to read them, to look at their programs, and to put them into the kernel.
//!
//! Needs root.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ebph::detector::Command as Order;
use ebph::{Detector, FileIdentity, Identity, Key, Limits, Monitor, Profile, Scope, Store, Symbol};

const PROFILES: u64 = 1000;
/// Different calls of a typical program.
const CALLS: u32 = 45;

/// A profile of a program that makes its calls in loops, as programs do.
fn typical(seed: u64) -> Profile {
    let mut detector = Detector::new(Limits::default());
    let id = detector.add_profile(Key::new(8, 1, seed, 0));
    let task = detector.spawn(id);
    let mut state = seed | 1;
    let mut next = |below: u32| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u32 % below
    };
    for number in 0..CALLS {
        detector.call(task, Symbol::native(number), 0, Duration::ZERO);
    }
    for _ in 0..12 {
        let start = next(CALLS);
        for step in 0..40 {
            let number = (start + step % 7 * 3) % CALLS;
            // Neither a return from a handler nor anything else that is special.
            let number = if number == 15 { 16 } else { number };
            detector.call(task, Symbol::native(number), 0, Duration::ZERO);
        }
    }
    detector.command(id, Order::Normalize, Duration::ZERO);
    detector.profile(id).expect("it was added")
}

/// A folder of profiles, one for each of as many programs.
fn folder(scratch: &Path) -> PathBuf {
    let folder = scratch.join("profiles");
    let store = Store::open(&folder).expect("it can be made");
    let mut pairs = 0;
    for i in 0..PROFILES {
        let program = scratch.join(format!("program-{i}"));
        fs::write(&program, i.to_string()).expect("it can be written");
        let identity = FileIdentity::of(&program).expect("it was just written");
        let profile = typical(i).with_identity(Identity::new(identity));
        pairs += profile.pairs().count();
        store.save(&profile).expect("it can be saved");
    }
    eprintln!("{} pairs a profile", pairs as u64 / PROFILES);
    folder
}

/// A process to watch, which does nothing.
struct Idle(Child);

impl Idle {
    fn new() -> Self {
        let child = Command::new("cat").stdin(Stdio::piped()).spawn();
        Self(child.expect("cat is there"))
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

fn start(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir().expect("a folder can be made");
    let full = folder(scratch.path());
    let empty = scratch.path().join("empty");
    let idle = Idle::new();
    let mut group = criterion.benchmark_group("start");
    group.sample_size(10);
    for (name, folder, loaded) in [
        ("no profiles", &empty, 0),
        ("1000 profiles", &full, PROFILES),
    ] {
        let builder = || {
            Monitor::builder()
                .scope(Scope::Tree(idle.0.id()))
                .profile_dir(folder)
                .max_rows(65_536)
        };
        let monitor = builder().start().expect("root starts a monitor");
        let stats = monitor.stop().expect("it stops");
        assert_eq!(stats.store.loaded, loaded);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                builder,
                |builder| black_box(builder.start().expect("root starts a monitor")),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, start);
criterion_main!(benches);
