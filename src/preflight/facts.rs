//! What there is to be found out, without a change to anything: no decision, no word.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::thread::CapabilitySet;

use super::ENTRY_TRACEPOINT;
use super::attempt::Attempt;
use crate::kernel::{self, Facts};
use crate::sys::probe::{self, Kind};
use crate::sys::{self, btf, tracepoint};

/// What programs of both kinds are attached by; without it they load all the same.
pub(super) const DIRECT_CALLS: &str = "register_ftrace_direct";
pub(super) const NO_DIRECT_CALLS: &str =
    "this kernel cannot call BPF programs from its functions (no register_ftrace_direct)";

/// Functions of the kernel that show what it can do.
pub(super) const FUNCTIONS: [&str; 10] = [
    "__sys_bpf",
    "bpf_loop",
    "bpf_ringbuf_reserve",
    "bpf_prog_test_run_syscall",
    "bpf_seq_write",
    "bpf_send_signal",
    "bpf_lsm_bprm_check_security",
    "bpf_trampoline_link_prog",
    "security_bprm_check",
    DIRECT_CALLS,
];

/// What a program of each kind is tried for, and never attached to.
const TARGETS: [(Kind, &str); 5] = [
    (Kind::TpBtf, "btf_trace_sys_enter"),
    (Kind::Iter, "bpf_iter_task"),
    (Kind::Syscall, ""),
    (Kind::Lsm, "bpf_lsm_bprm_check_security"),
    (Kind::FmodRet, "security_bprm_check"),
];

/// What a start looks at as well: cheap.
#[derive(Debug, Clone)]
pub(crate) struct Essentials {
    pub kernel: Facts,
    pub capabilities: CapabilitySet,
    /// In a user namespace other than the first, capabilities do not count for bpf(2).
    pub own_user_namespace: bool,
    /// Whether a seccomp filter is in force.
    pub filtered: bool,
    /// The mode of kernel lockdown, where it can be read.
    pub lockdown: Option<String>,
    /// To make a small map.
    pub map: Attempt,
}

impl Essentials {
    pub(crate) fn gather() -> Self {
        let sets = rustix::thread::capabilities(None);
        Self {
            kernel: Facts::gather(),
            capabilities: sets.map_or(CapabilitySet::empty(), |sets| sets.effective),
            own_user_namespace: own_user_namespace(),
            filtered: filtered(),
            lockdown: kernel::lockdown(),
            map: Attempt::of(sys::try_map()),
        }
    }

    /// The capabilities that are needed and not there. `CAP_SYS_ADMIN` stands for both of the
    /// others.
    pub(crate) fn missing_capabilities(&self) -> Vec<&'static str> {
        let needed = [
            (CapabilitySet::BPF, "CAP_BPF"),
            (CapabilitySet::PERFMON, "CAP_PERFMON"),
        ];
        let missing = needed.into_iter().filter(|(needed, _)| {
            let enough = *needed | CapabilitySet::SYS_ADMIN;
            !self.capabilities.intersects(enough)
        });
        missing.map(|(_, name)| name).collect()
    }
}

/// Everything that a report is made from.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub essentials: Essentials,
    /// How the kernel's types can be read.
    pub types: Attempt,
    /// Those of [`FUNCTIONS`] that this kernel has; none where its types cannot be read.
    pub functions: BTreeSet<&'static str>,
    /// The sysctl `kernel.io_uring_disabled`: 0 to 2.
    pub uring_disabled: Option<u32>,
    pub ring: Attempt,
    /// Whether programs may read the kernel's memory.
    pub reads: Option<bool>,
    /// A program of each kind, verified and given back.
    pub programs: BTreeMap<Kind, Attempt>,
    /// Names of the active security modules.
    pub modules: Option<Vec<String>>,
    /// Where tracefs is mounted and shows tracepoints.
    pub tracefs: Option<PathBuf>,
    /// Whether this kernel has tracefs at all.
    pub has_tracefs: bool,
    /// To read the number of the tracepoint at the entry of system calls.
    pub entry_number: Attempt,
    /// To open it as a perf event.
    pub entry_event: Attempt,
    /// The sysctl `kernel.perf_event_paranoid`.
    pub perf_paranoid: Option<i64>,
    /// Where cgroup v2 is mounted.
    pub cgroup: Option<PathBuf>,
    /// The tightest limit of memory that cgroups put on this process: where, and in bytes.
    pub memory: Option<(PathBuf, u64)>,
    /// To read the audit facility's user id of this process.
    pub login: Attempt,
    /// To see which file the first process runs.
    pub others: Attempt,
    /// The sysctl `kernel.bpf_stats_enabled`.
    pub statistics: Option<bool>,
    /// The sysctl `net.core.bpf_jit_enable`, which only root may read.
    pub compiler: Option<bool>,
}

impl Found {
    /// Finds everything out. Leaves nothing behind.
    pub(crate) fn gather() -> Self {
        let essentials = Essentials::gather();
        let types = match fs::File::open(btf::PATH) {
            Ok(_) if essentials.kernel.btf => Attempt::Worked,
            Ok(_) => Attempt::Failed(libc::EINVAL),
            Err(error) => Attempt::of::<()>(Err(error)),
        };
        let mut found = Self {
            types,
            functions: BTreeSet::new(),
            uring_disabled: sysctl("kernel/io_uring_disabled"),
            ring: Attempt::Untried,
            reads: None,
            programs: BTreeMap::new(),
            modules: security_modules(),
            tracefs: tracefs(),
            has_tracefs: file_systems().is_none_or(|list| list.contains("tracefs")),
            entry_number: Attempt::Untried,
            entry_event: Attempt::Untried,
            perf_paranoid: sysctl("kernel/perf_event_paranoid"),
            memory: memory_limit(),
            cgroup: kernel::cgroup_mount(),
            login: Attempt::of(fs::read_to_string("/proc/self/loginuid")),
            others: Attempt::of(fs::read_link("/proc/1/exe")),
            statistics: sysctl("kernel/bpf_stats_enabled").map(|value: u32| value != 0),
            compiler: sysctl("net/core/bpf_jit_enable").map(|value: u32| value != 0),
            essentials,
        };
        found.try_tracepoint();
        let targets = TARGETS.iter().map(|(_, name)| *name);
        if let Some(numbers) = btf::numbers(FUNCTIONS.into_iter().chain(targets)) {
            found.look_at(&numbers);
        }
        found
    }

    fn try_tracepoint(&mut self) {
        let number = tracepoint::id(ENTRY_TRACEPOINT);
        if let Ok(number) = number {
            self.entry_event = Attempt::of(tracepoint::open_id(number));
        }
        self.entry_number = Attempt::of(number);
    }

    fn look_at(&mut self, numbers: &BTreeMap<&'static str, u32>) {
        let known = FUNCTIONS.into_iter();
        self.functions = known.filter(|name| numbers.contains_key(name)).collect();
        // Without these every attempt would fail for the same reason, which is told elsewhere.
        let missing = self.essentials.missing_capabilities();
        if self.essentials.map != Attempt::Worked || !missing.is_empty() {
            return;
        }
        self.ring = Attempt::of(probe::try_ring());
        self.reads = probe::reads_memory();
        for (kind, target) in TARGETS {
            let number = match target {
                "" => Some(0),
                _ => numbers.get(target).copied(),
            };
            let attempt = number.map_or(Attempt::Untried, |number| {
                Attempt::of(probe::try_program(kind, number))
            });
            self.programs.insert(kind, attempt);
        }
    }

    /// How the attempt went to have a program of this kind verified.
    pub(crate) fn program(&self, kind: Kind) -> Attempt {
        self.programs
            .get(&kind)
            .copied()
            .unwrap_or(Attempt::Untried)
    }
}

/// Reads a number below `/proc/sys`.
fn sysctl<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    text.trim().parse().ok()
}

fn own_user_namespace() -> bool {
    use std::os::unix::fs::MetadataExt as _;

    // `PROC_USER_INIT_INO`, which the first one has had since there are such namespaces.
    const FIRST: u64 = 0xEFFF_FFFD;

    fs::metadata("/proc/self/ns/user").is_ok_and(|namespace| namespace.ino() != FIRST)
}

/// Whether a seccomp filter, or the strict mode, is in force for this thread.
fn filtered() -> bool {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .is_some_and(|mode| mode.trim() != "0")
}

fn file_systems() -> Option<BTreeSet<String>> {
    let list = fs::read_to_string("/proc/filesystems").ok()?;
    let names = list
        .lines()
        .filter_map(|line| line.split_whitespace().last());
    Some(names.map(str::to_owned).collect())
}

/// The tightest limit of the cgroup that this process is in and those above it, in either version.
fn memory_limit() -> Option<(PathBuf, u64)> {
    let own = fs::read_to_string("/proc/self/cgroup").ok()?;
    let read = |file: &Path| fs::read_to_string(file).ok();
    let of = |mount: Option<PathBuf>, line, name| {
        let folder = own_cgroup(&own, line)?;
        tightest(&mount?, folder, name, read)
    };
    let second = of(kernel::cgroup_mount(), "", "memory.max");
    let first = of(kernel::memory_mount(), "memory", "memory.limit_in_bytes");
    second
        .into_iter()
        .chain(first)
        .min_by_key(|(_, limit)| *limit)
}

/// The cgroup of this process in the hierarchy that has this controller; that of version 2 has none.
fn own_cgroup<'a>(list: &'a str, controller: &str) -> Option<&'a Path> {
    list.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(":/")?;
        let is_it = controllers.split(',').any(|one| one == controller);
        is_it.then(|| Path::new(path))
    })
}

fn tightest(
    mount: &Path,
    own: &Path,
    name: &str,
    read: impl Fn(&Path) -> Option<String>,
) -> Option<(PathBuf, u64)> {
    /// Version 1 has a number for no limit, which is that of the last page.
    const NONE: u64 = 1 << 62;

    own.ancestors()
        .filter_map(|folder| {
            let file = mount.join(folder).join(name);
            // `max` is no limit, and no number.
            let limit = read(&file)?.trim().parse().ok()?;
            (limit < NONE).then_some((file, limit))
        })
        .min_by_key(|(_, limit)| *limit)
}

fn tracefs() -> Option<PathBuf> {
    let mut mounts = tracepoint::MOUNTS.iter().map(Path::new);
    mounts
        .find(|mount| mount.join("events").exists())
        .map(Path::to_owned)
}

/// The active security modules: by the list in securityfs, which need not be mounted, or by a
/// system call, which is newer.
pub(super) fn security_modules() -> Option<Vec<String>> {
    let list = fs::read_to_string("/sys/kernel/security/lsm");
    if let Ok(list) = list {
        return Some(list.trim().split(',').map(str::to_owned).collect());
    }
    let modules: io::Result<Vec<u64>> = probe::security_modules();
    Some(modules.ok()?.into_iter().map(module_name).collect())
}

/// The name that securityfs has for the number of a security module (`uapi/linux/lsm.h`).
fn module_name(number: u64) -> String {
    let name = match number {
        100 => "capability",
        101 => "selinux",
        102 => "smack",
        103 => "tomoyo",
        104 => "apparmor",
        105 => "yama",
        106 => "loadpin",
        107 => "safesetid",
        108 => "lockdown",
        109 => "bpf",
        110 => "landlock",
        111 => "ima",
        112 => "evm",
        113 => "ipe",
        _ => return format!("number {number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that of the limits on a path of cgroups the tightest counts, and that none is none.
    #[test]
    fn limits() {
        let files = |file: &Path| match file.to_str()? {
            "/cg/a/b/memory.max" => Some("max\n".to_owned()),
            "/cg/a/memory.max" => Some("4096\n".to_owned()),
            "/cg/memory.max" => Some("8192\n".to_owned()),
            "/v1/a/memory.limit_in_bytes" => Some("4096\n".to_owned()),
            "/v1/memory.limit_in_bytes" => Some("9223372036854771712\n".to_owned()),
            _ => None,
        };
        let of = |mount, own, name| tightest(Path::new(mount), Path::new(own), name, files);
        let found = of("/cg", "a/b", "memory.max");
        assert_eq!(found, Some((PathBuf::from("/cg/a/memory.max"), 4096)));
        assert_eq!(of("/other", "a", "memory.max"), None);
        let found = of("/v1", "a", "memory.limit_in_bytes");
        let file = PathBuf::from("/v1/a/memory.limit_in_bytes");
        assert_eq!(found, Some((file, 4096)));
        let list = "4:cpu,memory:/a/b\n1:name=systemd:/c\n0::/d\n";
        assert_eq!(own_cgroup(list, "memory"), Some(Path::new("a/b")));
        assert_eq!(own_cgroup(list, ""), Some(Path::new("d")));
        assert_eq!(own_cgroup(list, "pids"), None);
    }

    /// Check that a process finds out about itself what it may always know.
    #[test]
    fn of_this_process() {
        let found = Found::gather();
        assert!(!found.essentials.kernel.release.is_empty());
        assert!(file_systems().is_some_and(|list| list.contains("proc")));
        assert_eq!(module_name(109), "bpf");
        assert_eq!(module_name(999), "number 999");
    }
}
