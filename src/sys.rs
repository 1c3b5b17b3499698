//! The kernel's BPF interface beside the skeleton, a call each: programs, maps, statistics, attempts.
#![allow(unsafe_code)]

pub(crate) mod btf;
mod grace;
pub(crate) mod probe;
mod program;
mod statistics;
pub(crate) mod tracepoint;
mod walk;

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use libbpf_rs::libbpf_sys;

pub(crate) use grace::{GracePeriod, try_map};
pub(crate) use program::{Program, ProgramInfo, info, memlock, own};
pub(crate) use statistics::enable_stats;
pub(crate) use walk::TaskList;

/// What a call of libbpf returned: a descriptor that is ours from now on, or a negative error.
fn owned(fd: i32) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(-fd));
    }
    // SAFETY: the kernel has just given this descriptor to us, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a map without a name: its kind, sizes of key and value, entries.
fn create_map(kind: u32, key: u32, value: u32, entries: u32) -> io::Result<OwnedFd> {
    let (name, options) = (std::ptr::null(), std::ptr::null());
    // SAFETY: no name and no options: null pointers that the function allows.
    owned(unsafe { libbpf_sys::bpf_map_create(kind, name, key, value, entries, options) })
}

/// An error of libbpf's, as one of the system's.
pub(crate) fn as_io(error: libbpf_rs::Error) -> io::Error {
    let kind = match error.kind() {
        libbpf_rs::ErrorKind::PermissionDenied => io::ErrorKind::PermissionDenied,
        libbpf_rs::ErrorKind::NotFound => io::ErrorKind::NotFound,
        libbpf_rs::ErrorKind::InvalidInput => io::ErrorKind::InvalidInput,
        libbpf_rs::ErrorKind::OutOfMemory => io::ErrorKind::OutOfMemory,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, format!("{error:#}"))
}

/// Sends what libbpf prints to the [`log`] crate instead of standard error.
///
/// libbpf has one such setting for the whole process, so this library does not touch it by itself.
pub fn log_libbpf() {
    fn print(level: libbpf_rs::PrintLevel, text: String) {
        let level = match level {
            libbpf_rs::PrintLevel::Warn => log::Level::Warn,
            libbpf_rs::PrintLevel::Info => log::Level::Info,
            libbpf_rs::PrintLevel::Debug => log::Level::Debug,
        };
        log::log!(target: "libbpf", level, "{}", text.trim_end());
    }
    libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Debug, print)));
}
