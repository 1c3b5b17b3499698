//! A file of lines that is bounded: full, it makes room for another one.
//!
//! It is opened for its owner and group alone, never through a symbolic link, and only if it is a
//! regular file. Each line is written at once and whole. It is locked: two who rename the same file
//! would lose each other's lines.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};

use crate::output;

/// A disk that is full may take a short line now and then: how often to say that it is.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// When a file is full, and how many full ones are kept.
#[derive(Clone, Copy, Debug)]
pub struct Rotation {
    /// At most so many bytes, but for a single line that is longer; 0 for no end.
    pub bytes: u64,
    /// Besides the one that is written.
    pub keep: u32,
}

/// Counts lines that could not be written.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<AtomicU64>);

impl Failures {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file of lines.
pub struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    failures: Failures,
    state: Mutex<State>,
}

struct State {
    /// None after a failure to open it anew, until that succeeds.
    file: Option<File>,
    size: u64,
    /// When it was last said that a line failed.
    said: Option<Instant>,
}

impl LogFile {
    /// Opens a file, or makes it, and goes on at its end.
    pub fn open(path: &Path, rotation: Rotation, failures: Failures) -> Result<Self, String> {
        let opened = std::path::absolute(path).and_then(|path| {
            let (file, size) = open(&path)?;
            // Where there are no locks it is up to who starts monitors.
            if lock(&file).is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
                let what = "another monitor logs there";
                return Err(io::Error::new(ErrorKind::WouldBlock, what));
            }
            Ok((file, size, path))
        });
        let (file, size, path) =
            opened.map_err(|error| format!("cannot log to {}: {error}", path.display()))?;
        let state = State {
            file: Some(file),
            size,
            said: None,
        };
        Ok(Self {
            path,
            rotation,
            failures,
            state: Mutex::new(state),
        })
    }

    /// Writes a line. A failure is counted, and told, but rarely.
    pub fn write(&self, line: &str) {
        let mut state = self.state();
        if let Err(error) = self.put(&mut state, line) {
            self.failures.add();
            self.complain(&mut state, &error);
        }
    }

    /// Opens what is at the path now, in place of the file that is open.
    pub fn reopen(&self) {
        let mut state = self.state();
        if let Err(error) = self.open_in(&mut state) {
            self.complain(&mut state, &error);
        }
    }

    fn open_in(&self, state: &mut State) -> io::Result<()> {
        // It may be gone for good: better to be told than to write there. Also, closing it later
        // would unlock the new one, if that is the same.
        state.file = None;
        let (file, size) = open(&self.path)?;
        // SANITY: to lose lines because somebody looks at them would be worse than no lock.
        let _ = lock(&file);
        state.file = Some(file);
        state.size = size;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn complain(&self, state: &mut State, error: &io::Error) {
        if state.said.is_some_and(|said| said.elapsed() < SAID_EVERY) {
            return;
        }
        state.said = Some(Instant::now());
        let (path, missing) = (self.path.display(), self.failures.count());
        output::complain(&format!(
            "cannot log to {path}: {error}; watching goes on ({missing} lines missing so far)"
        ));
    }

    fn put(&self, state: &mut State, line: &str) -> io::Result<()> {
        let bytes = [line.as_bytes(), b"\n"].concat();
        let length = bytes.len() as u64;
        let limit = self.rotation.bytes;
        if let Some(file) = &state.file {
            // Others may have removed it, or emptied it after making a copy.
            let metadata = file.metadata()?;
            state.size = metadata.len();
            if metadata.nlink() == 0 {
                state.file = None;
                state.size = 0;
            }
        }
        if limit != 0 && state.size > 0 && state.size.saturating_add(length) > limit {
            // A file that cannot make room does not grow either: its disk is bounded.
            state.file = None;
            rotate(&self.path, self.rotation.keep)?;
        }
        if state.file.is_none() {
            self.open_in(state)?;
        }
        let Some(file) = &mut state.file else {
            return Err(ErrorKind::NotFound.into());
        };
        match file.write_all(&bytes) {
            Ok(()) => Ok(()),
            Err(error) => {
                // Half a line would spoil the next one.
                file.set_len(state.size).ok();
                Err(error)
            }
        }
    }
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = File::options()
        .append(true)
        .create(true)
        .mode(0o640)
        // A pipe that nobody reads must not be waited for; it is refused below.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = "it is not a regular file";
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    Ok((file, metadata.len()))
}

/// Locks a file for this process, which closing it anywhere ends.
fn lock(file: &File) -> io::Result<()> {
    fcntl_lock(file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from)
}

/// Gives each file the next number, and lets the last one go.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let absent_is_fine = |result: io::Result<()>| match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if keep == 0 {
        return absent_is_fine(fs::remove_file(path));
    }
    for number in (1..=keep).rev() {
        let from = match number {
            1 => path.to_owned(),
            _ => numbered(path, number - 1),
        };
        absent_is_fine(fs::rename(from, numbered(path, number)))?;
    }
    Ok(())
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}
