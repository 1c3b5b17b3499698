//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use ebph::{EventMask, Limits};

use crate::{FAILED, output};

/// Learns which system calls follow which, and reports the call that does not fit.
#[derive(Parser)]
#[command(name = "monitor", version, args_conflicts_with_subcommands = true)]
#[command(
    after_help = "Exit status: that of COMMAND; 128 + n if signal n ended it; 126 or 127 if it \
                        could not be run; 125 if the monitor failed."
)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,

    /// Who is watched: system, tree (COMMAND and its descendants) or cgroup:PATH, where COMMAND
    /// is then run [default: tree with a COMMAND, system without]
    #[arg(long, value_name = "SCOPE")]
    scope: Option<Scope>,

    /// How long a profile stays frozen before it becomes normal, as in 7d, 90s, 10ms
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = humantime::parse_duration)]
    normal_wait: Duration,

    /// A profile with more anomalies than this is no longer normal
    #[arg(long, value_name = "N", default_value_t = Limits::default().anomaly_limit)]
    anomaly_limit: u64,

    /// With more anomalies than this in 128 calls of a thread, learning starts anew
    #[arg(long, value_name = "N", default_value_t = Limits::default().tolerize_limit)]
    tolerize_limit: u64,

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

    /// One JSON object per line on standard output; COMMAND's own output goes to standard error
    #[arg(long)]
    json: bool,

    /// Which events, by their JSON names and separated by commas [default: all but new_sequence]
    #[arg(long, value_name = "LIST")]
    events: Option<EventMask>,

    /// Prints profiles, processes and counters on standard error at the end
    #[arg(long)]
    summary: bool,

    /// What to run and to watch
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Subcommand)]
enum Action {
    /// Says what this kernel and these privileges allow
    Preflight,
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

/// What was asked for.
pub enum Asked {
    Preflight,
    Watch(Watch),
}

/// How to watch, and what.
pub struct Watch {
    pub scope: Scope,
    pub limits: Limits,
    pub max_profiles: u32,
    pub profile_dir: Option<PathBuf>,
    pub save_interval: Duration,
    pub json: bool,
    pub events: EventMask,
    pub summary: bool,
    pub command: Option<Vec<OsString>>,
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

impl Arguments {
    pub fn read() -> Result<Asked, Usage> {
        let arguments = Self::try_parse().map_err(Usage)?;
        if let Some(Action::Preflight) = arguments.action {
            return Ok(Asked::Preflight);
        }
        let command = (!arguments.command.is_empty()).then_some(arguments.command);
        let default = if command.is_some() {
            Scope::Tree
        } else {
            Scope::System
        };
        Ok(Asked::Watch(Watch {
            scope: arguments.scope.unwrap_or(default),
            limits: Limits::default()
                .normal_wait(arguments.normal_wait)
                .anomaly_limit(arguments.anomaly_limit)
                .tolerize_limit(arguments.tolerize_limit),
            max_profiles: arguments.max_profiles,
            profile_dir: arguments.profile_dir,
            save_interval: arguments.save_interval,
            json: arguments.json,
            events: arguments.events.unwrap_or_default(),
            summary: arguments.summary,
            command,
        }))
    }
}
