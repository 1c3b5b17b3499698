//! What a monitored `getppid` costs more than one that is not, beside an empty program's cost.
//!
//! All configurations take turns many times in one run, so that the machine's drift meets each of
//! them alike. Compared are the added costs: nothing attached is the zero, an empty program of the
//! same kind at the same hook is the one. Needs root and clang.

#[path = "victim/mod.rs"]
mod victim;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ebph::{EntryHook, Monitor, Scope};
use libbpf_rs::{Link, ObjectBuilder};

use victim::{Failure, Victim};

const CALLS: u32 = 100_000;
/// Measurements in one turn of a configuration; the least of them counts.
const SAMPLES: usize = 5;
/// Turns of each configuration; `EBPH_TURNS` overrides it.
const TURNS: usize = 25;

/// Nanoseconds a call, the least of some samples.
fn measure(victim: &mut Victim) -> Result<f64, Failure> {
    let mut least = f64::INFINITY;
    for _ in 0..SAMPLES {
        least = least.min(victim.ask("")?);
    }
    Ok(least)
}

/// The other side: a line in, `CALLS` calls, their mean time out.
fn obey() -> Result<(), Failure> {
    for line in std::io::stdin().lines() {
        line?;
        let start = Instant::now();
        for _ in 0..CALLS {
            std::hint::black_box(rustix::process::getppid());
        }
        let mean = start.elapsed().as_nanos() as f64 / f64::from(CALLS);
        println!("{mean}");
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq)]
enum Config {
    Nothing,
    Floor,
    Learning,
    Normal,
    OutOfScope,
}

const CONFIGS: [(Config, &str); 5] = [
    (Config::Nothing, "nothing attached"),
    (Config::Floor, "an empty program"),
    (Config::Learning, "ebph, learning"),
    (Config::Normal, "ebph, normal"),
    (Config::OutOfScope, "ebph, out of scope"),
];

/// Attaches the empty program of the kind that `hook` names.
fn floor(object: &Path, hook: EntryHook) -> Result<Link, Failure> {
    let mut open = ObjectBuilder::default().open_file(object)?;
    let wanted = match hook {
        EntryHook::Tracepoint => "floor_tracepoint",
        _ => "floor_tp_btf",
    };
    for mut program in open.progs_mut() {
        let load = program.name() == OsStr::new(wanted);
        program.set_autoload(load);
    }
    let object = open.load()?;
    let program = object
        .progs_mut()
        .find(|program| program.name() == OsStr::new(wanted))
        .ok_or("no program")?;
    Ok(program.attach()?)
}

fn monitor(root: &Victim, hook: EntryHook) -> Result<Monitor, Failure> {
    Ok(Monitor::builder()
        .scope(Scope::Tree(root.pid()))
        .normal_wait(Duration::from_secs(3600))
        .hook(hook)
        .start()?)
}

/// The bystander was never watched, and is measured while the victim is.
fn turn(
    victim: &mut Victim,
    bystander: &mut Victim,
    object: &Path,
    config: Config,
    hook: EntryHook,
) -> Result<f64, Failure> {
    match config {
        Config::Nothing => measure(victim),
        Config::Floor => {
            let _link = floor(object, hook)?;
            measure(victim)
        }
        Config::OutOfScope => {
            let _monitor = monitor(victim, hook)?;
            measure(bystander)
        }
        Config::Learning | Config::Normal => {
            let monitor = monitor(victim, hook)?;
            // The first round teaches the loop.
            measure(victim)?;
            if config == Config::Normal {
                let key = monitor
                    .profiles()?
                    .next()
                    .ok_or("the victim has no profile")?
                    .key();
                monitor.normalize(key)?;
            }
            measure(victim)
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compile(dir: &Path) -> Result<PathBuf, Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.bpf.c");
    let object = dir.join("floor.bpf.o");
    let status = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf", "-c"])
        .arg(source)
        .arg("-o")
        .arg(&object)
        .status()?;
    if !status.success() {
        return Err("clang failed".into());
    }
    Ok(object)
}

fn main() -> Result<(), Failure> {
    if victim::is_here() {
        return obey();
    }
    let hook = match std::env::var("EBPH_HOOK").as_deref() {
        Ok("tracepoint") => EntryHook::Tracepoint,
        _ => EntryHook::TpBtf,
    };
    let turns = match std::env::var("EBPH_TURNS") {
        Ok(turns) => turns.parse::<usize>()?.max(1),
        Err(_) => TURNS,
    };
    let dir = tempfile::tempdir()?;
    let object = compile(dir.path())?;
    let mut victim = Victim::start()?;
    let mut bystander = Victim::start()?;

    let mut added: Vec<Vec<f64>> = vec![Vec::new(); CONFIGS.len()];
    let mut times = added.clone();
    for _ in 0..turns {
        let mut nothing = 0.0;
        for (i, (config, _)) in CONFIGS.iter().enumerate() {
            let ns = turn(&mut victim, &mut bystander, &object, *config, hook)?;
            if *config == Config::Nothing {
                nothing = ns;
            }
            times[i].push(ns);
            added[i].push(ns - nothing);
        }
    }
    let floor = median(&mut added[1].clone());
    println!("getppid, {turns} turns of {SAMPLES} x {CALLS} calls, medians ({hook:?})");
    println!(
        "{:<20} {:>9} {:>9} {:>8}  quartiles",
        "", "ns/call", "added", "ratio"
    );
    for (i, (_, name)) in CONFIGS.iter().enumerate() {
        let mut ratios: Vec<f64> = added[i]
            .iter()
            .zip(&added[1])
            .map(|(added, floor)| added / floor)
            .collect();
        let cost = median(&mut added[i]);
        let _sorted = median(&mut ratios);
        println!(
            "{name:<20} {:>9.1} {cost:>9.1} {:>8.2}  {:.2} .. {:.2}",
            median(&mut times[i]),
            cost / floor,
            ratios[turns / 4],
            ratios[turns * 3 / 4],
        );
    }
    Ok(())
}
