//! The socket of a monitor: made for its owner alone, and removed at the end.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};
use rustix::process::geteuid;

/// How many may wait to be let in.
const BACKLOG: i32 = 16;
/// How long another monitor may take for its turn at the folder.
const TURN_MAX: Duration = Duration::from_secs(5);
/// How long to wait in a queue only to find out whether somebody listens.
const QUEUE_MAX: Duration = Duration::from_millis(100);

/// A listening socket with a name; the name goes when it is dropped.
pub struct Socket {
    path: PathBuf,
    listener: UnixListener,
    /// Device and inode, so that nobody else's is removed.
    file: (u64, u64),
}

impl Socket {
    /// Listens at a path. What a monitor left there that is no more is removed; anything else that
    /// is there stays, and is an error.
    pub fn bind(path: &Path) -> Result<Self, String> {
        Self::try_bind(path)
            .map_err(|error| format!("cannot listen at {}: {error}", path.display()))
    }

    fn try_bind(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let address = SocketAddrUnix::new(&path)?;
        // Two monitors that start at once take turns here.
        let _turn = Turn::take(&path)?;
        remove_stale(&path)?;
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // The file gets the mode that the socket has when it is bound: there is no moment at which
        // others could connect.
        fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
        bind(&socket, &address)?;
        listen(&socket, BACKLOG)?;
        let metadata = path.symlink_metadata()?;
        if metadata.mode() & 0o077 != 0 {
            fs::remove_file(&path)?;
            let what = "this file system makes it open to others";
            return Err(io::Error::new(ErrorKind::Unsupported, what));
        }
        Ok(Self {
            path,
            listener: OwnedFd::into(socket),
            file: id(&metadata),
        })
    }

    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SANITY: a name that stays is taken for what it is at the next start.
        let _ = Turn::take(&self.path).and_then(|_turn| {
            if id(&self.path.symlink_metadata()?) == self.file {
                fs::remove_file(&self.path)?;
            }
            Ok(())
        });
    }
}

fn id(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Connects, and waits no longer than this if nobody lets us in: a listener that is stopped, say,
/// and has a full queue.
pub fn connect(path: &Path, patience: Duration) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    rustix::net::connect(&socket, &address)?;
    let stream = UnixStream::from(socket);
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// The right to change what is at a socket's path, until it is dropped.
///
/// It is a lock on a file beside the socket that only its owner can open; whoever can read a
/// folder could lock that, and keep the monitor waiting.
struct Turn {
    path: PathBuf,
    _file: File,
}

impl Turn {
    fn take(path: &Path) -> io::Result<Self> {
        own_folder(path)?;
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".lock");
        let path = path.with_file_name(name);
        let until = Instant::now() + TURN_MAX;
        loop {
            let file = File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(&path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // The one before may have removed it since it was opened.
                Ok(()) if is_at(&file, &path)? => return Ok(Self { path, _file: file }),
                Ok(()) => (),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                Err(_) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
                Err(_) => {
                    let what = format!("another monitor holds {}", path.display());
                    return Err(io::Error::new(ErrorKind::WouldBlock, what));
                }
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // SANITY: a file that stays locks nobody out.
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(there) => Ok(id(&there) == id(&file.metadata()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the folder, if only it is missing, and sees to it that it is nobody else's.
///
/// Others must not be able to put something of theirs in the place of the socket.
fn own_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => (),
    }
    let metadata = folder.metadata()?;
    let owner = metadata.uid();
    if metadata.mode() & 0o022 != 0 || (owner != 0 && owner != geteuid().as_raw()) {
        let what = format!("others may write to {}", folder.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, what));
    }
    Ok(())
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let there = match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        there => there?,
    };
    let taken = |what| Err(io::Error::new(ErrorKind::AlreadyExists, what));
    if !there.file_type().is_socket() {
        return taken("there is something else, which is no socket");
    }
    match connect(path, QUEUE_MAX) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Its queue is full, which nobody's is.
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => taken("another monitor listens there"),
    }
}
