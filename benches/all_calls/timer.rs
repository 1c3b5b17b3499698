//! The BPF object that counts and times calls, and its figures.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use libbpf_rs::{Link, MapCore as _, MapFlags, MapHandle, Object, ObjectBuilder};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::Failure;
use crate::workloads::sources;

/// How many calls are told apart, and the size of what is kept of one.
const CALLS: u32 = 512;
const SUM: usize = 40;

/// What is known of one call in one period, or in several.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    pub count: u64,
    pub ns: u64,
    squares: u128,
    /// Those that took longer than the bound; they are in nothing above.
    pub beyond: u64,
}

impl Sum {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        Some(Self {
            count: word(0)?,
            ns: word(8)?,
            squares: u128::from(word(24)?) << 64 | u128::from(word(16)?),
            beyond: word(32)?,
        })
    }

    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.ns += other.ns;
        self.squares += other.squares;
        self.beyond += other.beyond;
    }

    fn since(&self, before: &Self) -> Self {
        Self {
            count: self.count - before.count,
            ns: self.ns - before.ns,
            squares: self.squares - before.squares,
            beyond: self.beyond - before.beyond,
        }
    }

    /// The mean time, in nanoseconds; of at least one call.
    pub fn mean(&self) -> f64 {
        self.ns as f64 / self.count as f64
    }

    fn deviation(&self) -> f64 {
        let variance = self.squares as f64 / self.count as f64 - self.mean().powi(2);
        variance.max(0.0).sqrt()
    }
}

/// Of each call by its number.
pub type Sums = Vec<Sum>;

/// The object, attached.
pub struct Timer {
    object: Object,
    _links: Vec<Link>,
    last: Sums,
    period: u32,
}

fn compile(folder: &Path) -> Result<PathBuf, Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let object = folder.join("all_calls.bpf.o");
    symlink(sources::libbpf()?.join("src"), folder.join("bpf"))?;
    let arch = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "x86",
    };
    let status = Command::new("clang")
        .args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c"])
        .arg(format!("-D__TARGET_ARCH_{arch}"))
        .arg("-isystem")
        .arg(folder)
        .arg("-I")
        .arg(root.join("include"))
        .arg(root.join("benches/all_calls.bpf.c"))
        .arg("-o")
        .arg(&object)
        .status()?;
    if !status.success() {
        return Err("clang failed".into());
    }
    Ok(object)
}

impl Timer {
    /// Attaches it; it must come before any monitor.
    pub fn start() -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let object = ObjectBuilder::default()
            .open_file(compile(folder.path())?)?
            .load()?;
        let links: Result<Vec<_>, _> = object.progs_mut().map(|program| program.attach()).collect();
        let mut timer = Self {
            _links: links?,
            object,
            last: vec![Sum::default(); CALLS as usize],
            period: 0,
        };
        timer.last = timer.read()?;
        Ok(timer)
    }

    fn map(&self, name: &str) -> Result<MapHandle, Failure> {
        let mut maps = self.object.maps();
        let map = maps.find(|map| map.name() == name);
        Ok(MapHandle::try_from(&map.ok_or("no map")?)?)
    }

    /// Watches a process that has one thread and no child, and what descends from it.
    pub fn watch(&self, root: u32) -> Result<(), Failure> {
        let pid = Pid::from_raw(root.try_into()?).ok_or("no process")?;
        let process = pidfd_open(pid, PidfdFlags::empty())?;
        let descriptor = process.as_fd().as_raw_fd().to_ne_bytes();
        let call = [0; 16];
        Ok(self
            .map("calls")?
            .update(&descriptor, &call, MapFlags::ANY)?)
    }

    /// What happens while something is done, by call.
    pub fn during(&mut self, work: impl FnOnce() -> Result<(), Failure>) -> Result<Sums, Failure> {
        let (key, flags) = (0u32.to_ne_bytes(), MapFlags::ANY);
        let periods = self.map("periods")?;
        self.period += 1;
        periods.update(&key, &self.period.to_ne_bytes(), flags)?;
        let outcome = work();
        periods.update(&key, &0u32.to_ne_bytes(), flags)?;
        outcome?;
        let now = self.read()?;
        let sums = now.iter().zip(&self.last);
        let sums = sums.map(|(now, before)| now.since(before)).collect();
        self.last = now;
        Ok(sums)
    }

    /// From here on leaves out what takes longer than three standard deviations above the mean of
    /// these.
    pub fn bound(&self, sums: &Sums) -> Result<(), Failure> {
        /// Fewer say nothing of how times are spread.
        const ENOUGH: u64 = 30;
        let bounds = self.map("bounds")?;
        for (number, sum) in (0..CALLS).zip(sums) {
            if sum.count >= ENOUGH {
                let bound = (sum.mean() + 3.0 * sum.deviation()).ceil() as u64;
                bounds.update(&number.to_ne_bytes(), &bound.to_ne_bytes(), MapFlags::ANY)?;
            }
        }
        Ok(())
    }

    fn read(&self) -> Result<Sums, Failure> {
        let sums = self.map("sums")?;
        (0..CALLS)
            .map(|number| {
                let values = sums.lookup_percpu(&number.to_ne_bytes(), MapFlags::ANY)?;
                let mut all = Sum::default();
                for value in values.ok_or("no such call")? {
                    all.add(&Sum::parse(&value[..SUM]).ok_or("not a sum")?);
                }
                Ok(all)
            })
            .collect()
    }
}
