//! Where a workload runs: a folder of its own, with Debian's programs and nothing of the caller's
//! environment.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::Failure;

/// Debian's own programs, not what stands before them in somebody's PATH.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// How long a service may take to start, and to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The folder, removed when dropped.
pub struct Stage(TempDir);

impl Stage {
    pub fn new(name: &str) -> Result<Self, Failure> {
        let prefix = format!("ebph-bench-{name}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        // Services also run as other users.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        Ok(Self(folder))
    }

    /// The folder, or something in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", FOLDERS.join(":"))
            .env("LANG", "C.UTF-8")
            .env("HOME", self.0.path())
            .current_dir(self.0.path())
            .stdin(Stdio::null());
        command
    }
}

/// Where a program of Debian's is; the package is named where it is not.
pub fn tool(name: &str, package: &str) -> Result<PathBuf, Failure> {
    let places = FOLDERS.map(|folder| Path::new(folder).join(name));
    let found = places.into_iter().find(|path| path.exists());
    found.ok_or_else(|| missing(name, package))
}

/// What is said about a program that is not there.
pub fn missing(name: &str, package: &str) -> Failure {
    format!(
        "{name} is not there: it is in the package {package}, which scripts/bench-deps.sh installs"
    )
    .into()
}

/// Runs a command that must end well, and returns what it printed.
pub fn run(command: &mut Command) -> Result<String, Failure> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command:?}: {}: {}", output.status, said.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How many seconds something takes, which is one unit of work.
pub fn timed(work: impl FnOnce() -> Result<(), Failure>) -> Result<(f64, f64), Failure> {
    let start = Instant::now();
    work()?;
    Ok((start.elapsed().as_secs_f64(), 1.0))
}

/// A service in the foreground; ended by its signal when dropped, or killed if that takes too long.
pub struct Service {
    child: Child,
    signal: Signal,
    log: PathBuf,
}

impl Service {
    /// Starts it; what it prints goes to a file.
    pub fn start(command: &mut Command, signal: Signal, log: PathBuf) -> Result<Self, Failure> {
        let file = File::create(&log)?;
        let errors = file.try_clone()?;
        let child = command
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        Ok(Self { child, signal, log })
    }

    /// Waits until it answers.
    pub fn until<T>(&mut self, mut answer: impl FnMut() -> Option<T>) -> Result<T, Failure> {
        let start = Instant::now();
        loop {
            if let Some(answer) = answer() {
                return Ok(answer);
            }
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > PATIENCE {
                let said = fs::read_to_string(&self.log).unwrap_or_default();
                return Err(format!("a service does not answer ({ended:?}): {said}").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Fails only where it has ended, which is what is wanted.
        let _asked = kill_process(Pid::from_child(&self.child), self.signal);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A port of the loopback interface that was free just now.
pub fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Ids of a user that a service runs as.
pub fn user(name: &str, package: &str) -> Result<(u32, u32), Failure> {
    let users = fs::read_to_string("/etc/passwd")?;
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    });
    found.ok_or_else(|| missing(&format!("the user {name}"), package))
}

/// Gives a file or folder to a user.
pub fn give(path: &Path, (uid, gid): (u32, u32)) -> Result<(), Failure> {
    Ok(chown(path, Some(uid), Some(gid))?)
}
