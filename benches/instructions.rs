//! How many instructions a call takes, and how many more while it is monitored: `make instructions`.
//!
//! And how many the kernel's verifier walked for each program, which it gives up at a million of.
//!
//! Run in a guest whose clock counts instructions (`scripts/kernels/run.sh --count`), where a nanosecond
//! is one; anywhere else these are times, and of no use. Prints `CONFIGURATION|OPERATION|COUNT`.

#[path = "overhead/objects.rs"]
mod objects;
#[path = "overhead/operations.rs"]
mod operations;
#[path = "overhead/scene.rs"]
mod scene;
#[path = "victim/mod.rs"]
mod victim;

use std::collections::BTreeMap;

use ebph::EntryHook;
use operations::Operation;
use scene::{Config, Scene};
use victim::Failure;

/// The median of these counts: some are disturbed by an interrupt.
const SAMPLES: usize = 9;
const TIMES: u32 = 2_000;
/// One in circles, one that goes in none, and one in which two processes take turns.
const MEASURED: [&str; 3] = ["getppid", "no circles", "pipe"];

const CONFIGS: [Config; 7] = [
    Config::Nothing,
    Config::Floor,
    Config::Counter,
    Config::Learning,
    Config::Normal,
    Config::OutOfScope,
    Config::Thesis,
];

/// A figure for `scripts/instructions.sh`.
fn tell(config: &str, operation: &str, count: f64) {
    println!("{config}|{operation}|{count:.0}");
}

fn main() -> Result<(), Failure> {
    if victim::is_here() {
        return victim::obey(operations::perform);
    }
    let hook = scene::hook()?;
    let operations = MEASURED
        .into_iter()
        .map(|name| {
            Ok(Operation {
                times: TIMES,
                ..operations::of(name)?
            })
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut scene = Scene::new(operations.clone(), hook)?;
    let mut without = BTreeMap::new();
    for (program, count) in ebph::verified_instructions()? {
        tell("verifier", &program, count as f64);
    }
    for config in CONFIGS {
        // The one that a kernel with preemptible hooks does not have is no floor there.
        if config == Config::Counter && hook == EntryHook::Tracepoint {
            continue;
        }
        let attachment = scene.attach(config)?;
        for operation in &operations {
            let mut counts = Vec::new();
            for _ in 0..SAMPLES {
                counts.push(scene.perform(config, operation)?);
            }
            counts.sort_by(f64::total_cmp);
            let count = counts[SAMPLES / 2];
            // The first one: what all others are compared with.
            let nothing = *without.entry(operation.name).or_insert(count);
            let added = if config == Config::Nothing {
                count
            } else {
                count - nothing
            };
            tell(config.name(), operation.name, added);
        }
        drop(attachment);
    }
    Ok(())
}
