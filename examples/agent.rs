//! A whole agent: it runs a service, tells what does not fit, keeps what it learnt, and hands it out.
//!
//! ```text
//! cargo build --example agent
//! sudo target/debug/examples/agent /var/lib/agent /usr/sbin/nginx -g 'daemon off;'
//! ```
//!
//! It ends with the service, and ends it when it is interrupted. What was learnt is there again at the
//! next start; once it is normal, that is from the first call on. Until then this says "training".

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use ebph::{Event, Monitor, Profile, Scope};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(service)) = (words.next(), words.next()) else {
        return Err("usage: agent FOLDER PATH-OF-SERVICE [ARGUMENTS]".into());
    };
    // A signal that ends this process ends the monitor as well, and what it has learnt since the
    // last save would be lost.
    let mut signals = Signals::new([SIGCHLD, SIGINT, SIGTERM])?;
    let monitor = Monitor::builder()
        // What this process starts, from its first call on. This process itself never is watched.
        .scope(Scope::Tree(std::process::id()))
        .profile_dir(folder.join("profiles"))
        .normal_wait(Duration::from_secs(24 * 3600))
        // What has more anomalies is not judged any more, and one abuse can have more than the default.
        .anomaly_limit(1000)
        .handler(tell)
        .start()?;

    // Programs are known by the path that the kernel executed, scripts by the one that it was given.
    let service = service.canonicalize()?;
    let mut child = Command::new(&service).args(words).spawn()?;
    let mut asked = false;
    let status = loop {
        if signals.wait().any(|signal| signal != SIGCHLD) {
            // Who asks twice does not want to wait.
            let signal = if asked { Signal::KILL } else { Signal::TERM };
            kill_process(Pid::from_child(&child), signal)?;
            asked = true;
        }
        if let Some(status) = child.try_wait()? {
            break status;
        }
    };
    // To look at (`replay show`), or to import on another machine.
    let is_it = |profile: &Profile| profile.script().or(profile.exe()) == Some(&service);
    if let Some(found) = monitor.profiles()?.find(is_it) {
        eprintln!("agent: {} is {}", service.display(), found.state());
        let whole = monitor.export(found.key())?.unwrap_or(found);
        whole.write_to(folder.join("service.json"))?;
    }
    monitor.stop()?; // saves what is in the folder
    if asked || status.success() {
        return Ok(());
    }
    Err(format!("the service ended: {status}").into())
}

fn tell(event: &Event) {
    if event.is_alert() {
        eprintln!("{event:#}");
    } else {
        // Which profiles there are and when they are normal, and whatever was lost or went wrong.
        eprintln!("{event}");
    }
}
