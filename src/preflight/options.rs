//! Facts to what a monitor can do without: pure.

use std::path::Path;

use rustix::thread::CapabilitySet;

use super::attempt::Attempt;
use super::check::{Check, CheckId, Status};
use super::facts::{DIRECT_CALLS, Found, NO_DIRECT_CALLS};
use super::needs::REFUSED;
use super::{ENTRY_TRACEPOINT, present};
use crate::sys::probe::Kind;

/// One line for each of them.
pub(super) fn checks(found: &Found) -> Vec<Check> {
    vec![
        cheap_entry(found),
        compiler(found),
        tracefs(found),
        plain_tracepoint(found),
        process_events(found),
        memory(found),
        cgroups(found),
        other_processes(found),
        other_files(found),
        login(found),
        statistics(found),
        io_uring(found),
        send_signal(found),
        cap_kill(found),
        bpf_lsm(found),
        fmod_ret(found),
    ]
}

fn cheap_entry(found: &Found) -> Check {
    let kernel = &found.essentials.kernel;
    let (status, why) = if !kernel.btf {
        (Status::Unknown, "cannot be told without kernel types")
    } else if kernel.preemptible_tp_btf {
        (
            Status::Absent,
            "this kernel runs tp_btf programs preemptibly: the plain tracepoint is used, which is dearer",
        )
    } else {
        (Status::Present, "tp_btf/sys_enter")
    };
    Check::new(CheckId::CheapEntry, status, why)
}

fn compiler(found: &Found) -> Check {
    let (status, why) = match found.compiler {
        Some(true) => (Status::Present, "net.core.bpf_jit_enable is on"),
        Some(false) => (
            Status::Absent,
            "net.core.bpf_jit_enable is 0: programs are interpreted",
        ),
        None => (
            Status::Unknown,
            "net.core.bpf_jit_enable is for root to read",
        ),
    };
    Check::new(CheckId::Compiler, status, why).or(match status {
        Status::Absent => "sysctl net.core.bpf_jit_enable=1",
        _ => "",
    })
}

/// Whether a start with everything at its default watches through the plain tracepoint.
fn plain_is_default(found: &Found) -> bool {
    found.essentials.kernel.preemptible_tp_btf
}

fn tracefs(found: &Found) -> Check {
    let mount = found.tracefs.as_deref();
    let (status, why) = match (found.entry_number, mount) {
        (Attempt::Worked, Some(mount)) => (Status::Present, shown(mount)),
        (Attempt::Worked, None) => (
            Status::Present,
            "not mounted where it is looked for; read through a mount of our own".to_owned(),
        ),
        _ if !found.has_tracefs => (
            Status::Absent,
            "not among the file systems of this kernel".to_owned(),
        ),
        (Attempt::Failed(libc::ENOENT), Some(mount)) => (
            Status::Absent,
            format!("no {ENTRY_TRACEPOINT} in {}", shown(mount)),
        ),
        (attempt, Some(mount)) => (
            Status::Refused,
            format!("{}: {}", shown(mount), attempt.reason()),
        ),
        (attempt, None) => (
            Status::Refused,
            format!(
                "not mounted where this process may look, and it may not mount it ({})",
                attempt.reason()
            ),
        ),
    };
    let mut check = Check::new(CheckId::Tracefs, status, why).or(match status {
        Status::Absent => "use a kernel built with CONFIG_FTRACE_SYSCALLS=y",
        _ => {
            "mount tracefs at /sys/kernel/tracing where this user may read it, or add CAP_SYS_ADMIN"
        }
    });
    check.required = plain_is_default(found);
    check
}

fn plain_tracepoint(found: &Found) -> Check {
    let event = found.entry_event;
    let (status, why) = match event {
        Attempt::Worked => (Status::Present, ENTRY_TRACEPOINT.to_owned()),
        Attempt::Untried => (
            Status::Unknown,
            "cannot be told without its number, which is in tracefs".to_owned(),
        ),
        Attempt::Failed(_) => {
            let mut why = format!("opening {ENTRY_TRACEPOINT}: {}", event.reason());
            if let Some(level) = found.perf_paranoid
                && event.forbidden()
            {
                why += &format!("; kernel.perf_event_paranoid is {level}");
            }
            (Status::Refused, why)
        }
    };
    let mut check = Check::new(CheckId::PlainTracepoint, status, why).or(match event {
        Attempt::Untried => "",
        _ if event.forbidden() => {
            "add CAP_PERFMON; kernels of some distributions ask for CAP_SYS_ADMIN, unless \
             kernel.perf_event_paranoid is 2 or less"
        }
        _ => "let the seccomp filter of the container or service allow perf_event_open(2)",
    });
    check.required = plain_is_default(found);
    check
}

fn process_events(found: &Found) -> Check {
    let skips = found.essentials.kernel.events_may_skip;
    let why = if skips {
        "a fork, exec or exit may go unseen (Linux 7.0 and later): noticed at the next call"
    } else {
        "no fork, exec or exit goes unseen"
    };
    Check::new(CheckId::ProcessEvents, present(!skips), why)
}

/// What to do where BPF cannot be called from the kernel's functions.
const NEWER: &str = "use a newer kernel: for arm64 some are too old for this";

/// What a monitor of the default sizes takes in the kernel, and as much again for its threads, its
/// profiles' past and its queues.
const ROOM: u64 = 64 << 20;

fn memory(found: &Found) -> Check {
    let (status, why) = match &found.memory {
        None => (Status::Present, "no limit found".to_owned()),
        Some((file, limit)) => {
            let enough = *limit >= ROOM;
            let status = if enough {
                Status::Present
            } else {
                Status::Refused
            };
            let megabytes = limit >> 20;
            (status, format!("{}: {megabytes} MiB", shown(file)))
        }
    };
    Check::new(CheckId::Memory, status, why)
        .or("raise it to 64 MiB, or ask for fewer profiles and rows and a smaller ring")
}

fn cgroups(found: &Found) -> Check {
    let mount = found.cgroup.as_deref();
    let why = mount.map_or_else(|| "no mount of it in /proc/self/mounts".to_owned(), shown);
    Check::new(CheckId::Cgroups, present(mount.is_some()), why)
        .or("mount it to watch a cgroup, or to divide profiles by cgroup")
}

fn other_processes(found: &Found) -> Check {
    let have = found.essentials.capabilities;
    let (status, why) = match found.others {
        _ if have.contains(CapabilitySet::SYS_PTRACE) => {
            (Status::Present, "CAP_SYS_PTRACE is in effect".to_owned())
        }
        Attempt::Worked => (Status::Present, "/proc/1/exe can be seen".to_owned()),
        Attempt::Failed(libc::ENOENT) => (
            Status::Refused,
            "without CAP_SYS_PTRACE, and /proc/1 is hidden".to_owned(),
        ),
        other => (
            Status::Refused,
            format!("without CAP_SYS_PTRACE; /proc/1/exe: {}", other.reason()),
        ),
    };
    Check::new(CheckId::OtherProcesses, status, why).or(
        "add CAP_SYS_PTRACE, to know programs in containers again and to look up what the \
         kernel's part could not see",
    )
}

fn other_files(found: &Found) -> Check {
    let have = found.essentials.capabilities;
    let may = have.intersects(CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE);
    let (status, why) = if may {
        (
            Status::Present,
            "CAP_DAC_READ_SEARCH or CAP_DAC_OVERRIDE is in effect",
        )
    } else {
        (
            Status::Refused,
            "without CAP_DAC_READ_SEARCH: programs that this user may not read are not known again",
        )
    };
    Check::new(CheckId::OtherFiles, status, why).or("add CAP_DAC_READ_SEARCH")
}

fn login(found: &Found) -> Check {
    let (status, why) = match found.login {
        Attempt::Worked => (Status::Present, "/proc/self/loginuid".to_owned()),
        Attempt::Failed(libc::ENOENT) => {
            (Status::Absent, "there is no /proc/self/loginuid".to_owned())
        }
        other => (
            Status::Refused,
            format!("/proc/self/loginuid: {}", other.reason()),
        ),
    };
    Check::new(CheckId::LoginUid, status, why).or("use a kernel built with CONFIG_AUDITSYSCALL=y")
}

fn statistics(found: &Found) -> Check {
    let (status, why) = match found.statistics {
        Some(true) => (Status::Present, "kernel.bpf_stats_enabled is 1"),
        Some(false) => (Status::Absent, "kernel.bpf_stats_enabled is 0"),
        None => (Status::Unknown, "kernel.bpf_stats_enabled cannot be read"),
    };
    Check::new(CheckId::Statistics, status, why).or(match status {
        Status::Absent => "sysctl kernel.bpf_stats_enabled=1, which makes every BPF program dearer",
        _ => "",
    })
}

fn io_uring(found: &Found) -> Check {
    if !found.essentials.kernel.btf {
        return unknown(CheckId::IoUring);
    }
    let Some(tracepoint) = found.essentials.kernel.uring else {
        return Check::new(
            CheckId::IoUring,
            Status::Absent,
            "no tracepoint io_uring_submit_req, nor io_uring_submit_sqe as before 6.4: what is \
             submitted goes unseen",
        );
    };
    let name = tracepoint.name();
    let who = match found.uring_disabled {
        Some(2) => "; nobody may set up an io_uring (kernel.io_uring_disabled is 2)",
        Some(1) => {
            "; only root and one group may set up an io_uring (kernel.io_uring_disabled is 1)"
        }
        _ => "",
    };
    Check::new(CheckId::IoUring, Status::Present, format!("{name}{who}"))
}

fn send_signal(found: &Found) -> Check {
    if !found.essentials.kernel.btf {
        return unknown(CheckId::SendSignal);
    }
    let there = found.functions.contains("bpf_send_signal");
    let why = if there {
        "bpf_send_signal"
    } else {
        "no bpf_send_signal among the kernel's types"
    };
    Check::new(CheckId::SendSignal, present(there), why).or("use Linux 6.1 or later")
}

fn cap_kill(found: &Found) -> Check {
    let (status, why) = if found.essentials.may_signal() {
        (Status::Present, "it is in effect")
    } else {
        (
            Status::Refused,
            "without it nothing is delayed or suspended: who is stopped could not be continued",
        )
    };
    Check::new(CheckId::CapKill, status, why).or("add CAP_KILL")
}

fn bpf_lsm(found: &Found) -> Check {
    if !found.essentials.kernel.btf {
        return unknown(CheckId::BpfLsm);
    }
    let compiled = found.functions.contains("bpf_lsm_bprm_check_security");
    let direct = found.functions.contains(DIRECT_CALLS);
    let attempt = found.program(Kind::Lsm);
    let list = found.modules.as_ref();
    let (status, why) = match list {
        _ if !compiled => (
            Status::Absent,
            "no bpf_lsm_bprm_check_security among the kernel's types".to_owned(),
        ),
        _ if !direct => (Status::Absent, NO_DIRECT_CALLS.to_owned()),
        _ if matches!(attempt, Attempt::Failed(_)) => (
            Status::Refused,
            format!("loading lsm/bprm_check_security: {}", attempt.reason()),
        ),
        Some(list) if list.iter().any(|module| module == "bpf") => (
            Status::Present,
            format!("active security modules: {}", list.join(", ")),
        ),
        Some(list) => (
            Status::Refused,
            format!(
                "bpf is not among the active security modules: {}",
                list.join(", ")
            ),
        ),
        None => (
            Status::Unknown,
            "the list of active security modules is in securityfs, which is not mounted".to_owned(),
        ),
    };
    Check::new(CheckId::BpfLsm, status, why).or(match status {
        Status::Absent if !direct => NEWER,
        Status::Absent => "use a kernel built with CONFIG_BPF_LSM=y",
        Status::Unknown => "mount securityfs at /sys/kernel/security to see",
        _ if matches!(attempt, Attempt::Failed(_)) => REFUSED,
        _ => "start the kernel with bpf at the end of its lsm= list",
    })
}

fn fmod_ret(found: &Found) -> Check {
    if !found.essentials.kernel.btf {
        return unknown(CheckId::FmodRet);
    }
    let there = ["bpf_trampoline_link_prog", "security_bprm_check"]
        .iter()
        .all(|name| found.functions.contains(name));
    let attempt = found.program(Kind::FmodRet);
    let direct = found.functions.contains(DIRECT_CALLS);
    let (status, why) = match attempt {
        _ if !direct => (Status::Absent, NO_DIRECT_CALLS.to_owned()),
        _ if !there => (
            Status::Absent,
            "no BPF trampolines, or no security_bprm_check".to_owned(),
        ),
        Attempt::Worked => (Status::Present, "security_bprm_check: tried".to_owned()),
        Attempt::Untried => (Status::Present, "security_bprm_check: not tried".to_owned()),
        Attempt::Failed(_) => (
            Status::Refused,
            format!("security_bprm_check: {}", attempt.reason()),
        ),
    };
    Check::new(CheckId::FmodRet, status, why).or(match status {
        Status::Refused => REFUSED,
        _ if !direct => NEWER,
        _ => "use the BPF security module instead",
    })
}

/// A path that somebody else may have named.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

fn unknown(id: CheckId) -> Check {
    Check::new(id, Status::Unknown, "cannot be told without kernel types")
}
