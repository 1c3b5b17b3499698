//! Bad input and missing means: each its own typed error.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use ebph::{EntryHook, Error, Event, Monitor, MonitorBuilder, Scope};

use crate::harness::{Stage, deadline, eventually, getppid, helper, require_root};

#[track_caller]
fn refused(builder: MonitorBuilder) -> Error {
    match builder.start() {
        Err(error) => error,
        Ok(_) => panic!("the monitor started"),
    }
}

/// Check that a process that has ended, or never was, is named.
#[test]
fn a_dead_pid() {
    require_root();
    let mut child = Command::new("true").spawn().expect("true is everywhere");
    let pid = child.id();
    child.wait().expect("it is our child");
    let beyond = u32::MAX / 2;
    for pid in [pid, 0, beyond, u32::MAX] {
        let error = refused(Monitor::builder().scope(Scope::Tree(pid)));
        assert!(
            matches!(error, Error::NoSuchProcess(found) if found == pid),
            "{error:?}"
        );
        assert!(error.to_string().contains(&pid.to_string()));
    }
}

/// Check that what is no cgroup is refused, each in its own way.
#[test]
fn no_cgroup() {
    require_root();
    let scope = |path: &str| Monitor::builder().scope(Scope::Cgroup(path.into()));
    let error = refused(scope("/nonexistent/cgroup"));
    assert!(matches!(error, Error::NoSuchCgroup(_)), "{error:?}");
    assert!(error.to_string().contains("/nonexistent/cgroup"));
    for path in ["/tmp", "/proc", "/etc/passwd", "/dev/null"] {
        let error = refused(scope(path));
        assert!(matches!(error, Error::NotACgroup(_)), "{path}: {error:?}");
    }
}

/// Check that only an existing file has a key.
#[test]
fn no_file() {
    let stage = Stage::new();
    let watch = stage.watch();
    let missing = watch.key_of("/nonexistent/file");
    assert!(matches!(missing, Err(Error::Io { .. })), "{missing:?}");
    watch.finish();
}

/// Check that a user without privileges is told which are missing, and that preflight tells him
/// as well, without failing.
#[test]
fn no_privileges() {
    require_root();
    run_as("misuse::part_without_privileges", || {
        // SAFETY: three calls without memory, made before exec.
        let failed = unsafe {
            libc::setgroups(0, std::ptr::null()) != 0
                || libc::setgid(65534) != 0
                || libc::setuid(65534) != 0
        };
        if failed {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    });
}

#[test]
fn part_without_privileges() {
    if !helper::part("misuse::part_without_privileges") {
        return;
    }
    let error = refused(Monitor::builder());
    let Error::NotPrivileged { missing } = &error else {
        panic!("{error:?}");
    };
    assert!(missing.contains(&"CAP_BPF"), "{missing:?}");
    assert!(error.to_string().contains("CAP_BPF"));
    let preflight = Monitor::preflight().to_string();
    assert!(preflight.contains("CAP_BPF"), "{preflight}");
}

/// Check that a bpf(2) which is forbidden in spite of all privileges is told from missing ones.
#[test]
fn bpf_denied() {
    require_root();
    run_as("misuse::part_denied_bpf", || {
        let load = |code: u32, k: u32| libc::sock_filter {
            code: code as u16,
            jt: 0,
            jf: 0,
            k,
        };
        let mut code = [
            load(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
            libc::sock_filter {
                jf: 1,
                ..load(
                    libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                    libc::SYS_bpf as u32,
                )
            },
            load(
                libc::BPF_RET | libc::BPF_K,
                libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
            ),
            load(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog {
            len: code.len() as u16,
            filter: code.as_mut_ptr(),
        };
        // SAFETY: the program and its code outlive the call, which copies them.
        let failed = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                0,
                &program,
            )
        };
        if failed == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    });
}

#[test]
fn part_denied_bpf() {
    if !helper::part("misuse::part_denied_bpf") {
        return;
    }
    let error = refused(Monitor::builder());
    assert!(matches!(error, Error::BpfDenied { .. }), "{error:?}");
    assert!(!Monitor::preflight().to_string().is_empty());
}

/// Check that CAP_BPF and CAP_PERFMON are enough, but for the plain tracepoint, which needs tracefs
/// as well and says so.
#[test]
fn two_capabilities_are_enough() {
    require_root();
    run_as("misuse::part_with_two_capabilities", || {
        // Root without the rest: what is not in the bounding set is gone after exec.
        let keep = [38 /* CAP_PERFMON */, 39 /* CAP_BPF */];
        for capability in (0..64).filter(|capability| !keep.contains(capability)) {
            // SAFETY: no memory is passed. What the kernel does not know is refused.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    });
}

#[test]
fn part_with_two_capabilities() {
    if !helper::part("misuse::part_with_two_capabilities") {
        return;
    }
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.hook(EntryHook::TpBtf));
    stage.run_ok(1, "calls", &[getppid(10)]);
    let counted = stage.profile(&watch, "calls").train_count();
    let missed = watch.finish().stats.recursion_misses();
    assert!(counted + missed >= 11, "{counted}, {missed} missed");

    let plain = Monitor::builder().scope(stage.scope());
    match plain.hook(EntryHook::Tracepoint).start() {
        Ok(_) | Err(Error::NotPrivileged { .. } | Error::Unsupported { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

/// Check that a start for whose threads there is no room fails and says so, whichever of them it
/// is, and neither waits for them nor leaves anything behind.
#[test]
fn no_room_for_threads() {
    require_root();
    helper::run("misuse::part_without_room_for_threads");
}

#[test]
fn part_without_room_for_threads() {
    if !helper::part("misuse::part_without_room_for_threads") {
        return;
    }
    let stage = Stage::new();
    let scope = stage.scope();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        become_limited();
        let start = || {
            let ignore = |_: &Event| {};
            let builder = Monitor::builder().scope(scope.clone());
            let builder = builder.hook(EntryHook::TpBtf);
            builder.handler(ignore).handler(ignore).start().map(drop)
        };
        // This thread itself, two handlers, the keeper and the worker.
        for room in 1..5 {
            limit_threads(room);
            tell.send(start()).expect("the test waits");
        }
        limit_threads(5);
        eventually("room, once the others are gone", || start().ok());
        tell.send(Ok(())).expect("the test waits");
    });
    let next = || {
        told.recv_timeout(2 * deadline())
            .expect("start returns, and does not panic")
    };
    for _ in 1..5 {
        match next() {
            Err(Error::Io { cause, .. }) => {
                assert_eq!(cause.kind(), io::ErrorKind::WouldBlock, "{cause}");
            }
            other => panic!("{other:?}"),
        }
    }
    next().expect("there is room");
}

/// Makes this thread, and no other, one of a user who has no other and is no exception to limits.
fn become_limited() {
    let uid = 0x4000_0000 | std::process::id();
    let keep = [38 /* CAP_PERFMON */, 39 /* CAP_BPF */];
    let high = keep
        .into_iter()
        .fold(0, |set, bit| set | 1_u32 << (bit - 32));
    // struct __user_cap_header_struct of version 3, for this thread, and its two parts: effective,
    // permitted and inheritable.
    let header = [0x2008_0522_u32, 0];
    let sets = [0, 0, 0, high, high, 0_u32];
    // SAFETY: header and sets are as long as this version says and outlive the calls.
    let failed = unsafe {
        libc::prctl(libc::PR_SET_KEEPCAPS, 1) != 0
            || libc::syscall(libc::SYS_setresuid, uid, uid, uid) != 0
            || libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) != 0
    };
    assert!(!failed, "{}", io::Error::last_os_error());
}

/// From now on each user has room for so many threads.
fn limit_threads(most: u64) {
    let limit = libc::rlimit {
        rlim_cur: most,
        rlim_max: 5,
    };
    // SAFETY: the limit outlives the call.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) } != 0;
    assert!(!failed, "{}", io::Error::last_os_error());
}

/// Check that preflight finds here what the monitor needs.
#[test]
fn preflight() {
    require_root();
    let text = Monitor::preflight().to_string();
    for word in ["BTF", "kernel"] {
        assert!(text.contains(word), "no {word} in\n{text}");
    }
}

/// Runs a part in a process that was changed in this way before its exec.
fn run_as(test: &str, change: impl Fn() -> io::Result<()> + Send + Sync + 'static) {
    let mut command = helper::command(test);
    // SAFETY: the closures above make system calls only, and allocate nothing.
    unsafe { command.pre_exec(change) };
    helper::finish(test, &mut command);
}
