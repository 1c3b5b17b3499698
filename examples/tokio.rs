//! Receivers in tokio: a task for anomalies, a task that counts whatever happens, and no thread
//! that waits.
//!
//! `cargo run --example tokio`, as root, watches the whole machine, `--pid PID` a process and its
//! descendants. Ctrl-C or SIGTERM ends it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::TryRecvError;

use clap::Parser;
use ebph::{Anomalies, Event, Events, Monitor, Receiver, Scope};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn std::error::Error>;

/// Prints anomalies as they come, and at the end how many events of each kind there were.
#[derive(Parser)]
#[command(name = "tokio", version)]
struct Arguments {
    /// Watches this process and its descendants only
    #[arg(long)]
    pid: Option<u32>,

    /// Keeps profiles in this folder
    #[arg(long, value_name = "DIR")]
    profile_dir: Option<PathBuf>,
}

/// A receiver whose file tokio waits for.
struct Stream<T>(AsyncFd<Receiver<T>>);

impl<T> Stream<T> {
    fn new(receiver: Receiver<T>) -> io::Result<Self> {
        // SAFETY: the receiver owns its file: the same one, open, for as long as it lives. One that
        // could get no file gives a number that is never one's, which is refused here.
        let registered = unsafe { AsyncFd::register(receiver) };
        Ok(Self(registered?))
    }

    /// Waits for the next one; `None` when the monitor has stopped and all were taken.
    ///
    /// tokio remembers that the file is readable until it is told that nothing is left, which is
    /// what `WouldBlock` does. So a busy receiver is drained without a look at its file.
    async fn next(&mut self) -> io::Result<Option<T>> {
        loop {
            let mut ready = self.0.readable().await?;
            let next = ready.try_io(|receiver| match receiver.get_ref().try_recv() {
                Ok(item) => Ok(Some(item)),
                Err(TryRecvError::Disconnected) => Ok(None),
                Err(TryRecvError::Empty) => Err(io::ErrorKind::WouldBlock.into()),
            });
            if let Ok(next) = next {
                return next;
            }
        }
    }
}

async fn print(anomalies: Anomalies) -> io::Result<u64> {
    let mut anomalies = Stream::new(anomalies)?;
    let mut count = 0;
    while let Some(anomaly) = anomalies.next().await? {
        count += 1;
        writeln!(io::stdout(), "{anomaly}")?;
    }
    Ok(count)
}

async fn count(events: Events) -> io::Result<BTreeMap<&'static str, u64>> {
    let mut events: Stream<Event> = Stream::new(events)?;
    let mut counts = BTreeMap::new();
    while let Some(event) = events.next().await? {
        *counts.entry(event.kind().as_str()).or_default() += 1;
    }
    Ok(counts)
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let scope = arguments.pid.map_or(Scope::System, Scope::Tree);
    let mut builder = Monitor::builder().scope(scope);
    if let Some(dir) = arguments.profile_dir {
        builder = builder.profile_dir(dir);
    }
    let monitor = builder.start()?;
    let mut printer = tokio::spawn(print(monitor.anomalies()));
    let counter = tokio::spawn(count(monitor.events()));
    writeln!(io::stdout(), "watching")?;

    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        // While the monitor runs, only that nobody reads the output any more.
        ended = &mut printer => return ended?.map(drop).map_err(Failure::from),
    }
    // Waits for the monitor's own threads, so it has one too; the receivers go on meanwhile, and
    // end when they have what was still on its way.
    let stats = tokio::task::spawn_blocking(|| monitor.stop()).await??;
    let mut out = io::stdout();
    writeln!(out, "{} anomalies", printer.await??)?;
    for (kind, count) in counter.await?? {
        writeln!(out, "{count} {kind}")?;
    }
    let lost = stats.events.lost_in_ring + stats.events.lost_in_channels;
    writeln!(out, "{lost} events lost")?;
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    ebph::log_libbpf();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = runtime
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(run(arguments)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tokio: {error}");
            ExitCode::FAILURE
        }
    }
}
