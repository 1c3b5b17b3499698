//! What surrounds a call that is reported: who runs the program, from where, and by whose doing.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::container::Container;

/// How something about a process came to be known.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Source {
    /// The kernel's part saw it at the moment of the call.
    Call,
    /// It was looked up in /proc afterwards, of a process whose pid and start are those of the
    /// caller: what the process has changed since the call is seen changed.
    Late,
    /// It could not be found out.
    #[default]
    Unknown,
    /// It was left out on request.
    Redacted,
}

/// Something about a process, and how it came to be known.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact<T> {
    /// What is known. `None` if nothing is ([`Source::Unknown`], [`Source::Redacted`]), or if it is
    /// known that there is none.
    pub value: Option<T>,
    /// How it is known.
    pub source: Source,
    /// Whether a part of it is missing: of a path its beginning, of a list its end.
    pub truncated: bool,
}

impl<T> Fact<T> {
    /// Something the kernel saw at the call; `None`: that there is none.
    pub fn at_call(value: impl Into<Option<T>>) -> Self {
        Self {
            value: value.into(),
            source: Source::Call,
            truncated: false,
        }
    }

    /// Something looked up after the call; `None`: that there is none.
    pub fn late(value: impl Into<Option<T>>) -> Self {
        Self {
            source: Source::Late,
            ..Self::at_call(value)
        }
    }

    /// Something left out on request.
    pub fn redacted() -> Self {
        Self {
            source: Source::Redacted,
            ..Self::default()
        }
    }

    /// The same, with a part missing or not.
    #[must_use]
    pub fn cut(self, truncated: bool) -> Self {
        Self { truncated, ..self }
    }

    /// Tells whether nothing is known, not even that there is nothing.
    pub fn is_unknown(&self) -> bool {
        self.source == Source::Unknown
    }
}

impl<T> Default for Fact<T> {
    /// Nothing is known.
    fn default() -> Self {
        Self {
            value: None,
            source: Source::Unknown,
            truncated: false,
        }
    }
}

/// What surrounds a call that is reported.
///
/// Gathered by the kernel's part at the moment of the call, so that it is right even of a process
/// that has ended by the time anybody reads it. What could not be had there is looked up
/// afterwards where that is safe, and says so ([`Source::Late`]).
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// The file that runs, in full, as the process sees it from its root. For a script the
    /// interpreter. At most 4,095 bytes.
    pub exe: Fact<PathBuf>,
    /// Whether that file has no name any more, or not that one, or never had one.
    pub exe_deleted: bool,
    /// The arguments, the program's own name first. A program can change what is seen here. At most
    /// 1,023 bytes.
    pub args: Fact<Vec<OsString>>,
    /// The working directory, as the process sees it from its root. At most 4,095 bytes.
    pub cwd: Fact<PathBuf>,
    /// Its parent, the parent's parent and so on, up to eight; the first process of the system is
    /// the last, unless it is truncated.
    pub ancestors: Fact<Vec<Ancestor>>,
    /// Path of the cgroup (v2) from the root of the hierarchy. At most 1,023 bytes.
    pub cgroup: Fact<PathBuf>,
    /// The container it is in, as far as the names of its cgroups tell.
    pub container: Fact<Container>,
    /// The namespaces it is in.
    pub namespaces: Namespaces,
    /// Its pid within its own pid namespace.
    pub pid_inside: Option<u32>,
    /// The user who logged in to begin with, whatever became of the user id since; none for what
    /// no login began. Unknown if the kernel does not audit.
    pub login_uid: Fact<u32>,
    /// The number of that login's session.
    pub audit_session: Fact<u32>,
    /// What it may do, in effect.
    pub capabilities: Fact<Capabilities>,
}

/// A process that another one descends from.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ancestor {
    /// Its id; `None` if it is not visible in the monitor's pid namespace.
    pub pid: Option<u32>,
    /// When it started, since boot: with the pid unique, however often a pid is reused.
    pub start: Duration,
    /// Its name, which it chooses itself; what is not UTF-8 is replaced.
    pub comm: String,
    /// Whether something in [`Ancestor::comm`] was replaced.
    pub comm_lossy: bool,
    /// Its real user id, in the initial user namespace.
    pub uid: u32,
    /// The file that it runs, as the process that made the call would see it. At most 255 bytes,
    /// from its end.
    pub exe: Fact<PathBuf>,
}

/// The namespaces of a process, by their inode numbers, as `/proc/PID/ns` shows them.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Namespaces {
    /// Of process ids.
    pub pid: Option<u32>,
    /// Of mounts.
    pub mnt: Option<u32>,
    /// Of the network.
    pub net: Option<u32>,
    /// Of users and groups.
    pub user: Option<u32>,
    /// Of the host's name.
    pub uts: Option<u32>,
    /// Of System V and POSIX message queues.
    pub ipc: Option<u32>,
    /// Of cgroups.
    pub cgroup: Option<u32>,
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u64);

/// By number; capabilities(7) lists them.
const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

impl Capabilities {
    /// Makes a set of its bits, as `CapEff` in `/proc/PID/status` shows them.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Tells whether the capability of a number is in the set.
    pub const fn contains(self, number: u32) -> bool {
        number < u64::BITS && self.0 >> number & 1 != 0
    }

    /// Returns the names of those in the set, by number; one this version does not know is called
    /// as in `CAP_41`.
    pub fn names(self) -> impl Iterator<Item = String> {
        (0..u64::BITS)
            .filter(move |number| self.contains(*number))
            .map(|number| match NAMES.get(number as usize) {
                Some(name) => (*name).to_owned(),
                None => format!("CAP_{number}"),
            })
    }

    /// Returns the set of one capability; `None` if nothing is called so.
    pub fn named(name: &str) -> Option<Self> {
        let number = match NAMES.iter().position(|known| *known == name) {
            Some(number) => number,
            None => name.strip_prefix("CAP_")?.parse().ok()?,
        };
        (number < 64).then(|| Self(1 << number))
    }

    /// Returns what is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that capabilities have the numbers that the kernel's header gives them.
    #[test]
    fn capability_numbers() {
        let header = std::fs::read_to_string("/usr/include/linux/capability.h")
            .expect("the kernel's headers (linux-libc-dev) are needed");
        for (number, name) in NAMES.iter().enumerate() {
            let line = header
                .lines()
                .find(|line| {
                    line.starts_with("#define") && line.split_whitespace().nth(1) == Some(name)
                })
                .unwrap_or_else(|| panic!("{name}"));
            let defined = line.split_whitespace().nth(2);
            assert_eq!(defined, Some(number.to_string().as_str()), "{name}");
        }
    }

    /// Check that names lead back to their bits, those of later kernels too.
    #[test]
    fn capability_names() {
        let set = Capabilities::from_bits(1 << 21 | 1 << 39 | 1 << 63);
        let names: Vec<_> = set.names().collect();
        assert_eq!(names, ["CAP_SYS_ADMIN", "CAP_BPF", "CAP_63"]);
        let back = names
            .iter()
            .map(|name| Capabilities::named(name).unwrap())
            .fold(Capabilities::default(), Capabilities::union);
        assert_eq!(back, set);
        for wrong in ["", "CAP_", "CAP_64", "CAP_-1", "BPF", "CAP_NOTHING"] {
            assert_eq!(Capabilities::named(wrong), None, "{wrong}");
        }
    }
}
