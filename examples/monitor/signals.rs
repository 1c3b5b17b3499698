//! Signals that ask for the end, or for a new log file; for a view also those of job control.
//!
//! They are blocked, and one thread waits for them. So no handler is installed, and the command
//! inherits every signal as it was.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::thread;

use libc::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, c_int};
use rustix::process::{Signal, pidfd_send_signal};

const ENDS: [c_int; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];
const STOPS: [c_int; 2] = [SIGTSTP, SIGCONT];

fn set(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before anything reads it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

fn mask(how: c_int, signals: &[c_int]) -> io::Result<()> {
    // SAFETY: changes the calling thread's mask, by a set that is initialised.
    match unsafe { libc::pthread_sigmask(how, &set(signals), std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Waits for a signal that is blocked in every thread.
fn wait(signals: &[c_int]) -> io::Result<c_int> {
    let mut signal = 0;
    // SAFETY: waits for a set that is initialised.
    match unsafe { libc::sigwait(&set(signals), &mut signal) } {
        0 => Ok(signal),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Blocks the signals in this thread and those it will create.
pub fn block() {
    // SANITY: fails only for an unknown `how`.
    let _ = mask(libc::SIG_BLOCK, &ENDS);
}

/// The same with those of job control, for [`listen_to_stops`].
pub fn block_stops() {
    // SANITY: as above.
    let _ = mask(libc::SIG_BLOCK, &STOPS);
}

/// Undoes [`block`] and [`block_stops`], in a child before it executes.
pub fn unblock() -> io::Result<()> {
    mask(libc::SIG_UNBLOCK, &ENDS)?;
    mask(libc::SIG_UNBLOCK, &STOPS)
}

/// Calls `heard` when the terminal is to be given up, with false, and when it is had back, with true,
/// from a thread of its own.
pub fn listen_to_stops(heard: impl Fn(bool) + Send + 'static) {
    thread::spawn(move || {
        while let Ok(signal) = wait(&STOPS) {
            heard(signal == SIGCONT);
        }
    });
}

/// Stops this process as SIGTSTP would, had it not been blocked; returns when it goes on.
pub fn stop() -> io::Result<()> {
    mask(libc::SIG_UNBLOCK, &[SIGTSTP])?;
    // SAFETY: sends a signal to this thread, and returns when that has taken it.
    unsafe { libc::raise(SIGTSTP) };
    mask(libc::SIG_BLOCK, &[SIGTSTP])
}

/// Calls `heard` at each signal, from a thread of its own.
///
/// SIGTERM and SIGHUP are handed on to the command, if there is one; SIGINT and SIGQUIT the
/// terminal sends to it by itself. With `hangup` SIGHUP means that alone, nohup or not: the program
/// that rotates logs sends it, not a terminal.
pub fn listen(
    command: Option<OwnedFd>,
    hangup: Option<Box<dyn Fn() + Send>>,
    heard: impl Fn() + Send + 'static,
) {
    thread::spawn(move || {
        let nohup = hangup_is_ignored();
        while let Ok(signal) = wait(&ENDS) {
            if let (SIGHUP, Some(hangup)) = (signal, &hangup) {
                hangup();
                continue;
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
