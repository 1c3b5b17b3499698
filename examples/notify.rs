//! Raises a desktop notification for each anomaly, but not for a thousand of them.
//!
//! `notify --socket PATH` asks a monitor that runs with that socket, as root or as its user; without
//! it, a monitor is started here, of the whole machine or of `--tree PID`. The notifications go to
//! the session bus by `notify-send` (Debian: libnotify-bin), so `DBUS_SESSION_BUS_ADDRESS` must be
//! that of the desktop.
//!
//! ```text
//! sudo DBUS_SESSION_BUS_ADDRESS=$DBUS_SESSION_BUS_ADDRESS target/debug/examples/notify --socket /run/ebph/monitor.sock
//! ```
#![deny(unsafe_code)]

#[path = "notify/notifier.rs"]
mod notifier;
#[path = "notify/running.rs"]
mod running;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use clap::Parser;
use ebph::{EventHandler as _, EventKind, Monitor, Scope};

use notifier::Notifier;
use running::Running;

/// How long to wait for an event before what was held back is looked at.
const TURN: Duration = Duration::from_secs(1);

/// Raises desktop notifications about anomalies.
#[derive(Parser)]
#[command(name = "notify", version)]
struct Arguments {
    /// The socket of a monitor that runs already
    #[arg(long, value_name = "PATH", conflicts_with_all = ["tree", "normal_wait"])]
    socket: Option<PathBuf>,

    /// Watches this process and its descendants, not the whole machine
    #[arg(long, value_name = "PID")]
    tree: Option<u32>,

    /// How long a profile stays frozen before it becomes normal, as in 7d, 90s, 10ms
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    normal_wait: Duration,

    /// At most one notification in so much time; what comes sooner is told together
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    every: Duration,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut notifier = Notifier::new(arguments.every);
    let ended = match &arguments.socket {
        Some(path) => follow(path, &mut notifier),
        None => watch(&arguments, &mut notifier).map_err(|error| error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("notify: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Notifies of what a monitor reports that runs already.
fn follow(path: &Path, notifier: &mut Notifier) -> Result<(), String> {
    let mut running = Running::connect(path)?;
    eprintln!("notify: waiting for anomalies");
    loop {
        for event in running.wait(TURN)? {
            notifier.handle(&event);
        }
        notifier.tell_rest();
    }
}

/// Notifies of what a monitor reports that is started here.
fn watch(arguments: &Arguments, notifier: &mut Notifier) -> ebph::Result<()> {
    let kinds = [EventKind::Anomaly, EventKind::UnbalancedSigreturn];
    let monitor = Monitor::builder()
        .scope(arguments.tree.map_or(Scope::System, Scope::Tree))
        .normal_wait(arguments.normal_wait)
        .events(kinds.into_iter().collect())
        .start()?;
    let events = monitor.events();
    eprintln!("notify: waiting for anomalies");
    loop {
        match events.recv_timeout(TURN) {
            Ok(event) => notifier.handle(&event),
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        notifier.tell_rest();
    }
}
