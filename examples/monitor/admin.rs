//! `monitor admin`: how a running monitor is, and commands for it.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use ebph::ResponseStats;

use crate::asking::{self, Whom};
use crate::output;
use crate::protocol::{Answer, Code, Monitored, Refusal, Reply, Request};
use crate::responses::{ResponseOptions, ResponseSettings};
use crate::rows::StatusReport;
use crate::settings::Settings;

/// Asks a running monitor how it is, or tells it what to do.
#[derive(Args)]
pub struct Administration {
    #[command(flatten)]
    whom: Whom,

    /// The answer as JSON, as it is on the socket
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// How it is: whom it watches, what it saw, what it lost
    Status {
        /// Every counter
        #[arg(long)]
        all: bool,
    },
    /// Changes limits, or shows them all: normal-wait, anomaly-limit, tolerize-limit,
    /// freeze-factor, min-train-calls, min-train-processes, report-rate,
    /// thread-report-rate
    Set {
        /// As in normal-wait=1d anomaly-limit=50 freeze-factor=128/32
        #[arg(value_name = "NAME=VALUE")]
        limits: Vec<String>,
    },
    /// Sets what is done about anomalies, all of it anew; without options shows it
    Respond {
        /// Does nothing any more: what is stopped goes on at once
        #[arg(long, conflicts_with = "ResponseOptions")]
        off: bool,

        #[command(flatten)]
        responses: ResponseOptions,
    },
    /// Saves every profile that changed
    Save,
    /// Adds what a profile file holds to what is known of that program
    Load { file: PathBuf },
    /// Neither learns nor judges until told to resume
    Pause,
    /// Learns and judges again
    Resume,
    /// What was learnt is what is normal from now on
    Normalize(Which),
    /// Wipes what is being learnt, but not what is normal
    Sensitize(Which),
    /// Ends a profile's being normal
    Tolerize(Which),
    /// Becomes normal after the wait, if nothing new is learnt
    Freeze(Which),
    /// Ends that wait
    Thaw(Which),
    /// Wipes all that a profile has learnt and holds as normal
    Reset(Which),
    /// Removes a profile that no process uses
    Forget(Which),
}

#[derive(Args)]
struct Which {
    /// The key of a profile (`ps -p` lists them), or the path of its program if it is the only one
    #[arg(value_name = "KEY")]
    profile: String,
}

pub fn run(administration: Administration) -> Result<u8, String> {
    let json = administration.json;
    Ok(asking::report(order(&administration), json))
}

fn order(administration: &Administration) -> Result<String, Refusal> {
    let mut all = false;
    // What is wrong with the words is said before anybody is asked.
    let settings = match &administration.order {
        Order::Set { limits } => settings(limits)?,
        _ => Settings::default(),
    };
    let responses = match &administration.order {
        Order::Respond { responses, .. } => resolved(responses.clone())?,
        _ => ResponseSettings::default(),
    };
    let mut monitor = administration.whom.connect()?;
    let mut key = |which: &Which| asking::key(&mut monitor, &which.profile);
    let request = match &administration.order {
        Order::Status { all: every } => {
            all = *every;
            Request::Status {}
        }
        Order::Set { limits } if limits.is_empty() => Request::Limits {},
        Order::Set { .. } => Request::Set(settings),
        Order::Respond {
            off: false,
            responses,
        } if responses.is_empty() => Request::Responses {},
        Order::Respond { .. } => Request::Respond(responses),
        Order::Save => Request::Save {},
        Order::Load { file } => {
            let path = std::path::absolute(file);
            let path = path.map_err(|error| Refusal::new(Code::BadRequest, error))?;
            Request::Load { path }
        }
        Order::Pause => Request::Pause {},
        Order::Resume => Request::Resume {},
        Order::Normalize(which) => Request::Normalize { key: key(which)? },
        Order::Sensitize(which) => Request::Sensitize { key: key(which)? },
        Order::Tolerize(which) => Request::Tolerize { key: key(which)? },
        Order::Freeze(which) => Request::Freeze { key: key(which)? },
        Order::Thaw(which) => Request::Thaw { key: key(which)? },
        Order::Reset(which) => Request::Reset { key: key(which)? },
        Order::Forget(which) => Request::Forget { key: key(which)? },
    };
    let answer = monitor.ask(&request)?;
    if administration.json {
        return Ok(output::json(&Reply::Ok(answer)));
    }
    Ok(match answer {
        Answer::Done => done(&request),
        Answer::Status(report) => status(&report, all),
        Answer::Limits(limits) => limits
            .words()
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect(),
        Answer::Responses(responses) => show(&responses),
        Answer::Saved { profiles: 1 } => "1 profile saved".to_owned(),
        Answer::Saved { profiles } => format!("{profiles} profiles saved"),
        Answer::Loaded {
            key,
            unchanged: true,
        } => format!("loaded into profile {key}"),
        Answer::Loaded { key, .. } => format!(
            "loaded into profile {key}, which trains on from it: the program is not the one that \
             it was learnt from"
        ),
        other => return Err(Refusal::unexpected(&other)),
    })
}

fn settings(words: &[String]) -> Result<Settings, Refusal> {
    let mut settings = Settings::default();
    for word in words {
        let named = settings.name(word);
        named.map_err(|what| Refusal::new(Code::InvalidSetting, what))?;
    }
    Ok(settings)
}

fn resolved(options: ResponseOptions) -> Result<ResponseSettings, Refusal> {
    let resolved = options.resolve();
    resolved.map_err(|what| Refusal::new(Code::InvalidSetting, what))
}

fn show(responses: &ResponseSettings) -> String {
    let lines = responses.lines();
    if lines.is_empty() {
        return "nothing is done about anomalies".to_owned();
    }
    let lines = lines.iter().map(|(title, text)| {
        let text = output::printable(text);
        format!("{title:<13} {text}\n")
    });
    lines.collect()
}

fn done(request: &Request) -> String {
    match request {
        Request::Pause {} => "paused".to_owned(),
        Request::Resume {} => "resumed".to_owned(),
        Request::Normalize { key } => format!("profile {key} is normal"),
        Request::Sensitize { key } => format!("what profile {key} was learning is wiped"),
        Request::Tolerize { key } => format!("profile {key} is not normal any more"),
        Request::Freeze { key } => format!("profile {key} is frozen"),
        Request::Thaw { key } => format!("profile {key} is thawed"),
        Request::Reset { key } => format!("profile {key} is empty"),
        Request::Forget { key } => format!("profile {key} is forgotten"),
        _ => "done".to_owned(),
    }
}

fn status(report: &StatusReport, all: bool) -> String {
    let StatusReport { stats, .. } = report;
    let profiles = &stats.profiles;
    let mut text = String::new();
    let state = if report.running { "watching" } else { "paused" };
    let uptime = humantime::format_duration(Duration::from_secs(report.uptime_seconds));
    let folder = report.profile_dir.as_deref().unwrap_or("none");
    for (name, value) in [
        ("status", state.to_owned()),
        ("scope", report.scope.clone()),
        (
            "running since",
            format!("{} ({uptime})", summary_date(report)),
        ),
        (
            "monitor",
            format!(
                "pid {}, ebph {}, Linux {}",
                report.pid, report.version, report.kernel
            ),
        ),
        ("processes", report.processes.to_string()),
        ("threads", report.threads.to_string()),
        (
            "profiles",
            format!(
                "{} of {}: {} training, {} frozen, {} normal",
                profiles.used,
                profiles.capacity,
                profiles.training,
                profiles.frozen,
                profiles.normal
            ),
        ),
        ("profile folder", folder.to_owned()),
        ("system calls", report.calls.to_string()),
        ("anomalous calls", report.anomalies.to_string()),
        ("responses", report.responses.to_string()),
        ("so far", so_far(&stats.responses)),
        ("events", stats.events.submitted.to_string()),
        ("events lost", report.lost.to_string()),
        ("lines not logged", report.log_failures.to_string()),
        ("kernel memory", format!("{} bytes", report.memory)),
    ] {
        let value = crate::output::printable(&value);
        // SANITY: a string takes everything.
        let _ = writeln!(text, "{name:<17} {value}");
    }
    if all {
        let _ = write!(text, "\n{stats}");
    }
    text
}

/// What was done about anomalies, and what only would have been.
fn so_far(counts: &ResponseStats) -> String {
    let parts: Vec<_> = [
        ("delay", counts.delays, counts.would_delay),
        (
            "suspended exec",
            counts.suspended_execs,
            counts.would_suspend_exec,
        ),
        ("denied exec", counts.denied_execs, counts.would_deny_exec),
        ("kill", counts.kills, counts.would_kill),
    ]
    .into_iter()
    .filter(|(_, done, would_have)| (*done, *would_have) != (0, 0))
    .map(|(what, done, would_have)| {
        let ending = if done == 1 { "" } else { "s" };
        match would_have {
            0 => format!("{done} {what}{ending}"),
            more => format!("{done} {what}{ending} ({more} that would have been)"),
        }
    })
    .collect();
    match (parts.is_empty(), counts.held) {
        (true, _) => "nothing was done".to_owned(),
        (false, 0) => parts.join(", "),
        (false, 1) => format!("{}; 1 process is stopped now", parts.join(", ")),
        (false, held) => format!("{}; {held} processes are stopped now", parts.join(", ")),
    }
}

fn summary_date(report: &StatusReport) -> String {
    format!("{} UTC", crate::summary::date(report.started))
}
