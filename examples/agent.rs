//! A whole agent: it runs a service, tells what does not fit, keeps what it learnt, and hands it out.
//!
//! ```text
//! cargo build --example agent
//! sudo target/debug/examples/agent /var/lib/agent /usr/sbin/nginx -g 'daemon off;'
//! ```
//!
//! It ends with the service. At the next start what was normal is normal from the first call.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::time::Duration;

use ebph::{Event, Monitor, Scope};

fn main() -> ExitCode {
    match run() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => {
            eprintln!("agent: the service ended: {status}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("agent: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitStatus, Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(service)) = (words.next(), words.next()) else {
        return Err("usage: agent FOLDER SERVICE [ARGUMENTS]".into());
    };
    let monitor = Monitor::builder()
        // What this process starts, from its first call on. This process itself never is watched.
        .scope(Scope::Tree(std::process::id()))
        .profile_dir(folder.join("profiles"))
        .normal_wait(Duration::from_secs(24 * 3600))
        .handler(tell)
        .start()?;

    let key = monitor.key_of(&service)?;
    let status = Command::new(&service).args(words).status()?;

    if let Some(profile) = monitor.export(key)? {
        // To look at (`replay show`), or to import on another machine.
        profile.write_to(&folder.join("service.json"))?;
        eprintln!("agent: {} is {}", service.display(), profile.state());
    }
    monitor.stop()?; // saves what is in the folder
    Ok(status)
}

fn tell(event: &Event) {
    match event {
        Event::Anomaly(anomaly) => eprintln!("{anomaly:#}"),
        // That the monitor could not see or tell everything, and whom it judges from now on.
        Event::Lost(_) | Event::Warning(_) | Event::StartNormal(_) | Event::ProfileLoaded(_) => {
            eprintln!("{event}");
        }
        _ => {}
    }
}
