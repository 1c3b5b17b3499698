//! Harmless attempts: what the kernel answers to a request whose result is given back at once.

use std::io;

use libbpf_rs::libbpf_sys;

use super::{create_map, owned};

/// A kind of program that does nothing, and what it would be attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A typed tracepoint.
    TpBtf,
    /// A walk over threads.
    Iter,
    /// A program that user space calls.
    Syscall,
    /// A security hook.
    Lsm,
    /// One that changes what a function of the kernel returns.
    FmodRet,
}

/// Has the kernel verify a program of two instructions, and gives it back. It is never attached.
///
/// `target` is the number, among the kernel's types, of what it would be attached to; 0 where there
/// is no such thing.
pub(crate) fn try_program(kind: Kind, target: u32) -> io::Result<()> {
    // `r0 = 0; exit`
    const MOV64_IMM: u8 = 0xb7;
    const EXIT: u8 = 0x95;

    let instruction = |code| libbpf_sys::bpf_insn {
        code,
        ..Default::default()
    };
    let program = [instruction(MOV64_IMM), instruction(EXIT)];
    let (kind, attach) = match kind {
        Kind::TpBtf => (
            libbpf_sys::BPF_PROG_TYPE_TRACING,
            libbpf_sys::BPF_TRACE_RAW_TP,
        ),
        Kind::Iter => (
            libbpf_sys::BPF_PROG_TYPE_TRACING,
            libbpf_sys::BPF_TRACE_ITER,
        ),
        Kind::Syscall => (libbpf_sys::BPF_PROG_TYPE_SYSCALL, 0),
        Kind::Lsm => (libbpf_sys::BPF_PROG_TYPE_LSM, libbpf_sys::BPF_LSM_MAC),
        Kind::FmodRet => (
            libbpf_sys::BPF_PROG_TYPE_TRACING,
            libbpf_sys::BPF_MODIFY_RETURN,
        ),
    };
    let mut options = libbpf_sys::bpf_prog_load_opts {
        sz: size_of::<libbpf_sys::bpf_prog_load_opts>() as libbpf_sys::size_t,
        // One that is interrupted is tried again, but not for ever.
        attempts: 5,
        expected_attach_type: attach,
        attach_btf_id: target,
        prog_flags: match kind {
            libbpf_sys::BPF_PROG_TYPE_SYSCALL => libbpf_sys::BPF_F_SLEEPABLE,
            _ => 0,
        },
        ..Default::default()
    };
    // SAFETY: the program, its licence and the options outlive the call; there is no name and no
    // log, which null pointers stand for.
    let fd = unsafe {
        libbpf_sys::bpf_prog_load(
            kind,
            std::ptr::null(),
            c"Dual BSD/GPL".as_ptr(),
            program.as_ptr(),
            program.len() as libbpf_sys::size_t,
            &raw mut options,
        )
    };
    owned(fd).map(drop)
}

/// Tells whether programs may read the kernel's memory, which lockdown forbids; `None` if it cannot be found out.
pub(crate) fn reads_memory() -> Option<bool> {
    let tracepoint = libbpf_rs::ProgramType::Tracepoint;
    let asked = tracepoint.is_helper_supported(libbpf_sys::BPF_FUNC_probe_read_kernel);
    asked.ok()
}

/// Makes the smallest ring buffer, and gives it back.
pub(crate) fn try_ring() -> io::Result<()> {
    let bytes = rustix::param::page_size() as u32;
    create_map(libbpf_sys::BPF_MAP_TYPE_RINGBUF, 0, 0, bytes).map(drop)
}

/// Numbers of the active security modules (`LSM_ID_...`), in their order: Linux 6.8 and later.
pub(crate) fn security_modules() -> io::Result<Vec<u64>> {
    // The same on every architecture, as of all calls that new.
    const LSM_LIST_MODULES: libc::c_long = 461;

    let mut ids = [0_u64; 64];
    let mut bytes = size_of_val(&ids) as u32;
    // SAFETY: the kernel writes no more than `bytes` bytes to `ids`, and both outlive the call.
    let count = unsafe { libc::syscall(LSM_LIST_MODULES, ids.as_mut_ptr(), &raw mut bytes, 0) };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    Ok(ids[..count.min(ids.len())].to_vec())
}
