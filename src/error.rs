//! What can go wrong, by what can be done about it.

use std::io;
use std::path::PathBuf;

use crate::event::Capacity;
use crate::key::Key;
use crate::profile::FormatError;

/// The result of whatever can fail with an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the monitor could not start, or could not do what it was asked.
///
/// A message is whole: what caused the error stands in it, and in the field `cause`. It is not the
/// [`source`](std::error::Error::source) as well, so what prints chains of errors does not say it twice.
///
/// # Examples
///
/// ```no_run
/// use ebph::{Error, Monitor};
///
/// match Monitor::builder().start() {
///     Ok(monitor) => drop(monitor),
///     Err(Error::NotPrivileged { missing }) => eprintln!("ask for {}", missing.join(" and ")),
///     Err(Error::KernelTooOld { .. } | Error::NoBtf) => eprintln!("go on without"),
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process lacks capabilities.
    #[error("missing privileges: run as root, or with {}", missing.join(", "))]
    NotPrivileged {
        /// Names of the capabilities that are missing, as in `CAP_BPF`.
        missing: Vec<&'static str>,
    },
    /// The kernel describes no types to BPF programs.
    #[error(
        "there is no /sys/kernel/btf/vmlinux to be read: the kernel must be built with CONFIG_DEBUG_INFO_BTF=y, and sysfs mounted"
    )]
    NoBtf,
    /// The kernel is older than what the monitor needs.
    #[error("this kernel is too old: {needs} is needed, found {found}")]
    KernelTooOld {
        /// The oldest version, or the feature, that is needed.
        needs: &'static str,
        /// The version that runs.
        found: String,
    },
    /// This kernel cannot do something that was asked for.
    #[error("{what} cannot be had here: {why}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What stands in the way.
        why: String,
    },
    /// The kernel refuses BPF although the privileges are there.
    #[error(
        "the kernel refused bpf(2) ({why}): a seccomp filter, kernel lockdown, or a security \
         module forbids it"
    )]
    BpfDenied {
        /// The program, map or operation that was refused.
        why: String,
    },
    /// There is no process with this id in the caller's pid namespace.
    #[error("no process with pid {0}")]
    NoSuchProcess(u32),
    /// There is nothing at the path of a cgroup.
    #[error(
        "no cgroup at {}: version 2 is mounted at /sys/fs/cgroup, or at /sys/fs/cgroup/unified beside version 1",
        .0.display()
    )]
    NoSuchCgroup(PathBuf),
    /// The path exists and is not a directory of the cgroup v2 file system.
    #[error("{} is not a cgroup v2 directory", .0.display())]
    NotACgroup(PathBuf),
    /// A setting has a value nothing can work with.
    #[error("{name} cannot be {value}: {reason}")]
    InvalidSetting {
        /// The setting's name.
        name: &'static str,
        /// The value it was given.
        value: String,
        /// What it must be.
        reason: String,
    },
    /// A step of a replay names a thread, a profile or a call that the kernel has no place for.
    #[error("a step of {what} {value} cannot be replayed: {reason}")]
    InvalidStep {
        /// Which of them.
        what: &'static str,
        /// The one it names.
        value: String,
        /// What there is.
        reason: String,
    },
    /// There is no profile with this key.
    #[error("no profile with key {0}")]
    NoSuchProfile(Key),
    /// A profile cannot be forgotten while a process runs on it.
    #[error("profile {key} is in use by {}: end it, or reset the profile instead", user(*pid))]
    ProfileInUse {
        /// The profile's key.
        key: Key,
        /// One process that uses it; `None` if none of them is visible in the caller's pid namespace.
        pid: Option<u32>,
    },
    /// Only a frozen profile can be thawed.
    #[error("profile {0} is not frozen")]
    NotFrozen(Key),
    /// Only a profile that is not frozen can be frozen.
    #[error("profile {0} is frozen already")]
    AlreadyFrozen(Key),
    /// Only a normal profile can be tolerized.
    #[error("profile {0} is not normal")]
    NotNormal(Key),
    /// The profile was in the middle of a transition for too long.
    #[error("profile {0} is busy: try again")]
    Busy(Key),
    /// The monitor was started without a folder for profiles.
    #[error("no folder for profiles was given at the start")]
    NoProfileDirectory,
    /// Another monitor keeps its profiles in this folder.
    #[error("another monitor keeps its profiles in {}: give each a folder of its own", .0.display())]
    ProfileDirectoryInUse(PathBuf),
    /// A profile does not say which executable it is of.
    #[error("the profile does not say which executable it belongs to")]
    NoExecutable,
    /// A profile was learnt with another window than the kernel's.
    #[error("the profile was learnt with a window of {0} calls, the kernel judges by 9")]
    WrongWindow(u8),
    /// A profile is not for whom this monitor tells programs apart by.
    #[error(
        "this monitor does not tell programs apart as the profile does: by user, by cgroup, or scripts \
         from their interpreters"
    )]
    WrongPartition,
    /// There is no room for a profile.
    #[error("no room for the profile: {} are used up", .0.as_str())]
    NoRoom(Capacity),
    /// A program or map could not be loaded into the kernel.
    #[error("cannot load {object}: {cause}")]
    Load {
        /// The name of the program or map.
        object: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// A program could not be attached.
    #[error("cannot attach {program}: {cause}")]
    Attach {
        /// The name of the program.
        program: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// A file is no profile that can be used.
    #[error("profile file {}: {cause}", path.display())]
    ProfileFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: FormatError,
    },
    /// A folder for profiles is one in which others could put theirs.
    #[error("profile folder {} (mode {mode:04o}): {why}", path.display())]
    InsecureDirectory {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// An operation of the system failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system answered.
        cause: io::Error,
    },
}

impl Error {
    /// Returns a converter for errors of the system, for use with `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

fn user(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "a process of another pid namespace".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that messages name the thing and what to do.
    #[test]
    fn messages() {
        let error = Error::NotPrivileged {
            missing: vec!["CAP_BPF", "CAP_PERFMON"],
        };
        assert_eq!(
            error.to_string(),
            "missing privileges: run as root, or with CAP_BPF, CAP_PERFMON"
        );
        let error = Error::NoSuchProfile(Key::new(8, 1, 42, 0));
        assert_eq!(error.to_string(), "no profile with key 8:1:42:0");
        let error = Error::io("opening x")(io::Error::from_raw_os_error(libc::ENOENT));
        assert!(error.to_string().starts_with("opening x: No such file"));
    }
}
