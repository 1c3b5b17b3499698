//! What this kernel and these privileges offer: facts only.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::sys::btf;

/// The tracepoints that are attached to; BTF has a type for each that exists.
const TRACEPOINTS: [(&str, &str); 6] = [
    ("btf_trace_sys_enter", "tracepoint sys_enter"),
    (
        "btf_trace_sched_process_fork",
        "tracepoint sched_process_fork",
    ),
    (
        "btf_trace_sched_process_exec",
        "tracepoint sched_process_exec",
    ),
    (
        "btf_trace_sched_process_exit",
        "tracepoint sched_process_exit",
    ),
    ("btf_trace_signal_deliver", "tracepoint signal_deliver"),
    ("btf_trace_signal_generate", "tracepoint signal_generate"),
];

/// Functions of which a kernel with storage for threads has one.
const STORAGE: [&str; 2] = ["bpf_task_storage_get", "task_storage_map_alloc"];
/// What calls tracepoints' programs where these run preemptibly.
const PREEMPTIBLE: &str = "trace_call_bpf_faultable";

/// The tracepoint at the submission of an io_uring request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UringTracepoint {
    /// `io_uring_submit_req`: 6.4 and later.
    Request,
    /// `io_uring_submit_sqe`: before.
    Entry,
}

impl UringTracepoint {
    const ALL: [Self; 2] = [Self::Request, Self::Entry];

    /// What the kernel calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Request => "io_uring_submit_req",
            Self::Entry => "io_uring_submit_sqe",
        }
    }

    /// What it is among the kernel's types.
    const fn type_name(self) -> &'static str {
        match self {
            Self::Request => "btf_trace_io_uring_submit_req",
            Self::Entry => "btf_trace_io_uring_submit_sqe",
        }
    }
}

/// What the plan decides by.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub release: String,
    pub btf: bool,
    pub missing_tracepoint: Option<&'static str>,
    /// Per-thread storage that programs of this type may use: 5.12 and later.
    pub task_storage: bool,
    /// `tp_btf/sys_enter` runs preemptibly, and loses calls: 7.2 and later.
    pub preemptible_tp_btf: bool,
    /// Fork, exec and exit events can be skipped: 7.0 and later.
    pub events_may_skip: bool,
    /// Where io_uring requests can be seen, if the kernel has such a thing.
    pub uring: Option<UringTracepoint>,
}

impl Facts {
    /// Finds them out, without privileges.
    pub(crate) fn gather() -> Self {
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let newer = major(&release) >= 7;
        let mut facts = Self {
            btf: false,
            missing_tracepoint: None,
            task_storage: false,
            preemptible_tp_btf: false,
            events_may_skip: newer,
            uring: None,
            release,
        };
        let uring = UringTracepoint::ALL.map(UringTracepoint::type_name);
        let tracepoints = TRACEPOINTS.map(|(name, _)| name);
        let wanted = STORAGE.into_iter().chain([PREEMPTIBLE]);
        let Some(types) = btf::numbers(wanted.chain(uring).chain(tracepoints)) else {
            return facts;
        };
        facts.btf = true;
        facts.missing_tracepoint = TRACEPOINTS
            .iter()
            .find(|(name, _)| !types.contains_key(name))
            .map(|(_, what)| *what);
        facts.task_storage = STORAGE.iter().any(|name| types.contains_key(name));
        facts.preemptible_tp_btf = types.contains_key(PREEMPTIBLE);
        facts.uring = UringTracepoint::ALL
            .into_iter()
            .find(|tracepoint| types.contains_key(tracepoint.type_name()));
        facts
    }
}

fn major(release: &str) -> u32 {
    release
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or(0)
}

/// Where the cgroup v2 file system is mounted, if it is.
pub(crate) fn cgroup_mount() -> Option<PathBuf> {
    mount_among(&mounts()?, |kind, _| kind == b"cgroup2")
}

/// Where cgroups of the first version have their limits of memory, if they do.
pub(crate) fn memory_mount() -> Option<PathBuf> {
    mount_among(&mounts()?, is_of_memory)
}

fn is_of_memory(kind: &[u8], options: &[u8]) -> bool {
    kind == b"cgroup"
        && options
            .split(|byte| *byte == b',')
            .any(|one| one == b"memory")
}

fn mounts() -> Option<Vec<u8>> {
    fs::read("/proc/self/mounts").ok()
}

/// The first of such a kind and options in a list of mounts. Who may mount something may name the folder as
/// they like, so the list need not be text.
fn mount_among(mounts: &[u8], wanted: impl Fn(&[u8], &[u8]) -> bool) -> Option<PathBuf> {
    mounts.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ').skip(1);
        let (mount, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        wanted(kind, options).then(|| unescaped(mount))
    })
}

/// A path of that list, in which blanks and backslashes are three octal digits after a backslash.
fn unescaped(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;

    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// The id of the cgroup at `path`: its inode number.
pub(crate) fn cgroup_id(path: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt as _;

    const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

    let metadata = fs::metadata(path).map_err(|_| Error::NoSuchCgroup(path.to_owned()))?;
    let kind = rustix::fs::statfs(path).map_err(|_| Error::NotACgroup(path.to_owned()))?;
    if kind.f_type as u64 != CGROUP2_SUPER_MAGIC || !metadata.is_dir() {
        return Err(Error::NotACgroup(path.to_owned()));
    }
    Ok(metadata.ino())
}

/// The path of a cgroup below the root, by its id.
pub(crate) fn cgroup_path(id: u64) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;

    let mount = cgroup_mount()?;
    let mut folders = vec![mount.clone()];
    while let Some(folder) = folders.pop() {
        if fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.ino() == id) {
            return folder.strip_prefix(&mount).ok().map(Path::to_owned);
        }
        // One that was removed meanwhile has nothing below it any more.
        let below = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(
            below
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    None
}

/// The mode of kernel lockdown, if there is such a thing.
pub(crate) fn lockdown() -> Option<String> {
    let modes = fs::read_to_string("/sys/kernel/security/lockdown").ok()?;
    let (_, rest) = modes.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a release is read by its first number, and that nonsense is old.
    #[test]
    fn release() {
        assert_eq!(major("7.3.4+deb13-cloud-amd64"), 7);
        assert_eq!(major("6.1.0-56"), 6);
        assert_eq!(major(""), 0);
    }

    /// Check that cgroups are found behind a mount whose name is no text, and under a name with blanks.
    #[test]
    fn mounts() {
        let of_cgroups: fn(&[u8], &[u8]) -> bool = |kind, _| kind == b"cgroup2";
        let text =
            b"fuse /home/\xff\xfe fuse rw 0 0\ncgroup2 /mnt/c\\040g\\134\\0 cgroup2 rw 0 0\n";
        let found = mount_among(text, of_cgroups);
        assert_eq!(found, Some(PathBuf::from("/mnt/c g\\\\0")));
        assert_eq!(
            mount_among(b"cgroup2 /cgroup2 cgroup rw 0 0\n\n", of_cgroups),
            None
        );
        let text = b"cgroup /a cgroup rw,pids 0 0\ncgroup /b cgroup rw,memory 0 0";
        assert_eq!(mount_among(text, is_of_memory), Some(PathBuf::from("/b")));
    }

    /// Check that what is no cgroup is refused by what it is.
    #[test]
    fn no_cgroup() {
        let absent = cgroup_id(Path::new("/nonexistent/cgroup")).unwrap_err();
        let other = cgroup_id(Path::new("/")).unwrap_err();
        assert!(matches!(absent, Error::NoSuchCgroup(_)));
        assert!(matches!(other, Error::NotACgroup(_)));
    }
}
