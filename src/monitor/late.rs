//! What the kernel's part could not find out about an alert, looked up in /proc.
//!
//! Afterwards, so it is only done where it cannot be about another process: the directory of the
//! pid is opened first, its process's start compared, and everything read beneath that directory,
//! which never becomes another process's.
//!
//! The arguments lie in the process's own memory, whose lock it can make the reader wait for as long
//! as it likes. So a thread of its own reads them, and nobody waits long.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};

use crate::clock::{start_ticks, ticks};
use crate::event::{Actor, Circumstances, Container, Event, Fact, arguments};

/// As many bytes of arguments as the kernel's part keeps.
const ARGS_KEPT: usize = 1023;
/// The longest file of /proc that is read.
const FILE_LIMIT: u64 = 64 * 1024;
/// What a path of /proc ends with when the file has no name any more.
const DELETED: &[u8] = b" (deleted)";
/// Many times what it takes to read the arguments of a process that does not stand in the way.
const PATIENCE: Duration = Duration::from_millis(20);

/// How to look things up on this machine.
#[derive(Debug)]
pub(crate) struct Late {
    redact_args: bool,
    /// Whether there are cgroups (v1) besides those that the kernel's part reads, in whose names
    /// containers may be found.
    other_cgroups: bool,
    /// How long the arguments of one process may take, while events wait.
    patience: Duration,
    /// Whether the thread that reads arguments has not come back yet.
    reading: Arc<AtomicBool>,
}

impl Late {
    pub(crate) fn new(redact_args: bool) -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self {
            redact_args,
            other_cgroups: own.lines().any(|line| !line.starts_with("0::")),
            patience: PATIENCE,
            reading: Arc::default(),
        }
    }

    /// Completes an alert's circumstances as far as that is possible.
    pub(crate) fn complete(&self, event: &mut Event) {
        let Some(context) = event.alert_mut() else {
            return;
        };
        let known = context.circumstances.get_or_insert_with(|| {
            let mut nothing = Circumstances::default();
            if self.redact_args {
                nothing.args = Fact::redacted();
            }
            Box::new(nothing)
        });
        if !self.is_wanting(known) {
            return;
        }
        if let Some(process) = Process::open(&context.actor) {
            self.look_up(&process, known);
        } else if self.other_cgroups && known.container.value.is_none() {
            // It may have been in one by the names that were not looked at in time.
            known.container = Fact::default();
        }
    }

    fn is_wanting(&self, known: &Circumstances) -> bool {
        known.exe.is_unknown()
            || known.cwd.is_unknown()
            || known.args.is_unknown()
            || self.wants_container(known)
    }

    fn wants_container(&self, known: &Circumstances) -> bool {
        known.container.is_unknown() || (self.other_cgroups && known.container.value.is_none())
    }

    fn look_up(&self, process: &Process, known: &mut Circumstances) {
        if known.exe.is_unknown()
            && let Some(path) = process.path("exe")
        {
            known.exe = Fact::late(path);
            known.exe_deleted = false;
        }
        if known.cwd.is_unknown()
            && let Some(path) = process.path("cwd")
        {
            known.cwd = Fact::late(path);
        }
        if known.args.is_unknown()
            && let Some((arguments, cut)) = self.arguments(process)
        {
            known.args = Fact::late(arguments).cut(cut);
        }
        if self.wants_container(known) {
            known.container = match process.container() {
                Some(container) => Fact::late(container),
                None => Fact::default(),
            };
        }
    }
}

impl Late {
    /// The arguments, if they can be had at once. A process that lets its reader wait is waited for
    /// by that thread alone, and until it is back no other is asked.
    fn arguments(&self, process: &Process) -> Option<(Option<Vec<OsString>>, bool)> {
        if self.reading.swap(true, Ordering::Acquire) {
            return None;
        }
        let back = Back(Arc::clone(&self.reading));
        let process = Process(process.0.try_clone().ok()?);
        let (answer, answered) = mpsc::channel();
        let read = move || {
            let arguments = process.arguments();
            drop(back);
            // SANITY: nobody listens any more if it took too long.
            let _late = answer.send(arguments);
        };
        let reader = thread::Builder::new().name("ebph-arguments".to_owned());
        reader.spawn(read).ok()?;
        answered.recv_timeout(self.patience).ok()?
    }
}

/// Says that arguments can be read again, whatever became of the reader.
struct Back(Arc<AtomicBool>);

impl Drop for Back {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A process that is known to be the one meant.
struct Process(OwnedFd);

impl Process {
    fn open(actor: &Actor) -> Option<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, format!("/proc/{}", actor.pid?), flags, Mode::empty()).ok()?;
        let process = Self(dir);
        let stat = process.read("stat")?;
        (start_ticks(&stat)? == ticks(actor.start)?).then_some(process)
    }

    /// The whole of a file, if it is no longer than can be sensible.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = openat(
            &self.0,
            name,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let mut bytes = Vec::new();
        let mut file = File::from(file.ok()?).take(FILE_LIMIT);
        file.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    fn link(&self, name: &str) -> Option<Vec<u8>> {
        let path = readlinkat(&self.0, name, Vec::new()).ok()?;
        Some(path.into_bytes())
    }

    /// What a link leads to, if that is certain: a name may end like the mark that the kernel puts
    /// behind lost ones. Only the file system could tell, and that may be run by who is watched.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = self.link(name)?;
        (!path.ends_with(DELETED)).then(|| PathBuf::from(OsString::from_vec(path)))
    }

    fn arguments(&self) -> Option<(Option<Vec<OsString>>, bool)> {
        let bytes = self.read("cmdline")?;
        let kept = &bytes[..bytes.len().min(ARGS_KEPT)];
        Some((arguments(kept), kept.len() < bytes.len()))
    }

    /// `Some(None)`: no cgroup's name tells of a container.
    fn container(&self) -> Option<Option<Container>> {
        let bytes = self.read("cgroup")?;
        Some(container_in(&bytes))
    }
}

/// A container that any line of `/proc/PID/cgroup` names.
fn container_in(cgroups: &[u8]) -> Option<Container> {
    cgroups.split(|byte| *byte == b'\n').find_map(|line| {
        // ID:CONTROLLERS:PATH, and a path may have colons of its own.
        let path = line.splitn(3, |byte| *byte == b':').nth(2)?;
        Container::of_cgroup(Path::new(OsStr::from_bytes(path)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Source;

    fn late(redact_args: bool, other_cgroups: bool) -> Late {
        Late {
            redact_args,
            other_cgroups,
            patience: Duration::from_secs(60),
            reading: Arc::default(),
        }
    }

    /// A folder that looks like one of a process.
    fn pretended(folder: &Path) -> Process {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Process(openat(CWD, folder, flags, Mode::empty()).unwrap())
    }

    /// This process, as an event would name it.
    fn own() -> Actor {
        let stat = std::fs::read("/proc/self/stat").unwrap();
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        Actor {
            pid: Some(std::process::id()),
            start: Duration::from_nanos(start_ticks(&stat).unwrap() * tick + tick / 2),
            ..Actor::default()
        }
    }

    /// Check that of a process that runs all can be found.
    #[test]
    fn found() {
        let process = Process::open(&own()).unwrap();
        let late = late(false, true);
        let mut known = Circumstances::default();
        late.look_up(&process, &mut known);
        assert_eq!(known.exe, Fact::late(std::env::current_exe().unwrap()));
        assert_eq!(known.cwd, Fact::late(std::env::current_dir().unwrap()));
        let arguments: Vec<_> = std::env::args_os().collect();
        assert_eq!(known.args, Fact::late(arguments));
        assert_eq!(known.container.source, Source::Late);
    }

    /// Check that what was withheld, or is known, is left as it is.
    #[test]
    fn left_alone() {
        let process = Process::open(&own()).unwrap();
        let late = late(true, false);
        let mut known = Circumstances {
            args: Fact::redacted(),
            exe: Fact::at_call(PathBuf::from("/known")),
            container: Fact::at_call(None),
            ..Circumstances::default()
        };
        late.look_up(&process, &mut known);
        assert_eq!(known.args, Fact::redacted());
        assert_eq!(known.exe, Fact::at_call(PathBuf::from("/known")));
        assert_eq!(known.container, Fact::at_call(None));
    }

    /// Check that a process whose memory cannot be read keeps nobody waiting, neither itself nor
    /// the next, and that others are read once it has let go.
    #[test]
    fn stuck() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("cmdline");
        // Like memory whose lock is held, a pipe that nobody writes to lets its reader wait.
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(CWD, &pipe, kind, Mode::from_raw_mode(0o600), 0).unwrap();
        let mut late = late(false, false);
        late.patience = Duration::from_millis(1);
        let (stuck, own) = (pretended(folder.path()), Process::open(&own()).unwrap());
        for process in [&stuck, &own] {
            let mut known = Circumstances::default();
            late.look_up(process, &mut known);
            assert!(known.args.is_unknown());
        }
        std::fs::write(&pipe, "").unwrap();
        while late.reading.load(Ordering::Acquire) {
            thread::yield_now();
        }
        late.patience = Duration::from_secs(60);
        let mut known = Circumstances::default();
        late.look_up(&own, &mut known);
        assert_eq!(known.args.source, Source::Late);
    }

    /// Check that a name which ends like the mark of a lost one, or is lost, is not made up.
    #[test]
    fn marked() {
        let folder = tempfile::tempdir().unwrap();
        let named = folder.path().join("a (deleted)");
        std::fs::write(&named, "").unwrap();
        std::os::unix::fs::symlink(&named, folder.path().join("exe")).unwrap();
        let process = pretended(folder.path());
        assert_eq!(process.link("exe"), Some(named.into_os_string().into_vec()));
        assert_eq!(process.path("exe"), None);

        let path = folder.path().join("b");
        let file = File::create(&path).unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&file).to_string();
        let process = pretended(Path::new("/proc/self/fd"));
        assert_eq!(process.path(&number), Some(path.clone()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(process.path(&number), None);
    }

    /// Check that another process of the same pid is not looked at.
    #[test]
    fn reused_pid() {
        let mut other = own();
        other.start -= Duration::from_secs(1);
        assert!(Process::open(&other).is_none());
        other.pid = None;
        assert!(Process::open(&other).is_none());
    }

    /// Check that a name cannot pretend to be the fields behind it.
    #[test]
    fn hostile_name() {
        let fields = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let stat = format!("42 (a) S 0 0 0 (b) 9) {fields}");
        assert_eq!(start_ticks(stat.as_bytes()), Some(777));
        for wrong in ["", "42 (a)", "42 (a) S 1", "no name"] {
            assert_eq!(start_ticks(wrong.as_bytes()), None);
        }
    }

    /// Check that a container is found in whichever hierarchy names it.
    #[test]
    fn any_hierarchy() {
        let id = "ab".repeat(32);
        let text = format!("4:memory:/docker/{id}\n1:name=systemd:/a:b\n0::/\n");
        assert_eq!(container_in(text.as_bytes()).unwrap().id, id);
        assert_eq!(container_in(b"0::/init.scope\n\nnonsense\n"), None);
    }
}
