//! What it takes to read and write profiles, one and a folder of a thousand.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ebph::detector::Command;
use ebph::{Detector, Key, Limits, Profile, Store, Symbol};

/// Different calls of a typical program.
const CALLS: u32 = 45;
const PROFILES: u64 = 1000;

/// A normal profile with some 500 pairs: a start-up of calls that are made once, then a loop.
fn typical(number: u64) -> Profile {
    let mut detector = Detector::new(Limits::default());
    let id = detector.add_profile(Key::new(8, 1, number, 0));
    let task = detector.spawn(id);
    let start = (0..CALLS).map(|call| (call * 7) % CALLS);
    let rounds = (0..300).map(|call| (call * call) % 23);
    for call in start.chain(rounds) {
        let symbol = Symbol::native(call * 3 + (number % 5) as u32);
        detector.call(task, symbol, 0, Duration::ZERO);
    }
    detector.command(id, Command::Normalize, Duration::ZERO);
    detector.profile(id).expect("it was added")
}

fn profiles(criterion: &mut Criterion) {
    let profile = typical(1);
    let text = profile.to_json();
    let calls = profile.symbols().count();
    let pairs = profile.pairs().count();
    println!("{calls} calls, {pairs} pairs, {} bytes", text.len());

    let mut group = criterion.benchmark_group("profile");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Profile::from_json(black_box(text.as_bytes())).expect("it is one"));
    });
    group.bench_function("write", |bencher| {
        bencher.iter(|| black_box(&profile).to_json())
    });
    group.finish();

    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let store = Store::open(folder.path().join("profiles")).expect("it can be made");
    for number in 1..=PROFILES {
        store.save(&typical(number)).expect("there is room");
    }
    let mut group = criterion.benchmark_group("folder");
    group.throughput(Throughput::Elements(PROFILES));
    group.sample_size(20);
    group.bench_function("load", |bencher| {
        bencher.iter(|| {
            let loaded = store.load().expect("it can be read");
            assert_eq!(loaded.profiles.len() as u64, PROFILES);
        });
    });
    group.finish();
    criterion.bench_function("folder/save one", |bencher| {
        bencher.iter(|| store.save(&profile).expect("there is room"));
    });
}

criterion_group!(benches, profiles);
criterion_main!(benches);
