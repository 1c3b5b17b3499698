//! Pipes and terminals that a victim opens by path, so that a test can hold it up or read it.

use std::ffi::CStr;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Both ends of a pipe; a victim gets one by its path below `/proc`.
pub struct Pipe {
    reader: PipeReader,
    writer: PipeWriter,
}

impl Pipe {
    pub fn new() -> Self {
        let (reader, writer) = std::io::pipe().expect("a pipe can be made");
        Self { reader, writer }
    }

    /// The number that a child has for this end between its fork and its exec.
    pub fn raw(&self, end: End) -> RawFd {
        match end {
            End::Read => self.reader.as_raw_fd(),
            End::Write => self.writer.as_raw_fd(),
        }
    }

    /// What a victim opens to read or to write.
    pub fn path(&self, end: End) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.raw(end)))
    }

    /// Lets `times` reads of one byte go on.
    pub fn send(&self, times: usize) {
        (&self.writer)
            .write_all(&vec![b'.'; times])
            .expect("the pipe has room");
    }

    /// Takes what is there.
    pub fn take(&self) -> Vec<u8> {
        let count = rustix::io::ioctl_fionread(&self.reader).expect("a pipe knows");
        let mut bytes = vec![0; usize::try_from(count).expect("a pipe is small")];
        (&self.reader).read_exact(&mut bytes).expect("it is there");
        bytes
    }

    /// Waits for `N` bytes.
    pub fn receive_array<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (&self.reader)
            .read_exact(&mut bytes)
            .expect("the test itself holds the other end");
        bytes
    }
}

/// The end of a [`Pipe`] that a victim uses.
pub enum End {
    Read,
    Write,
}

/// A pseudo-terminal whose output is read and thrown away, so that no writer waits: the C library
/// buffers by line only when it writes to a terminal.
pub struct Terminal {
    path: PathBuf,
    /// While this is open, the reader at the other end goes on.
    _line: File,
}

impl Terminal {
    pub fn new() -> Self {
        // SAFETY: no memory is passed.
        let fd = unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) };
        assert!(fd >= 0, "this test needs a pseudo-terminal: /dev/ptmx");
        // SAFETY: the descriptor was opened above and belongs to nothing else.
        let mut controller = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let mut name = [0; 128];
        // SAFETY: the buffer is as long as said and outlives the calls.
        let failed = unsafe {
            libc::grantpt(fd) != 0
                || libc::unlockpt(fd) != 0
                || libc::ptsname_r(fd, name.as_mut_ptr(), name.len()) != 0
        };
        assert!(!failed, "this test needs a pseudo-terminal: /dev/pts");
        // SAFETY: ptsname_r has written a terminated string.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) };
        let path = PathBuf::from(name.to_str().expect("names of terminals are ASCII"));
        let line = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(&path)
            .expect("the terminal can be opened");
        std::thread::spawn(move || std::io::copy(&mut controller, &mut std::io::sink()));
        Self { path, _line: line }
    }

    /// What a victim opens.
    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }
}
