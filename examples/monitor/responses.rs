//! What is done about anomalies: as options, as JSON, and in words.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ebph::{Delay, ExecAnswer, ExecResponse, Kill, Responses};
use serde::{Deserialize, Serialize};

use crate::settings::Wait;

/// What is done about anomalies besides telling of them; nothing by default.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Responses to anomalies (nothing is done unless one is asked for)")]
pub struct ResponseOptions {
    /// Each call of a thread with N anomalies among its last 128 calls waits for 2^N times TIME, as in
    /// 10ms: its process is stopped and goes on by itself (needs CAP_KILL)
    #[arg(long, value_name = "TIME")]
    delay_unit: Option<Wait>,

    /// The longest that a call waits [default: 10s]
    #[arg(long, value_name = "TIME", requires = "delay_unit")]
    delay_cap: Option<Wait>,

    /// Refuses execve, with EPERM, to a process that had LFC anomalies among 128 calls of a thread, or
    /// descends from one
    #[arg(long, value_name = "LFC", conflicts_with = "suspend_exec")]
    deny_exec: Option<u32>,

    /// Holds what such a process executes before it begins, and then lets it go on (needs CAP_KILL)
    #[arg(long, value_name = "LFC")]
    suspend_exec: Option<u32>,

    /// For how long --suspend-exec holds it [default: 10s]
    #[arg(long, value_name = "TIME", requires = "suspend_exec")]
    suspend_time: Option<Wait>,

    /// Kills a process when a thread of it has LFC anomalies among its last 128 calls. An LFC is from 1
    /// to one more than the tolerize limit, which is 12 by default
    #[arg(long, value_name = "LFC")]
    kill: Option<u32>,

    /// Does none of it, or not what is named, as in exec,kill (of delay, exec and kill): only says and
    /// counts what would have been done
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "all",
        hide_possible_values = true
    )]
    dry_run: Vec<Which>,

    /// Does nothing to this executable or script; may be given several times
    #[arg(long, value_name = "PATH")]
    exempt: Vec<PathBuf>,

    /// Does nothing to this process, but to its children; may be given several times
    #[arg(long, value_name = "PID")]
    exempt_pid: Vec<u32>,
}

/// What can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Which {
    All,
    Delay,
    Exec,
    Kill,
}

/// How long a call waits at most, and how long an exec is held, if that is not said.
const TEN_SECONDS: Wait = Wait(std::time::Duration::from_secs(10));

impl ResponseOptions {
    /// Tells whether none is given.
    pub fn is_empty(&self) -> bool {
        !self.asks()
            && self.dry_run.is_empty()
            && self.exempt.is_empty()
            && self.exempt_pid.is_empty()
    }

    /// Tells whether anything is to be done.
    const fn asks(&self) -> bool {
        self.delay_unit.is_some()
            || self.deny_exec.is_some()
            || self.suspend_exec.is_some()
            || self.kill.is_some()
    }

    /// Returns what is asked for.
    pub fn resolve(self) -> Result<ResponseSettings, String> {
        if !self.asks() && !self.is_empty() {
            return Err(
                "--dry-run, --exempt and --exempt-pid need something to be done: --delay-unit, \
                 --deny-exec, --suspend-exec or --kill"
                    .to_owned(),
            );
        }
        // The parser lets it pass beside --deny-exec.
        if self.suspend_time.is_some() && self.suspend_exec.is_none() {
            return Err("--suspend-time needs --suspend-exec".to_owned());
        }
        // Whoever is careful about what is not done may believe that what is done is not either.
        for (which, name, asked) in [
            (Which::Delay, "delay", self.delay_unit.is_some()),
            (
                Which::Exec,
                "exec",
                self.deny_exec.is_some() || self.suspend_exec.is_some(),
            ),
            (Which::Kill, "kill", self.kill.is_some()),
        ] {
            if self.dry_run.contains(&which) && !asked {
                return Err(format!(
                    "--dry-run={name}: nothing of the kind is asked for"
                ));
            }
        }
        let dry = |which| self.dry_run.contains(&Which::All) || self.dry_run.contains(&which);
        let delay = self.delay_unit.map(|unit| DelaySettings {
            unit,
            cap: self.delay_cap.unwrap_or(TEN_SECONDS),
            dry_run: dry(Which::Delay),
        });
        let suspend = self.suspend_time.unwrap_or(TEN_SECONDS);
        let exec = match (self.deny_exec, self.suspend_exec) {
            (Some(lfc), _) => Some((lfc, None)),
            (None, Some(lfc)) => Some((lfc, Some(suspend))),
            (None, None) => None,
        };
        let exempt: std::io::Result<Vec<_>> = self.exempt.iter().map(std::path::absolute).collect();
        Ok(ResponseSettings {
            delay,
            exec: exec.map(|(lfc, suspend)| ExecSettings {
                lfc,
                suspend,
                dry_run: dry(Which::Exec),
            }),
            kill: self.kill.map(|lfc| KillSettings {
                lfc,
                dry_run: dry(Which::Kill),
            }),
            exempt: exempt.map_err(|error| format!("--exempt: {error}"))?,
            exempt_pids: self.exempt_pid,
        })
    }
}

/// All of what is done. What is not named is not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResponseSettings {
    pub delay: Option<DelaySettings>,
    pub exec: Option<ExecSettings>,
    pub kill: Option<KillSettings>,
    /// Executables and scripts, by absolute paths.
    pub exempt: Vec<PathBuf>,
    pub exempt_pids: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelaySettings {
    pub unit: Wait,
    pub cap: Wait,
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSettings {
    pub lfc: u32,
    /// For how long; without it the exec is denied.
    #[serde(default)]
    pub suspend: Option<Wait>,
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillSettings {
    pub lfc: u32,
    #[serde(default)]
    pub dry_run: bool,
}

impl ResponseSettings {
    pub fn of(responses: &Responses) -> Self {
        let exec = responses.exec.as_ref();
        Self {
            delay: responses.delay.as_ref().map(|delay| DelaySettings {
                unit: Wait(delay.unit),
                cap: Wait(delay.cap),
                dry_run: delay.dry_run,
            }),
            exec: exec.map(|exec| ExecSettings {
                lfc: exec.lfc,
                suspend: match exec.answer {
                    ExecAnswer::Suspend(time) => Some(Wait(time)),
                    _ => None,
                },
                dry_run: exec.dry_run,
            }),
            kill: responses.kill.as_ref().map(|kill| KillSettings {
                lfc: kill.lfc,
                dry_run: kill.dry_run,
            }),
            exempt: responses.exempt.executables.clone(),
            exempt_pids: responses.exempt.pids.clone(),
        }
    }

    /// Returns them for a monitor.
    pub fn responses(&self) -> Responses {
        let delay = self
            .delay
            .as_ref()
            .map(|delay| Delay::new(delay.unit.0, delay.cap.0).dry_run(delay.dry_run));
        let exec = self.exec.as_ref().map(|exec| {
            let answer = match exec.suspend {
                Some(time) => ExecAnswer::Suspend(time.0),
                None => ExecAnswer::Deny,
            };
            ExecResponse::new(exec.lfc, answer).dry_run(exec.dry_run)
        });
        let kill = self
            .kill
            .as_ref()
            .map(|kill| Kill::new(kill.lfc).dry_run(kill.dry_run));
        let responses = Responses::default().delay(delay).exec(exec).kill(kill);
        let responses = self
            .exempt
            .iter()
            .fold(responses, Responses::exempt_executable);
        self.exempt_pids
            .iter()
            .copied()
            .fold(responses, Responses::exempt_pid)
    }

    /// A line for each, as a title and what it says.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let dry = |dry_run: bool| if dry_run { " (dry run)" } else { "" };
        let mut lines = Vec::new();
        if let Some(DelaySettings { unit, cap, dry_run }) = &self.delay {
            let text = format!("2^LFC times {unit}, up to {cap}{}", dry(*dry_run));
            lines.push(("delay", text));
        }
        if let Some(exec) = &self.exec {
            let (lfc, dry) = (exec.lfc, dry(exec.dry_run));
            lines.push(match exec.suspend {
                Some(time) => (
                    "suspend exec",
                    format!("from LFC {lfc} on, for {time}{dry}"),
                ),
                None => ("deny exec", format!("from LFC {lfc} on{dry}")),
            });
        }
        if let Some(KillSettings { lfc, dry_run }) = &self.kill {
            lines.push(("kill", format!("from LFC {lfc} on{}", dry(*dry_run))));
        }
        let exempt = self.exempt.iter().map(|path| path.display().to_string());
        lines.extend(exempt.map(|path| ("exempt", path)));
        let pids = self.exempt_pids.iter().map(|pid| format!("process {pid}"));
        lines.extend(pids.map(|pid| ("exempt", pid)));
        lines
    }
}

/// In a few words: `delay, kill (dry run)`.
impl fmt::Display for ResponseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exec = self.exec.as_ref().map(|exec| {
            let name = match exec.suspend {
                Some(_) => "suspend exec",
                None => "deny exec",
            };
            (name, exec.dry_run)
        });
        let delay = self.delay.as_ref().map(|delay| ("delay", delay.dry_run));
        let kill = self.kill.as_ref().map(|kill| ("kill", kill.dry_run));
        let on: Vec<_> = [delay, exec, kill]
            .into_iter()
            .flatten()
            .map(|(name, dry_run)| match dry_run {
                true => format!("{name} (dry run)"),
                false => name.to_owned(),
            })
            .collect();
        match on.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&on.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        responses: ResponseOptions,
    }

    fn read(words: &str) -> Result<ResponseSettings, String> {
        let words = ["monitor"].into_iter().chain(words.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.responses.resolve()
    }

    fn round(settings: &ResponseSettings) -> ResponseSettings {
        ResponseSettings::of(&settings.responses())
    }

    /// Check that every option arrives, by way of what a monitor takes, and by way of JSON.
    #[test]
    fn options() {
        let all = "--delay-unit 10ms --deny-exec 8 --kill 12 --dry-run --exempt /usr/sbin/sshd \
                   --exempt /bin/login --exempt-pid 5 --exempt-pid 6";
        let settings = read(all).unwrap();
        assert_eq!(round(&settings), settings);
        let json = serde_json::to_string(&settings).unwrap();
        assert_eq!(
            json,
            r#"{"delay":{"unit":"10ms","cap":"10s","dry_run":true},"exec":{"lfc":8,"suspend":null,"dry_run":true},"kill":{"lfc":12,"dry_run":true},"exempt":["/usr/sbin/sshd","/bin/login"],"exempt_pids":[5,6]}"#
        );
        assert_eq!(
            serde_json::from_str::<ResponseSettings>(&json).unwrap(),
            settings
        );
        assert_eq!(
            settings.to_string(),
            "delay (dry run), deny exec (dry run), kill (dry run)"
        );
        let held = read("--suspend-exec 3 --suspend-time 1s --delay-unit 5ms --delay-cap 1m");
        let held = held.unwrap();
        assert_eq!(round(&held), held);
        assert_eq!(
            held.lines(),
            [
                ("delay", "2^LFC times 5ms, up to 1m".to_owned()),
                ("suspend exec", "from LFC 3 on, for 1s".to_owned()),
            ]
        );
        assert_eq!(
            read("--suspend-exec 3").unwrap().lines()[0].1,
            "from LFC 3 on, for 10s"
        );
        let mixed = read("--delay-unit 5ms --deny-exec 3 --kill 9 --dry-run=kill,exec").unwrap();
        assert_eq!(
            mixed.to_string(),
            "delay, deny exec (dry run), kill (dry run)"
        );
        assert_eq!(read("").unwrap(), ResponseSettings::default());
        assert_eq!(ResponseSettings::default().to_string(), "none");
    }

    /// Check that what contradicts itself, or does nothing, is refused.
    #[test]
    fn nonsense() {
        for (words, why) in [
            ("--dry-run", "need something to be done"),
            ("--exempt /bin/sh", "need something to be done"),
            ("--exempt-pid 1", "need something to be done"),
            ("--deny-exec 3 --suspend-exec 3", "cannot be used with"),
            ("--delay-cap 3s", "--delay-unit"),
            ("--suspend-time 3s --deny-exec 3", "--suspend-exec"),
            ("--delay-unit soon", "soon"),
            ("--kill -1", "-1"),
            ("--kill 3 --dry-run=nothing", "nothing"),
            ("--kill 3 --dry-run=delay,kill", "--dry-run=delay"),
            ("--kill 3 --dry-run kill", "unexpected"),
        ] {
            let error = read(words).unwrap_err();
            assert!(error.contains(why), "{words}: {error}");
        }
        let read = |json: &str| serde_json::from_str::<ResponseSettings>(json);
        assert!(read(r#"{"dely": null}"#).is_err());
        assert!(read(r#"{"kill": {"lfc": 3, "dry-run": true}}"#).is_err());
        assert!(read(r#"{"kill": {}}"#).is_err());
    }
}
