//! Signals that ask for the end.
//!
//! They are blocked, and one thread waits for them. So no handler is installed, and the command
//! inherits every signal as it was.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::thread;

use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use rustix::process::{Signal, pidfd_send_signal};

fn set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT] {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}

fn mask(how: libc::c_int) -> io::Result<()> {
    // SAFETY: changes the calling thread's mask, by a set that is initialised.
    match unsafe { libc::pthread_sigmask(how, &set(), std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Blocks the signals in this thread and those it will create.
pub fn block() {
    // SANITY: fails only for an unknown `how`.
    let _ = mask(libc::SIG_BLOCK);
}

/// Undoes [`block`], in a child before it executes.
pub fn unblock() -> io::Result<()> {
    mask(libc::SIG_UNBLOCK)
}

/// Calls `heard` at each signal, from a thread of its own.
///
/// SIGTERM and SIGHUP are handed on to the command, if there is one; SIGINT and SIGQUIT the
/// terminal sends to it by itself.
pub fn listen(command: Option<OwnedFd>, heard: impl Fn() + Send + 'static) {
    thread::spawn(move || {
        let set = set();
        let nohup = hangup_is_ignored();
        loop {
            let mut signal = 0;
            // SAFETY: waits for a set that is initialised and blocked in every thread.
            if unsafe { libc::sigwait(&set, &mut signal) } != 0 {
                return;
            }
            if signal == SIGHUP && nohup {
                continue;
            }
            let forwarded = match signal {
                SIGTERM => Some(Signal::TERM),
                SIGHUP => Some(Signal::HUP),
                _ => None,
            };
            if let (Some(signal), Some(command)) = (forwarded, &command) {
                // SANITY: fails only when the command has ended, which is what it is sent for.
                let _ = pidfd_send_signal(command, signal);
            }
            heard();
        }
    });
}

/// Tells whether a closed terminal is to be survived, as under nohup: a blocked signal arrives
/// even if it is ignored.
fn hangup_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = ignored.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << (SIGHUP - 1)) != 0)
}
