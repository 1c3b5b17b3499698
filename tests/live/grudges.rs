//! What makes profiles last, against programs and files that bear it a grudge.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use ebph::{Error, Key, Monitor, Partition, Profile, State, Store};
use rustix::process::Signal;

use crate::harness::cgroup::Cgroup;
use crate::harness::{Run, Stage, Start, Watch, call, eventually, getppid, held};
use crate::store::{deviation, files, folder, keeping, replace, stored, train};

pub(crate) fn watch(stage: &Stage) -> Watch {
    stage.watch_with(keeping(stage))
}

fn append(path: &Path) {
    let mut bytes = fs::read(path).expect("it is there");
    bytes.push(0);
    fs::write(path, bytes).expect("it can be written");
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are UTF-8")
}

/// Many different calls: a profile of many rows.
pub(crate) fn rich() -> Vec<String> {
    (470..506).map(|number| call(number, 2)).collect()
}

/// Everything that the folder holds of the victim, as program or as interpreter.
pub(crate) fn kept(stage: &Stage) -> Vec<Profile> {
    let store = Store::open(folder(stage)).expect("the folder is ours");
    let loaded = store.load().expect("it can be read");
    assert!(loaded.set_aside.is_empty(), "{:?}", loaded.set_aside);
    let all = loaded.profiles.into_iter().map(|stored| stored.profile);
    all.filter(|profile| profile.exe() == Some(&stage.path("calls")))
        .collect()
}

/// Runs `from` in a mount namespace where it is at another path.
pub(crate) fn start_at<'a>(stage: &'a Stage, from: &Path, at: &Path, args: &[String]) -> Run<'a> {
    let (from, at) = (text(from), text(at));
    let script = format!("mount --bind {from} {at} && exec {at} {}", args.join(" "));
    stage.start("/usr/bin/unshare", &["-m", "sh", "-c", &script])
}

/// Runs a script that is on a file system which only its process sees.
fn run_hidden(stage: &Stage, arg: &str) {
    let folder = stage.directory().join("hidden");
    fs::create_dir_all(&folder).expect("it can be made");
    let (folder, calls) = (text(&folder), stage.path("calls"));
    let script = format!(
        "mount -t tmpfs none {folder} && printf '#!{} {arg}\\n' > {folder}/script \
         && chmod 755 {folder}/script && exec {folder}/script",
        calls.display()
    );
    stage.run_ok(1, "/usr/bin/unshare", &["-m", "sh", "-c", &script]);
}

fn of_hidden(stage: &Stage, watch: &Watch) -> Profile {
    let path = stage.directory().join("hidden/script");
    let mut all = watch.profiles().expect("readable");
    all.find(|profile| profile.script() == Some(&path))
        .expect("the script has a profile")
}

/// Installs the same content in a new file, and waits until its profile has followed.
fn reinstall(stage: &Stage, watch: &Watch) -> Key {
    let old = train(stage, watch, "calls");
    watch.save().expect("it can be saved");
    replace(&stage.path("calls"), |_| ());
    let new = stage.key(watch, "calls");
    assert_ne!(old, new);
    eventually("it to return", || {
        stage.run_ok(1, "calls", &[getppid(10)]);
        let profile = watch.profile(new).expect("readable")?;
        (profile.state() == State::Normal).then_some(())
    });
    new
}

/// A pipe by name, with a writer that nobody but the test may set free.
struct Bait {
    path: PathBuf,
    ours: Arc<AtomicBool>,
    writer: JoinHandle<bool>,
}

impl Bait {
    fn new(stage: &Stage) -> Self {
        let path = stage.directory().join("pipe");
        let made = Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo is there").success());
        let ours = Arc::new(AtomicBool::new(false));
        let (pipe, freed_by_us) = (path.clone(), Arc::clone(&ours));
        let writer = std::thread::spawn(move || {
            fs::OpenOptions::new()
                .write(true)
                .open(pipe)
                .expect("it has a reader");
            freed_by_us.load(Ordering::SeqCst)
        });
        Self { path, ours, writer }
    }

    #[track_caller]
    fn was_not_taken(self) {
        self.ours.store(true, Ordering::SeqCst);
        let free = || self.writer.is_finished().then_some(());
        eventually("the writer to go on", || {
            use std::os::unix::fs::OpenOptionsExt as _;
            let mut options = fs::OpenOptions::new();
            let options = options.read(true).custom_flags(libc::O_NONBLOCK);
            let _reader = options.open(&self.path).expect("it is ours");
            free()
        });
        let ours = self.writer.join().expect("it does not panic");
        assert!(ours, "somebody else opened the pipe");
    }
}

/// Check that a script which the monitor cannot see has no file, neither of its own nor that of its
/// interpreter, and that another one at the same path is not what the first one was.
#[test]
fn hidden_scripts_are_not_kept() {
    let stage = Stage::new();
    let first = watch(&stage);
    let key = train(&stage, &first, "calls");
    run_hidden(&stage, &call(libc::SYS_getuid, 30));
    let script = of_hidden(&stage, &first).key();
    first.normalize(script).expect("it exists");
    first.save().expect("it can be saved");
    first.finish();
    let files: Vec<_> = kept(&stage)
        .iter()
        .map(|profile| (profile.script().map(Path::to_owned), profile.state()))
        .collect();
    assert_eq!(files, [(None, State::Normal)]);

    let second = watch(&stage);
    let interpreter = second.profile(key).expect("readable").expect("it is back");
    assert_eq!(interpreter.state(), State::Normal);
    run_hidden(&stage, &call(libc::SYS_getgid, 30));
    second.save().expect("it can be saved");
    assert_eq!(of_hidden(&stage, &second).state(), State::Training);
    second.finish();
}

/// Check that what is at the path of a program in a container, and is no file, is not opened: to
/// open a pipe sets its writer free, and other things do worse.
#[test]
fn no_pipe_is_opened() {
    let stage = Stage::new();
    let bait = Bait::new(&stage);
    let copy = stage.copy("calls", "copy");
    let watch = watch(&stage);
    let key = watch.key_of(&copy).expect("it is there");
    let run = start_at(&stage, &copy, &bait.path, &[call(libc::SYS_ppoll, 1)]);
    run.until_blocked_in(libc::SYS_ppoll);
    watch.save().expect("it can be saved");
    let profile = watch.profile(key).expect("readable").expect("it exists");
    assert_eq!(profile.exe(), Some(bait.path.as_path()));
    run.signal(Signal::TERM);
    run.wait();
    bait.was_not_taken();
    watch.finish();
}

/// Check the same of a script that has become a link to a pipe.
#[test]
fn no_pipe_is_opened_for_a_script() {
    let stage = Stage::new();
    let calls = stage.path("calls");
    let script = stage.file("script", &format!("#!{} 110x3\n", text(&calls)));
    let first = watch(&stage);
    stage.run_ok(1, text(&script), &[""]);
    first.save().expect("it can be saved");
    first.finish();
    assert!(
        kept(&stage)
            .iter()
            .any(|kept| kept.script() == Some(&script))
    );
    let bait = Bait::new(&stage);
    fs::remove_file(&script).expect("it is ours");
    symlink(&bait.path, &script).expect("it can be made");
    let second = watch(&stage);
    second.stale().expect("it can be listed");
    second.finish();
    bait.was_not_taken();
}

/// Check that a script which was executed by descriptor has no file: the number means another file
/// to each process. Needs python3, which can do that.
#[test]
fn a_descriptor_is_no_name() {
    let stage = Stage::new();
    let calls = stage.path("calls");
    let script = stage.file("script", &format!("#!{} 110x3\n", text(&calls)));
    let watch = watch(&stage);
    let code = format!(
        "import os;f=os.open('{}',os.O_RDONLY);os.dup2(f,77,inheritable=True);\
         os.execve(77,['x'],{{}})",
        text(&script)
    );
    stage.run_ok(1, "/usr/bin/env", &["python3", "-c", &code]);
    watch.save().expect("it can be saved");
    let mut all = watch.profiles().expect("readable");
    assert!(all.any(|profile| profile.script() == Some(Path::new("/dev/fd/77"))));
    drop(all);
    watch.finish();
    assert!(kept(&stage).is_empty(), "{:?}", kept(&stage));
}

/// Check that what a reinstalled program has lost to a reset does not come back from the file of
/// the one before it.
#[test]
fn a_reset_holds_for_a_reinstalled_program() {
    let stage = Stage::new();
    let first = watch(&stage);
    let key = reinstall(&stage, &first);
    first.reset(key).expect("it is there");
    first.finish();
    let second = watch(&stage);
    let after = stage.profile(&second, "calls");
    assert_eq!(after.state(), State::Training);
    assert!(held(&after).is_empty(), "{:?}", held(&after));
    second.finish();
}

/// Check that a reinstalled program which was forgotten does not return by its older file.
#[test]
fn a_reinstalled_program_is_forgotten() {
    let stage = Stage::new();
    let watch = watch(&stage);
    let key = reinstall(&stage, &watch);
    watch.forget(key).expect("nobody uses it");
    stage.run_ok(1, "calls", &[getppid(1)]);
    watch.save().expect("it can be saved");
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Training);
    assert_eq!(profile.train_count(), 2);
    watch.finish();
}

/// Check that to forget a container's program leaves alone the file of the host's at its path.
#[test]
fn a_namesake_is_not_forgotten() {
    let stage = Stage::new();
    let first = watch(&stage);
    let here = train(&stage, &first, "calls");
    first.save().expect("it can be saved");
    let other = stage.copy("calls", "other-content");
    append(&other);
    let stranger = first.key_of(&other).expect("it is there");
    let args = [getppid(1), call(libc::SYS_ppoll, 1)];
    let run = start_at(&stage, &other, &stage.path("calls"), &args);
    run.until_blocked_in(libc::SYS_ppoll);
    first.save().expect("it can be saved");
    assert_eq!(kept(&stage).len(), 2);
    run.signal(Signal::TERM);
    run.wait();
    first.forget(stranger).expect("nobody uses it");
    assert_eq!(kept(&stage).len(), 1);
    first.finish();
    let second = watch(&stage);
    let after = second.profile(here).expect("readable");
    assert!(after.expect("it is back").is_normal());
    second.finish();
}

/// The victim's file, changed: each line that begins with one of these names gets another value.
fn edit(stage: &Stage, names: &[&str], value: &str) -> PathBuf {
    let is_of = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with("calls-"))
    };
    let path = files(&folder(stage)).into_iter().find(is_of);
    let path = path.expect("the victim has a file");
    let text = fs::read_to_string(&path).expect("it can be read");
    let mut edited = 0;
    let mut change = |line: &str| {
        let field = line.trim_start();
        for name in names {
            let there = field.strip_prefix(&format!("\"{name}\": "));
            if there.is_some_and(|there| !there.starts_with('{')) {
                edited += 1;
                let comma = if line.ends_with(',') { "," } else { "" };
                return format!("\"{name}\": {value}{comma}\n");
            }
        }
        format!("{line}\n")
    };
    let text: String = text.lines().map(&mut change).collect();
    assert_eq!(edited, names.len(), "{text}");
    fs::write(&path, text).expect("it can be written");
    path
}

/// Check that times before this boot are still those times after they went through the kernel.
#[test]
fn times_before_this_boot() {
    let stage = Stage::new();
    let first = watch(&stage);
    train(&stage, &first, "calls");
    first.finish();
    edit(
        &stage,
        &["created", "last_exec"],
        "\"2001-02-03T04:05:06Z\"",
    );
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(981_173_106);
    let is_then = |time: Option<SystemTime>| {
        let apart = time.expect("it has one").duration_since(then);
        assert!(apart.unwrap_or_else(|e| e.duration()) < Duration::from_secs(1));
    };
    let second = watch(&stage);
    let profile = stage.profile(&second, "calls");
    is_then(profile.created_at());
    is_then(profile.last_exec_at());
    // Something to save.
    second.sensitize(profile.key()).expect("it is there");
    assert!(second.save().expect("it can be saved") > 0);
    second.finish();
    let after = stored(&folder(&stage), &stage.path("calls"));
    is_then(after.created_at());
    is_then(after.last_exec_at());
}

/// Check that counts near the end of what a number can be do not begin again at zero.
#[test]
fn counts_without_end() {
    let stage = Stage::new();
    let first = watch(&stage);
    stage.run_ok(2, "calls", &[getppid(10)]);
    first.finish();
    let most = u64::MAX.to_string();
    edit(&stage, &["train", "since_novelty", "execs"], &most);
    let path = edit(&stage, &["sequences"], &(u64::MAX >> 8).to_string());
    let hostile = Profile::read_from(&path).expect("it is valid");
    let large = |watch: &Watch| {
        let profile = stage.profile(watch, "calls");
        let counts = [profile.train_count(), profile.sequences(), profile.execs()];
        assert!(counts.iter().all(|count| *count >= 1 << 40), "{counts:?}");
        assert!(profile.last_mod_count() <= profile.train_count());
    };
    let second = watch(&stage);
    large(&second);
    stage.run_ok(1, "calls", &[getppid(10)]);
    large(&second);
    second.import(&hostile).expect("its program is here");
    large(&second);
    stage.run_ok(1, "calls", &deviation());
    large(&second);
    second.finish();
}

/// Check that two monitors do not keep their profiles in one folder at a time.
#[test]
fn a_folder_has_one_monitor() {
    let stage = Stage::new();
    let first = watch(&stage);
    let start = || keeping(&stage)(Monitor::builder().scope(stage.scope())).start();
    let error = start().unwrap_err();
    assert!(
        matches!(&error, Error::ProfileDirectoryInUse(path) if *path == folder(&stage)),
        "{error}"
    );
    first.finish();
    let second = start().expect("the folder is free again");
    second.stop().expect("a monitor stops");
}

/// Check that a file which is rewritten with what it once was becomes that program again, whose
/// file is not written over by what the rewriting left.
#[test]
fn back_to_what_it_was() {
    let stage = Stage::new();
    let path = stage.path("calls");
    let original = fs::read(&path).expect("it is there");
    let size = original.len() as u64;
    let watch = watch(&stage);
    let key = train(&stage, &watch, "calls");
    watch.save().expect("it can be saved");
    append(&path);
    stage.run_ok(1, "calls", &[getppid(1)]);
    assert_eq!(stage.profile(&watch, "calls").state(), State::Training);
    watch.save().expect("it can be saved");
    fs::write(&path, &original).expect("it can be written");
    stage.run_ok(1, "calls", &[getppid(1)]);
    watch.save().expect("it can be saved");
    let first = |profile: &&Profile| profile.identity().is_some_and(|id| id.exe.size == size);
    let all = kept(&stage);
    assert_eq!(all.len(), 2);
    assert!(all.iter().find(first).expect("it is kept").is_normal());
    eventually("it to return", || {
        let profile = watch.profile(key).expect("readable")?;
        profile.is_normal().then_some(())
    });
    watch.finish();
    assert!(
        kept(&stage)
            .iter()
            .find(first)
            .expect("it is kept")
            .is_normal()
    );
}

/// Check that a profile can be forgotten when the cgroup that it belongs to is gone, and is not
/// that of a later cgroup of that name.
#[test]
fn forgotten_after_its_cgroup() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| keeping(&stage)(builder).partition(Partition::Cgroup));
    let parent = Cgroup::new();
    let run_in = |cgroup: &Cgroup| {
        let start = Start::new().cgroup(cgroup.path());
        let run = stage.start_with(&start, "calls", &[getppid(3)]);
        assert!(run.wait().success());
        watch.save().expect("it can be saved");
        let mut all = watch.profiles().expect("readable");
        all.find(|profile| profile.exe() == Some(&stage.path("calls")))
            .expect("it has one")
    };
    let cgroup = parent.child("one");
    let key = run_in(&cgroup).key();
    watch.normalize(key).expect("it exists");
    watch.save().expect("it can be saved");
    assert_eq!(kept(&stage).len(), 1);
    drop(cgroup);
    watch.forget(key).expect("nobody uses it");
    assert!(kept(&stage).is_empty());
    let again = parent.child("one");
    assert_eq!(run_in(&again).state(), State::Training);
    watch.finish();
}

/// Check that a file which is rewritten when its profile has just become normal must be learnt
/// first: that nothing was new before says nothing about it.
#[test]
fn rewritten_when_just_normal() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.normal_wait(Duration::ZERO));
    let key = train(&stage, &watch, "calls");
    append(&stage.path("calls"));
    stage.run_ok(1, "calls", &[getppid(1)]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.state(), State::Training);
    watch.finish().one("executable_changed", key);
}

/// Check that each rewriting is noticed at the first exec after it, whatever else happens to the
/// profile meanwhile.
#[test]
fn every_rewriting_is_noticed() {
    let stage = Stage::new();
    let watch = stage.watch();
    let path = stage.path("calls");
    // Rows, for the copying of planes to take its time.
    stage.run_ok(1, "calls", &rich());
    let key = stage.key(&watch, "calls");
    let monitor: &Monitor = &watch;
    let end = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let storm = scope.spawn(|| {
            let mut done = 0;
            while !end.load(Ordering::Relaxed) {
                done += u32::from(monitor.normalize(key).is_ok());
            }
            done
        });
        let noticed = || monitor.stats().expect("readable").profiles.changed;
        let mut missed = Vec::new();
        for number in 1..=100 {
            append(&path);
            stage.run_ok(1, "calls", &[getppid(1)]);
            // Who holds the profile does it when he lets go of it. No exec follows meanwhile.
            let pause = || std::thread::sleep(Duration::from_millis(2));
            if !(0..1000).inspect(|_| pause()).any(|_| noticed() >= number) {
                missed.push(number);
                break;
            }
        }
        end.store(true, Ordering::Relaxed);
        assert!(storm.join().expect("it does not panic") > 0);
        assert!(missed.is_empty(), "{missed:?}");
    });
    watch.finish_unchecked();
}
