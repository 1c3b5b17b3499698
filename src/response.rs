//! What is done about anomalies besides telling of them (pH; thesis, section 5.2.2).

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::limits::Limits;

/// The shortest unit of delay: a stop takes the monitor longer than less than that.
const UNIT_MIN: Duration = Duration::from_millis(1);
/// The longest time that a process may be stopped for.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What the monitor does about anomalies, besides telling of them; nothing, by default.
///
/// Only calls that are judged have consequences: those of threads whose profile is normal. Observation
/// comes first, so a call that is delayed or refused has been learnt all the same, and what was a
/// false alarm becomes normal in time. Once a profile is no longer normal
/// ([`Monitor::tolerize`](crate::Monitor::tolerize), too many anomalies) nothing is done to its
/// processes any more, and those that are stopped go on at once.
///
/// Nothing is ever done to the process that the monitor lives in, to the machine's first process, to
/// kernel threads, to what is exempt, or to what is not watched.
///
/// Everything can be changed while the monitor runs:
/// [`Monitor::set_responses`](crate::Monitor::set_responses).
///
/// # Minimum kernel version
///
/// 6.1; to deny execs, one with BPF among its security modules, or that lets BPF programs change what its
/// functions return. [`Monitor::preflight`](crate::Monitor::preflight) says whether this one does.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ebph::{Delay, ExecAnswer, ExecResponse, Kill, Responses};
///
/// let responses = Responses::default()
///     .delay(Delay::new(Duration::from_millis(10), Duration::from_secs(10)))
///     .exec(ExecResponse::new(8, ExecAnswer::Deny))
///     .kill(Kill::new(12).dry_run(true))
///     .exempt_executable("/usr/sbin/sshd");
/// assert!(responses.is_active());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responses {
    /// Slows threads with recent anomalies down.
    pub delay: Option<Delay>,
    /// Keeps processes with too many recent anomalies from becoming another program.
    pub exec: Option<ExecResponse>,
    /// Ends processes with too many recent anomalies.
    pub kill: Option<Kill>,
    /// To whom nothing is done.
    pub exempt: Exemptions,
    /// Whether what is set from here on is to be a dry run as well.
    rehearsed: bool,
}

/// Each call of a thread with anomalies among its recent calls waits: twice as long for each of them.
///
/// The wait is `min(2^LFC * unit, cap)`, where LFC, the locality frame count, is how many of the thread's last
/// 128 judged calls were anomalous; a thread with none of them does not wait. It is had by stopping the whole
/// process with `SIGSTOP`, after the call that is delayed was made and before it returns, and continuing it
/// with `SIGCONT`, which its parent, a shell and a tracer can see. It needs `CAP_KILL`, unless it is a dry run.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// Half of how long a call waits after a single anomaly; 1 ms to a day.
    pub unit: Duration,
    /// The longest wait; from the unit to a day.
    pub cap: Duration,
    /// Whether it is only said what would have been done.
    pub dry_run: bool,
}

/// What becomes of an exec of a process whose locality frame count once reached a threshold.
///
/// The highest count of the process, of any of its threads, and of those that it descends from, since
/// they became the program that they are, is what counts.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecResponse {
    /// The locality frame count from which on it is answered: 1 to one more than [`Limits::tolerize_limit`],
    /// beyond which counts are emptied, and at most 128.
    pub lfc: u32,
    /// What is done.
    pub answer: ExecAnswer,
    /// Whether it is only said what would have been done.
    pub dry_run: bool,
}

/// How an exec is answered.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecAnswer {
    /// `execve` fails with `EPERM`. Needs BPF as a security module or `fmod_ret`: see
    /// [`CheckId::BpfLsm`](crate::CheckId::BpfLsm) and
    /// [`CheckId::FmodRet`](crate::CheckId::FmodRet).
    Deny,
    /// The new program is held for so long before its first instruction, 1 ms to a day. Needs `CAP_KILL`, as
    /// [`Delay`] does.
    Suspend(Duration),
}

/// A process is killed when the locality frame count of one of its threads reaches a threshold.
///
/// The call that reaches it is still made, unless it waits for something.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The locality frame count from which on processes are killed: 1 to one more than
    /// [`Limits::tolerize_limit`], and at most 128.
    pub lfc: u32,
    /// Whether it is only said what would have been done.
    pub dry_run: bool,
}

/// To whom nothing is done, whatever they do. They are watched and told of all the same.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemptions {
    /// Executables and scripts, by their paths as this process sees them. What takes a file's place is
    /// exempt from its first exec on.
    pub executables: Vec<PathBuf>,
    /// Processes, by their ids in the caller's pid namespace; their children are not exempt.
    pub pids: Vec<u32>,
}

impl Delay {
    /// Returns delays of this unit and cap.
    pub const fn new(unit: Duration, cap: Duration) -> Self {
        Self {
            unit,
            cap,
            dry_run: false,
        }
    }

    /// Returns the same, only to say what would have been done.
    #[must_use]
    pub const fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }

    /// Returns how long a call waits at this locality frame count.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use ebph::Delay;
    ///
    /// let delay = Delay::new(Duration::from_millis(10), Duration::from_secs(1));
    /// assert_eq!(delay.wait(0), Duration::ZERO);
    /// assert_eq!(delay.wait(1), Duration::from_millis(20));
    /// assert_eq!(delay.wait(12), Duration::from_secs(1));
    /// ```
    pub fn wait(&self, lfc: u32) -> Duration {
        match lfc {
            0 => Duration::ZERO,
            _ => 2_u32
                .checked_pow(lfc)
                .and_then(|times| self.unit.checked_mul(times))
                .map_or(self.cap, |wait| wait.min(self.cap)),
        }
    }
}

impl ExecResponse {
    /// Returns this answer from this locality frame count on.
    pub const fn new(lfc: u32, answer: ExecAnswer) -> Self {
        Self {
            lfc,
            answer,
            dry_run: false,
        }
    }

    /// Returns the same, only to say what would have been done.
    #[must_use]
    pub const fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }
}

impl Kill {
    /// Returns death from this locality frame count on.
    pub const fn new(lfc: u32) -> Self {
        Self {
            lfc,
            dry_run: false,
        }
    }

    /// Returns the same, only to say what would have been done.
    #[must_use]
    pub const fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }
}

impl Responses {
    /// Returns these with another [`Responses::delay`].
    #[must_use]
    pub fn delay(mut self, delay: impl Into<Option<Delay>>) -> Self {
        self.delay = delay.into();
        self.rehearse()
    }

    /// Returns these with another [`Responses::exec`].
    #[must_use]
    pub fn exec(mut self, exec: impl Into<Option<ExecResponse>>) -> Self {
        self.exec = exec.into();
        self.rehearse()
    }

    /// Returns these with another [`Responses::kill`].
    #[must_use]
    pub fn kill(mut self, kill: impl Into<Option<Kill>>) -> Self {
        self.kill = kill.into();
        self.rehearse()
    }

    fn rehearse(self) -> Self {
        if self.rehearsed {
            self.dry_run(true)
        } else {
            self
        }
    }

    /// Returns these with one more executable or script in [`Exemptions::executables`].
    #[must_use]
    pub fn exempt_executable(mut self, path: impl Into<PathBuf>) -> Self {
        self.exempt.executables.push(path.into());
        self
    }

    /// Returns these with one more process in [`Exemptions::pids`].
    #[must_use]
    pub fn exempt_pid(mut self, pid: u32) -> Self {
        self.exempt.pids.push(pid);
        self
    }

    /// Returns the same, all of them only to say what would have been done, or all in earnest.
    /// What these methods set after `dry_run(true)` is a dry run too.
    #[must_use]
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.rehearsed = dry;
        if let Some(delay) = &mut self.delay {
            delay.dry_run = dry;
        }
        if let Some(exec) = &mut self.exec {
            exec.dry_run = dry;
        }
        if let Some(kill) = &mut self.kill {
            kill.dry_run = dry;
        }
        self
    }

    /// Tells whether anything is done, or said to be what would have been.
    pub const fn is_active(&self) -> bool {
        self.delay.is_some() || self.exec.is_some() || self.kill.is_some()
    }

    /// Tells whether processes may be stopped for a while.
    pub(crate) fn stops(&self) -> bool {
        let delays = self.delay.as_ref().is_some_and(|delay| !delay.dry_run);
        let suspends = self
            .exec
            .as_ref()
            .is_some_and(|exec| !exec.dry_run && matches!(exec.answer, ExecAnswer::Suspend(_)));
        delays || suspends
    }

    /// Tells whether an exec may be denied.
    pub(crate) fn denies(&self) -> bool {
        self.exec
            .as_ref()
            .is_some_and(|exec| exec.answer == ExecAnswer::Deny)
    }

    /// Checks that each can be had, and reached under these limits.
    pub(crate) fn validate(&self, limits: &Limits) -> Result<()> {
        if let Some(delay) = &self.delay {
            in_range("delay_unit", delay.unit, UNIT_MIN, "")?;
            in_range("delay_cap", delay.cap, delay.unit, ", the unit,")?;
        }
        if let Some(exec) = &self.exec {
            match exec.answer {
                ExecAnswer::Deny => reachable("deny_exec", exec.lfc, limits)?,
                ExecAnswer::Suspend(wait) => {
                    reachable("suspend_exec", exec.lfc, limits)?;
                    in_range("suspend_time", wait, UNIT_MIN, "")?;
                }
            }
        }
        match &self.kill {
            Some(kill) => reachable("kill", kill.lfc, limits),
            None => Ok(()),
        }
    }
}

fn in_range(name: &'static str, value: Duration, least: Duration, which_is: &str) -> Result<()> {
    if (least..=WAIT_MAX).contains(&value) {
        return Ok(());
    }
    let shown = |time| humantime::format_duration(time);
    Err(Error::InvalidSetting {
        name,
        value: shown(value).to_string(),
        reason: format!(
            "it must be from {}{which_is} to {}",
            shown(least),
            shown(WAIT_MAX)
        ),
    })
}

/// A thread's count is emptied once it is above the tolerize limit, so it never gets further than one
/// more than that; and a profile that has more anomalies than it may ceases to be normal.
fn reachable(name: &'static str, lfc: u32, limits: &Limits) -> Result<()> {
    let most = limits
        .tolerize_limit
        .saturating_add(1)
        .min(limits.anomaly_limit)
        .min(128);
    if (1..=most).contains(&u64::from(lfc)) {
        return Ok(());
    }
    Err(Error::InvalidSetting {
        name,
        value: lfc.to_string(),
        reason: format!(
            "it must be from 1 to {most}: a locality frame count is emptied once it is above the \
             tolerize limit ({}), and nothing is done once a profile has more anomalies than its limit ({})",
            limits.tolerize_limit, limits.anomaly_limit
        ),
    })
}
