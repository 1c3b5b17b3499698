//! Where a program under watch runs: a cgroup and a folder of its own.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use ebph::Scope;
use tempfile::TempDir;

use crate::cgroup::Cgroup;
use crate::eventually;

/// Debian's own programs, not what stands before them in somebody's PATH.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A cgroup and a folder. What still runs in it when it is dropped is killed.
pub struct Stage {
    // Removed in this order: the folder of a running service cannot be.
    cgroup: Cgroup,
    members: File,
    directory: TempDir,
}

impl Stage {
    pub fn new(name: &str) -> Self {
        let cgroup = Cgroup::new();
        let members = OpenOptions::new()
            .write(true)
            .open(cgroup.path().join("cgroup.procs"))
            .expect("a cgroup of ours can be joined");
        let directory = tempfile::Builder::new()
            .prefix(&format!("ebph-detection-{name}-"))
            .tempdir()
            .expect("a temporary directory can be made");
        // Services also run as other users.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("it is ours");
        Self {
            cgroup,
            members,
            directory,
        }
    }

    pub fn scope(&self) -> Scope {
        Scope::Cgroup(self.cgroup.path().to_owned())
    }

    /// The folder, or something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a folder.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("a folder can be made here");
        path
    }

    /// Writes a file that everybody can read.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_ref()));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// A command that is watched: it joins the cgroup before it is executed.
    pub fn watched(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.unwatched(program);
        let members = self.members.as_raw_fd();
        let join = move || {
            // SAFETY: the descriptor is open as long as the stage is, and the byte is one byte.
            match unsafe { libc::write(members, c"0".as_ptr().cast(), 1) } {
                1 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe { command.pre_exec(join) };
        command
    }

    /// A command that is not watched: a client, or what prepares something. It does not outlive
    /// the thread that starts it.
    pub fn unwatched(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .env("HOME", self.directory.path())
            .env("TERM", "xterm")
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        let bind = || {
            // SAFETY: the arguments are those of this operation.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
        unsafe { command.pre_exec(bind) };
        command
    }
}

impl Stage {
    /// Waits until what runs here has nothing to do: it neither gets the processor nor gives it
    /// back for some hundredths of a second. A service that never rests is waited for in vain, and
    /// not for long.
    pub fn settle(&self) {
        const PAUSE: Duration = Duration::from_millis(8);
        const UNCHANGED: u32 = 4;
        let mut last = self.switches();
        let mut unchanged = 0;
        for _ in 0..200 {
            if last.is_empty() || unchanged == UNCHANGED {
                return;
            }
            std::thread::sleep(PAUSE);
            let now = self.switches();
            unchanged = if now == last { unchanged + 1 } else { 0 };
            last = now;
        }
    }

    /// How often each thread here was switched from and to.
    fn switches(&self) -> Vec<String> {
        let members = self.cgroup.path().join("cgroup.threads");
        let threads = fs::read_to_string(members).unwrap_or_default();
        let switches = |thread: &str| {
            // What has just ended has no file.
            let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
            let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
            lines.fold(thread.to_owned(), |all, line| all + line)
        };
        threads.lines().map(switches).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::write(self.cgroup.path().join("cgroup.kill"), "1");
        // So that the cgroup can be removed, also where a panic is on its way.
        for _ in 0..500 {
            if self.switches().is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(4));
        }
    }
}

/// Runs a command that must end well, and returns what it printed.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command to its end, however it ends.
#[track_caller]
pub fn output(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!(
            "{} is not there: scripts/detection-deps.sh installs it",
            command.get_program().display()
        ),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// A service that was started, and is killed when dropped.
pub struct Service {
    child: Child,
    log: PathBuf,
}

impl Service {
    /// Starts a service, whose output goes to a file.
    #[track_caller]
    pub fn start(command: &mut Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("a log can be made");
        let errors = file.try_clone().expect("a descriptor can be copied");
        let child = command
            .stdout(file)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, log }
    }

    /// Waits until the service answers.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
        eventually(what, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the service ended, {status}: {}", self.printed());
            }
            probe()
        })
    }

    /// Waits until something listens at the port.
    #[track_caller]
    pub fn until_listening(&mut self, port: u16) {
        self.until("the service to listen", || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
    }

    /// What it has printed.
    pub fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub fn end(mut self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the service is ours");
        eventually("the service to end", || self.child.try_wait().ok()?);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of the loopback interface that was free just now.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Ids of a user that services run as.
pub fn user(name: &str) -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    });
    found.unwrap_or_else(|| panic!("there is no user {name}: its package is not installed"))
}

/// Gives a file or folder to a user.
pub fn give(path: &Path, (uid, gid): (u32, u32)) {
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
