//! What a service manager is told.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::local::Local;
use crate::output;
use crate::protocol::{Answer, Request};

/// How often it hears what is being done.
const STATUS_INTERVAL: Duration = Duration::from_secs(30);

/// How long it may take to hear of the end.
const FAREWELL_MAX: Duration = Duration::from_secs(5);

/// A thread that keeps the manager informed, if there is one.
///
/// All is told from there: a manager that does not read what it is sent keeps nobody else waiting.
pub struct Manager(Option<(Sender<()>, Receiver<()>)>);

impl Manager {
    /// Says that the monitor is ready.
    pub fn start(local: &Arc<Local>) -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self(None);
        }
        let (stop, stopped) = mpsc::channel();
        let (told, all_told) = mpsc::channel();
        let local = Arc::downgrade(local);
        let thread = thread::Builder::new().name("manager".to_owned());
        match thread.spawn(move || {
            inform(&local, &stopped);
            // Told by being dropped.
            drop(told);
        }) {
            Ok(_) => Self(Some((stop, all_told))),
            Err(error) => {
                output::complain(&format!("cannot inform the service manager: {error}"));
                Self(None)
            }
        }
    }

    /// Says that the monitor ends.
    pub fn stop(self) {
        let Some((stop, all_told)) = self.0 else {
            return;
        };
        drop(stop);
        if all_told.recv_timeout(FAREWELL_MAX) == Err(RecvTimeoutError::Timeout) {
            output::complain("the service manager does not take what it is told");
        }
    }
}

fn inform(local: &Weak<Local>, stopped: &Receiver<()>) {
    let now = || Weak::upgrade(local).map(|local| status(&local));
    let Some(text) = now() else { return };
    tell(&[NotifyState::Ready, NotifyState::Status(&text)]);
    // Twice as often as it must hear, so that one delay is no failure.
    let watchdog = sd_notify::watchdog_enabled().map(|time| time / 2);
    let interval = watchdog.map_or(STATUS_INTERVAL, |time| time.min(STATUS_INTERVAL));
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        // Asking is the test: a monitor that does not answer does not get here.
        let Some(text) = now() else { return };
        tell(&[NotifyState::Status(&text)]);
        if watchdog.is_some() {
            tell(&[NotifyState::Watchdog]);
        }
    }
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        output::complain(&format!("cannot inform the service manager: {error}"));
    }
}

fn status(local: &Local) -> String {
    match local.answer(&Request::Status {}) {
        Ok(Answer::Status(status)) => {
            let profiles = &status.stats.profiles;
            format!(
                "{} {} processes, {} of {} profiles normal, {} anomalous calls, {} events lost",
                if status.running {
                    "watching"
                } else {
                    "paused;"
                },
                status.processes,
                profiles.normal,
                profiles.used,
                status.anomalies,
                status.lost
            )
        }
        Ok(_) => String::new(),
        Err(refusal) => format!("cannot tell: {refusal}"),
    }
}
