//! The least that the example monitor can do its work with, and what more is for: as the README says.
//! Needs setpriv and unshare (util-linux).

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ebph::{Profile, Store};
use serde_json::Value;

use crate::harness::cgroup::Cgroup;
use crate::harness::{Stage, Start, call, eventually, example, getppid, kernel, program};
use crate::restricted::{Ended, for_plain_tracepoint, in_mounts};

/// Mounts tracefs unless it is.
const TRACEFS: &str =
    "test -e /sys/kernel/tracing/events || mount -t tracefs none /sys/kernel/tracing";

/// A user who is nobody else, with a copy of the example and a folder for profiles.
struct User {
    id: u32,
    example: PathBuf,
    folder: PathBuf,
}

impl User {
    fn new(stage: &Stage) -> Self {
        let user = Self {
            id: 0x4000_0000 | stage.pid(),
            example: stage.directory().join("monitor"),
            folder: stage.directory().join("profiles"),
        };
        fs::create_dir(&user.folder).expect("it can be made");
        chown(&user.folder, Some(user.id), Some(user.id)).expect("root may");
        fs::set_permissions(&user.folder, Permissions::from_mode(0o700)).expect("root may");
        // The build directory may be closed to other users, so bring a copy. Another test's child
        // may hold it open for writing between its fork and exec.
        fs::copy(example("monitor"), &user.example).expect("the example can be copied");
        eventually("the copy not to be open for writing", || {
            let run = Command::new(&user.example).arg("--version").output();
            run.ok().filter(|output| output.status.success())
        });
        user
    }

    /// The example, as this user, with these capabilities besides those that it cannot do without,
    /// and never more. Without any, if there are none.
    fn example(&self, capabilities: Option<&[&str]>) -> Command {
        let mut granted: Vec<&str> = Vec::new();
        if let Some(more) = capabilities {
            granted.extend(["bpf", "perfmon"].iter().chain(more));
        }
        let plain = kernel::hides_calls() && capabilities.is_some();
        if plain {
            granted.extend(for_plain_tracepoint());
        }
        let list: String = granted.iter().map(|name| format!(",+{name}")).collect();
        let (user, list) = (self.id.to_string(), format!("-all{list}"));
        let mut command = match plain {
            true => in_mounts(TRACEFS),
            false => Command::new("env"),
        };
        command
            .args(["setpriv", "--reuid", &user, "--regid", &user])
            .args(["--clear-groups", "--inh-caps", &list])
            .args(["--ambient-caps", &list, "--bounding-set", &list])
            .arg("--no-new-privs")
            .arg(&self.example)
            .stdin(Stdio::null());
        command
    }

    /// The profiles that it kept.
    fn kept(&self) -> Vec<Profile> {
        // Nobody but root uses what is root's.
        chown(&self.folder, Some(0), Some(0)).expect("root may");
        let store = Store::open(&self.folder).expect("it is root's now");
        let loaded = store.load().expect("it can be read");
        let stored = loaded.profiles.into_iter();
        stored.map(|stored| stored.profile).collect()
    }
}

fn events(text: &str) -> Vec<Value> {
    let lines = text.lines();
    let event = |line| serde_json::from_str(line).expect("each line is JSON");
    lines.map(event).collect()
}

/// Check that nobody's preflight says what is missing, without a word of libbpf's.
#[test]
fn no_capability() {
    let stage = Stage::new();
    let mut command = User::new(&stage).example(None);
    let output = command.args(["preflight", "--json"]).output();
    let output = output.expect("this test needs setpriv (util-linux)");
    assert!(output.stderr.is_empty(), "{output:?}");
    assert_eq!(output.status.code(), Some(125));
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    let error = report["error"].as_str().expect("it says why");
    let both = error.contains("CAP_BPF") && error.contains("CAP_PERFMON");
    assert!(both, "{error}");
}

/// Check that what stops processes is refused, by the name of what is missing, to who could not continue
/// them; and a dry run of it, or what stops nobody, is not.
#[test]
fn stops_need_another() {
    let stage = Stage::new();
    let user = User::new(&stage);
    let run = |more: &[&str], options: &str| {
        let mut command = user.example(Some(more));
        let command = command.args(options.split(' ')).args(["--", "true"]);
        let output = command.output().expect("this test needs setpriv");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), errors)
    };
    for stops in ["--delay-unit 10ms", "--suspend-exec 3"] {
        let (status, errors) = run(&[], stops);
        assert_eq!(status, Some(125), "{stops}: {errors}");
        assert_eq!(errors.lines().count(), 1, "{stops}: {errors}");
        assert!(errors.contains("CAP_KILL"), "{stops}: {errors}");
        let (status, errors) = run(&[], &format!("{stops} --dry-run"));
        assert_eq!(status, Some(0), "{stops}: {errors}");
        let (status, errors) = run(&["kill"], stops);
        assert_eq!(status, Some(0), "{stops}: {errors}");
    }
    let (status, errors) = run(&[], "--kill 3");
    assert_eq!(status, Some(0), "{errors}");
}

/// Check that a user with the least set of capabilities can learn a program, be told of its
/// anomaly, and keep its profile; and leaves nothing in the kernel.
#[test]
fn the_least_capabilities() {
    let stage = Stage::new();
    let user = User::new(&stage);
    let victim = stage.path("calls");
    let script =
        "i=0; while [ $i -lt 200 ]; do \"$0\" \"$1\"; i=$((i + 1)); done; \"$0\" \"$1\" \"$2\"";
    let output = user
        .example(Some(&[]))
        .args(["--json", "--events", "anomaly,warning"])
        .args(["--normal-wait", "1ms", "--profile-dir"])
        .arg(&user.folder)
        .args(["--", "sh", "-c", script])
        .arg(&victim)
        .args([getppid(10), call(libc::SYS_getuid, 1)])
        .output()
        .expect("this test needs setpriv (util-linux)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let events = events(&text);
    let anomaly = events.iter().find(|event| {
        event["event"] == "anomaly" && event["profile"]["exe"] == victim.to_str().expect("UTF-8")
    });
    assert!(anomaly.is_some(), "{text}");
    let warning = events.iter().find(|event| event["event"] == "warning");
    assert_eq!(warning, None);
    let kept = user.kept();
    let of_victim = kept
        .iter()
        .find(|profile| profile.exe() == Some(victim.as_path()));
    let of_victim = of_victim.expect("it was saved");
    assert!(of_victim.is_normal() && of_victim.identity().is_some());
    // A user's programs are told by their owner.
    eventually("nothing of this user's to be left in the kernel", || {
        let mut programs = libbpf_rs::query::ProgInfoIter::default();
        programs
            .all(|program| program.created_by_uid != user.id)
            .then_some(())
    });
}

/// Starts a program in a mount namespace of its own, as in a container; it waits for a signal.
fn contained(folder: &Path, cgroup: &Cgroup) -> Ended {
    let script = "mount -t tmpfs none \"$EBPH_LIVE_FOLDER\"
        cp \"$EBPH_LIVE_PROGRAM\" \"$EBPH_LIVE_FOLDER/inside\"
        echo $$ >\"$EBPH_LIVE_CGROUP/cgroup.procs\"";
    let child = in_mounts(script)
        .arg(folder.join("inside"))
        .arg(call(libc::SYS_ppoll, 1))
        .env("EBPH_LIVE_PROGRAM", program("calls"))
        .env("EBPH_LIVE_FOLDER", folder)
        .env("EBPH_LIVE_CGROUP", cgroup.path())
        .spawn();
    Ended(child.expect("this test needs unshare (util-linux)"))
}

/// The programs of which a user with these capabilities besides the least keeps profiles, of three:
/// one that everybody may read, one that only root may, and one in a container.
fn kept_with(more: &[&str]) -> BTreeSet<String> {
    let stage = Stage::new();
    let user = User::new(&stage);
    let cgroup = Cgroup::new();
    let inside = stage.directory().join("container");
    fs::create_dir(&inside).expect("it can be made");
    let open = stage.copy("calls", "open");
    let closed = stage.copy("calls", "closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o711)).expect("it is ours");
    let monitor = user
        .example(Some(more))
        .args(["--json", "--save-interval", "50ms", "--profile-dir"])
        .arg(&user.folder)
        .arg("--scope")
        .arg(format!("cgroup:{}", cgroup.path().display()))
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs setpriv (util-linux)");
    let mut monitor = Ended(monitor);
    let mut lines = BufReader::new(monitor.0.stdout.take().expect("it is piped")).lines();
    let (sender, created) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            if line.contains("profile_created") && sender.send(line).is_err() {
                break;
            }
        }
    });
    let in_cgroup = Start::new().cgroup(cgroup.path());
    // The first of them runs until one is seen: then it is watched.
    let first = open.to_str().expect("test paths are UTF-8");
    eventually("the watch to begin", || {
        let run = stage.start_with(&in_cgroup, first, &[getppid(10)]);
        assert!(run.wait().success());
        created.try_recv().ok()
    });
    let run = stage.start_with(&in_cgroup, closed.to_str().expect("UTF-8"), &[getppid(10)]);
    assert!(run.wait().success());
    let contained = contained(&inside, &cgroup);
    let deadline = crate::harness::deadline();
    while !created
        .recv_timeout(deadline)
        .expect("the program in the container is seen")
        .contains("inside")
    {}
    let pid = rustix::process::Pid::from_child(&monitor.0);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    let status = monitor.0.wait().expect("it is our child");
    assert!(status.success(), "{status}");
    drop(contained);
    let kept = user.kept();
    let names = kept.iter().filter_map(|profile| profile.exe()?.file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let ours = ["open", "closed", "inside"];
    names.filter(|name| ours.contains(&name.as_str())).collect()
}

/// Check which programs are known again with which capabilities: with the least those that the
/// monitor's user can read where it is itself.
#[test]
fn what_more_is_for() {
    let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let reads: BTreeSet<String> = of(&["closed", "open"]);
    if !kernel::hides_calls() {
        assert_eq!(kept_with(&[]), of(&["open"]));
    }
    assert_eq!(kept_with(&["dac_read_search"]), reads);
    let all = of(&["closed", "inside", "open"]);
    assert_eq!(kept_with(&["dac_read_search", "sys_ptrace"]), all);
}
