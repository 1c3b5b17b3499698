//! What those have in common who ask a running monitor.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use clap::Args;
use ebph::Key;

use crate::FAILED;
use crate::output::{self, printable};
use crate::protocol::{Answer, Code, Monitored, Refusal, Reply, Request};
use crate::remote::{DEFAULT_SOCKET, Remote};
use crate::rows::ProfileRow;

/// The exit status when the monitor refuses what it is asked for.
const REFUSED: u8 = 1;

/// Whom to ask.
#[derive(Args, Clone, Debug)]
pub struct Whom {
    /// The socket of the monitor
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

impl Whom {
    pub fn connect(&self) -> Result<Remote, Refusal> {
        Remote::connect(&self.socket)
    }
}

/// Returns the key of a profile that is given as text: itself, or the path of its executable or
/// script, if only one profile has that.
pub fn key(monitor: &mut dyn Monitored, text: &str) -> Result<Key, Refusal> {
    let not_a_key = match text.parse() {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    let path = Path::new(text);
    if path.file_name().is_none() || !text.contains('/') {
        let what = format!("{not_a_key}; nor is it a path");
        return Err(Refusal::new(Code::BadRequest, what));
    }
    let profiles = match monitor.ask(&Request::Profiles {})? {
        Answer::Profiles(profiles) => profiles,
        other => return Err(Refusal::unexpected(&other)),
    };
    let of = |path: &Path| -> Vec<&ProfileRow> {
        let known = profiles.iter();
        // As paths: a script may have been executed as `./it`.
        known
            .filter(|row| row.path().is_some_and(|known| Path::new(known) == path))
            .collect()
    };
    let mut found = of(path);
    // The kernel knows where links lead.
    if found.is_empty()
        && let Ok(real) = path.canonicalize()
    {
        found = of(&real);
    }
    match found.as_slice() {
        [] => {
            let what = format!("no profile of {text}");
            Err(Refusal::new(Code::NoSuchProfile, what))
        }
        [one] => Ok(one.key),
        several => {
            let keys: Vec<_> = several.iter().map(|row| row.key.to_string()).collect();
            let what = format!("{text} has several profiles: {}", keys.join(", "));
            Err(Refusal::new(Code::Ambiguous, what))
        }
    }
}

/// Prints what was answered, and returns the exit status.
pub fn report(result: Result<String, Refusal>, json: bool) -> u8 {
    let print = |text: &dyn Display| {
        let printed = output::print(&text);
        printed.inspect_err(|message| output::complain(message))
    };
    match result {
        Ok(text) => print(&text.trim_end()).map_or(FAILED, |()| 0),
        Err(refusal) => {
            if json {
                // SANITY: it has been told, and that it fails is said anyway.
                let _ = print(&output::json(&Reply::Error(refusal.clone())));
            }
            output::complain(&printable(&refusal.message));
            match refusal.code {
                Code::Unreachable => FAILED,
                _ => REFUSED,
            }
        }
    }
}
