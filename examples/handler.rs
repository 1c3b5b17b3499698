//! A handler of one's own: counts anomalies by program, and says which program has most.
//!
//! `cargo run --example handler`, as root; Ctrl-C ends it.

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Parser;
use ebph::{Event, EventHandler, Monitor, Scope};

#[derive(Default)]
struct Worst {
    counts: HashMap<PathBuf, u64>,
}

impl EventHandler for Worst {
    fn handle(&mut self, event: &Event) {
        let Some(anomaly) = event.anomaly() else {
            return;
        };
        let profile = anomaly.context.profile.as_ref();
        let Some(exe) = profile.and_then(|profile| profile.exe.clone()) else {
            return;
        };
        *self.counts.entry(exe).or_default() += 1;
        if let Some((exe, count)) = self.counts.iter().max_by_key(|(_, count)| **count) {
            println!("{event}\n  most so far: {count} by {}", exe.display());
        }
    }
}

/// Counts anomalies by program, and says which program has most.
#[derive(Parser)]
#[command(name = "handler", version)]
struct Arguments {}

fn main() -> ebph::Result<()> {
    Arguments::parse();
    let _monitor = Monitor::builder()
        .scope(Scope::System)
        .handler(Worst::default())
        .start()?;
    println!("watching every program of this machine");
    loop {
        std::thread::park();
    }
}
