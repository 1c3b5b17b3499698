//! An alert explained on several lines, for who was not there: `{:#}`.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::{Clean, Which, Word, calls, ids, pairs_of, places};
use crate::event::export::confidence_in;
use crate::event::{
    Anomaly, Capabilities, Circumstances, Confidence, Container, Context, Fact, ProfileView,
    Source, UnbalancedSigreturn,
};
use crate::profile::State;

/// The width of the titles on the left.
pub(super) const INDENT: usize = 14;
/// As many hexadecimal digits of a container's id as runtimes show.
const SHORT_ID: usize = 12;

/// Writes a title, and what stands beside it.
macro_rules! line {
    ($f:expr, $title:expr, $($text:tt)*) => {{
        write!($f, "\n  {:<width$}", $title, width = INDENT - 2)?;
        write!($f, $($text)*)?;
    }};
}
pub(super) use line;

pub(super) fn anomaly(f: &mut fmt::Formatter<'_>, anomaly: &Anomaly) -> fmt::Result {
    let context = &anomaly.context;
    let symbol = anomaly.symbol.to_string();
    write!(f, "ANOMALY: {}", Which(context))?;
    write!(
        f,
        " made a call that is not normal for it: {}",
        Clean(&symbol)
    )?;
    line!(f, "never seen", "{}", Clean(&symbol));
    places(f, " or ", &anomaly.missed)?;
    write!(f, " ({})", pairs_of(anomaly))?;
    line!(f, "calls", "");
    calls(f, &anomaly.window)?;
    surroundings(f, context)?;
    if let Some(profile) = &context.profile {
        sure(f, confidence_in(profile), profile)?;
    }
    line!(
        f,
        "this thread",
        "{} of its last 128 calls anomalous, at most {}",
        anomaly.lfc,
        anomaly.max_lfc
    );
    losses(f, context)?;
    left_out(f, anomaly.suppressed)?;
    profile_key(f, context)
}

pub(super) fn sigreturn(f: &mut fmt::Formatter<'_>, event: &UnbalancedSigreturn) -> fmt::Result {
    let context = &event.context;
    write!(f, "UNBALANCED SIGRETURN: {}", Which(context))?;
    f.write_str(if event.certain {
        " left a signal handler that it never entered"
    } else {
        " left a signal handler that it was not seen to enter (not certain)"
    })?;
    surroundings(f, context)?;
    losses(f, context)?;
    profile_key(f, context)
}

/// Who, where, and by whose doing.
pub(super) fn surroundings(f: &mut fmt::Formatter<'_>, context: &Context) -> fmt::Result {
    line!(f, "process", "");
    ids(f, &context.actor)?;
    write!(f, ", named \"{}\"", Clean(&context.actor.comm))?;
    let Some(known) = context.circumstances.as_deref() else {
        line!(f, "", "what surrounds it could not be found out");
        return Ok(());
    };
    match (&known.login_uid.value, known.login_uid.source) {
        (Some(uid), _) => write!(f, ", logged in as uid {uid}")?,
        (None, Source::Unknown) => {}
        (None, _) => f.write_str(", no login")?,
    }
    let deleted = if known.exe_deleted {
        ", a file without a name"
    } else {
        ""
    };
    line!(f, "runs", "{}{deleted}", Told(&known.exe, path));
    line!(f, "arguments", "{}", Told(&known.args, arguments));
    line!(f, "in", "{}", Told(&known.cwd, path));
    started_by(f, known)?;
    line!(f, "container", "{}", Told(&known.container, container));
    if let Some(inside) = known.pid_inside
        && Some(inside) != context.actor.pid
    {
        write!(f, ", where its pid is {inside}")?;
    }
    line!(f, "cgroup", "{}", Told(&known.cgroup, path));
    line!(f, "rights", "{}", Told(&known.capabilities, capabilities));
    Ok(())
}

fn started_by(f: &mut fmt::Formatter<'_>, known: &Circumstances) -> fmt::Result {
    let Some(ancestors) = &known.ancestors.value else {
        line!(f, "started by", "{}", Told(&known.ancestors, |_, _| Ok(())));
        return Ok(());
    };
    if ancestors.is_empty() {
        line!(f, "started by", "nobody: it has no parent");
    }
    for (at, ancestor) in ancestors.iter().enumerate() {
        let title = if at == 0 { "started by" } else { "" };
        line!(f, title, "{} (", Word(&ancestor.comm));
        match ancestor.pid {
            Some(pid) => write!(f, "pid {pid}, uid {}", ancestor.uid)?,
            None => write!(f, "pid not visible here, uid {}", ancestor.uid)?,
        }
        match (&ancestor.exe.value, ancestor.exe.source) {
            (None, Source::Unknown) => {}
            _ => write!(f, ", {}", Told(&ancestor.exe, path))?,
        }
        f.write_str(")")?;
    }
    if known.ancestors.truncated {
        line!(f, "", "and others before them");
    }
    Ok(())
}

/// What the judgement rests on.
pub(super) fn sure(
    f: &mut fmt::Formatter<'_>,
    how: Confidence,
    profile: &ProfileView,
) -> fmt::Result {
    line!(f, "how sure", "{how}: ");
    match profile.basis {
        0 => f.write_str("normal is what it was told to be")?,
        basis => write!(f, "normal is what it learnt from {basis} calls")?,
    }
    write!(f, "; {} calls since", profile.train_count)?;
    write!(f, ", of which {} did not fit", profile.anomalies)?;
    // These go on being counted: what does not fit is new as well.
    write!(
        f,
        "; in all {} executions and {} calls that were new, {}",
        profile.execs,
        profile.sequences,
        rounded(profile.age)
    )?;
    if profile.state != State::Normal {
        write!(f, "; it is now {}", profile.state)?;
    }
    if profile.marks.incomplete {
        f.write_str("; it is incomplete: not every call could be learnt")?;
    }
    Ok(())
}

pub(super) fn losses(f: &mut fmt::Formatter<'_>, context: &Context) -> fmt::Result {
    line!(f, "losses", "");
    match context.lost_before {
        0 => f.write_str("no event was lost before it"),
        1 => f.write_str("1 event was lost before it"),
        more => write!(f, "{more} events were lost before it"),
    }
}

pub(super) fn left_out(f: &mut fmt::Formatter<'_>, suppressed: u64) -> fmt::Result {
    match suppressed {
        0 => f.write_str("; no repeats left out"),
        1 => f.write_str("; 1 repeat left out since the last report"),
        more => write!(f, "; {more} repeats left out since the last report"),
    }
}

pub(super) fn profile_key(f: &mut fmt::Formatter<'_>, context: &Context) -> fmt::Result {
    if let Some(profile) = &context.profile {
        line!(f, "profile", "{}", profile.key);
    }
    Ok(())
}

/// How long, as people say it.
fn rounded(time: Duration) -> String {
    let seconds = Duration::from_secs(time.as_secs());
    match time.as_secs() {
        0 => "within a second".to_owned(),
        _ => format!("within {}", humantime::format_duration(seconds)),
    }
}

type Show<T> = fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result;

/// Something that is known, and how; or that it is not.
struct Told<'a, T>(&'a Fact<T>, Show<T>);

impl<T> fmt::Display for Told<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(fact, show) = self;
        match (&fact.value, fact.source) {
            (None, Source::Unknown) => return f.write_str("unknown"),
            (None, Source::Redacted) => return f.write_str("withheld"),
            (None, _) => f.write_str("none")?,
            (Some(value), _) => show(f, value)?,
        }
        if fact.truncated {
            f.write_str(" (cut)")?;
        }
        if fact.source == Source::Late {
            f.write_str(" (looked up afterwards)")?;
        }
        Ok(())
    }
}

fn path(f: &mut fmt::Formatter<'_>, path: &impl AsRef<Path>) -> fmt::Result {
    write!(f, "{}", Clean(&path.as_ref().to_string_lossy()))
}

fn arguments(f: &mut fmt::Formatter<'_>, arguments: &impl AsRef<[OsString]>) -> fmt::Result {
    for (at, argument) in arguments.as_ref().iter().enumerate() {
        let space = if at == 0 { "" } else { " " };
        write!(f, "{space}{}", Word(&argument.to_string_lossy()))?;
    }
    Ok(())
}

fn container(f: &mut fmt::Formatter<'_>, container: &Container) -> fmt::Result {
    if let Some(runtime) = container.runtime {
        write!(f, "{} ", runtime.as_str())?;
    }
    let short = container.id.get(..SHORT_ID).unwrap_or(&container.id);
    write!(f, "{}", Clean(short))
}

fn capabilities(f: &mut fmt::Formatter<'_>, set: &Capabilities) -> fmt::Result {
    let names: Vec<_> = set.names().collect();
    match names.len() {
        0 => f.write_str("no capabilities"),
        // A list that long tells less than its length.
        many if many > 20 => write!(f, "{many} capabilities"),
        _ => f.write_str(&names.join(" ")),
    }
}
