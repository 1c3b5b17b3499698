//! Events as one line that can be read at three in the morning.

mod explain;
mod response;

pub(super) use response::Why;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::{
    Actor, Anomaly, Capacity, Context, Event, LossPlace, MissedPair, ProfileView, StopCause,
    WarningKind,
};
use crate::clock;
use crate::profile::State;
use crate::syscall::Letter;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = clock::printable(self.time());
        write!(f, "{} ", humantime::format_rfc3339_millis(time))?;
        match self {
            Self::ProfileCreated(event) => {
                profile_line(f, "new profile", &event.context)?;
                f.write_str(": learning from its first call")
            }
            Self::ProfileFrozen(event) => {
                profile_line(f, "frozen", &event.context)?;
                write!(f, "{}: nothing new lately", by_command(event.by_command))?;
                let profile = event.context.profile.as_ref();
                if let Some(normal) = profile.and_then(|profile| profile.normal_time) {
                    write!(
                        f,
                        "; normal in {}",
                        rounded(normal.saturating_sub(event.context.boot))
                    )?;
                }
                counts(f, &event.context)
            }
            Self::ProfileThawed(event) => {
                profile_line(f, "thawed", &event.context)?;
                let cause = if event.by_command {
                    "by command"
                } else {
                    "it did something new"
                };
                write!(f, ": {cause}; learning on")?;
                counts(f, &event.context)
            }
            Self::StartNormal(event) => {
                profile_line(f, "normal", &event.context)?;
                let how = if event.refresh {
                    "what is normal was brought up to date"
                } else {
                    "calls are judged from now on"
                };
                write!(f, "{}: {how}", by_command(event.by_command))
            }
            Self::StopNormal(event) => {
                profile_line(f, "no longer normal", &event.context)?;
                f.write_str(match event.cause {
                    StopCause::AnomalyLimit => {
                        ": more anomalies than its limit; not judged any more, and learning what it does now"
                    }
                    StopCause::Command => " by command: learning again",
                    StopCause::ExecutableChanged => ": its file was rewritten; learning again",
                })?;
                counts(f, &event.context)
            }
            Self::TolerizeLimit(event) => {
                profile_line(f, "too many anomalies in a row", &event.context)?;
                f.write_str(": what was being learnt is dropped, what is normal is kept")
            }
            Self::Sensitized(event) => {
                profile_line(f, "sensitized", &event.context)?;
                f.write_str(" by command: what was being learnt is dropped")
            }
            Self::ProfileReset(event) => {
                profile_line(f, "reset", &event.context)?;
                f.write_str(" by command: learning from nothing")
            }
            Self::ProfileForgotten(event) => {
                profile_line(f, "forgotten", &event.context)?;
                f.write_str(by_command(event.by_command))
            }
            Self::ProfileLoaded(event) => {
                write!(f, "loaded: {}", Which(&event.context))?;
                if let Some(profile) = &event.context.profile {
                    write!(f, ": {}", profile.state)?;
                }
                if event.returned {
                    f.write_str("; what it did since its exec was learnt, not judged")?;
                }
                counts(f, &event.context)
            }
            Self::ProfileEvicted(event) => {
                write!(f, "evicted: {}", Which(&event.context))?;
                f.write_str(": what it knows is kept in its file")
            }
            Self::ExecutableChanged(event) => {
                write!(f, "executable changed: {}", Which(&event.context))?;
                f.write_str(if event.replaced {
                    ": another file is in its place; learning on from what the old one did"
                } else {
                    ": it was rewritten; learning on from what it did before"
                })
            }
            Self::ProfileSetAside(event) => {
                let path = Clean(&event.path.to_string_lossy()).to_string();
                write!(
                    f,
                    "profile file set aside: {path}: {}",
                    Clean(&event.reason)
                )
            }
            Self::Anomaly(anomaly) => anomaly.fmt(f),
            Self::NewSequence(event) => {
                profile_line(f, "new sequence", &event.context)?;
                write!(f, ": first {}", event.symbol)?;
                places(f, " and ", &event.novel)?;
                f.write_str("; calls: ")?;
                calls(f, &event.window)
            }
            Self::Response(response) => response.fmt(f),
            Self::UnbalancedSigreturn(event) if f.alternate() => explain::sigreturn(f, event),
            Self::UnbalancedSigreturn(event) => {
                profile_line(f, "UNBALANCED SIGRETURN", &event.context)?;
                f.write_str(if event.certain {
                    ": left a signal handler that it never entered"
                } else {
                    ": left a signal handler that it was not seen to enter (not certain)"
                })
            }
            Self::CapacityExhausted(event) => {
                match event.what {
                    Capacity::Profiles => f.write_str("no room for more profiles: ")?,
                    Capacity::Rows => f.write_str("no room for more rows: ")?,
                }
                write!(f, "{}", Who(&event.context))?;
                f.write_str(match event.what {
                    Capacity::Profiles => " and further new programs are neither learnt nor judged",
                    Capacity::Rows => " and others cannot learn calls that are new to them",
                })
            }
            Self::Lost(event) => {
                let events = if event.count == 1 { "event" } else { "events" };
                write!(f, "LOST {} {events}: ", event.count)?;
                f.write_str(match event.place {
                    LossPlace::Ring => "the buffer between kernel and monitor was full",
                    LossPlace::Channel => "this receiver is too slow and its queue was full",
                })
            }
            Self::Warning(event) => {
                write!(f, "warning: {} ({} times)", event.what, event.count)
            }
        }
    }
}

/// The same text as its event's, without the time: one line, or an explanation of several lines
/// with `{:#}`.
impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            return explain::anomaly(f, self);
        }
        profile_line(f, "ANOMALY", &self.context)?;
        write!(f, ": {} is not normal", Clean(&self.symbol.to_string()))?;
        places(f, " or ", &self.missed)?;
        write!(f, " ({})", pairs_of(self))?;
        f.write_str("; calls: ")?;
        calls(f, &self.window)?;
        started_by(f, &self.context)?;
        if let Some(profile) = &self.context.profile {
            write!(f, "; anomaly {} of this profile", profile.anomalies)?;
            if profile.state != State::Normal {
                write!(f, ", which is now {}", profile.state)?;
            }
            write!(f, " ({})", profile.key)?;
            if profile.marks.incomplete {
                f.write_str(", which is incomplete: it could not learn every call")?;
            }
        }
        write!(
            f,
            "; {} of this thread's last 128 calls anomalous, at most {}",
            self.lfc, self.max_lfc
        )?;
        left_out_line(f, self.suppressed, self.context.lost_before)
    }
}

impl fmt::Display for WarningKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::MissedCalls => "system calls were missed, because the kernel skipped the hook",
            Self::MissedHooks => {
                "forks, execs or signals were missed, because the kernel skipped a hook"
            }
            Self::ThreadState => "the state of a thread could not be reached",
            Self::ProfileIndex => "the index of profiles could not be used",
            Self::KernelRead => "memory of the kernel could not be read",
            Self::Contention => "an update gave up because others got in between",
            Self::Undecodable => "a record from the kernel could not be understood",
            Self::HandlerPanic => "an event handler panicked",
            Self::Store => "a profile could not be saved or read",
            Self::Guardian => "the process that continues stopped ones had ended, and was replaced",
        })
    }
}

/// What the reports before did not tell.
fn left_out_line(f: &mut fmt::Formatter<'_>, suppressed: u64, lost: u64) -> fmt::Result {
    match suppressed {
        0 => {}
        1 => f.write_str("; 1 repeat left out")?,
        more => write!(f, "; {more} repeats left out")?,
    }
    match lost {
        0 => Ok(()),
        lost => write!(f, "; {lost} events lost before it"),
    }
}

fn profile_line(f: &mut fmt::Formatter<'_>, what: &str, context: &Context) -> fmt::Result {
    write!(f, "{what}: {}", Who(context))
}

fn by_command(by_command: bool) -> &'static str {
    if by_command { " by command" } else { "" }
}

fn counts(f: &mut fmt::Formatter<'_>, context: &Context) -> fmt::Result {
    match &context.profile {
        Some(profile) => write!(
            f,
            " ({} calls, {} since something new)",
            profile.train_count, profile.last_mod_count
        ),
        None => Ok(()),
    }
}

/// A wait in whole seconds, unless it is shorter than that.
fn rounded(wait: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(if wait < Duration::from_secs(1) {
        Duration::from_millis(u64::from(wait.subsec_millis()))
    } else {
        Duration::from_secs_f64(wait.as_secs_f64().round())
    })
}

/// `right after write, 2 calls after brk or 3 calls after mmap`
fn places(f: &mut fmt::Formatter<'_>, last: &str, pairs: &[MissedPair]) -> fmt::Result {
    for (index, pair) in pairs.iter().enumerate() {
        f.write_str(match index {
            0 => " ",
            _ if index + 1 == pairs.len() => last,
            _ => ", ",
        })?;
        match pair.distance {
            1 => write!(f, "right after {}", Called(pair.previous))?,
            distance => write!(f, "{distance} calls after {}", Called(pair.previous))?,
        }
    }
    Ok(())
}

/// `6 of 8 pairs`
fn pairs_of(anomaly: &Anomaly) -> String {
    let all = anomaly.window.len().saturating_sub(1);
    format!("{} of {all} pairs", anomaly.misses())
}

/// The nearest two that it descends from.
fn started_by(f: &mut fmt::Formatter<'_>, context: &Context) -> fmt::Result {
    let known = context.circumstances.as_deref();
    let ancestors = known.and_then(|known| known.ancestors.value.as_deref());
    for (at, ancestor) in ancestors.into_iter().flatten().take(2).enumerate() {
        let by = if at == 0 { "; started by" } else { " of" };
        write!(f, "{by} {}", Word(&ancestor.comm))?;
        match ancestor.pid {
            Some(pid) => write!(f, " (pid {pid})")?,
            None => f.write_str(" (pid not visible here)")?,
        }
    }
    Ok(())
}

fn calls(f: &mut fmt::Formatter<'_>, window: &[Letter]) -> fmt::Result {
    let last = window.len().saturating_sub(1);
    for (index, letter) in window.iter().enumerate() {
        if index == last {
            write!(f, ">{letter}<")?;
        } else {
            write!(f, "{letter} ")?;
        }
    }
    Ok(())
}

/// A letter within a sentence.
struct Called(Letter);

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Letter::Symbol(symbol) => symbol.fmt(f),
            Letter::Other => f.write_str("a call beyond the 254 told apart"),
            Letter::Unknown => f.write_str("a call no longer known"),
        }
    }
}

/// The program that a profile is of.
struct Which<'a>(&'a Context);

impl fmt::Display for Which<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = self.0.profile.as_ref();
        let Some((profile, (path, cut))) = profile.and_then(|view| Some((view, program(view)?)))
        else {
            return f.write_str("a program without a known path");
        };
        let beginning = if cut { "..." } else { "" };
        write!(f, "{beginning}{}", Clean(&path.to_string_lossy()))?;
        f.write_str(if profile.script.is_some() {
            " (script)"
        } else if profile.marks.script_unnamed {
            " (running a script)"
        } else if profile.marks.no_path {
            " (deleted or without a file)"
        } else {
            ""
        })
    }
}

/// Which program, run by whom.
struct Who<'a>(&'a Context);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Context { actor, profile, .. } = self.0;
        write!(f, "{} (", Which(self.0))?;
        ids(f, actor)?;
        // A process may call itself what it likes, so that is shown beside the path, not for it.
        let expected = profile
            .as_ref()
            .and_then(program)
            .and_then(|(path, _)| path.file_name())
            .map(|name| name.to_string_lossy());
        if !expected.is_some_and(|name| is_comm_of(&actor.comm, &name)) {
            write!(f, ", comm \"{}\"", Clean(&actor.comm))?;
        }
        f.write_str(")")
    }
}

/// The path to show, and whether its beginning is cut off.
fn program(profile: &ProfileView) -> Option<(&Path, bool)> {
    match (&profile.script, &profile.exe) {
        (Some(script), _) => Some((script, profile.marks.script_truncated)),
        (None, Some(exe)) => Some((exe, profile.marks.exe_truncated)),
        (None, None) => None,
    }
}

/// Tells whether the kernel derives this thread name, of at most 15 bytes, from a file's name.
fn is_comm_of(comm: &str, name: &str) -> bool {
    name == comm || (comm.len() == 15 && name.starts_with(comm))
}

fn ids(f: &mut fmt::Formatter<'_>, actor: &Actor) -> fmt::Result {
    match (actor.pid, actor.tid) {
        (None, _) => f.write_str("pid not visible here")?,
        (Some(pid), Some(tid)) if tid != pid => write!(f, "pid {pid}, thread {tid}")?,
        (Some(pid), _) => write!(f, "pid {pid}")?,
    }
    write!(f, ", uid {}", actor.uid)?;
    if actor.euid != actor.uid {
        write!(f, ", euid {}", actor.euid)?;
    }
    Ok(())
}

/// A name or an argument within a sentence: in quotes wherever it could be taken for the sentence.
struct Word<'a>(&'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let speaks = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"');
        if self.0.is_empty() || self.0.contains(speaks) {
            write!(f, "\"{}\"", Clean(self.0))
        } else {
            write!(f, "{}", Clean(self.0))
        }
    }
}

/// Text that a watched program may have chosen, made harmless for a terminal and a log.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::fmt::Write as _;

        self.0.chars().try_for_each(|c| match c {
            '\'' => f.write_char(c),
            // Includes what turns the direction of text around.
            _ => write!(f, "{}", c.escape_debug()),
        })
    }
}
