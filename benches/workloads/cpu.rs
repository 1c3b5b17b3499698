//! Processor time of this process's descendants, those that ended included. It tells what a workload
//! costs also where other programs take the processor away from it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::Failure;

/// Of all descendants so far, in seconds.
pub fn of_descendants() -> Result<f64, Failure> {
    let mut left = children("/proc/self".as_ref());
    let mut all = ended(Path::new("/proc/self"))?;
    while let Some(pid) = left.pop() {
        let process = Path::new("/proc").join(&pid);
        // One that ends meanwhile is counted where its parent waits for it.
        all += running(&process) + ended(&process).unwrap_or_default();
        left.extend(children(&process));
    }
    Ok(all.as_secs_f64())
}

fn tasks(process: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let tasks = fs::read_dir(process.join("task")).into_iter().flatten();
    tasks.flatten().map(|task| task.path())
}

/// Children are listed by the thread that has them.
fn children(process: &Path) -> Vec<String> {
    tasks(process)
        .filter_map(|task| fs::read_to_string(task.join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The time of a process's threads, to the nanosecond.
fn running(process: &Path) -> Duration {
    tasks(process)
        .filter_map(|task| {
            let text = fs::read_to_string(task.join("schedstat")).ok()?;
            let nanos = text.split_whitespace().next()?.parse().ok()?;
            Some(Duration::from_nanos(nanos))
        })
        .sum()
}

/// The time of the children that a process has waited for, in ticks.
fn ended(process: &Path) -> Result<Duration, Failure> {
    let text = fs::read_to_string(process.join("stat"))?;
    // The name before it may hold anything.
    let (_, fields) = text.rsplit_once(')').ok_or("a line of another form")?;
    let fields = fields.split_whitespace().skip(13).take(2);
    let ticks = fields.map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    let second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / second as f64))
}
