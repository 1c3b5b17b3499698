//! Watches a command, a cgroup or the whole machine, and prints what happens.
//!
//! `monitor -- COMMAND` watches the command and all its descendants from its first system call
//! and ends as it did; `monitor` watches every process until Ctrl-C; `monitor preflight` says what
//! this kernel and these privileges allow. `monitor --help` lists the options.

#[path = "monitor/cli.rs"]
mod cli;
#[path = "monitor/command.rs"]
mod command;
#[path = "monitor/output.rs"]
mod output;
#[path = "monitor/signals.rs"]
mod signals;
#[path = "monitor/summary.rs"]
mod summary;

use std::fs;
use std::process::ExitCode;
use std::sync::mpsc;

use ebph::{Monitor, Scope, Stats};

use cli::{Arguments, Asked, Watch};
use command::{Command, Outcome};

/// The exit status for failures of the monitor itself.
const FAILED: u8 = 125;

/// What ends a watch.
enum End {
    /// The command did.
    Command(Outcome),
    /// A signal asks for it.
    Signal,
    /// Nobody reads the output any more.
    OutputGone,
}

fn main() -> ExitCode {
    let asked = match Arguments::read() {
        Ok(asked) => asked,
        Err(usage) => return usage.report(),
    };
    let result = match asked {
        Asked::Preflight => return preflight(),
        Asked::Watch(watch) => run(watch),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(message) => {
            output::complain(&message);
            ExitCode::from(FAILED)
        }
    }
}

fn preflight() -> ExitCode {
    let report = Monitor::preflight();
    output::print(&report);
    ExitCode::from(if report.ready() { 0 } else { FAILED })
}

fn run(watch: Watch) -> Result<u8, String> {
    // One line says what failed; what libbpf has to say goes to a logger, of which there is none.
    ebph::log_libbpf();
    // Before any thread there is, so that all of them leave the signals to the one that waits.
    signals::block();
    let (ends, end) = mpsc::channel();
    let command = match &watch.command {
        Some(command) => Some(
            Command::prepare(command, watch.json)
                .map_err(|error| format!("cannot fork: {error}"))?,
        ),
        None => None,
    };
    let handle = command.as_ref().and_then(Command::handle);
    let started = start(&watch, command.as_ref(), ends.clone());
    let monitor = match (started, command) {
        (Ok(monitor), Some(command)) => {
            let ends = ends.clone();
            command.release(move |outcome| {
                // SANITY: fails only when the watch has ended for another reason.
                let _ = ends.send(End::Command(outcome));
            });
            monitor
        }
        (Ok(monitor), None) => monitor,
        (Err(message), command) => {
            if let Some(command) = command {
                command.give_up();
            }
            return Err(message);
        }
    };
    signals::listen(handle, move || {
        // SANITY: as above.
        let _ = ends.send(End::Signal);
    });
    let status = wait(&end, watch.command.is_some());
    finish(monitor, watch.summary).map_err(|error| error.to_string())?;
    Ok(match status {
        Some(outcome) => {
            if let Some(reason) = &outcome.failure {
                output::complain(reason);
            }
            outcome.status
        }
        None => 0,
    })
}

fn start(
    watch: &Watch,
    command: Option<&Command>,
    ends: mpsc::Sender<End>,
) -> Result<Monitor, String> {
    let scope = match (&watch.scope, command) {
        (cli::Scope::System, _) => Scope::System,
        (cli::Scope::Tree, Some(command)) => Scope::Tree(command.pid()),
        (cli::Scope::Tree, None) => return Err("--scope tree needs a COMMAND to watch".to_owned()),
        (cli::Scope::Cgroup(path), _) => Scope::Cgroup(path.clone()),
    };
    let gone = move || {
        // SANITY: fails only when the watch has ended already.
        let _ = ends.send(End::OutputGone);
    };
    let mut builder = Monitor::builder()
        .scope(scope)
        .limits(watch.limits.clone())
        .max_profiles(watch.max_profiles)
        .events(watch.events)
        .handler(output::printer(watch.json, gone))
        .save_interval(watch.save_interval);
    if let Some(dir) = &watch.profile_dir {
        builder = builder.profile_dir(dir);
    }
    let monitor = builder.start().map_err(|error| error.to_string())?;
    if let (cli::Scope::Cgroup(path), Some(command)) = (&watch.scope, command) {
        let file = path.join("cgroup.procs");
        fs::write(&file, command.pid().to_string())
            .map_err(|error| format!("cannot run the command in {}: {error}", path.display()))?;
    }
    Ok(monitor)
}

/// Waits for the end. A command is always waited for, whatever else happens: its status is ours.
fn wait(end: &mpsc::Receiver<End>, command: bool) -> Option<Outcome> {
    loop {
        match end.recv() {
            Ok(End::Command(outcome)) => return Some(outcome),
            Ok(End::Signal | End::OutputGone) if command => (),
            Ok(End::Signal | End::OutputGone) | Err(_) => return None,
        }
    }
}

fn finish(monitor: Monitor, summary: bool) -> ebph::Result<Stats> {
    if !summary {
        return monitor.stop();
    }
    let profiles: Vec<_> = monitor.profiles()?.collect();
    let processes: Vec<_> = monitor.processes()?.collect();
    // Events that still wait are printed before the tables.
    let stats = monitor.stop()?;
    output::note(&summary::profiles(&profiles));
    output::note(&summary::processes(&processes, &profiles));
    output::note(&stats);
    Ok(stats)
}
