//! Facts to what every monitor needs: pure.

use rustix::thread::CapabilitySet;

use super::attempt::Attempt;
use super::check::{Check, CheckId, Status};
use super::facts::{Essentials, Found};
use crate::error::{Error, Result};
use crate::plan;
use crate::sys::probe::Kind;

/// What no monitor can do without, as far as a start asks beforehand.
pub(super) fn require(found: &Essentials) -> Result<()> {
    plan::require(&found.kernel)?;
    let missing = found.missing_capabilities();
    if !missing.is_empty() {
        return Err(Error::NotPrivileged { missing });
    }
    if found.map != Attempt::Worked {
        return Err(Error::BpfDenied { why: denial(found) });
    }
    match &found.lockdown {
        Some(mode) if mode == CONFIDENTIALITY => Err(Error::BpfDenied {
            why: "kernel lockdown is in confidentiality mode, which forbids BPF programs to read \
                  the kernel's memory"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

/// The mode of kernel lockdown in which no BPF program may read the kernel's memory.
const CONFIDENTIALITY: &str = "confidentiality";

/// Why no map could be made, as far as can be told.
fn denial(found: &Essentials) -> String {
    let said = found.map.reason();
    if found.own_user_namespace {
        format!("making a map: {said}; this process is in a user namespace of its own")
    } else if found.filtered {
        format!("making a map: {said}; a seccomp filter is in force")
    } else {
        format!("making a map: {said}")
    }
}

/// One line for each thing that is needed.
pub(super) fn checks(found: &Found) -> Vec<Check> {
    vec![
        types(found),
        tracepoints(found),
        task_storage(found),
        ring_buffer(found),
        loops(found),
        commands(found),
        task_walk(found),
        capability(found, CheckId::CapBpf, CapabilitySet::BPF),
        capability(found, CheckId::CapPerfmon, CapabilitySet::PERFMON),
        user_namespace(found),
        bpf(found),
        lockdown(found),
    ]
}

/// Where the kernel's types say whether it has something.
const NO_TYPES: &str = "cannot be told without kernel types";

fn types(found: &Found) -> Check {
    let path = "/sys/kernel/btf/vmlinux";
    let (status, why) = match found.types {
        Attempt::Worked => (Status::Present, path.to_owned()),
        Attempt::Failed(libc::ENOENT) => (Status::Absent, format!("there is no {path}")),
        Attempt::Failed(libc::EINVAL) => (Status::Absent, format!("{path} cannot be understood")),
        other => (Status::Refused, format!("{path}: {}", other.reason())),
    };
    Check::new(CheckId::Types, status, why).or(
        "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, and mount sysfs at /sys with nothing \
         over /sys/kernel/btf",
    )
}

/// A line about something whose presence the kernel's types tell, and which may be tried.
fn by_types(
    found: &Found,
    id: CheckId,
    there: bool,
    attempt: Attempt,
    what: &str,
    remedy: &'static str,
) -> Check {
    let types = found.essentials.kernel.btf;
    let (status, why) = match attempt {
        _ if !types => (Status::Unknown, NO_TYPES.to_owned()),
        _ if !there => (
            Status::Absent,
            format!("{what}: not among the kernel's types"),
        ),
        Attempt::Worked => (Status::Present, format!("{what}: tried")),
        Attempt::Untried => (Status::Present, what.to_owned()),
        Attempt::Failed(_) => (Status::Refused, format!("{what}: {}", attempt.reason())),
    };
    let remedy = match status {
        Status::Refused => REFUSED,
        Status::Unknown => "",
        _ => remedy,
    };
    Check::new(id, status, why).or(remedy)
}

/// What to do when the kernel refuses something although the privileges are there.
pub(super) const REFUSED: &str =
    "look for a security module, kernel lockdown, or a limit of memory that forbids it";

const OLD: &str = "use Linux 6.1 or later";

fn tracepoints(found: &Found) -> Check {
    let missing = found.essentials.kernel.missing_tracepoint;
    let what = missing.unwrap_or("sys_enter, fork, exec, exit, signal_deliver");
    by_types(
        found,
        CheckId::Tracepoints,
        missing.is_none(),
        found.program(Kind::TpBtf),
        what,
        "use a kernel built with CONFIG_FTRACE_SYSCALLS=y",
    )
}

fn task_storage(found: &Found) -> Check {
    let there = found.essentials.kernel.task_storage;
    // That of a thread is made when it makes its first call: there is nothing to be tried.
    let attempt = Attempt::Untried;
    let mut check = by_types(found, CheckId::TaskStorage, there, attempt, "", OLD);
    match check.status {
        Status::Present => "bpf_task_storage_get".clone_into(&mut check.why),
        Status::Absent => {
            "no bpf_task_storage_get among the kernel's types".clone_into(&mut check.why)
        }
        _ => (),
    }
    check
}

fn ring_buffer(found: &Found) -> Check {
    let there = found.functions.contains("bpf_ringbuf_reserve");
    by_types(
        found,
        CheckId::RingBuffer,
        there,
        found.ring,
        "bpf_ringbuf_reserve",
        OLD,
    )
}

fn loops(found: &Found) -> Check {
    let there = found.functions.contains("bpf_loop");
    by_types(
        found,
        CheckId::Loops,
        there,
        Attempt::Untried,
        "bpf_loop",
        OLD,
    )
}

fn commands(found: &Found) -> Check {
    let there = found.functions.contains("bpf_prog_test_run_syscall");
    let attempt = found.program(Kind::Syscall);
    by_types(
        found,
        CheckId::Commands,
        there,
        attempt,
        "SEC(\"syscall\")",
        OLD,
    )
}

fn task_walk(found: &Found) -> Check {
    let there = found.functions.contains("bpf_seq_write");
    let attempt = found.program(Kind::Iter);
    by_types(
        found,
        CheckId::TaskWalk,
        there,
        attempt,
        "SEC(\"iter/task\")",
        OLD,
    )
}

fn capability(found: &Found, id: CheckId, needed: CapabilitySet) -> Check {
    let have = found.essentials.capabilities;
    let (status, why) = if have.contains(needed) {
        (Status::Present, "in effect".to_owned())
    } else if have.contains(CapabilitySet::SYS_ADMIN) {
        (
            Status::Present,
            "CAP_SYS_ADMIN is in effect and includes it".to_owned(),
        )
    } else {
        (Status::Refused, format!("without {}", id.name()))
    };
    Check::new(id, status, why).or("run as root, or give the process this capability")
}

fn user_namespace(found: &Found) -> Check {
    let (status, why) = if found.essentials.own_user_namespace {
        (
            Status::Refused,
            "in a user namespace of its own, where capabilities do not count for bpf(2)",
        )
    } else {
        (Status::Present, "/proc/self/ns/user")
    };
    Check::new(CheckId::UserNamespace, status, why)
        .or("run it outside, or in a container without a user namespace")
}

fn bpf(found: &Found) -> Check {
    let essentials = &found.essentials;
    let map = essentials.map;
    let known = found.functions.contains("__sys_bpf");
    let status = match map {
        Attempt::Worked => Status::Present,
        // A filter can say this as well; the kernel's types show that it is not true.
        Attempt::Failed(libc::ENOSYS) if !known && !essentials.filtered => Status::Absent,
        Attempt::Untried => Status::Unknown,
        Attempt::Failed(_) => Status::Refused,
    };
    let mut why = match map {
        Attempt::Worked => "a map can be made".to_owned(),
        _ => denial(essentials),
    };
    if status == Status::Refused
        && let Some(modules) = &found.modules
    {
        why += &format!("; security modules: {}", modules.join(", "));
    }
    let privileged = essentials.missing_capabilities().is_empty();
    let remedy = match status {
        Status::Absent => "use a kernel built with CONFIG_BPF_SYSCALL=y",
        _ if essentials.filtered => {
            "let the seccomp filter of the container or service allow bpf(2) and perf_event_open(2)"
        }
        _ if essentials.own_user_namespace || !privileged => {
            "see the lines about capabilities and the user namespace"
        }
        _ => REFUSED,
    };
    Check::new(CheckId::Bpf, status, why).or(remedy)
}

fn lockdown(found: &Found) -> Check {
    let active = found
        .modules
        .as_ref()
        .map(|all| all.iter().any(|one| one == "lockdown"));
    let (status, why) = match (&found.essentials.lockdown, active) {
        (Some(mode), _) if mode == CONFIDENTIALITY => (Status::Refused, format!("mode: {mode}")),
        (Some(mode), _) => (Status::Present, format!("mode: {mode}")),
        (None, _) if found.reads == Some(true) => (
            Status::Present,
            "bpf_probe_read_kernel: tried; the mode cannot be read".to_owned(),
        ),
        (None, Some(true)) if found.reads == Some(false) => (
            Status::Refused,
            "bpf_probe_read_kernel: refused; the mode cannot be read".to_owned(),
        ),
        (None, Some(false)) => (
            Status::Present,
            "not among the active security modules".to_owned(),
        ),
        (None, _) => (
            Status::Unknown,
            "its mode is in securityfs, which is not mounted or may not be read".to_owned(),
        ),
    };
    Check::new(CheckId::Lockdown, status, why).or(match status {
        Status::Unknown => "mount securityfs at /sys/kernel/security to see",
        _ => "start the kernel without lockdown=confidentiality",
    })
}
