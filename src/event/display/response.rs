//! What was done about anomalies, as one line and explained.

use std::fmt;

use super::explain::{INDENT, left_out, line, losses, profile_key, sure, surroundings};
use super::{Clean, Which, Who, calls, left_out_line, places, started_by};
use crate::event::export::confidence_in;
use crate::event::{Response, ResponseAction};
use crate::profile::State;

/// The same text as its event's, without the time: one line, or an explanation of several lines
/// with `{:#}`.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return explained(f, self);
        }
        let symbol = self.symbol.to_string();
        write!(
            f,
            "{}: {}: at {}",
            Done(self),
            Who(&self.context),
            Clean(&symbol)
        )?;
        if self.target.is_some() {
            write!(f, " of {}", Target(self))?;
        }
        write!(f, ", because {}", Why(self))?;
        if !self.missed.is_empty() {
            write!(f, "; {} is not normal", Clean(&symbol))?;
            places(f, " or ", &self.missed)?;
        }
        f.write_str("; calls: ")?;
        calls(f, &self.window)?;
        started_by(f, &self.context)?;
        if let Some(profile) = &self.context.profile {
            let anomalies = if profile.anomalies == 1 {
                "anomaly"
            } else {
                "anomalies"
            };
            write!(
                f,
                "; profile {} with {} {anomalies}",
                profile.key, profile.anomalies
            )?;
            if profile.state != State::Normal {
                write!(f, ", now {}", profile.state)?;
            }
        }
        left_out_line(f, self.suppressed, self.context.lost_before)
    }
}

/// What was done, in capitals, as it stands at the beginning of a line.
struct Done<'a>(&'a Response);

impl fmt::Display for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.would_have {
            f.write_str("WOULD HAVE ")?;
        }
        f.write_str(match self.0.action {
            ResponseAction::Delay(_) => "DELAYED",
            ResponseAction::SuspendExec(_) => "SUSPENDED EXEC",
            ResponseAction::DenyExec => "DENIED EXEC",
            ResponseAction::Kill => "KILLED",
        })?;
        match self.0.action.wait() {
            Some(wait) => write!(f, " for {}", humantime::format_duration(wait)),
            None => Ok(()),
        }
    }
}

/// What was to be executed.
struct Target<'a>(&'a Response);

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.target {
            Some(path) => write!(f, "{}", Clean(&path.to_string_lossy())),
            None => f.write_str("unknown"),
        }
    }
}

/// The count that it was done for.
pub(in crate::event) struct Why<'a>(pub &'a Response);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Response { lfc, max_lfc, .. } = self.0;
        if answers_exec(self.0.action) {
            write!(
                f,
                "up to {max_lfc} of 128 calls of its threads, or of those that started it, were anomalous"
            )
        } else {
            let were = if *lfc == 1 { "was" } else { "were" };
            write!(f, "{lfc} of this thread's last 128 calls {were} anomalous")
        }
    }
}

const fn answers_exec(action: ResponseAction) -> bool {
    matches!(
        action,
        ResponseAction::SuspendExec(_) | ResponseAction::DenyExec
    )
}

fn explained(f: &mut fmt::Formatter<'_>, response: &Response) -> fmt::Result {
    let context = &response.context;
    let symbol = response.symbol.to_string();
    write!(f, "{}: {}", Done(response), Which(context))?;
    line!(f, "meaning", "{}", meaning(response));
    line!(f, "why", "{}", Why(response));
    if answers_exec(response.action) {
        line!(f, "executes", "{}", Target(response));
    }
    line!(f, "at", "{}", Clean(&symbol));
    if response.missed.is_empty() {
        f.write_str(", which is normal here: earlier calls were not")?;
    } else {
        f.write_str(", never seen")?;
        places(f, " or ", &response.missed)?;
    }
    line!(f, "calls", "");
    calls(f, &response.window)?;
    surroundings(f, context)?;
    if let Some(profile) = &context.profile {
        sure(f, confidence_in(profile), profile)?;
    }
    losses(f, context)?;
    left_out(f, response.suppressed)?;
    profile_key(f, context)
}

/// What it means for the process, for who has not read about it.
const fn meaning(response: &Response) -> &'static str {
    match (response.action, response.would_have) {
        (_, true) => "nothing was done: dry run",
        (ResponseAction::Delay(_), false) => {
            "its process is stopped after this call, and goes on by itself"
        }
        (ResponseAction::SuspendExec(_), false) => {
            "its process is stopped before the new program begins, and goes on by itself"
        }
        (ResponseAction::DenyExec, false) => "the exec failed with EPERM, and the process goes on",
        (ResponseAction::Kill, false) => "its process was killed with SIGKILL",
    }
}
