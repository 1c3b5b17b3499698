//! What each program takes by the kernel's own account: BPF's program statistics.

use std::collections::{BTreeMap, HashSet};
use std::os::fd::{FromRawFd as _, OwnedFd};

use libbpf_rs::libbpf_sys;
use libbpf_rs::query::ProgInfoIter;

use crate::Failure;
use crate::operations::Operation;
use crate::record::{Record, Row, Spread};
use crate::scene::{Config, Scene};

const CONFIGS: [Config; 5] = [
    Config::Floor,
    Config::Counter,
    Config::Learning,
    Config::Normal,
    Config::Thesis,
];
/// Where programs besides the one at the entry of calls have something to do.
const OPERATIONS: [&str; 3] = ["getppid", "signal handler", "fork+execve"];
const SAMPLES: usize = 9;

/// How long the programs ran, and how often, by their ids.
type Runs = BTreeMap<u32, (String, u64, u64)>;

fn runs(before: &HashSet<u32>) -> Runs {
    ProgInfoIter::default()
        .filter(|info| !before.contains(&info.id))
        .map(|info| {
            let name = info.name.to_string_lossy().into_owned();
            (info.id, (name, info.run_time_ns, info.run_cnt))
        })
        .collect()
}

/// The kernel measures programs until this is dropped.
fn measure() -> Result<OwnedFd, Failure> {
    // SAFETY: it takes a number, and returns a descriptor of ours or an error.
    let fd = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    if fd < 0 {
        return Err(std::io::Error::from_raw_os_error(-fd).into());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Nanoseconds of a run, by program, while an operation is made.
fn one(
    scene: &mut Scene,
    config: Config,
    operation: &Operation,
    before: &HashSet<u32>,
) -> Result<BTreeMap<String, Vec<f64>>, Failure> {
    let mut samples = BTreeMap::<String, Vec<f64>>::new();
    for _ in 0..SAMPLES {
        let began = runs(before);
        scene.perform(config, operation)?;
        for (id, (name, ns, count)) in runs(before) {
            let Some((_, ns_before, count_before)) = began.get(&id) else {
                continue;
            };
            let count = count.saturating_sub(*count_before);
            // Others of the machine's processes get some programs to run, now and then.
            if count >= u64::from(operation.times) {
                let ns = ns.saturating_sub(*ns_before) as f64;
                samples.entry(name).or_default().push(ns / count as f64);
            }
        }
    }
    Ok(samples)
}

/// Measures all configurations, prints and records what their programs take.
pub fn all(
    scene: &mut Scene,
    operations: &[Operation],
    record: &mut Record,
) -> Result<(), Failure> {
    let _measured = measure()?;
    println!("\nnanoseconds of a run, by the kernel's account");
    for config in CONFIGS {
        let before = ProgInfoIter::default().map(|info| info.id).collect();
        let _attachment = scene.attach(config)?;
        for operation in operations {
            if !OPERATIONS.contains(&operation.name) {
                continue;
            }
            for (program, samples) in one(scene, config, operation, &before)? {
                let spread = Spread::of(samples);
                println!(
                    "{:<14} {:<16} {:<18} {:>8.1}  {:.1} .. {:.1}",
                    operation.name,
                    config.name(),
                    program,
                    spread.median,
                    spread.low,
                    spread.high
                );
                let at = format!("{}: {program}", config.name());
                record.add(&Row::of("runs", [operation.name, &at, "ns"], spread))?;
            }
        }
    }
    Ok(())
}
