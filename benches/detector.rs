//! What a call costs the detector itself: in user space, and in the kernel without a hook.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ebph::detector::{Op, Step};
use ebph::{Detector, KernelReplay, Key, Limits, Symbol};

const CALLS: u64 = 10_000;

/// A program that goes round in a loop of twelve calls: learnt soon, ordinary from then on.
fn steps() -> Vec<Step> {
    let start = std::iter::once(Op::Exec {
        task: 0,
        profile: 0,
    });
    let calls = (0..CALLS).map(|i| Op::Call {
        task: 0,
        symbol: Symbol::native((i % 12) as u32),
        sp: 0,
    });
    start
        .chain(calls)
        .zip(1..)
        .map(|(op, now)| Step::new(now, op))
        .collect()
}

fn detector(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call");
    group.throughput(Throughput::Elements(CALLS));
    let steps = steps();

    let mut detector = Detector::new(Limits::default());
    detector.add_profile(Key::new(0, 0, 1, 0));
    group.bench_function("detector", |bencher| {
        bencher.iter(|| {
            for step in &steps {
                black_box(detector.apply(step));
            }
        });
    });

    // Needs root; what it takes to carry the steps in and the verdicts out is part of it.
    let limits = Limits::default().normal_wait(Duration::from_secs(3600));
    match KernelReplay::new(&limits, 1, 64) {
        Ok(replay) => {
            let mut replay = replay.batch(64);
            group.bench_function("kernel replay", |bencher| {
                bencher.iter(|| black_box(replay.run(&steps)));
            });
        }
        Err(error) => eprintln!("kernel replay left out: {error}"),
    }
    group.finish();
}

criterion_group!(benches, detector);
criterion_main!(benches);
