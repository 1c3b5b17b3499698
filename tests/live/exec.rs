//! Exec: which profile a program gets, and what an exec that fails must not change.

use std::path::Path;

use crate::harness::{Stage, Start, assert_has, assert_lacks, getppid, learnt};

/// Check that an exec gives a new profile and an empty window.
#[test]
fn exec_starts_afresh() {
    let stage = Stage::new();
    let watch = stage.watch();
    let target = stage.path("calls");
    stage.run_ok(1, "procs", &["exec".into(), target.display().to_string()]);
    let before = stage.profile(&watch, "procs");
    let after = stage.profile(&watch, "calls");
    // clone, execve, wait4, exit_group
    assert_eq!(before.train_count(), 4);
    assert_eq!((before.execs(), before.processes_ended()), (1, 2));
    assert_eq!(after.train_count(), 1);
    assert_eq!((after.execs(), after.processes_ended()), (1, 1));
    assert_has(&learnt(&before), &["execve<-clone@1"]);
    assert!(
        learnt(&after).is_empty(),
        "the first call has no predecessor"
    );
    watch.finish();
}

/// Check that an exec by a thread that is not the leader moves the whole process.
#[test]
fn exec_from_a_thread() {
    let stage = Stage::new();
    let watch = stage.watch();
    let target = stage.path("calls");
    stage.run_ok(1, "threads", &["exec".into(), target.display().to_string()]);
    let before = stage.profile(&watch, "threads");
    let after = stage.profile(&watch, "calls");
    assert_eq!(before.train_count(), 2, "clone, execve");
    assert_eq!((before.execs(), before.processes_ended()), (1, 1));
    assert_eq!(after.train_count(), 1, "exit_group");
    assert_eq!((after.execs(), after.processes_ended()), (1, 1));
    watch.finish();
}

/// Check that an exec which fails changes nothing: neither profile nor window, whatever the file.
#[test]
fn failed_exec_changes_nothing() {
    let stage = Stage::new();
    let watch = stage.watch();
    let no_format = stage.file("no-format", "this is no program\n");
    let no_interpreter = stage.file("no-interpreter", "#!/nonexistent/interpreter\n");
    let no_permission = stage.directory().join("no-permission");
    std::fs::write(&no_permission, "x").expect("the directory is ours");
    let execs =
        [&no_format, &no_interpreter, &no_permission].map(|path| format!("e{}", path.display()));
    let mut arguments = vec![getppid(3)];
    arguments.extend(execs);
    arguments.extend(["e/nonexistent".into(), getppid(2)]);
    stage.run_ok(1, "calls", &arguments);

    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 3 + 4 + 2 + 1);
    assert_eq!((profile.execs(), profile.processes_ended()), (1, 1));
    assert_has(
        &learnt(&profile),
        &[
            "execve<-execve@3",
            "getppid<-execve@4",
            "getppid<-getppid@5",
        ],
    );
    for path in [no_format, no_interpreter, no_permission] {
        let key = watch.key_of(&path).expect("the file exists");
        let profile = watch.profile(key).expect("profiles can be read");
        assert!(profile.is_none(), "{} has a profile", path.display());
    }
    watch.finish();
}

/// Check that two scripts of one interpreter have a profile each.
#[test]
fn scripts_have_their_own_profiles() {
    let stage = Stage::new();
    let watch = stage.watch();
    let interpreter = stage.path("calls");
    let one = stage.file(
        "one",
        &format!("#!{} {}\n", interpreter.display(), getppid(10)),
    );
    let two = stage.file(
        "two",
        &format!("#!{} {}\n", interpreter.display(), getppid(20)),
    );
    for script in [&one, &two, &two] {
        stage.run_ok::<&str>(1, script.to_str().expect("test paths are UTF-8"), &[]);
    }
    stage.run_ok(1, "calls", &[getppid(30)]);
    let profiles: Vec<_> = watch.profiles().expect("profiles can be read").collect();
    let count = |script: Option<&std::path::Path>| {
        let mut found = profiles
            .iter()
            .filter(|profile| profile.exe() == Some(&interpreter) && profile.script() == script);
        let profile = found.next().expect("there is a profile");
        assert!(found.next().is_none(), "there is only one");
        assert_eq!(profile.key().script.is_some(), script.is_some());
        profile.train_count()
    };
    assert_eq!(count(Some(&one)), 11);
    assert_eq!(count(Some(&two)), 42);
    assert_eq!(count(None), 31);
    watch.finish();
}

/// Check that scripts with the same relative path in different directories are told apart, and
/// that the same script is the same however often it runs, by its relative path or its whole one.
#[test]
fn relative_scripts_are_told_apart() {
    let stage = Stage::new();
    let watch = stage.watch();
    let interpreter = stage.path("calls");
    for (directory, calls) in [("one", 10), ("two", 20)] {
        std::fs::create_dir(stage.directory().join(directory)).expect("the directory is ours");
        let text = format!("#!{} {}\n", interpreter.display(), getppid(calls));
        stage.file(&format!("{directory}/script"), &text);
    }
    let root = stage.directory().display();
    let commands = [
        "cd one; ./script; cd ..; ./one/script; .//./one/script".to_owned(),
        format!("cd two; ./script; {root}/two/script; cd /; .{root}/two/script"),
    ];
    for commands in commands {
        stage.run_ok(1, "/bin/sh", &["-c", &format!("cd {root}; {commands}")]);
    }
    let mut found: Vec<_> = watch
        .profiles()
        .expect("profiles can be read")
        .filter(|profile| profile.exe() == Some(&interpreter))
        .map(|profile| (profile.script().map(Path::to_owned), profile.train_count()))
        .collect();
    found.sort_unstable();
    let script = |directory: &str| Some(stage.directory().join(directory).join("script"));
    assert_eq!(found, [(script("one"), 33), (script("two"), 63)]);
    watch.finish();
}

/// Check that scripts count into their interpreter's profile when asked to.
#[test]
fn scripts_can_share_their_interpreters_profile() {
    let stage = Stage::new();
    let watch = stage.watch_with(|builder| builder.scripts(false));
    let interpreter = stage.path("calls").display().to_string();
    let script = stage.file("script", &format!("#!{interpreter} {}\n", getppid(10)));
    stage.run_ok::<&str>(1, script.to_str().expect("test paths are UTF-8"), &[]);
    stage.run_ok(1, "calls", &[getppid(30)]);
    let profile = stage.profile(&watch, "calls");
    assert_eq!(profile.train_count(), 11 + 31);
    assert_eq!(profile.script(), None);
    watch.finish();
}

/// Check that a program without a path is profiled all the same.
#[test]
fn nameless_programs_are_profiled() {
    let stage = Stage::new();
    let watch = stage.watch();
    let run = stage.start_with(&Start::new().nameless(), "calls", &[getppid(10)]);
    assert!(run.wait().success());
    let named = watch.key_of(stage.path("calls")).expect("it has a key");
    let profiles: Vec<_> = watch.profiles().expect("profiles can be read").collect();
    let profile = profiles
        .iter()
        .find(|profile| profile.train_count() == 11)
        .expect("it has a profile");
    assert_ne!(profile.key(), named);
    assert_lacks(&learnt(profile), &["execve"]);
    watch.finish();
}
