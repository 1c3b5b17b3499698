//! The process tree that is measured: this program once more, which makes calls from threads of
//! its own or has copies of a small program make them.

use std::fs;
use std::io::{PipeReader, Read as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::Failure;

/// Above every call that a kernel has, and below what the monitor tells apart.
const STRANGE: u32 = 471;

/// Compiles the small program.
pub fn compile(folder: &Path) -> Result<PathBuf, Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/scale/program.c");
    let program = folder.join("program");
    let status = Command::new("cc")
        .args(["-std=gnu11", "-O2", "-s", "-o"])
        .args([&program, &source])
        .status()?;
    if !status.success() {
        return Err("cc failed".into());
    }
    Ok(program)
}

/// Makes copies: to the monitor each is a program of its own.
pub fn copies(program: &Path, which: Range<usize>) -> Result<(), Failure> {
    for i in which {
        fs::copy(program, copy(program, i))?;
    }
    Ok(())
}

pub fn copy(program: &Path, i: usize) -> PathBuf {
    program.with_file_name(format!("program-{i}"))
}

/// What the small program is told.
fn order(kinds: u32, calls: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&kinds.to_ne_bytes());
    bytes[4..].copy_from_slice(&calls.to_ne_bytes());
    bytes
}

/// Copies of the small program that run. They end when their standard input does.
#[derive(Default)]
struct Programs {
    children: Vec<Child>,
    /// Whom orders are given to.
    orders: Vec<ChildStdin>,
    /// Where all, or the last in a ring, answer.
    answers: Option<Answers>,
}

enum Answers {
    Shared(PipeReader),
    Last(ChildStdout),
}

impl Programs {
    /// Each passes its orders on to the next.
    fn ring(program: &Path, count: usize) -> Result<Self, Failure> {
        let mut made = Self::default();
        let mut input = Stdio::piped();
        let mut last = None;
        for i in 0..count {
            let mut child = Command::new(copy(program, i))
                .stdin(input)
                .stdout(Stdio::piped())
                .spawn()?;
            made.orders.extend(child.stdin.take());
            last = child.stdout.take();
            input = if i + 1 < count {
                last.take().ok_or("no pipe")?.into()
            } else {
                Stdio::null()
            };
            made.children.push(child);
        }
        made.answers = last.map(Answers::Last);
        Ok(made)
    }

    /// Each has orders of its own.
    fn side_by_side(program: &Path, count: usize) -> Result<Self, Failure> {
        let mut made = Self::default();
        let (answers, ours) = std::io::pipe()?;
        for i in 0..count {
            let mut child = Command::new(copy(program, i))
                .stdin(Stdio::piped())
                .stdout(ours.try_clone()?)
                .spawn()?;
            made.orders.extend(child.stdin.take());
            made.children.push(child);
        }
        made.answers = Some(Answers::Shared(answers));
        Ok(made)
    }

    /// Gives all who take orders the same, and waits until it was carried out.
    fn tell(&mut self, kinds: u32, calls: u32) -> Result<(), Failure> {
        let order = order(kinds, calls);
        for orders in &mut self.orders {
            orders.write_all(&order)?;
        }
        let mut answer = vec![0; order.len() * self.orders.len()];
        match &mut self.answers {
            Some(Answers::Shared(answers)) => answers.read_exact(&mut answer)?,
            Some(Answers::Last(answers)) => answers.read_exact(&mut answer)?,
            None => return Err("nobody to tell".into()),
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Failure> {
        self.orders.clear();
        for child in &mut self.children {
            child.wait()?;
        }
        self.children.clear();
        Ok(())
    }
}

/// Has each of some threads do the same at the same time; seconds from when the first began until the
/// last had done it.
fn in_threads(count: usize, work: impl Fn() + Sync) -> f64 {
    let (all_there, all_done) = (Barrier::new(count), Barrier::new(count));
    // Nobody ends while others work, since that costs more than calls do.
    let timed = || {
        all_there.wait();
        let start = Instant::now();
        work();
        let end = Instant::now();
        all_done.wait();
        (start, end)
    };
    let times: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(timed)).collect();
        let ended = threads.into_iter().map(|thread| thread.join());
        ended
            .map(|times| times.expect("no thread panics"))
            .collect()
    });
    let first = times.iter().map(|(start, _)| *start).min();
    let last = times.iter().map(|(_, end)| *end).max();
    first
        .zip(last)
        .map_or(0.0, |(first, last)| (last - first).as_secs_f64())
}

#[allow(unsafe_code)]
fn strange() {
    // SAFETY: there is no call of this number, so it does nothing. libc is the only crate that makes
    // calls by their number.
    unsafe { libc::syscall(STRANGE.into()) };
}

fn known() {
    std::hint::black_box(rustix::process::getppid());
}

/// Makes `rate` calls a second for a time, in bursts; as many as it can, if the rate is 0.
fn storm(call: fn(), rate: f64, time: Duration) {
    /// So many in one burst at least: to sleep is a call as well, and does not fit after these.
    const BURST: f64 = 16.0;

    let start = Instant::now();
    let pause = Duration::from_secs_f64((BURST / rate).clamp(0.001, 1.0));
    let mut made = 0_u64;
    while start.elapsed() < time {
        if rate == 0.0 {
            (0..64).for_each(|_| call());
            continue;
        }
        let due = (start.elapsed().as_secs_f64() * rate) as u64;
        (made..due).for_each(|_| call());
        made = made.max(due);
        thread::sleep(pause);
    }
}

/// Keeps this process, and what it starts from now on, on one processor, so that who takes the
/// next turn need not be woken elsewhere.
fn stay() -> Result<(), Failure> {
    let allowed = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu));
    let mut one = CpuSet::new();
    one.set(last.ok_or("no processor")?);
    Ok(sched_setaffinity(None, &one)?)
}

/// The words of a line.
struct Words<'a>(std::str::SplitWhitespace<'a>);

impl Words<'_> {
    fn next<T: FromStr>(&mut self) -> Result<T, Failure> {
        let word = self.0.next().ok_or("a word is missing")?;
        word.parse()
            .map_err(|_| format!("{word} cannot be read").into())
    }
}

/// The other side: an order a line, a number for each, seconds where something was timed.
pub fn obey() -> Result<(), Failure> {
    let mut programs = Programs::default();
    for line in std::io::stdin().lines() {
        let line = line?;
        let mut words = Words(line.split_whitespace());
        let mut seconds = 0.0;
        match words.next::<String>()?.as_str() {
            "threads" => {
                let (count, calls): (usize, u32) = (words.next()?, words.next()?);
                seconds = in_threads(count, || (0..calls).for_each(|_| known()));
            }
            kind @ ("storm" | "calm") => {
                let call = if kind == "storm" { strange } else { known };
                let (count, rate, time): (usize, f64, f64) =
                    (words.next()?, words.next()?, words.next()?);
                let (rate, time) = (rate / count as f64, Duration::from_secs_f64(time));
                seconds = in_threads(count, || storm(call, rate, time));
            }
            "ring" => {
                stay()?;
                let count = words.next()?;
                programs = Programs::ring(&words.next::<PathBuf>()?, count)?;
            }
            "programs" => {
                let count = words.next()?;
                programs = Programs::side_by_side(&words.next::<PathBuf>()?, count)?;
            }
            "tell" => {
                let (times, kinds, calls): (u32, u32, u32) =
                    (words.next()?, words.next()?, words.next()?);
                let start = Instant::now();
                for _ in 0..times {
                    programs.tell(kinds, calls)?;
                }
                seconds = start.elapsed().as_secs_f64();
            }
            "run" => {
                let program: PathBuf = words.next()?;
                Command::new(program)
                    .args(words.0)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()?;
            }
            "end" => programs.end()?,
            other => return Err(format!("{other} is no order").into()),
        }
        println!("{seconds}");
    }
    programs.end()
}
