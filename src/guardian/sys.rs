//! System calls for a fork of a process with threads: each is the kernel's own, without the C library's
//! locks, caches or lazily found functions, and needs no memory but its arguments.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

/// Makes a call whose arguments are numbers, or point at what is as large as the call expects.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: every use below passes plain numbers, or pointers to values on the stack that have the
        // size that the kernel expects and outlive the call.
        let answer = unsafe { libc::syscall(libc::$number $(, $argument)*) };
        // No allocation: such an error is a number.
        if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
    }};
}

pub(super) fn pidfd_open(pid: u32) -> io::Result<RawFd> {
    call!(SYS_pidfd_open, pid, 0).map(|fd| fd as RawFd)
}

pub(super) fn own_pid() -> u32 {
    call!(SYS_getpid).map_or(0, |pid| pid as u32)
}

pub(super) fn parent_pid() -> u32 {
    call!(SYS_getppid).map_or(0, |pid| pid as u32)
}

/// Sends a signal to a process; 0 only looks whether that is possible.
pub(super) fn pidfd_send_signal(fd: RawFd, signal: i32) -> io::Result<()> {
    let info = std::ptr::null::<libc::siginfo_t>();
    call!(SYS_pidfd_send_signal, fd, signal, info, 0).map(drop)
}

pub(super) fn kill(pid: u32, signal: i32) -> io::Result<()> {
    // 0 and what is negative are groups.
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => call!(SYS_kill, pid, signal).map(drop),
        _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
    }
}

pub(super) fn close(fd: RawFd) {
    // SANITY: whatever it answers, the descriptor is gone.
    let _closed = call!(SYS_close, fd);
}

/// Closes all descriptors from `first` to `last`.
pub(super) fn close_range(first: RawFd, last: RawFd) {
    /// Where a filter forbids the call: more than a process has, and no more than is worth the time.
    const MOST: RawFd = 1 << 20;

    if call!(SYS_close_range, first, last, 0).is_err() {
        (first..=last.min(MOST)).for_each(close);
    }
}

/// Reads into the buffer; no bytes at the end of a file, and where nothing can be read.
pub(super) fn read(fd: RawFd, buffer: &mut [u8]) -> usize {
    let read = call!(SYS_read, fd, buffer.as_mut_ptr(), buffer.len());
    usize::try_from(read.unwrap_or(0)).unwrap_or(0)
}

pub(super) fn write(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    call!(SYS_write, fd, bytes.as_ptr(), bytes.len()).map(drop)
}

pub(super) fn open(path: &CStr, flags: i32) -> io::Result<RawFd> {
    let flags = flags | libc::O_CLOEXEC;
    call!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0).map(|fd| fd as RawFd)
}

/// Returns the time since boot in nanoseconds.
pub(super) fn boot_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SANITY: this clock is always there.
    let _told = call!(SYS_clock_gettime, libc::CLOCK_BOOTTIME, &raw mut time);
    let number = |part: i64| u64::try_from(part).unwrap_or(0);
    number(time.tv_sec)
        .saturating_mul(1_000_000_000)
        .saturating_add(number(time.tv_nsec))
}

/// Waits for one of the files, for so many nanoseconds or for ever.
pub(super) fn poll(files: &mut [libc::pollfd], wait: Option<u64>) {
    let time = wait.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as i64,
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let signals = std::ptr::null::<libc::sigset_t>();
    for file in &mut *files {
        file.revents = 0;
    }
    // SANITY: what is not waited for is looked at anyway.
    let _woken = call!(
        SYS_ppoll,
        files.as_mut_ptr(),
        files.len(),
        time,
        signals,
        size_of::<u64>()
    );
}

/// Makes the process one that keeps itself: apart from its parent's terminal and file systems, by a name
/// of its own, with as many descriptors as it may have, and killed last. What is refused is done
/// without.
pub(super) fn settle(name: &CStr) {
    let _own_session = call!(SYS_setsid);
    let _at_root = call!(SYS_chdir, c"/".as_ptr());
    let _named = call!(SYS_prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0);
    let _punctual = call!(SYS_prctl, libc::PR_SET_TIMERSLACK, 1, 0, 0, 0);
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let none = std::ptr::null::<libc::rlimit64>();
    if call!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, none, &raw mut limit).is_ok() {
        limit.rlim_cur = limit.rlim_max;
        let gone = std::ptr::null_mut::<libc::rlimit64>();
        let _raised = call!(
            SYS_prlimit64,
            0,
            libc::RLIMIT_NOFILE,
            &raw const limit,
            gone
        );
    }
    if let Ok(fd) = open(c"/proc/self/oom_score_adj", libc::O_WRONLY) {
        let _last = write(fd, b"-1000");
        close(fd);
    }
}

/// Has no memory of this process shown to others, or written to a file when it crashes.
pub(super) fn hide() {
    let _hidden = call!(SYS_prctl, libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/// Ends the process, and nothing that would be done at an orderly end.
pub(super) fn exit(code: i32) -> ! {
    loop {
        let _never = call!(SYS_exit_group, code);
    }
}

/// Gives back memory: what is read there afterwards is zero.
///
/// # Safety
///
/// The range must be private memory that nothing in this process relies on.
pub(super) unsafe fn drop_memory(start: usize, bytes: usize) {
    let _dropped = call!(SYS_madvise, start, bytes, libc::MADV_DONTNEED);
}

/// Takes a mapping away.
///
/// # Safety
///
/// Nothing in this process may use the range.
pub(super) unsafe fn unmap(start: usize, bytes: usize) {
    let _unmapped = call!(SYS_munmap, start, bytes);
}

/// Returns an address in the memory that the C library keeps for this thread.
pub(super) fn thread_address() -> usize {
    // SAFETY: it returns the address of this thread's own variable.
    unsafe { libc::__errno_location() }.addr()
}

/// Forks a process that this one's `wait` for any child does not see, and whose end is no signal; returns
/// its descriptor, or `None` in it. All its signals are blocked.
///
/// # Safety
///
/// The child may only do what is safe after a fork from among threads, and must not return.
pub(super) unsafe fn fork_apart() -> io::Result<Option<OwnedFd>> {
    let (everything, mut before) = (u64::MAX, 0_u64);
    let bytes = size_of::<u64>();
    let block = libc::SIG_BLOCK;
    call!(
        SYS_rt_sigprocmask,
        block,
        &raw const everything,
        &raw mut before,
        bytes
    )?;
    let mut pidfd: libc::c_int = -1;
    // The lowest byte would be the signal at its end.
    let flags = libc::CLONE_PIDFD as libc::c_ulong;
    let stack = std::ptr::null_mut::<libc::c_void>();
    let answer = call!(SYS_clone, flags, stack, &raw mut pidfd, 0, 0);
    if matches!(answer, Ok(0)) {
        return Ok(None);
    }
    let set = libc::SIG_SETMASK;
    let gone = std::ptr::null_mut::<u64>();
    let _restored = call!(SYS_rt_sigprocmask, set, &raw const before, gone, bytes);
    answer?;
    // SAFETY: the kernel has just given this descriptor to us.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// Waits for a process that was forked apart to end, and lets the kernel forget it.
pub(super) fn reap(pidfd: BorrowedFd<'_>) {
    let options = libc::WEXITED | libc::__WALL;
    let (info, usage) = (
        std::ptr::null_mut::<libc::siginfo_t>(),
        std::ptr::null_mut::<libc::rusage>(),
    );
    let fd = pidfd.as_raw_fd();
    while let Err(error) = call!(SYS_waitid, libc::P_PIDFD, fd, info, options, usage) {
        // SANITY: somebody else may have waited for it, as a subreaper's `__WALL` does.
        if error.kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}
