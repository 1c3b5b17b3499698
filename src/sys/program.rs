//! Programs in the kernel: calling them, and asking about them.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use libbpf_rs::libbpf_sys;

use super::owned;
use crate::error::{Error, Result};
use crate::skel::Wire;

/// A loaded program, kept apart from the skeleton it came from.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    fd: OwnedFd,
}

/// What the kernel knows of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgramInfo {
    pub run_count: u64,
    pub run_time: Duration,
    pub recursion_misses: u64,
    pub verified_instructions: u32,
}

impl Program {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Asks the kernel about the program.
    pub(crate) fn info(&self) -> io::Result<ProgramInfo> {
        info(self.fd.as_fd())
    }

    /// Attaches it where its own section says, which must be a type of the kernel's.
    pub(crate) fn attach(&self) -> io::Result<OwnedFd> {
        let (name, program) = (std::ptr::null(), self.fd.as_raw_fd());
        // SAFETY: no name: what it is attached to was said when it was loaded.
        owned(unsafe { libbpf_sys::bpf_raw_tracepoint_open(name, program) })
    }

    /// Takes hold of it once more.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            name: self.name,
            fd: self.fd.try_clone()?,
        })
    }

    /// Runs a `SEC("syscall")` program; it may change its argument.
    pub(crate) fn run<T: Wire>(&self, argument: &mut T) -> io::Result<()> {
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as u64,
            ctx_in: std::ptr::from_mut(argument).cast(),
            ctx_size_in: size_of::<T>() as u32,
            ..Default::default()
        };
        // SAFETY: `ctx_in` points to `ctx_size_in` bytes that are ours to change: the kernel
        // copies the argument in, and its new value back. Any bytes are a valid `T`.
        let err =
            unsafe { libbpf_sys::bpf_prog_test_run_opts(self.fd.as_raw_fd(), &raw mut options) };
        match err {
            0 => Ok(()),
            err => Err(io::Error::from_raw_os_error(-err)),
        }
    }
}

pub(crate) fn info(program: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    let mut info = libbpf_sys::bpf_prog_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: `info` is plain data of `len` bytes, and its pointers are null: the kernel writes
    // nothing beyond it.
    let err = unsafe {
        libbpf_sys::bpf_obj_get_info_by_fd(
            program.as_raw_fd(),
            (&raw mut info).cast(),
            &raw mut len,
        )
    };
    if err != 0 {
        return Err(io::Error::from_raw_os_error(-err));
    }
    Ok(ProgramInfo {
        run_count: info.run_cnt,
        run_time: Duration::from_nanos(info.run_time_ns),
        recursion_misses: info.recursion_misses,
        verified_instructions: info.verified_insns,
    })
}

/// Takes hold of a program of the skeleton, which may then go.
pub(crate) fn own<'a>(name: &'static str, program: impl AsFd + 'a) -> Result<Program> {
    Ok(Program {
        name,
        fd: program
            .as_fd()
            .try_clone_to_owned()
            .map_err(Error::io(format!("program {name}")))?,
    })
}

/// The bytes that the kernel says it holds for a map or program; 0 where it does not say.
pub(crate) fn memlock(fd: BorrowedFd<'_>) -> u64 {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok())
        .unwrap_or(0)
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
