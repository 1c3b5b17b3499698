//! A watch: a command, if there is one, and a monitor in this process.

use std::fs;
use std::sync::{Arc, mpsc};

use ebph::{EventHandler, Monitor, Scope};

use crate::cli;
use crate::command::{Command, Outcome, Streams};
use crate::kept::Kept;
use crate::local::Local;
use crate::log_file::Failures;
use crate::signals;

/// What ends a watch.
pub enum End {
    /// The command did.
    Command(Outcome),
    /// A signal asks for it.
    Signal,
    /// Nobody reads the output any more.
    OutputGone,
}

/// What a watch is to do besides watching.
pub struct Extras {
    /// Where the command's own output goes.
    pub streams: Streams,
    /// Who else gets the events.
    pub handler: Option<Box<dyn EventHandler>>,
    /// Counts what could not be logged.
    pub log_failures: Failures,
    /// What SIGHUP is for, if not for ending.
    pub hangup: Option<Box<dyn Fn() + Send>>,
    /// Is told of the end.
    pub ends: mpsc::Sender<End>,
}

/// Forks the command, starts the monitor, and then lets the command go.
///
/// Signals must be blocked already, see [`signals::block`].
pub fn start(watch: &cli::Watch, extras: Extras) -> Result<Arc<Local>, String> {
    let Extras { ends, hangup, .. } = extras;
    let command = match &watch.command {
        Some(command) => Some(
            Command::prepare(command, extras.streams)
                .map_err(|error| format!("cannot fork: {error}"))?,
        ),
        None => None,
    };
    let handle = command.as_ref().and_then(Command::handle);
    let kept = Kept::default();
    let (local, command) = match monitor(watch, command.as_ref(), &kept, extras.handler) {
        Ok((monitor, scope)) => {
            let local = Local::new(monitor, kept, scope, extras.log_failures);
            (Arc::new(local), command)
        }
        Err(message) => {
            if let Some(command) = command {
                command.give_up();
            }
            return Err(message);
        }
    };
    if let Some(command) = command {
        let ends = ends.clone();
        command.release(move |outcome| {
            // SANITY: fails only when the watch has ended for another reason.
            let _ = ends.send(End::Command(outcome));
        });
    }
    signals::listen(handle, hangup, move || {
        // SANITY: as above.
        let _ = ends.send(End::Signal);
    });
    Ok(local)
}

/// Starts the monitor, and says in words whom it watches.
fn monitor(
    watch: &cli::Watch,
    command: Option<&Command>,
    kept: &Kept,
    handler: Option<Box<dyn EventHandler>>,
) -> Result<(Monitor, String), String> {
    let (scope, words) = match (&watch.scope, command) {
        (cli::Scope::System, _) => (Scope::System, "system".to_owned()),
        (cli::Scope::Tree, Some(command)) => {
            let pid = command.pid();
            (Scope::Tree(pid), format!("tree of {pid}"))
        }
        (cli::Scope::Tree, None) => return Err("--scope tree needs a COMMAND to watch".to_owned()),
        (cli::Scope::Cgroup(path), _) => {
            let words = format!("cgroup:{}", path.display());
            (Scope::Cgroup(path.clone()), words)
        }
    };
    let mut builder = Monitor::builder()
        .scope(scope)
        .limits(watch.limits)
        .max_profiles(watch.max_profiles)
        .redact_args(watch.redact_args)
        .events(watch.events)
        .responses(watch.responses.responses())
        .save_interval(watch.save_interval);
    if watch.keep_events {
        let kept = kept.clone();
        builder = builder.handler(move |event: &_| kept.add(event));
    }
    if let Some(mut handler) = handler {
        builder = builder.handler(move |event: &_| handler.handle(event));
    }
    if let Some(dir) = &watch.profile_dir {
        builder = builder.profile_dir(dir);
    }
    let monitor = builder.start().map_err(|error| error.to_string())?;
    if let (cli::Scope::Cgroup(path), Some(command)) = (&watch.scope, command) {
        let file = path.join("cgroup.procs");
        fs::write(&file, command.pid().to_string())
            .map_err(|error| format!("cannot run the command in {}: {error}", path.display()))?;
    }
    Ok((monitor, words))
}

/// Waits for the end. A command is always waited for, whatever else happens: its status is ours.
pub fn wait(end: &mpsc::Receiver<End>, command: bool) -> Option<Outcome> {
    loop {
        match end.recv() {
            Ok(End::Command(outcome)) => return Some(outcome),
            Ok(End::Signal | End::OutputGone) if command => (),
            Ok(End::Signal | End::OutputGone) | Err(_) => return None,
        }
    }
}
