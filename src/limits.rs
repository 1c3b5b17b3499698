//! What decides when a profile freezes, becomes normal, and stops being normal.

use std::time::Duration;

use crate::error::{Error, Result};

/// The largest number on either side of the freeze factor: products must fit 64 bits.
const FACTOR_MAX: u64 = 1 << 16;
/// How many calls a locality frame holds.
const LOCALITY: u64 = 128;
/// Longer waits would not fit the kernel's nanosecond clock with a margin.
const WAIT_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The thresholds of the detector, changeable while it runs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ebph::Limits;
///
/// let limits = Limits::default().normal_wait(Duration::from_secs(3)).anomaly_limit(100);
/// limits.validate()?;
/// # Ok::<(), ebph::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a profile stays frozen before it becomes normal, on the boot-time clock; 7 days. The
    /// wait ends with a call, of the 64 that a thread makes next; until then what is new is learnt. With
    /// zero a profile is normal as soon as it freezes.
    pub normal_wait: Duration,
    /// More anomalies than this end a profile's normal state; 30. With zero the first one does.
    ///
    /// The profile then learns what its program does, and it is no longer judged. One abuse can have more
    /// anomalies than the default, which is the thesis's: who would rather go on being told sets a thousand, or
    /// `u64::MAX` for no end. What the profile was stays in its folder ([`Store`](crate::Store)).
    pub anomaly_limit: u64,
    /// More anomalous calls than this, of a thread's last 128, wipe what is being learnt; 12. With
    /// zero each anomaly does.
    pub tolerize_limit: u64,
    /// A profile freezes once its calls exceed this ratio (numerator, denominator) of the calls
    /// it had made when it last learnt something; 128/32.
    pub freeze_factor: (u64, u64),
    /// A profile does not freeze with fewer calls than this; 0. For services 100,000 is sensible:
    /// what they do rarely, they do by then.
    pub min_train_calls: u64,
    /// A profile does not freeze before this many of its processes ended; 0. For short-lived
    /// tools 100 is sensible.
    pub min_train_processes: u64,
    /// How many repeats of anomalies already reported are sent, per second and profile; 10. The
    /// first of a kind is always sent; with zero, nothing else.
    pub report_rate: u64,
    /// The same per second and thread, so that one thread cannot use up what its profile may
    /// send; 5.
    pub thread_report_rate: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            normal_wait: Duration::from_secs(7 * 24 * 60 * 60),
            anomaly_limit: 30,
            tolerize_limit: 12,
            freeze_factor: (128, 32),
            min_train_calls: 0,
            min_train_processes: 0,
            report_rate: 10,
            thread_report_rate: 5,
        }
    }
}

impl Limits {
    /// Returns these limits with another [`Limits::normal_wait`].
    #[must_use]
    pub const fn normal_wait(mut self, wait: Duration) -> Self {
        self.normal_wait = wait;
        self
    }

    /// Returns these limits with another [`Limits::anomaly_limit`].
    #[must_use]
    pub const fn anomaly_limit(mut self, limit: u64) -> Self {
        self.anomaly_limit = limit;
        self
    }

    /// Returns these limits with another [`Limits::tolerize_limit`].
    #[must_use]
    pub const fn tolerize_limit(mut self, limit: u64) -> Self {
        self.tolerize_limit = limit;
        self
    }

    /// Returns these limits with another [`Limits::freeze_factor`].
    #[must_use]
    pub const fn freeze_factor(mut self, numerator: u64, denominator: u64) -> Self {
        self.freeze_factor = (numerator, denominator);
        self
    }

    /// Returns these limits with another [`Limits::min_train_calls`].
    #[must_use]
    pub const fn min_train_calls(mut self, calls: u64) -> Self {
        self.min_train_calls = calls;
        self
    }

    /// Returns these limits with another [`Limits::min_train_processes`].
    #[must_use]
    pub const fn min_train_processes(mut self, processes: u64) -> Self {
        self.min_train_processes = processes;
        self
    }

    /// Returns these limits with another [`Limits::report_rate`].
    #[must_use]
    pub const fn report_rate(mut self, reports: u64) -> Self {
        self.report_rate = reports;
        self
    }

    /// Returns these limits with another [`Limits::thread_report_rate`].
    #[must_use]
    pub const fn thread_report_rate(mut self, reports: u64) -> Self {
        self.thread_report_rate = reports;
        self
    }

    /// Checks that the detector can work with these limits.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] when a side of the freeze factor is 0 or above 65,536, the wait
    /// is longer than 100 years, or the tolerize limit is above 128, the most it can be compared
    /// with.
    pub fn validate(&self) -> Result<()> {
        let invalid = |name, value: String, reason: &str| {
            Err(Error::InvalidSetting {
                name,
                value,
                reason: reason.to_owned(),
            })
        };
        let (numerator, denominator) = self.freeze_factor;
        let factor = 1..=FACTOR_MAX;
        if !factor.contains(&numerator) || !factor.contains(&denominator) {
            return invalid(
                "freeze_factor",
                format!("{numerator}/{denominator}"),
                "both sides must be between 1 and 65536",
            );
        }
        if self.normal_wait > WAIT_MAX {
            return invalid(
                "normal_wait",
                humantime::format_duration(self.normal_wait).to_string(),
                "must be at most 100 years",
            );
        }
        if self.tolerize_limit > LOCALITY {
            return invalid(
                "tolerize_limit",
                self.tolerize_limit.to_string(),
                "must be at most 128, the calls a locality frame holds",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(limits: Limits) -> &'static str {
        match limits.validate() {
            Err(Error::InvalidSetting { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    }

    /// Check that the defaults, and zeros where they mean something, are accepted.
    #[test]
    fn accepted() {
        Limits::default().validate().unwrap();
        let zeros = Limits::default()
            .normal_wait(Duration::ZERO)
            .anomaly_limit(0)
            .tolerize_limit(0)
            .freeze_factor(1, 1)
            .report_rate(0)
            .thread_report_rate(0);
        zeros.validate().unwrap();
        Limits::default()
            .normal_wait(WAIT_MAX)
            .tolerize_limit(LOCALITY)
            .validate()
            .unwrap();
    }

    /// Check that each absurd value is refused by its name.
    #[test]
    fn refused() {
        let limits = Limits::default;
        assert_eq!(rejected(limits().freeze_factor(0, 32)), "freeze_factor");
        assert_eq!(rejected(limits().freeze_factor(128, 0)), "freeze_factor");
        assert_eq!(
            rejected(limits().freeze_factor(FACTOR_MAX + 1, 1)),
            "freeze_factor"
        );
        assert_eq!(rejected(limits().normal_wait(Duration::MAX)), "normal_wait");
        assert_eq!(
            rejected(limits().tolerize_limit(LOCALITY + 1)),
            "tolerize_limit"
        );
    }
}
