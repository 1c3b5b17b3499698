//! What surrounds an alert, against what /proc tells of the same process.

mod elsewhere;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ebph::{
    Anomalies, Anomaly, Capabilities, Circumstances, Fact, MonitorBuilder, Runtime, Source,
};

use crate::harness::cgroup::Cgroup;
use crate::harness::{Pipe, Stage, Start, Watch, call, deadline, getppid};

/// A victim that was taught to call getppid, and is normal.
struct Taught {
    stage: Stage,
    watch: Watch,
    anomalies: Anomalies,
}

impl Taught {
    fn new() -> Self {
        Self::with("calls", |builder| builder)
    }

    /// `victim` is a copy of `calls` of the stage, under this name or absolute path.
    fn with(victim: &str, settings: impl FnOnce(MonitorBuilder) -> MonitorBuilder) -> Self {
        let stage = Stage::new();
        let watch = stage.watch_with(settings);
        let taught = Self {
            anomalies: watch.anomalies(),
            stage,
            watch,
        };
        taught.teach(victim);
        taught
    }

    fn teach(&self, victim: &str) {
        self.stage.run_ok(2, victim, &[getppid(10)]);
        let key = self.stage.key(&self.watch, victim);
        self.watch.normalize(key).expect("the profile exists");
        self.watch.wait_for_kind("start_normal", key);
    }

    fn anomaly(&self) -> Anomaly {
        self.anomalies
            .recv_timeout(deadline())
            .expect("an anomaly is reported")
    }
}

/// What makes the victim deviate.
fn getpid() -> String {
    call(libc::SYS_getpid, 1)
}

#[track_caller]
fn surroundings(anomaly: &Anomaly) -> &Circumstances {
    let circumstances = anomaly.context.circumstances.as_deref();
    circumstances.unwrap_or_else(|| panic!("nothing surrounds {anomaly}"))
}

fn link(pid: u32, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/{name}")).expect("the process lives")
}

fn file(pid: u32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{name}")).expect("the process lives")
}

fn status(pid: u32, field: &str) -> String {
    let status = file(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.expect("the kernel tells it").trim().to_owned()
}

/// Check each part of the surroundings against /proc, of a process that still runs.
#[test]
fn agrees_with_proc() {
    let taught = Taught::new();
    let pipe = Pipe::new();
    let start = Start::new().input(&pipe);
    let arguments = [getpid(), getppid(10), "r".to_owned()];
    let run = taught.stage.start_with(&start, "calls", &arguments);
    let anomaly = taught.anomaly();
    run.until_blocked_in(libc::SYS_read);
    let pid = run.pid;
    let seen = surroundings(&anomaly);

    assert_eq!(anomaly.context.actor.pid, Some(pid));
    assert_eq!(seen.exe, Fact::at_call(link(pid, "exe")));
    assert!(!seen.exe_deleted);
    assert_eq!(seen.cwd, Fact::at_call(link(pid, "cwd")));
    let told: Vec<OsString> = file(pid, "cmdline")
        .trim_end_matches('\0')
        .split('\0')
        .map(OsString::from)
        .collect();
    assert_eq!(told.len(), 4);
    assert_eq!(seen.args, Fact::at_call(told));

    let capabilities = u64::from_str_radix(&status(pid, "CapEff:"), 16).expect("hexadecimal");
    assert_ne!(capabilities, 0, "root's");
    assert_eq!(
        seen.capabilities,
        Fact::at_call(Capabilities::from_bits(capabilities))
    );
    let inode = |name: &str| {
        let link = link(pid, &format!("ns/{name}")).into_os_string();
        let text = link.into_string().expect("it is text");
        let number = text.split(['[', ']']).nth(1).expect("as in pid:[1]");
        Some(number.parse::<u32>().expect("a number"))
    };
    let namespaces = seen.namespaces;
    for (name, found) in [
        ("pid", namespaces.pid),
        ("mnt", namespaces.mnt),
        ("net", namespaces.net),
        ("user", namespaces.user),
        ("uts", namespaces.uts),
        ("ipc", namespaces.ipc),
        ("cgroup", namespaces.cgroup),
    ] {
        assert_eq!(found, inode(name), "{name}");
    }
    let inside = status(pid, "NSpid:");
    let inside = inside.split_whitespace().next_back().expect("one at least");
    assert_eq!(seen.pid_inside, Some(inside.parse().expect("a number")));

    // A kernel that audits has these files.
    let number = |name: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/{name}")).ok()?;
        Some(text.trim().parse::<u32>().expect("a number"))
    };
    for (name, found) in [
        ("loginuid", &seen.login_uid),
        ("sessionid", &seen.audit_session),
    ] {
        match number(name) {
            Some(u32::MAX) => assert_eq!(*found, Fact::at_call(None), "{name}"),
            Some(number) => assert_eq!(*found, Fact::at_call(number), "{name}"),
            None => assert!(found.is_unknown(), "{name}"),
        }
    }
    pipe.send(1);
    run.wait();
    taught.watch.finish();
}

/// Check that the whole line of ancestors is told, each with what /proc says of it.
#[test]
fn ancestors() {
    let taught = Taught::new();
    taught.stage.run_ok(1, "calls", &[getpid(), getppid(10)]);
    let anomaly = taught.anomaly();
    let seen = &surroundings(&anomaly).ancestors;
    assert_eq!(seen.source, Source::Call);
    let ancestors = seen.value.as_ref().expect("there is a parent");
    assert_eq!(ancestors[0].pid, Some(taught.stage.pid()));
    assert_eq!(ancestors[1].pid, Some(std::process::id()));
    assert_eq!(ancestors[1].uid, 0);
    assert_eq!(
        ancestors[1].exe.value,
        Some(std::env::current_exe().expect("we have a path"))
    );
    let runner = link(taught.stage.pid(), "exe");
    assert_eq!(ancestors[0].exe, Fact::at_call(runner));
    let mut next = taught.stage.pid();
    for ancestor in ancestors {
        let pid = ancestor.pid.expect("tests run where all are visible");
        assert_eq!(pid, next);
        assert_eq!(ancestor.comm, file(pid, "comm").trim_end());
        // In hundredths of a second, behind the name in parentheses.
        let stat = file(pid, "stat");
        let (_, fields) = stat.rsplit_once(')').expect("there is a name");
        let start = fields.split_whitespace().nth(19).expect("the 22nd field");
        assert_eq!(
            ancestor.start.as_millis() / 10,
            start.parse().expect("a number")
        );
        // Not everybody lets us look; the two above did.
        if let Ok(exe) = fs::read_link(format!("/proc/{pid}/exe")) {
            let exe = exe.into_os_string().into_string().expect("it is text");
            let exe = exe.trim_end_matches(" (deleted)");
            match ancestor.exe.truncated {
                true => assert!(exe.len() > 255),
                false => assert_eq!(ancestor.exe, Fact::at_call(PathBuf::from(exe))),
            }
        }
        next = fields
            .split_whitespace()
            .nth(1)
            .expect("ppid")
            .parse()
            .expect("a number");
    }
    assert_eq!(seen.truncated, next != 0, "{seen:?}");
    assert!(ancestors.len() == 8 || next == 0);
    taught.watch.finish();
}

/// Check that nothing depends on the process being there when its alert is read.
#[test]
fn of_the_dead() {
    let taught = Taught::new();
    taught.stage.run_ok(1, "calls", &[getpid(), getppid(10)]);
    let anomaly = taught.anomaly();
    let pid = anomaly.context.actor.pid.expect("it was visible");
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    let seen = surroundings(&anomaly);
    for source in [
        seen.exe.source,
        seen.cwd.source,
        seen.args.source,
        seen.ancestors.source,
        seen.cgroup.source,
        seen.capabilities.source,
    ] {
        assert_eq!(source, Source::Call);
    }
    taught.watch.finish();
}

/// Check the bounds: a path longer than a profile has room for, a working directory that is gone,
/// and more arguments than are kept, one of which would clear a terminal.
#[test]
fn long_and_strange() {
    let taught = Taught::new();
    let mut long = taught.stage.directory().to_owned();
    for letter in ["a", "b", "c", "d"] {
        long.push(letter.repeat(200));
    }
    fs::create_dir_all(&long).expect("a folder of ours");
    let victim = long.join("calls");
    fs::copy(taught.stage.path("calls"), &victim).expect("it can be copied");
    let name = victim.to_str().expect("it is text");
    taught.teach(name);

    let gone = taught.stage.directory().join("gone");
    fs::create_dir(&gone).expect("a folder of ours");
    let text = format!(
        "#!/bin/sh\ncd {gone} && rmdir {gone} && exec \"$@\"\n",
        gone = gone.display()
    );
    let script = taught.stage.file("run", &text);
    let script = script.to_str().expect("it is text");
    // `calls` ignores what begins with a slash.
    let many = format!("/{}", "x".repeat(1500));
    let arguments = [name, &getpid(), &getppid(10), "/\x1b[2J", &many];
    taught.stage.run_ok(1, script, &arguments);
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert_eq!(seen.exe, Fact::at_call(victim.clone()));
    let view = anomaly.context.profile.as_ref().expect("it has a profile");
    assert!(view.marks.exe_truncated);
    assert_eq!(seen.cwd.value.as_deref(), Some(gone.as_path()));
    assert!(seen.args.truncated && seen.args.source == Source::Call);
    let args = seen.args.value.as_ref().expect("they were read");
    assert_eq!(args[0], name);
    assert_eq!(args[3], "/\x1b[2J");
    let kept: usize = args.iter().map(|one| one.len()).sum();
    assert_eq!(kept + args.len() - 1, 1023);
    for shown in [
        anomaly.to_string(),
        format!("{anomaly:#}").replace('\n', ""),
    ] {
        assert!(!shown.contains(char::is_control), "{shown}");
    }
    taught.watch.finish();
}

/// Check that the root as a working directory is told, and a program that only ever lay in memory.
#[test]
fn without_a_place() {
    let taught = Taught::new();
    let victim = taught.stage.path("calls");
    let text = format!("#!/bin/sh\ncd / && exec {} \"$@\"\n", victim.display());
    let script = taught.stage.file("run", &text);
    let script = script.to_str().expect("it is text");
    taught.stage.run_ok(1, script, &[getpid(), getppid(10)]);
    let anomaly = taught.anomaly();
    assert_eq!(
        surroundings(&anomaly).cwd,
        Fact::at_call(PathBuf::from("/"))
    );

    let pipe = Pipe::new();
    let start = Start::new().nameless().input(&pipe);
    let arguments = ["r".to_owned(), getpid(), getppid(10)];
    let run = taught.stage.start_with(&start, "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    let processes = taught.watch.processes().expect("they can be listed");
    let key = processes
        .filter(|process| process.pid == run.pid)
        .find_map(|one| one.key);
    taught
        .watch
        .normalize(key.expect("it has a profile"))
        .expect("any state will do");
    pipe.send(1);
    run.wait();
    let anomaly = taught
        .anomalies
        .iter()
        .find(|one| one.context.actor.pid != anomaly.context.actor.pid);
    let anomaly = anomaly.expect("the monitor runs");
    let seen = surroundings(&anomaly);
    assert_eq!(seen.exe, Fact::at_call(PathBuf::from("/memfd:nameless")));
    assert!(seen.exe_deleted);
    taught.watch.finish();
}

/// Check that an executable without a name is said to have none.
#[test]
fn deleted() {
    let taught = Taught::new();
    let pipe = Pipe::new();
    let start = Start::new().input(&pipe);
    let arguments = ["r".to_owned(), getpid(), getppid(10)];
    let run = taught.stage.start_with(&start, "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    let path = taught.stage.path("calls");
    fs::remove_file(&path).expect("it is ours");
    pipe.send(1);
    run.wait();
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert_eq!(seen.exe, Fact::at_call(path));
    assert!(seen.exe_deleted);
    taught.watch.finish();
}

/// Check that arguments which are withheld are neither read by the kernel's part nor afterwards.
#[test]
fn redacted() {
    let taught = Taught::with("calls", |builder| builder.redact_args(true));
    let pipe = Pipe::new();
    let start = Start::new().input(&pipe);
    let arguments = [getpid(), getppid(10), "/secret".into(), "r".into()];
    let run = taught.stage.start_with(&start, "calls", &arguments);
    let anomaly = taught.anomaly();
    run.until_blocked_in(libc::SYS_read);
    let seen = surroundings(&anomaly);
    assert_eq!(seen.args, Fact::redacted());
    assert!(!seen.exe.is_unknown() && !seen.cwd.is_unknown());
    assert!(
        !ebph::Event::from(anomaly.clone())
            .to_json()
            .contains("secret")
    );
    assert!(!format!("{anomaly:#}").contains("secret"));
    pipe.send(1);
    run.wait();
    taught.watch.finish();
}

/// Check the path of the cgroup, and the container that its name tells of, when the process is gone.
#[test]
fn in_a_container() {
    let taught = Taught::new();
    let outer = Cgroup::new();
    let id = "0123456789abcdef".repeat(4);
    let inner = outer.child(&format!("docker-{id}.scope"));
    let start = Start::new().cgroup(inner.path());
    let run = taught
        .stage
        .start_with(&start, "calls", &[getpid(), getppid(10)]);
    run.wait();
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert_eq!(seen.cgroup.source, Source::Call);
    let path = seen.cgroup.value.as_ref().expect("it was read");
    let name = |cgroup: &Cgroup| cgroup.path().file_name().map(PathBuf::from);
    let (outer_name, inner_name) = (name(&outer), name(&inner));
    assert!(path.is_absolute() && path.ends_with(inner_name.expect("it has a name")));
    assert!(
        path.parent()
            .is_some_and(|path| path.ends_with(outer_name.expect("a name")))
    );
    let container = seen.container.value.as_ref().expect("its name tells");
    assert_eq!(
        (container.runtime, container.id.as_str()),
        (Some(Runtime::Docker), id.as_str())
    );
    assert_eq!(seen.container.source, Source::Call);
    taught.watch.finish();
}

/// Check that a process with few rights, in namespaces of its own, is told as such.
#[test]
fn in_namespaces() {
    let taught = Taught::new();
    let victim = taught.stage.path("calls");
    let victim = victim.to_str().expect("it is text");
    let words = [getpid(), getppid(10)];
    let arguments = [
        "--pid",
        "--fork",
        "--uts",
        "--ipc",
        "--",
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        victim,
        &words[0],
        &words[1],
    ];
    taught.stage.run_ok(1, "/usr/bin/unshare", &arguments);
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert_eq!(seen.pid_inside, Some(1));
    assert_ne!(anomaly.context.actor.pid, Some(1));
    assert_eq!(anomaly.context.actor.uid, 65534);
    assert_eq!(seen.capabilities, Fact::at_call(Capabilities::default()));
    let own = |name: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{name}")).expect("we live");
        let text = link.into_os_string().into_string().expect("it is text");
        let number = text.split(['[', ']']).nth(1).expect("as in pid:[1]");
        Some(number.parse::<u32>().expect("a number"))
    };
    let namespaces = seen.namespaces;
    assert_ne!(namespaces.pid, own("pid"));
    assert_ne!(namespaces.uts, own("uts"));
    assert_ne!(namespaces.ipc, own("ipc"));
    assert_eq!(namespaces.net, own("net"));
    let ancestors = seen.ancestors.value.as_ref().expect("they were read");
    assert_eq!(ancestors[0].comm, "unshare");
    taught.watch.finish();
}

/// Check that a parent whose first thread has ended is told in full: it is no thread of the kernel.
#[test]
fn parent_without_its_first_thread() {
    let taught = Taught::new();
    let victim = taught.stage.path("calls");
    let victim = victim.to_str().expect("it is text");
    let arguments = [victim, &getpid(), &getppid(10)];
    taught.stage.run_ok(1, "headless", &arguments);
    let anomaly = taught.anomaly();
    let ancestors = surroundings(&anomaly).ancestors.value.as_ref();
    let ancestors = ancestors.expect("they were read");
    assert_eq!(ancestors[0].comm, "headless");
    let parent = taught.stage.path("headless");
    assert_eq!(ancestors[0].exe, Fact::at_call(parent));
    assert_eq!(ancestors[1].pid, Some(taught.stage.pid()));
    taught.watch.finish();
}

/// Check that a name taken away is told, although the file has another one.
#[test]
fn under_another_name() {
    let taught = Taught::new();
    let pipe = Pipe::new();
    let start = Start::new().input(&pipe);
    let arguments = ["r".to_owned(), getpid(), getppid(10)];
    let run = taught.stage.start_with(&start, "calls", &arguments);
    run.until_blocked_in(libc::SYS_read);
    let path = taught.stage.path("calls");
    fs::hard_link(&path, taught.stage.directory().join("kept")).expect("it is ours");
    fs::remove_file(&path).expect("it is ours");
    let link = link(run.pid, "exe").into_os_string();
    assert!(
        link.to_str()
            .is_some_and(|link| link.ends_with(" (deleted)"))
    );
    pipe.send(1);
    run.wait();
    let anomaly = taught.anomaly();
    let seen = surroundings(&anomaly);
    assert_eq!(seen.exe, Fact::at_call(path));
    assert!(seen.exe_deleted);
    taught.watch.finish();
}
