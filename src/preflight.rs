//! What this kernel and these privileges allow, for people and for programs.

use std::fmt;

use crate::error::{Error, Result};
use crate::kernel::{self, Facts};
use crate::plan;
use crate::tracepoint;

/// The tracepoint that sees every system call.
pub(crate) const ENTRY_TRACEPOINT: &str = "raw_syscalls/sys_enter";

/// How one requirement stands.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is there.
    Present,
    /// The kernel does not have it.
    Absent,
    /// The kernel has it, and this process may not use it.
    Refused,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Present => "yes",
            Self::Absent => "no",
            Self::Refused => "refused",
        })
    }
}

/// One thing that the monitor needs, or could use.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Check {
    /// What it is.
    pub name: &'static str,
    /// Whether the monitor cannot start without it.
    pub required: bool,
    /// How it stands.
    pub status: Status,
    /// What was found.
    pub why: String,
    /// What to do about it; empty if nothing needs doing.
    pub remedy: &'static str,
}

/// The report of [`Monitor::preflight`](crate::Monitor::preflight).
#[non_exhaustive]
#[derive(Debug, Clone)]
pub struct Preflight {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// One entry for each thing looked at.
    pub checks: Vec<Check>,
    facts: Facts,
}

impl Preflight {
    /// Looks at everything. Changes nothing, attaches nothing.
    pub(crate) fn run() -> Self {
        let facts = Facts::gather();
        let checks = vec![
            types(&facts),
            tracepoints(&facts),
            storage(&facts),
            capabilities(),
            syscall(),
            entry(&facts),
            tracepoint_id(&facts),
            events(&facts),
            cgroups(),
        ];
        Self {
            kernel: facts.release.clone(),
            checks,
            facts,
        }
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
        self.require_bpf()?;
        if self.facts.preemptible_tp_btf {
            require_tracepoint()?;
        }
        Ok(())
    }

    /// The same, but for what depends on which program is chosen for the entry of system calls.
    pub(crate) fn require_bpf(&self) -> Result<()> {
        plan::require(&self.facts)?;
        let missing = kernel::missing_capabilities();
        if !missing.is_empty() {
            return Err(Error::NotPrivileged { missing });
        }
        match kernel::bpf_refusal() {
            None => Ok(()),
            Some(error) => Err(Error::BpfDenied {
                why: format!("making a map: {error}"),
            }),
        }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }
}

impl fmt::Display for Preflight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "kernel {}", self.kernel)?;
        for check in &self.checks {
            let need = if check.required { "needed" } else { "option" };
            writeln!(
                f,
                "{:<8} {need}  {:<26} {}",
                check.status, check.name, check.why
            )?;
            if check.status != Status::Present && !check.remedy.is_empty() {
                writeln!(
                    f,
                    "                                            {}",
                    check.remedy
                )?;
            }
        }
        match self.require() {
            Ok(()) => write!(f, "ready"),
            Err(error) => write!(f, "not ready: {error}"),
        }
    }
}

/// The plain tracepoint has a number, which is in tracefs, for those who may look; and some
/// distributions' kernels ask more than `CAP_PERFMON` of those who open it.
pub(crate) fn require_tracepoint() -> Result<()> {
    match tracepoint::open(ENTRY_TRACEPOINT) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Error::NotPrivileged {
                missing: vec!["CAP_SYS_ADMIN"],
            })
        }
        Err(error) => Err(Error::Unsupported {
            what: "the plain tracepoint",
            why: error.to_string(),
        }),
    }
}

fn present(yes: bool) -> Status {
    if yes { Status::Present } else { Status::Absent }
}

fn types(facts: &Facts) -> Check {
    Check {
        name: "kernel types (BTF)",
        required: true,
        status: present(facts.btf),
        why: "/sys/kernel/btf/vmlinux".to_owned(),
        remedy: "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs",
    }
}

fn tracepoints(facts: &Facts) -> Check {
    let why = match facts.missing_tracepoint {
        Some(missing) => missing.to_owned(),
        None if facts.btf => "sys_enter, fork, exec, exit, signal_deliver".to_owned(),
        None => "cannot be told without kernel types".to_owned(),
    };
    Check {
        name: "tracepoints",
        required: true,
        status: present(facts.btf && facts.missing_tracepoint.is_none()),
        why,
        remedy: "use a kernel built with CONFIG_FTRACE_SYSCALLS=y",
    }
}

fn storage(facts: &Facts) -> Check {
    Check {
        name: "task storage",
        required: true,
        status: present(facts.task_storage),
        why: "state of threads; tested from Linux 6.1 on".to_owned(),
        remedy: "use Linux 6.1 or later",
    }
}

fn capabilities() -> Check {
    let missing = kernel::missing_capabilities();
    let (status, why) = if missing.is_empty() {
        (Status::Present, "CAP_BPF and CAP_PERFMON".to_owned())
    } else {
        (Status::Refused, format!("without {}", missing.join(", ")))
    };
    Check {
        name: "capabilities",
        required: true,
        status,
        why,
        remedy: "run as root, or give the process these capabilities",
    }
}

fn syscall() -> Check {
    let (status, why) = match kernel::bpf_refusal() {
        None => (Status::Present, "maps can be made".to_owned()),
        Some(error) => (Status::Refused, error.to_string()),
    };
    let lockdown = kernel::lockdown().unwrap_or_else(|| "none".to_owned());
    Check {
        name: "bpf(2)",
        required: true,
        status,
        why: format!("{why}; kernel lockdown: {lockdown}"),
        remedy: "a seccomp filter, a container's profile, or a security module may forbid it",
    }
}

fn entry(facts: &Facts) -> Check {
    let why = if facts.preemptible_tp_btf {
        "this kernel runs tp_btf programs preemptibly: the plain tracepoint is used, which is dearer"
    } else {
        "tp_btf/sys_enter"
    };
    Check {
        name: "cheap system call entry",
        required: false,
        status: present(facts.btf && !facts.preemptible_tp_btf),
        why: why.to_owned(),
        remedy: "",
    }
}

fn tracepoint_id(facts: &Facts) -> Check {
    let (status, why) = match tracepoint::open(ENTRY_TRACEPOINT) {
        Ok(_) => (Status::Present, ENTRY_TRACEPOINT.to_owned()),
        Err(error) => (Status::Refused, error.to_string()),
    };
    Check {
        name: "plain tracepoint",
        required: facts.preemptible_tp_btf,
        status,
        why,
        remedy: "mount tracefs at /sys/kernel/tracing where this user may read it, or add CAP_SYS_ADMIN",
    }
}

fn events(facts: &Facts) -> Check {
    let why = if facts.events_may_skip {
        "a fork, exec or exit may go unseen (Linux 7.0 and later): noticed at the next call"
    } else {
        "no fork, exec or exit goes unseen"
    };
    Check {
        name: "complete process events",
        required: false,
        status: present(!facts.events_may_skip),
        why: why.to_owned(),
        remedy: "",
    }
}

fn cgroups() -> Check {
    let mount = kernel::cgroup_mount();
    Check {
        name: "cgroup v2",
        required: false,
        status: present(mount.is_some()),
        why: mount.map_or_else(
            || "not mounted".to_owned(),
            |mount| mount.display().to_string(),
        ),
        remedy: "mount it to watch a cgroup, or to divide profiles by cgroup",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the report has every check on a line, and a verdict at the end.
    #[test]
    fn report() {
        let report = Preflight::run();
        let text = report.to_string();
        for check in &report.checks {
            assert!(text.contains(check.name), "{text}");
        }
        let verdict = text.lines().last().unwrap();
        assert_eq!(verdict == "ready", report.ready());
    }
}
