//! Alerts of processes that see other files than the monitor does, that somebody logged in for, or
//! of which the kernel's part could not tell everything.

use super::*;

/// Check that a program is named as it is seen from its own root, whatever the monitor calls it.
#[test]
fn below_another_root() {
    let taught = Taught::new();
    let root = taught.stage.directory().join("root");
    fs::create_dir_all(root.join("bin")).expect("a folder of ours");
    let victim = root.join("bin/calls");
    fs::copy(taught.stage.path("calls"), &victim).expect("it can be copied");
    taught.teach(victim.to_str().expect("test paths are UTF-8"));
    let root = root.to_str().expect("test paths are UTF-8");
    let arguments = [root, "/bin/calls", &getpid(), &getppid(10)];
    taught.stage.run_ok(1, "/usr/sbin/chroot", &arguments);
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert_eq!(seen.exe, Fact::at_call(PathBuf::from("/bin/calls")));
    assert!(!seen.exe_deleted);
    assert_eq!(seen.cwd, Fact::at_call(PathBuf::from("/")));
    taught.watch.finish();
}

/// Check that paths lead over the mounts that the process sees, where the monitor sees others.
#[test]
fn on_a_mount_of_its_own() {
    let taught = Taught::new();
    let folder = taught.stage.directory().join("folder");
    let mounted = taught.stage.directory().join("mounted");
    for folder in [&folder, &mounted] {
        fs::create_dir(folder).expect("a folder of ours");
    }
    let victim = folder.join("calls");
    fs::copy(taught.stage.path("calls"), &victim).expect("it can be copied");
    taught.teach(victim.to_str().expect("test paths are UTF-8"));
    let text = format!(
        "#!/bin/sh\nmount --bind {} {mounted} && cd {mounted} && exec ./calls \"$@\"\n",
        folder.display(),
        mounted = mounted.display()
    );
    let script = taught.stage.file("run", &text);
    let script = script.to_str().expect("test paths are UTF-8");
    let words = [getpid(), getppid(10)];
    let arguments = ["--mount", script, &words[0], &words[1]];
    taught.stage.run_ok(1, "/usr/bin/unshare", &arguments);
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert!(
        !mounted.join("calls").exists(),
        "it is mounted here as well"
    );
    assert_eq!(seen.exe, Fact::at_call(mounted.join("calls")));
    assert_eq!(seen.cwd, Fact::at_call(mounted));
    taught.watch.finish();
}

/// Check that the login which a process descends from is told, where the kernel audits.
#[test]
fn by_a_login() {
    let taught = Taught::new();
    let victim = taught.stage.path("calls");
    // Where somebody logged in already it may be for ever: then that is told.
    let text = format!(
        "#!/bin/sh\n{{ echo 4242 >/proc/self/loginuid; }} 2>/dev/null\nexec {} \"$@\"\n",
        victim.display()
    );
    let script = taught.stage.file("run", &text);
    let script = script.to_str().expect("test paths are UTF-8");
    let pipe = Pipe::new();
    let start = Start::new().input(&pipe);
    let arguments = [getpid(), getppid(10), "r".to_owned()];
    let run = taught.stage.start_with(&start, script, &arguments);
    let anomaly = taught.anomaly();
    run.until_blocked_in(libc::SYS_read);
    let seen = surroundings(&anomaly);
    for (name, found) in [
        ("loginuid", &seen.login_uid),
        ("sessionid", &seen.audit_session),
    ] {
        match fs::read_to_string(format!("/proc/{}/{name}", run.pid)) {
            Ok(text) => {
                let number: u32 = text.trim().parse().expect("a number");
                assert_ne!(number, u32::MAX, "{name}: nobody could log in");
                assert_eq!(*found, Fact::at_call(number), "{name}");
            }
            Err(_) => assert!(found.is_unknown(), "{name}"),
        }
    }
    pipe.send(1);
    run.wait();
    taught.watch.finish();
}

/// Check that an alert whose texts the ring has no room for, however empty, is told without them;
/// and that what can be looked up afterwards is, and marked as late and as cut.
#[test]
fn larger_than_the_ring() {
    let bytes = 2 * u32::try_from(rustix::param::page_size()).expect("it is small");
    let taught = Taught::with("calls", |builder| builder.ring_bytes(bytes));
    let mut long = taught.stage.directory().to_owned();
    while long.as_os_str().len() < 3800 {
        long.push("a".repeat(200));
    }
    fs::create_dir_all(&long).expect("a folder of ours");
    let victim = long.join("calls");
    fs::copy(taught.stage.path("calls"), &victim).expect("it can be copied");
    let name = victim.to_str().expect("it is text");
    taught.teach(name);
    let text = "#!/bin/sh\ncd \"${1%/*}\" && exec \"$@\"\n";
    let script = taught.stage.file("run", text);
    let script = script.to_str().expect("it is text");
    let many = format!("/{}", "x".repeat(1500));
    let pipe = Pipe::new();
    let start = Start::new().input(&pipe);
    let arguments = [name, &getpid(), &getppid(10), &many, "r"];
    let run = taught.stage.start_with(&start, script, &arguments);
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert_eq!(seen.exe, Fact::late(victim.clone()));
    assert_eq!(seen.cwd, Fact::late(long));
    assert_eq!(
        (seen.args.source, seen.args.truncated),
        (Source::Late, true)
    );
    let first = seen.args.value.as_ref().and_then(|all| all.first());
    let first = first.expect("they were read").to_str();
    assert_eq!(
        first,
        name.get(..1023),
        "it alone is longer than what is kept"
    );
    assert_eq!(seen.container.source, Source::Late);
    for (unknown, what) in [
        (seen.ancestors.is_unknown(), "ancestors"),
        (seen.cgroup.is_unknown(), "cgroup"),
        (seen.capabilities.is_unknown(), "capabilities"),
        (seen.login_uid.is_unknown(), "login"),
        (seen.pid_inside.is_none(), "pid inside"),
    ] {
        assert!(unknown, "{what}: {seen:?}");
    }
    let json = ebph::Event::from(anomaly.clone()).to_json();
    for mark in [
        "exe_late",
        "cwd_late",
        "args_late",
        "args_truncated",
        "cgroup_unknown",
    ] {
        assert!(json.contains(&format!("\"{mark}\"")), "no {mark} in {json}");
    }
    run.until_blocked_in(libc::SYS_read);
    pipe.send(1);
    run.wait();
    taught.watch.finish();
}
