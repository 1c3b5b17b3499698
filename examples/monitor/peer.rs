//! Who is at the other end of a socket.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;

/// The process that connected, as it was then.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// 0 if it is not visible in this pid namespace.
    pub pid: i32,
    pub uid: u32,
}

impl Peer {
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let mut peer = libc::ucred {
            pid: 0,
            uid: u32::MAX,
            gid: u32::MAX,
        };
        let mut length = size_of::<libc::ucred>() as libc::socklen_t;
        // rustix has this call as well, but takes a pid to be never 0.
        // SAFETY: the kernel writes at most `length` bytes to a struct of plain numbers.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut peer).cast(),
                &raw mut length,
            )
        };
        match result {
            0 => Ok(Self {
                pid: peer.pid,
                uid: peer.uid,
            }),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
