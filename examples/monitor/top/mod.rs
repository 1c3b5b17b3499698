//! `monitor top`: a terminal view of what a monitor sees.

mod command;
mod detail;
mod draw;
mod draw_inspection;
mod draw_table;
mod heat;
mod help;
mod inspect;
mod keys;
mod lines;
mod model;
mod rates;
#[cfg(test)]
mod samples;
mod screen;
mod source;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod theme;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clap::Args;

use crate::cli::{Watch, WatchOptions};
use crate::command::{Outcome, Streams};
use crate::local::Local;
use crate::log_file::Failures;
use crate::output;
use crate::protocol::{Answer, Monitored, Refusal, Request};
use crate::remote::{DEFAULT_SOCKET, Remote};
use crate::signals;
use crate::watch::{self, End, Extras};
use model::Update;
use screen::Input;

/// How long a command that was told to end may take before that is spoken of.
const SOON: Duration = Duration::from_secs(1);

/// Shows what a monitor sees: processes, profiles, anomalies, rates and losses; ? lists the keys.
///
/// A monitor that runs is asked on its socket. With a COMMAND, or any other option, it starts one of its
/// own; COMMAND's input is empty then and its output goes nowhere, and it ends with the view.
#[derive(Args)]
pub struct Top {
    /// Views the monitor that answers on this socket
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET, conflicts_with = "WatchOptions")]
    socket: PathBuf,

    #[command(flatten)]
    watch: Option<WatchOptions>,
}

/// Shows until it is left; the status is the command's, if there is one.
pub fn run(top: Top) -> Result<u8, String> {
    screen::check()?;
    // One line says what failed; what libbpf has to say goes to a logger, of which there is none.
    ebph::log_libbpf();
    match top.watch {
        Some(options) => of_own(&options.resolve()),
        None => of_other(&top.socket),
    }
}

/// Views a monitor that runs.
fn of_other(socket: &Path) -> Result<u8, String> {
    // Who cannot be asked at all is no reason to take the screen.
    drop(Remote::connect(socket).map_err(|refusal| refusal.to_string())?);
    // Before any thread there is, so that all of them leave the signals to the one that waits; and
    // after what may take its time.
    signals::block();
    signals::block_stops();
    let (inputs, input) = mpsc::channel();
    let leave = inputs.clone();
    signals::listen(None, None, move || {
        // SANITY: fails only when the view was left for another reason.
        let _ = leave.send(Input::Leave);
    });
    let socket = socket.to_owned();
    let connect = move || {
        let remote = Remote::connect(&socket)?;
        Ok::<Box<dyn Monitored>, Refusal>(Box::new(remote))
    };
    listen_to_stops(&inputs);
    // An answer that is still awaited is no reason to stay.
    let (shown, _) = screen::show(Box::new(connect), None, inputs, &input);
    shown.map(|()| 0)
}

/// Starts a monitor, and a command if there is one, and views it.
fn of_own(watch: &Watch) -> Result<u8, String> {
    // As above.
    signals::block();
    signals::block_stops();
    let (ends, end) = mpsc::channel();
    let extras = Extras {
        streams: Streams::Nowhere,
        handler: None,
        log_failures: Failures::default(),
        hangup: None,
        ends,
    };
    let local = watch::start(watch, extras)?;
    let (inputs, input) = mpsc::channel();
    let (outcomes, outcome) = mpsc::channel();
    let ending = inputs.clone();
    thread::spawn(move || tell_ends(&end, &ending, &outcomes));
    let name = watch.command.as_ref().and_then(|words| words.first());
    let name = name.map(|name| name.to_string_lossy().into_owned());
    listen_to_stops(&inputs);
    let asked = local.clone();
    let connect = move || {
        let shared = Shared(asked.clone());
        Ok::<Box<dyn Monitored>, Refusal>(Box::new(shared))
    };
    let (shown, asking) = screen::show(Box::new(connect), name, inputs, &input);
    let ended = watch
        .command
        .as_ref()
        .and_then(|_| wait_for_command(&outcome));
    // SANITY: a panic of that thread has been told of, and ended the view.
    let _ = asking.join();
    if let Some(local) = Arc::into_inner(local) {
        let stopped = local.into_monitor().stop();
        stopped.map_err(|error| error.to_string())?;
    }
    shown?;
    let Some(outcome) = ended else { return Ok(0) };
    if let Some(reason) = &outcome.failure {
        output::complain(reason);
    }
    Ok(outcome.status)
}

/// Has the terminal given up while the view is stopped, as by a shell.
fn listen_to_stops(inputs: &mpsc::Sender<Input>) {
    let inputs = inputs.clone();
    signals::listen_to_stops(move |goes_on| {
        let input = if goes_on { Input::GoOn } else { Input::Stop };
        // SANITY: fails only when the view was left.
        let _ = inputs.send(input);
    });
}

/// A monitor of this process, as the thread that asks has it.
struct Shared(Arc<Local>);

impl Monitored for Shared {
    fn ask(&mut self, request: &Request) -> Result<Answer, Refusal> {
        self.0.answer(request)
    }
}

/// Hands on how the command ended, and that a signal came.
fn tell_ends(
    end: &mpsc::Receiver<End>,
    inputs: &mpsc::Sender<Input>,
    outcomes: &mpsc::Sender<Outcome>,
) {
    while let Ok(end) = end.recv() {
        let input = match end {
            End::Command(outcome) => {
                let how = match &outcome.failure {
                    Some(why) => text::printable(why),
                    None => format!("the command has ended with status {}", outcome.status),
                };
                // SANITY: fails only if nobody waits for it any more.
                let _ = outcomes.send(outcome);
                Input::Update(Update::Ended(how))
            }
            End::Signal | End::OutputGone => Input::Leave,
        };
        // SANITY: as above.
        let _ = inputs.send(input);
    }
}

/// Ends the command if it still runs, and waits for it: its status is ours.
fn wait_for_command(outcome: &mpsc::Receiver<Outcome>) -> Option<Outcome> {
    if let Ok(outcome) = outcome.try_recv() {
        return Some(outcome);
    }
    // The thread that waits for signals hands it on to the command, and to nobody else.
    let own = rustix::process::getpid();
    // SANITY: a process may signal itself.
    let _ = rustix::process::kill_process(own, rustix::process::Signal::TERM);
    outcome.recv_timeout(SOON).ok().or_else(|| {
        output::note(&"monitor: waiting for the command, which was sent SIGTERM");
        outcome.recv().ok()
    })
}
