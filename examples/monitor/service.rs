//! A watch that prints or logs what happens, and answers those who ask.

use std::sync::{Arc, mpsc};

use ebph::EventHandler;

use crate::cli::{Service, Watch};
use crate::command::Streams;
use crate::format::Format;
use crate::local::Local;
use crate::log_file::{Failures, LogFile};
use crate::manager::Manager;
use crate::output::Ending;
use crate::server::Server;
use crate::watch::{End, Extras};
use crate::{output, signals, summary, watch};

/// Watches until the command ends, or a signal asks for the end; returns the exit status.
pub fn run(asked: &Watch, service: Service) -> Result<u8, String> {
    // One line says what failed; what libbpf has to say goes to a logger, of which there is none.
    ebph::log_libbpf();
    // Before any thread there is, so that all of them leave the signals to the one that waits.
    signals::block();
    // Who asks already waits until there is something to ask.
    let socket = service.socket.as_deref().map(crate::socket::Socket::bind);
    let socket = socket.transpose()?;
    let (ends, end) = mpsc::channel();
    let log_failures = Failures::default();
    let ending = Ending::default();
    let gone = {
        let ends = ends.clone();
        move || {
            // SANITY: fails only when the watch has ended already.
            let _ = ends.send(End::OutputGone);
        }
    };
    let mut hangup = None::<Box<dyn Fn() + Send>>;
    let handler: Box<dyn EventHandler> = match &service.log_file {
        None => Box::new(output::printer(service.format, ending.clone(), gone)),
        Some(path) => {
            let log = LogFile::open(path, service.rotation, log_failures.clone());
            let log = Arc::new(log?);
            let again = Arc::clone(&log);
            hangup = Some(Box::new(move || again.reopen()));
            Box::new(log_file_writer(log, service.format))
        }
    };
    let local = watch::start(
        asked,
        Extras {
            streams: if service.format.is_for_people() || service.log_file.is_some() {
                Streams::Inherited
            } else {
                Streams::ToStderr
            },
            handler: Some(handler),
            log_failures,
            hangup,
            ends,
        },
    )?;
    let server = socket.map(|socket| Server::start(socket, Arc::clone(&local)));
    // The command runs already, and is watched all the same.
    let server = server.transpose().unwrap_or_else(|message| {
        output::complain(&message);
        None
    });
    let manager = Manager::start(&local);
    let status = watch::wait(&end, asked.command.is_some());
    ending.begin();
    manager.stop();
    if let Some(server) = server {
        server.stop();
    }
    finish(local, service.summary)?;
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

/// Returns a handler that writes events to a file.
fn log_file_writer(log: Arc<LogFile>, format: Format) -> impl FnMut(&ebph::Event) + Send + 'static {
    move |event| log.write(&format.of(event))
}

fn finish(local: Arc<Local>, summary: bool) -> Result<(), String> {
    let said = |error: ebph::Error| error.to_string();
    let tables = match summary {
        true => {
            let profiles = local.profiles().map_err(said)?;
            Some((local.processes(false).map_err(said)?, profiles))
        }
        false => None,
    };
    let local = Arc::into_inner(local).ok_or("somebody still asks the monitor")?;
    // Events that still wait are printed before the tables.
    let stats = local.into_monitor().stop().map_err(said)?;
    if let Some((processes, profiles)) = tables {
        output::note(&summary::profiles(&profiles));
        output::note(&summary::processes(&processes));
        output::note(&stats);
    }
    Ok(())
}
