//! What is measured: the operations of the thesis's tables 4.4 to 4.8, which are lmbench's.

use std::fs::File;
use std::io::{Read as _, Write as _, pipe};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

use crate::Failure;

/// An operation: its name, and how often it is made in one measurement.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    pub name: &'static str,
    pub times: u32,
}

const fn operation(name: &'static str, times: u32) -> Operation {
    Operation { name, times }
}

/// In the order of the thesis's tables.
pub const OPERATIONS: [Operation; 22] = [
    operation("getppid", 50_000),
    operation("write", 30_000),
    operation("read", 30_000),
    operation("fstat", 30_000),
    operation("stat", 10_000),
    operation("open/close", 5_000),
    operation("select 10 files", 20_000),
    operation("select 100 files", 4_000),
    operation("select 250 files", 2_000),
    operation("select 500 files", 1_000),
    operation("select 10 sockets", 10_000),
    operation("select 100 sockets", 2_000),
    operation("select 250 sockets", 800),
    operation("select 500 sockets", 400),
    operation("signal installation", 20_000),
    operation("signal handler", 5_000),
    operation("fork+exit", 60),
    operation("fork+execve", 30),
    operation("fork+sh", 15),
    operation("pipe", 1_000),
    operation("AF_UNIX", 1_000),
    // Not the thesis's: a program that goes in no circles, so that nothing of it is remembered.
    operation("no circles", 50_000),
];

/// The operation of a name.
pub fn of(name: &str) -> Result<Operation, Failure> {
    let found = OPERATIONS.iter().find(|operation| operation.name == name);
    found.copied().ok_or_else(|| {
        let names = OPERATIONS.map(|operation| operation.name).join(", ");
        format!("no operation is named {name}; there are {names}").into()
    })
}

/// Does what a line asks for, `NAME TIMES`, and returns the mean of its time in nanoseconds.
pub fn perform(line: &str) -> Result<f64, Failure> {
    let (name, times) = line.rsplit_once(' ').ok_or("no times")?;
    let times: u32 = times.parse()?;
    match name.split_once(' ') {
        Some(("select", what)) => return select(what, times),
        Some(("signal", what)) => return signals(what, times),
        _ => {}
    }
    match name {
        "getppid" => time(times, || {
            std::hint::black_box(rustix::process::getppid());
            Ok(())
        }),
        "write" => {
            let null = File::options().write(true).open("/dev/null")?;
            time(times, || Ok(rustix::io::write(&null, b"x").map(drop)?))
        }
        "read" => {
            let zero = File::open("/dev/zero")?;
            time(times, || {
                Ok(rustix::io::read(&zero, &mut [0_u8; 1]).map(drop)?)
            })
        }
        "fstat" => {
            let file = File::open("/etc/passwd")?;
            time(times, || Ok(rustix::fs::fstat(&file).map(drop)?))
        }
        "stat" => time(times, || Ok(rustix::fs::stat("/etc/passwd").map(drop)?)),
        "open/close" => time(times, || {
            Ok(rustix::fs::open("/etc/passwd", OFlags::RDONLY, Mode::empty()).map(drop)?)
        }),
        "fork+exit" => stay(|| time(times, || fork(|| {}))),
        "fork+execve" => stay(|| time(times, || fork(|| execute(c"/bin/true", &[c"true"])))),
        "fork+sh" => stay(|| {
            time(times, || {
                fork(|| execute(c"/bin/sh", &[c"sh", c"-c", c"/bin/true; :"]))
            })
        }),
        "pipe" => stay(|| {
            let ((to_child, from_us), (from_child, to_us)) = (pipe()?, pipe()?);
            let child = echo(
                to_child.into(),
                to_us.into(),
                &[from_us.as_raw_fd(), from_child.as_raw_fd()],
            )?;
            ping(times, child, from_us.into(), from_child.into())
        }),
        "AF_UNIX" => stay(|| {
            let (ours, theirs) = UnixStream::pair()?;
            let child = echo(
                theirs.try_clone()?.into(),
                theirs.into(),
                &[ours.as_raw_fd()],
            )?;
            ping(times, child, ours.try_clone()?.into(), ours.into())
        }),
        "no circles" => aimless(times),
        _ => Err(format!("no operation {name}").into()),
    }
}

fn time(times: u32, mut once: impl FnMut() -> Result<(), Failure>) -> Result<f64, Failure> {
    let start = Instant::now();
    for _ in 0..times {
        once()?;
    }
    Ok(start.elapsed().as_nanos() as f64 / f64::from(times))
}

/// Does something with all its processes on the processor that this one runs on. Where a child begins
/// makes more of a difference than anything that is measured here.
fn stay(work: impl FnOnce() -> Result<f64, Failure>) -> Result<f64, Failure> {
    let allowed = sched_getaffinity(None)?;
    let mut here = CpuSet::new();
    here.set(sched_getcpu());
    sched_setaffinity(None, &here)?;
    let outcome = work();
    sched_setaffinity(None, &allowed)?;
    outcome
}

/// On so many descriptors that are ready or not, without waiting.
fn select(what: &str, times: u32) -> Result<f64, Failure> {
    let (count, kind) = what.split_once(' ').ok_or("select what?")?;
    let count: usize = count.parse()?;
    let first: OwnedFd = if kind == "files" {
        File::open("/etc/passwd")?.into()
    } else {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        TcpStream::connect(listener.local_addr()?)?.into()
    };
    let all = (1..count)
        .map(|_| first.try_clone())
        .collect::<Result<Vec<_>, _>>()?;
    let fds: Vec<RawFd> = all
        .iter()
        .chain([&first])
        .map(|fd| fd.as_raw_fd())
        .collect();
    let most = *fds.iter().max().ok_or("no descriptors")?;
    if most as usize >= libc::FD_SETSIZE {
        return Err("too many open files for select".into());
    }
    // SAFETY: all zero is the empty set.
    let mut set: libc::fd_set = unsafe { std::mem::zeroed() };
    for fd in fds {
        // SAFETY: below FD_SETSIZE, as was looked at.
        unsafe { libc::FD_SET(fd, &mut set) };
    }
    time(times, || {
        let (mut now, mut none) = (
            set,
            libc::timeval {
                tv_sec: 0,
                tv_usec: 0,
            },
        );
        let null = std::ptr::null_mut();
        // SAFETY: the set and the time live until it returns.
        match unsafe { libc::select(most + 1, &mut now, null, null, &mut none) } {
            -1 => Err(std::io::Error::last_os_error().into()),
            _ => Ok(()),
        }
    })
}

extern "C" fn handle(_signal: libc::c_int) {}

fn signals(what: &str, times: u32) -> Result<f64, Failure> {
    let install = || {
        // SAFETY: the handler does nothing, which is safe at any time.
        match unsafe { libc::signal(libc::SIGUSR1, handle as *const () as libc::sighandler_t) } {
            libc::SIG_ERR => Err(std::io::Error::last_os_error().into()),
            _ => Ok(()),
        }
    };
    install()?;
    if what == "installation" {
        return time(times, install);
    }
    // SAFETY: who it is sent to is asked.
    let own = unsafe { libc::getpid() };
    time(times, || {
        // SAFETY: its handler is installed.
        match unsafe { libc::kill(own, libc::SIGUSR1) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error().into()),
        }
    })
}

/// A child that does this and exits, waited for.
fn fork(child: impl FnOnce()) -> Result<(), Failure> {
    // SAFETY: the process has one thread, so the child may do what it likes.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().into()),
        0 => {
            child();
            // SAFETY: ends the child alone.
            unsafe { libc::_exit(0) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: the status lives until it returns.
            match unsafe { libc::waitpid(pid, &mut status, 0) } {
                -1 => Err(std::io::Error::last_os_error().into()),
                _ if status != 0 => Err(format!("a child failed: {status}").into()),
                _ => Ok(()),
            }
        }
    }
}

fn execute(path: &std::ffi::CStr, args: &[&std::ffi::CStr]) {
    let mut args: Vec<_> = args.iter().map(|arg| arg.as_ptr()).collect();
    args.push(std::ptr::null());
    // SAFETY: strings end in zero, and the list in null.
    unsafe {
        libc::execv(path.as_ptr(), args.as_ptr());
        libc::_exit(127)
    }
}

/// A child that sends back each byte that it gets, until there are no more.
fn echo(input: OwnedFd, output: OwnedFd, not_its: &[RawFd]) -> Result<libc::pid_t, Failure> {
    // SAFETY: the process has one thread, so the child may do what it likes.
    match unsafe { libc::fork() } {
        -1 => Err(std::io::Error::last_os_error().into()),
        0 => {
            for fd in not_its {
                // SAFETY: the child's own copies, of which it makes no other use.
                unsafe { libc::close(*fd) };
            }
            let (mut input, mut output) = (File::from(input), File::from(output));
            let mut byte = [0];
            while input.read_exact(&mut byte).is_ok() && output.write_all(&byte).is_ok() {}
            // SAFETY: ends the child alone.
            unsafe { libc::_exit(0) }
        }
        pid => Ok(pid),
    }
}

/// How long a byte takes there and back.
fn ping(times: u32, child: libc::pid_t, to: OwnedFd, from: OwnedFd) -> Result<f64, Failure> {
    let (mut to, mut from) = (File::from(to), File::from(from));
    let mut byte = [0];
    let mean = time(times, || {
        to.write_all(b"x")?;
        Ok(from.read_exact(&mut byte)?)
    });
    drop((to, from));
    // SAFETY: a null status is allowed.
    unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
    mean
}

/// Four short calls in an order that does not repeat within any window's memory.
fn aimless(times: u32) -> Result<f64, Failure> {
    let mut state = 1_u32;
    time(times, || {
        // A linear congruence: its upper bits have a period of four thousand million.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 30 {
            0 => drop(std::hint::black_box(rustix::process::getppid())),
            1 => drop(std::hint::black_box(rustix::process::getuid())),
            2 => drop(std::hint::black_box(rustix::process::getgid())),
            _ => drop(std::hint::black_box(rustix::process::geteuid())),
        }
        Ok(())
    })
}
