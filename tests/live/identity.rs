//! Who is who: reused pids, rewritten executables, users, cgroups and pid namespaces.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use ebph::{Key, KeyPartition, Monitor, Partition, Profile, Scope, State};

use crate::harness::cgroup::Cgroup;
use crate::harness::{
    Pipe, Stage, Start, Watch, call, eventually, getppid, held, helper, learnt, program,
};

fn profiles_of(watch: &Watch, exe: &Path) -> Vec<Profile> {
    let all = watch.profiles().expect("profiles can be read");
    let mut found: Vec<_> = all.filter(|profile| profile.exe() == Some(exe)).collect();
    found.sort_by_key(Profile::train_count);
    found
}

/// Check that a pid which is used again names the new process, and that the two can be told apart
/// by their start.
#[test]
fn a_reused_pid_is_another_process() {
    let stage = Stage::new();
    let watch = stage.watch();
    let second = stage.copy("calls", "second");
    let second = second.to_str().expect("test paths are UTF-8");
    let names = ["calls", second];
    for name in names {
        stage.run_ok(2, name, &[getppid(10)]);
        watch
            .normalize(stage.key(&watch, name))
            .expect("the profile exists");
    }
    let deviation = [call(libc::SYS_getpid, 1), getppid(1)];
    let (first, reused) = eventually("the same pid twice", || {
        let run = stage.start("calls", &deviation);
        let pid = run.pid;
        run.wait();
        // Another process of this machine may take it first.
        let again = stage
            .try_start(&Start::new().pid(pid), second, &deviation)
            .ok()?;
        let second_pid = again.pid;
        again.wait();
        Some((pid, second_pid))
    });
    assert_eq!(first, reused);
    let [one, two] = names.map(|name| stage.key(&watch, name));
    let outcome = watch.finish();
    let last = |key| {
        outcome
            .of("anomaly", key)
            .pop()
            .expect("it deviated")
            .clone()
    };
    let (one, two) = (last(one), last(two));
    assert_eq!(
        (one.number("pid"), two.number("pid")),
        (first.into(), first.into())
    );
    assert_eq!((one.text("comm"), two.text("comm")), ("calls", "second"));
    assert!(one.number("start_boot_ns") < two.number("start_boot_ns"));
}

/// Check that an executable which is rewritten in place is no longer judged by what the old one
/// did, and says so.
#[test]
fn a_rewritten_executable_is_not_normal() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    watch.normalize(key).expect("the profile exists");
    let before = learnt(&stage.profile(&watch, "calls"));
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(stage.path("calls"))
        .expect("it is ours");
    file.write_all(b"more").expect("it can be written");
    drop(file);
    stage.run_ok(1, "calls", &[getppid(10)]);
    let stop = watch.wait_for_kind("stop_normal", key);
    assert_eq!(stop.text("cause"), "executable_changed");
    assert_eq!(stop.text("profile.state"), "training");
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.key(), key);
    // It may be frozen again, but waits before it is normal.
    assert_ne!(profile.state(), State::Normal);
    assert_eq!(learnt(&profile), before, "it goes on from the old pairs");
    let outcome = watch.finish();
    outcome.one("stop_normal", key);
}

/// Check that a file put in the place of another has a profile of its own, and nothing of the old
/// one's is normal there.
#[test]
fn a_replaced_executable_starts_anew() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(2, "calls", &[getppid(10)]);
    let old = stage.key(&watch, "calls");
    watch.normalize(old).expect("the profile exists");
    let before = stage.profile(&watch, "calls");
    let replacement = stage.copy("calls", "replacement");
    fs::rename(replacement, stage.path("calls")).expect("both are ours");
    stage.run_ok(1, "calls", &[getppid(10)]);
    let new = stage.profile(&watch, "calls");
    assert_ne!(new.key(), old);
    // What the old one did counts as well, if the monitor looked at it in time.
    let counts = [11, 11 + before.train_count().max(before.sequences())];
    assert!(counts.contains(&new.train_count()), "{}", new.train_count());
    assert_eq!(new.state(), State::Training);
    assert!(held(&new).is_empty());
    watch.finish();
}

/// Check that a profile per user is one per real uid, fixed at exec.
#[test]
fn a_profile_per_user() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.partition(Partition::User));
    let nobody = 65534;
    stage.run_ok(1, "calls", &[getppid(10)]);
    let run = stage.start_with(&Start::new().user(nobody), "calls", &[getppid(20)]);
    assert!(run.wait().success());
    let found: Vec<_> = profiles_of(&watch, &stage.path("calls"))
        .iter()
        .map(|profile| (profile.key().partition, profile.train_count()))
        .collect();
    assert_eq!(
        found,
        [
            (Some(KeyPartition::User(0)), 11),
            (Some(KeyPartition::User(nobody)), 21)
        ]
    );
    watch.finish();
}

/// Check that a profile per cgroup is one per cgroup of the exec.
#[test]
fn a_profile_per_cgroup() {
    let stage = Stage::new();
    let (one, two) = (Cgroup::new(), Cgroup::new());
    let watch = stage.watch_with(|builder| builder.partition(Partition::Cgroup));
    for (cgroup, calls) in [(&one, 10), (&two, 20)] {
        let start = Start::new().cgroup(cgroup.path());
        assert!(
            stage
                .start_with(&start, "calls", &[getppid(calls)])
                .wait()
                .success()
        );
    }
    let found: Vec<_> = profiles_of(&watch, &stage.path("calls"))
        .iter()
        .map(|profile| (profile.key().partition, profile.train_count()))
        .collect();
    assert_eq!(
        found,
        [
            (Some(KeyPartition::Cgroup(one.id())), 11),
            (Some(KeyPartition::Cgroup(two.id())), 21)
        ]
    );
    watch.finish();
}

/// Check that a profile in the place of a forgotten one shows nothing of that one's paths.
#[test]
fn a_reused_place_shows_its_own_paths() {
    let stage = Stage::new();
    // The runner and one more, which is each of these in turn.
    let watch = stage.watch_with(|builder| builder.max_profiles(2));
    let interpreter = stage.path("calls");
    let script = format!("#!{} {}\n", interpreter.display(), getppid(1));
    let names = ["a-name-that-is-far-longer-than-the-other-one", "b"];
    for name in names {
        let exe = stage.copy("calls", name);
        let text = exe.to_str().expect("test paths are UTF-8");
        stage.run_ok(1, text, &[getppid(1)]);
        let profile = stage.profile(&watch, name);
        assert_eq!((profile.exe(), profile.script()), (Some(&*exe), None));
        watch.forget(profile.key()).expect("its process has ended");
    }
    for name in names {
        let path = stage.file(&format!("{name}.script"), &script);
        let text = path.to_str().expect("test paths are UTF-8");
        stage.run_ok::<&str>(1, text, &[]);
        let all = profiles_of(&watch, &interpreter);
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0].script(), Some(&*path));
        watch.forget(all[0].key()).expect("its process has ended");
    }
    watch.finish();
}

/// Check that a key survives being written down.
#[test]
fn keys_are_text() {
    let stage = Stage::new();
    let watch = stage.watch();
    stage.run_ok(1, "calls", &[getppid(10)]);
    let key = stage.key(&watch, "calls");
    let created = watch.wait_for_kind("profile_created", key);
    let read: Key = created
        .text("profile.key")
        .parse()
        .expect("keys can be read");
    assert_eq!(read, key);
    watch.freeze(read).expect("it names the same profile");
    watch.finish();
}

/// Check that the embedding process is not watched, whatever its scope covers, and its children
/// are.
#[test]
fn the_embedding_process_is_not_watched() {
    helper::run("identity::part_that_watches_itself");
}

#[test]
fn part_that_watches_itself() {
    if !helper::part("identity::part_that_watches_itself") {
        return;
    }
    let own = std::env::current_exe().expect("/proc is mounted");
    let watch = Watch::start(Monitor::builder().scope(Scope::Tree(std::process::id())));
    let calls = || {
        for _ in 0..1000 {
            let _ = rustix::process::getppid();
        }
    };
    calls();
    std::thread::spawn(calls).join().expect("it does not panic");
    let status = Command::new(program("calls"))
        .arg(getppid(10))
        .status()
        .expect("it can be run");
    assert!(status.success());
    let profiles: Vec<_> = watch.profiles().expect("readable").collect();
    assert_eq!(profiles.len(), 1, "{profiles:?}");
    assert_eq!(profiles[0].exe(), Some(program("calls")));
    assert_eq!(profiles[0].train_count(), 11);
    let pid = std::process::id();
    assert!(
        watch
            .processes()
            .expect("readable")
            .all(|process| process.pid != pid)
    );
    let outcome = watch.finish();
    assert_eq!(outcome.stats.calls.recorded, 11);
    assert!(outcome.events.iter().all(|seen| !seen.is_of(&own)));
}

/// Check that pids are those of the monitor's own pid namespace, in scopes, events and lists.
#[test]
fn pids_are_those_of_the_own_namespace() {
    let test = "identity::part_in_a_pid_namespace";
    let inner = helper::command(test);
    let output = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--"])
        .arg(inner.get_program())
        .args(inner.get_args())
        .envs(
            inner
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()
        .expect("this test needs unshare, from util-linux");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
}

#[test]
fn part_in_a_pid_namespace() {
    if !helper::part("identity::part_in_a_pid_namespace") {
        return;
    }
    assert_eq!(
        std::process::id(),
        1,
        "the test should be alone in its namespace"
    );
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let run = stage.start_with(
        &Start::new().input(&gate),
        "calls",
        &[getppid(10), "r".into()],
    );
    run.until_blocked_in(libc::SYS_read);
    let pid = run.pid;
    assert!(pid < 100);
    let key = stage.key(&watch, "calls");
    let created = watch.wait_for_kind("profile_created", key);
    assert_eq!(created.number("pid"), u64::from(pid));
    assert_eq!(created.number("ppid"), u64::from(stage.pid()));
    let process = watch
        .processes()
        .expect("readable")
        .find(|process| process.pid == pid)
        .expect("it is listed under the pid that its parent knows");
    assert_eq!(process.key, Some(key));
    gate.send(1);
    assert!(run.wait().success());
    assert_eq!(stage.profile(&watch, "calls").train_count(), 12);
    watch.finish();
}

/// Check that the start of a process in events is that of the process list.
#[test]
fn events_and_list_agree_on_the_start() {
    let stage = Stage::new();
    let watch = stage.watch();
    let gate = Pipe::new();
    let run = stage.start_with(&Start::new().input(&gate), "calls", &["r"]);
    let created = watch.wait_for_kind("profile_created", stage.key(&watch, "calls"));
    run.until_blocked_in(libc::SYS_read);
    let process = watch
        .processes()
        .expect("readable")
        .find(|process| process.pid == run.pid)
        .expect("a living process is listed");
    let start = u64::try_from(process.start.as_nanos()).expect("it fits");
    assert_eq!(created.number("start_boot_ns"), start);
    gate.send(1);
    assert!(run.wait().success());
    watch.finish();
}
