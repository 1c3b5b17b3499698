//! What this kernel and these privileges allow, for people and for programs.

mod attempt;
mod check;
mod denial;
mod facts;
mod needs;
mod options;

#[cfg(test)]
mod tests;

use std::fmt;

use rustix::thread::CapabilitySet;
use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::kernel::Facts;
use crate::sys::tracepoint;

pub use check::{Check, CheckId, Purpose, Status};
pub(crate) use denial::denial;
pub(crate) use facts::Essentials;

use facts::Found;

/// The tracepoint that sees every system call.
pub(crate) const ENTRY_TRACEPOINT: &str = "raw_syscalls/sys_enter";

/// The report of [`Monitor::preflight`](crate::Monitor::preflight).
///
/// What is there is told from what may not be used by trying it: a small map is made, programs of
/// two instructions are verified, the tracepoint is opened without being enabled. All of it is given
/// back at once; nothing is attached and nothing is changed. Whoever may do none of this is told so.
///
/// Displayed it is a table for people, of one line for each check and one for what to do about it;
/// serialized, an object with `schema`, `kernel`, `ready`, `error` and `checks`.
///
/// # Examples
///
/// ```
/// use ebph::{CheckId, Monitor, Status};
///
/// let report = Monitor::preflight();
/// for check in &report.checks {
///     if check.required && check.status != Status::Present {
///         println!("{}: {}; {}", check.name, check.why, check.remedy);
///     }
/// }
/// assert!(report.check(CheckId::Bpf).is_some());
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Preflight {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// One entry for each thing looked at, what is needed first.
    pub checks: Vec<Check>,
    found: Found,
}

impl Preflight {
    /// Looks at everything. Changes nothing, attaches nothing.
    pub(crate) fn run() -> Self {
        Self::of(Found::gather())
    }

    fn of(found: Found) -> Self {
        let mut checks = needs::checks(&found);
        checks.extend(options::checks(&found));
        // What is needed by default is told first, whatever it is needed for.
        checks.sort_by_key(|check| !check.required);
        Self {
            kernel: found.essentials.kernel.release.clone(),
            checks,
            found,
        }
    }

    /// Returns what was found about one thing.
    pub fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// Tells whether a monitor can start here.
    pub fn ready(&self) -> bool {
        self.require().is_ok()
    }

    /// Names the first thing that stands in the way.
    ///
    /// # Errors
    ///
    /// The error that [`MonitorBuilder::start`](crate::MonitorBuilder::start) would give, with
    /// everything at its default.
    pub fn require(&self) -> Result<()> {
        self.found.essentials.require_bpf()?;
        let blocking = self.checks.iter().find(|check| check.blocks());
        match blocking {
            None => Ok(()),
            Some(check) if matches!(check.id, CheckId::Tracefs | CheckId::PlainTracepoint) => {
                Err(self.no_tracepoint())
            }
            Some(check) if check.status == Status::Refused => Err(Error::BpfDenied {
                why: format!("{}: {}", check.name, check.why),
            }),
            Some(check) => Err(Error::Unsupported {
                what: check.name,
                why: check.why.clone(),
            }),
        }
    }

    fn no_tracepoint(&self) -> Error {
        let (number, event) = (self.found.entry_number, self.found.entry_event);
        let failed = if number == attempt::Attempt::Worked {
            event
        } else {
            number
        };
        if failed.forbidden() {
            not_privileged_for_tracepoint()
        } else {
            no_plain_tracepoint(failed.reason())
        }
    }
}

impl Essentials {
    /// What stands in the way of every monitor, whichever program is chosen for the entry of system
    /// calls.
    pub(crate) fn require_bpf(&self) -> Result<()> {
        needs::require(self)
    }

    /// Whether signals may be sent to processes of others.
    pub(crate) fn may_signal(&self) -> bool {
        self.capabilities.contains(CapabilitySet::KILL) && !self.own_user_namespace
    }

    pub(crate) fn kernel(&self) -> &Facts {
        &self.kernel
    }
}

impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel {}", self.kernel)?;
        for check in &self.checks {
            let need = if check.required { "needed" } else { "option" };
            write!(
                f,
                "{:<8} {need}  {:<24} {}",
                check.status, check.name, check.why
            )?;
            match check.purpose {
                Purpose::Monitor => writeln!(f)?,
                purpose => writeln!(f, " [for {purpose}]")?,
            }
            if !check.remedy.is_empty() {
                writeln!(f, "{:<17}what to do: {}", "", check.remedy)?;
            }
        }
        match self.require() {
            Ok(()) => write!(f, "ready"),
            Err(error) => write!(f, "not ready: {error}"),
        }
    }
}

impl Serialize for Preflight {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Report<'a> {
            schema: u32,
            kernel: &'a str,
            ready: bool,
            error: Option<String>,
            checks: &'a [Check],
        }
        let error = self.require().err().map(|error| error.to_string());
        let report = Report {
            schema: 1,
            kernel: &self.kernel,
            ready: error.is_none(),
            error,
            checks: &self.checks,
        };
        report.serialize(serializer)
    }
}

/// The plain tracepoint has a number, which is in tracefs, for those who may look; and some
/// distributions' kernels ask more than `CAP_PERFMON` of those who open it.
pub(crate) fn require_tracepoint() -> Result<()> {
    match tracepoint::open(ENTRY_TRACEPOINT) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(not_privileged_for_tracepoint())
        }
        Err(error) => Err(no_plain_tracepoint(error.to_string())),
    }
}

fn not_privileged_for_tracepoint() -> Error {
    Error::NotPrivileged {
        missing: vec!["CAP_SYS_ADMIN"],
    }
}

fn no_plain_tracepoint(why: String) -> Error {
    Error::Unsupported {
        what: "the plain tracepoint",
        why,
    }
}

fn present(yes: bool) -> Status {
    if yes { Status::Present } else { Status::Absent }
}
