//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use ebph::{EventMask, Limits};

use crate::admin::Administration;
use crate::format::Format;
use crate::inspect::Inspection;
use crate::log_file::Rotation;
use crate::ps::Listing;
use crate::responses::{ResponseOptions, ResponseSettings};
use crate::settings;
use crate::top::Top;
use crate::{FAILED, output};

/// Learns which system calls follow which, and reports the call that does not fit.
#[derive(Parser)]
#[command(name = "monitor", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit status: that of COMMAND; 128 + n if signal n ended it; 126 or 127 if it \
                  could not be run; 125 if the monitor failed. The commands for a running monitor \
                  end with 1 if it refuses, and with 125 if it cannot be asked."
)]
struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    #[command(flatten)]
    watch: WatchOptions,

    #[command(flatten)]
    service: ServiceOptions,

    #[command(flatten)]
    responses: ResponseOptions,
}

/// What is watched, and how: for all who start a monitor.
#[derive(Args)]
pub struct WatchOptions {
    /// Who is watched: system, tree (COMMAND and its descendants) or cgroup:PATH, where COMMAND
    /// is then run [default: tree with a COMMAND, system without]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,

    /// How long a profile stays frozen before it becomes normal, as in 7d, 90s, 10ms
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    normal_wait: Duration,

    /// A profile freezes when its calls are more than so many times those it had when it last learnt
    /// something
    #[arg(long, value_name = "N/D", default_value = "128/32", value_parser = settings::factor)]
    freeze_factor: (u64, u64),

    /// A profile does not freeze with fewer calls than this; 100,000 is a good value for services
    #[arg(long, value_name = "N", default_value_t = Limits::default().min_train_calls)]
    min_train_calls: u64,

    /// A profile does not freeze before so many of its processes have ended; 100 is a good value for
    /// short-lived tools
    #[arg(long, value_name = "N", default_value_t = Limits::default().min_train_processes)]
    min_train_processes: u64,

    /// A profile with more anomalies than this is no longer normal
    #[arg(long, value_name = "N", default_value_t = Limits::default().anomaly_limit)]
    anomaly_limit: u64,

    /// With more anomalies than this in 128 calls of a thread, what is being learnt is wiped; what
    /// is normal stays
    #[arg(long, value_name = "N", default_value_t = Limits::default().tolerize_limit)]
    tolerize_limit: u64,

    /// Repeats of a reported anomaly that are sent, per second and profile
    #[arg(long, value_name = "N", default_value_t = Limits::default().report_rate)]
    report_rate: u64,

    /// The same, per second and thread
    #[arg(long, value_name = "N", default_value_t = Limits::default().thread_report_rate)]
    thread_report_rate: u64,

    /// For how many profiles there is room
    #[arg(long, value_name = "N", default_value_t = 2048)]
    max_profiles: u32,

    /// Keeps profiles in this folder: loads them at the start, saves them at intervals and at the
    /// end
    #[arg(long, value_name = "DIR")]
    profile_dir: Option<PathBuf>,

    /// How often profiles that changed are saved
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration, requires = "profile_dir")]
    save_interval: Duration,

    /// Leaves the arguments of programs out of reports: they may hold secrets
    #[arg(long)]
    redact_args: bool,

    /// Which events, by their JSON names and separated by commas [default: all but new_sequence]
    #[arg(long, value_name = "LIST")]
    events: Option<EventMask>,

    /// What to run and to watch
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Where events go, and who may ask.
#[derive(Args)]
struct ServiceOptions {
    /// The form of events. What is for programs goes to standard output, and COMMAND's own output
    /// to standard error then
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text, conflicts_with = "json")]
    format: Format,

    /// As --format json
    #[arg(long)]
    json: bool,

    /// Prints profiles, processes and counters on standard error at the end
    #[arg(long)]
    summary: bool,

    /// Answers `monitor ps`, `admin` and others on this Unix socket, to root and to its own user
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Writes events to this file instead; SIGHUP opens it anew, and does not end the watch then
    #[arg(long, value_name = "PATH")]
    log_file: Option<PathBuf>,

    /// A log file that would become larger than this is renamed to PATH.1, that to PATH.2, and so
    /// on, as in 64M, 100k; 0 for no end
    #[arg(long, value_name = "BYTES", default_value = "64M", value_parser = bytes, requires = "log_file")]
    log_size: u64,

    /// How many of them to keep besides the one that is written, at most 9999
    #[arg(long, value_name = "N", default_value_t = 5, requires = "log_file", value_parser = clap::value_parser!(u32).range(..=9999))]
    log_keep: u32,
}

#[derive(Subcommand)]
enum Action {
    /// Says what this kernel and these privileges allow
    Preflight {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists the processes that a running monitor watches
    Ps(Listing),
    /// Asks a running monitor how it is, or tells it what to do
    Admin(Administration),
    /// Shows what a profile holds, and which windows made it
    Inspect(Inspection),
    Top(Top),
}

/// Who is watched.
#[derive(Clone)]
pub enum Scope {
    System,
    Tree,
    Cgroup(PathBuf),
}

impl FromStr for Scope {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "system" => Ok(Self::System),
            "tree" => Ok(Self::Tree),
            _ => match text.strip_prefix("cgroup:") {
                Some(path) if !path.is_empty() => Ok(Self::Cgroup(path.into())),
                _ => Err("expected system, tree or cgroup:PATH"),
            },
        }
    }
}

/// Reads a number of bytes with a unit, as in 64M.
fn bytes(text: &str) -> Result<u64, &'static str> {
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit))
        .ok_or("expected a number of bytes, as in 4096, 100k, 64M or 1G")
}

/// What was asked for.
pub enum Asked {
    Preflight { json: bool },
    Watch(Watch, Service),
    Ps(Listing),
    Admin(Administration),
    Inspect(Inspection),
    Top(Top),
}

/// How to watch, and what.
pub struct Watch {
    pub scope: Scope,
    pub limits: Limits,
    pub max_profiles: u32,
    pub profile_dir: Option<PathBuf>,
    pub save_interval: Duration,
    pub redact_args: bool,
    pub events: EventMask,
    pub responses: ResponseSettings,
    /// Whether somebody may ask for the last events.
    pub keep_events: bool,
    pub command: Option<Vec<OsString>>,
}

/// What is done with what is seen.
pub struct Service {
    pub format: Format,
    pub summary: bool,
    pub socket: Option<PathBuf>,
    pub log_file: Option<PathBuf>,
    pub rotation: Rotation,
}

/// A command line that nothing can be done with, or that asks for help.
pub struct Usage(clap::Error);

impl Usage {
    /// Says what is wrong in one line, or gives the help that was asked for.
    pub fn report(self) -> ExitCode {
        if matches!(
            self.0.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        ) {
            // SANITY: nobody is left to tell if the output is gone.
            let _ = self.0.print();
            return ExitCode::SUCCESS;
        }
        let text = self.0.to_string();
        // What is wrong comes before the first empty line, sometimes with a list below it.
        let wrong: Vec<_> = text
            .lines()
            .map(str::trim)
            .take_while(|line| !line.is_empty())
            .collect();
        let first = wrong.join(" ");
        let first = first.strip_prefix("error: ").unwrap_or(&first);
        output::complain(&format!("{first} (monitor --help lists the options)"));
        ExitCode::from(FAILED)
    }
}

impl WatchOptions {
    /// Returns what is asked for, with what follows from there being a command or not.
    pub fn resolve(self) -> Watch {
        let command = (!self.command.is_empty()).then_some(self.command);
        let default = if command.is_some() {
            Scope::Tree
        } else {
            Scope::System
        };
        Watch {
            scope: self.scope.unwrap_or(default),
            limits: Limits::default()
                .normal_wait(self.normal_wait)
                .freeze_factor(self.freeze_factor.0, self.freeze_factor.1)
                .min_train_calls(self.min_train_calls)
                .min_train_processes(self.min_train_processes)
                .anomaly_limit(self.anomaly_limit)
                .tolerize_limit(self.tolerize_limit)
                .report_rate(self.report_rate)
                .thread_report_rate(self.thread_report_rate),
            max_profiles: self.max_profiles,
            profile_dir: self.profile_dir,
            save_interval: self.save_interval,
            redact_args: self.redact_args,
            events: self.events.unwrap_or_default(),
            responses: ResponseSettings::default(),
            keep_events: true,
            command,
        }
    }
}

/// Reads the command line.
pub fn read() -> Result<Asked, Usage> {
    let arguments = Arguments::try_parse().map_err(Usage)?;
    Ok(match arguments.action {
        Some(Action::Preflight { json }) => Asked::Preflight { json },
        Some(Action::Ps(listing)) => Asked::Ps(listing),
        Some(Action::Admin(administration)) => Asked::Admin(administration),
        Some(Action::Inspect(inspection)) => Asked::Inspect(inspection),
        Some(Action::Top(top)) => Asked::Top(top),
        None => {
            let service = arguments.service;
            let service = Service {
                format: match service.json {
                    true => Format::Json,
                    false => service.format,
                },
                summary: service.summary,
                socket: service.socket,
                log_file: service.log_file,
                rotation: Rotation {
                    bytes: service.log_size,
                    keep: service.log_keep,
                },
            };
            let responses = arguments.responses.resolve();
            let watch = Watch {
                responses: responses.map_err(|what| {
                    Usage(clap::Error::raw(ErrorKind::MissingRequiredArgument, what))
                })?,
                keep_events: service.socket.is_some(),
                ..arguments.watch.resolve()
            };
            Asked::Watch(watch, service)
        }
    })
}
