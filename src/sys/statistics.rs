//! The kernel's own statistics of BPF programs.

use std::io;
use std::os::fd::OwnedFd;

use libbpf_rs::libbpf_sys;

use super::owned;

/// Has the kernel count runs of BPF programs, and their time, while the file is open.
pub(crate) fn enable_stats() -> io::Result<OwnedFd> {
    // SAFETY: takes a number, and returns a descriptor or a negative error.
    owned(unsafe { libbpf_sys::bpf_enable_stats(libbpf_sys::BPF_STATS_RUN_TIME) })
}
