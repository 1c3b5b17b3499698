//! The kernel's own statistics of BPF programs.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

/// Has the kernel count runs of BPF programs, and their time, while the file is open.
pub(crate) fn enable_stats() -> io::Result<OwnedFd> {
    // SAFETY: takes a number, and returns a descriptor or a negative error.
    let fd = unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) };
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: it is open, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
