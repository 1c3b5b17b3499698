//! Limits by their names, as `normal-wait=1d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use ebph::Limits;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Limits, of which some may be left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// As text: `7d`, `90s`, `10ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub normal_wait: Option<Wait>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anomaly_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerize_limit: Option<u64>,
    /// Numerator and denominator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freeze_factor: Option<(u64, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_train_calls: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_train_processes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_rate: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_report_rate: Option<u64>,
}

/// A time with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without spaces, so that it can be given back as one word.
        let text = humantime::format_duration(self.0).to_string();
        f.pad(&text.replace(' ', ""))
    }
}

impl FromStr for Wait {
    type Err = humantime::DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        humantime::parse_duration(text).map(Self)
    }
}

impl Serialize for Wait {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Wait {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads a freeze factor: a numerator and a denominator.
pub fn factor(text: &str) -> Result<(u64, u64), &'static str> {
    text.split_once('/')
        .and_then(|(n, d)| Some((n.parse().ok()?, d.parse().ok()?)))
        .ok_or("expected two numbers, as in 128/32")
}

impl Settings {
    /// Returns all limits.
    pub fn of(limits: &Limits) -> Self {
        Self {
            normal_wait: Some(Wait(limits.normal_wait)),
            anomaly_limit: Some(limits.anomaly_limit),
            tolerize_limit: Some(limits.tolerize_limit),
            freeze_factor: Some(limits.freeze_factor),
            min_train_calls: Some(limits.min_train_calls),
            min_train_processes: Some(limits.min_train_processes),
            report_rate: Some(limits.report_rate),
            thread_report_rate: Some(limits.thread_report_rate),
        }
    }

    /// Returns the limits with those changed that are named here.
    pub fn applied_to(&self, limits: Limits) -> Limits {
        let (numerator, denominator) = self.freeze_factor.unwrap_or(limits.freeze_factor);
        let Limits {
            normal_wait,
            anomaly_limit,
            tolerize_limit,
            min_train_calls,
            min_train_processes,
            report_rate,
            thread_report_rate,
            ..
        } = limits;
        limits
            .normal_wait(self.normal_wait.map_or(normal_wait, |wait| wait.0))
            .anomaly_limit(self.anomaly_limit.unwrap_or(anomaly_limit))
            .tolerize_limit(self.tolerize_limit.unwrap_or(tolerize_limit))
            .freeze_factor(numerator, denominator)
            .min_train_calls(self.min_train_calls.unwrap_or(min_train_calls))
            .min_train_processes(self.min_train_processes.unwrap_or(min_train_processes))
            .report_rate(self.report_rate.unwrap_or(report_rate))
            .thread_report_rate(self.thread_report_rate.unwrap_or(thread_report_rate))
    }

    /// Names one more, by a word such as `anomaly-limit=50`.
    pub fn name(&mut self, word: &str) -> Result<(), String> {
        let Some((name, value)) = word.split_once('=') else {
            return Err(format!("{word:?} is not of the form NAME=VALUE"));
        };
        let number = || {
            let number = value.parse();
            number.map_err(|_| format!("{name} cannot be {value:?}: not a number"))
        };
        match name {
            "normal-wait" => {
                let wait = value.parse();
                let wait = wait.map_err(|error| format!("{name} cannot be {value:?}: {error}"));
                self.normal_wait = Some(wait?);
            }
            "anomaly-limit" => self.anomaly_limit = Some(number()?),
            "tolerize-limit" => self.tolerize_limit = Some(number()?),
            "freeze-factor" => {
                let sides = factor(value);
                let sides = sides.map_err(|error| format!("{name} cannot be {value:?}: {error}"));
                self.freeze_factor = Some(sides?);
            }
            "min-train-calls" => self.min_train_calls = Some(number()?),
            "min-train-processes" => self.min_train_processes = Some(number()?),
            "report-rate" => self.report_rate = Some(number()?),
            "thread-report-rate" => self.thread_report_rate = Some(number()?),
            _ => {
                return Err(format!(
                    "there is no limit {name:?}; there are {}",
                    Self::of(&Limits::default()).names().join(", ")
                ));
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<&'static str> {
        self.words().into_iter().map(|(name, _)| name).collect()
    }

    /// Names and values of those that are named, as [`Settings::name`] takes them.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let factor = self.freeze_factor.map(|(n, d)| format!("{n}/{d}"));
        [
            ("normal-wait", self.normal_wait.map(|wait| wait.to_string())),
            ("anomaly-limit", number(self.anomaly_limit)),
            ("tolerize-limit", number(self.tolerize_limit)),
            ("freeze-factor", factor),
            ("min-train-calls", number(self.min_train_calls)),
            ("min-train-processes", number(self.min_train_processes)),
            ("report-rate", number(self.report_rate)),
            ("thread-report-rate", number(self.thread_report_rate)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }
}
