//! The process below which all of a workload runs, servers and clients alike: the tree that is
//! watched. It is one of its own, since the embedding process is never watched.
//!
//! It takes its orders from a pipe. When that ends, be it because the benchmark was interrupted or
//! killed, it ends what it started and removes what it wrote; it is not in the terminal's foreground,
//! so an interrupt meets the benchmark alone.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};

use super::{Size, Workload, cpu, of};
use crate::Failure;

/// The argument by which the benchmark's program is told that it is the runner; workloads follow.
const RUNNER: &str = "--runner";
/// How long it may take to tidy up.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a workload that was done once measured.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub figure: f64,
    /// Processor time of all its processes, in seconds for each unit of work.
    pub cpu: f64,
}

/// The runner, from the benchmark's side.
pub struct Runner {
    child: Child,
    // Dropped early, to tell it to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Runner {
    /// Starts it; no workload has begun yet.
    pub fn start(workloads: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(RUNNER)
            .args(workloads)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().ok_or("no pipe")?);
        Ok(Self {
            child,
            orders,
            answers,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Begins its workloads, which takes some seconds.
    pub fn begin(&mut self) -> Result<(), Failure> {
        self.ask("begin").map(drop)
    }

    /// Does all of the workloads one after the other, and returns the last one's figure.
    pub fn work(&mut self, size: Size) -> Result<Done, Failure> {
        self.ask(match size {
            Size::Short => "short",
            Size::Full => "full",
        })
    }

    /// Does all of the workloads at once, again and again, for at least so long.
    pub fn mix(&mut self, time: Duration) -> Result<(), Failure> {
        self.ask(&format!("mix {}", time.as_millis())).map(drop)
    }

    fn ask(&mut self, order: &str) -> Result<Done, Failure> {
        let orders = self.orders.as_mut().ok_or("no pipe")?;
        writeln!(orders, "{order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        match answer.trim().split_once(' ') {
            Some(("done", done)) => {
                let (figure, cpu) = done.split_once(' ').ok_or("a figure is missing")?;
                Ok(Done {
                    figure: figure.parse()?,
                    cpu: cpu.parse()?,
                })
            }
            Some(("failed", why)) => Err(why.into()),
            _ => Err("the process that runs the workload ended".into()),
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        drop(self.orders.take());
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && start.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        // If it has ended this does nothing.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The workloads of this process, if it is a runner.
pub fn here() -> Option<Vec<String>> {
    let mut args = std::env::args().skip_while(|arg| arg != RUNNER);
    args.next()?;
    Some(args.collect())
}

/// The other side: an order in, a figure or what went wrong out.
pub fn obey(names: &[String]) -> Result<(), Failure> {
    // What outlives its parent becomes a child of this process, so it stays in the tree and is found
    // at the end.
    set_child_subreaper(Some(getpid()))?;
    let outcome = follow(names);
    end_children();
    outcome
}

fn follow(names: &[String]) -> Result<(), Failure> {
    let (hand, orders) = mpsc::channel();
    // Apart, so that the end of the orders also ends work that is under way.
    thread::spawn(move || {
        for order in std::io::stdin().lines().map_while(Result::ok) {
            if hand.send(order).is_err() {
                return;
            }
        }
        drop(hand);
        signal_children(Signal::TERM);
    });
    let mut workloads = Vec::new();
    for order in orders {
        let line = match carry_out(&order, names, &mut workloads) {
            Ok(Done { figure, cpu }) => format!("done {figure} {cpu}"),
            Err(error) => format!("failed {}", error.to_string().replace('\n', "; ")),
        };
        // Fails if nobody reads any more: then it is over.
        if writeln!(std::io::stdout(), "{line}").is_err() {
            break;
        }
    }
    Ok(())
}

fn carry_out(
    order: &str,
    names: &[String],
    workloads: &mut Vec<Box<dyn Workload>>,
) -> Result<Done, Failure> {
    match order.split_once(' ').unwrap_or((order, "")) {
        ("begin", _) => {
            for name in names {
                workloads.push((of(name)?.begin)()?);
            }
            Ok(Done::default())
        }
        ("short", _) => one_by_one(workloads, Size::Short),
        ("full", _) => one_by_one(workloads, Size::Full),
        ("mix", millis) => at_once(workloads, Duration::from_millis(millis.parse()?)),
        _ => Err(format!("no such order: {order}").into()),
    }
}

fn one_by_one(workloads: &mut [Box<dyn Workload>], size: Size) -> Result<Done, Failure> {
    let mut last = Done::default();
    for workload in workloads {
        let before = cpu::of_descendants()?;
        let (figure, units) = workload.work(size)?;
        last = Done {
            figure,
            cpu: (cpu::of_descendants()? - before) / units,
        };
    }
    Ok(last)
}

fn at_once(workloads: &mut [Box<dyn Workload>], time: Duration) -> Result<Done, Failure> {
    let start = Instant::now();
    let again = |workload: &mut Box<dyn Workload>| -> Result<(), String> {
        while start.elapsed() < time {
            workload
                .work(Size::Short)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = workloads
            .iter_mut()
            .map(|workload| scope.spawn(|| again(workload)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a workload panicked")??;
        }
        Ok(Done::default())
    })
}

fn signal_children(signal: Signal) {
    // Each thread has its own; those of one that ended are another's.
    let tasks = fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    for task in tasks {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in list.split_whitespace() {
            if let Some(child) = child.parse().ok().and_then(Pid::from_raw) {
                // Fails only where it has ended.
                let _sent = kill_process(child, signal);
            }
        }
    }
}

/// Kills what the workloads left, which should be nothing.
fn end_children() {
    // Those of a child that was killed become this process's.
    loop {
        signal_children(Signal::KILL);
        if wait(WaitOptions::empty()).is_err() {
            return;
        }
    }
}
