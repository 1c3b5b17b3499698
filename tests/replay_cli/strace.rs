//! What strace writes about real programs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use ebph::Profile;

use crate::Folder;
use crate::harness::program;
use crate::tool::run;

/// Runs a program under strace, which writes to a file of the folder.
pub(crate) fn strace(folder: &Folder, name: &str, options: &[&str], command: &[&str]) -> String {
    let file = folder.arg(name);
    let status = Command::new("strace")
        .args(["-o", &file])
        .args(options)
        .arg("--")
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|error| panic!("this test needs strace, from the package strace: {error}"));
    assert!(status.success(), "{command:?}: {status}");
    file
}

/// The rows of a score, without the trace's file.
fn rows(profile: &str, files: &[&str]) -> Vec<(String, Vec<u64>)> {
    let score = ["score", "--csv", "--format", "strace", "--profile", profile];
    let scores = run(&[&score[..], files].concat()).ok();
    let rows = scores.lines().skip(1).map(|row| {
        let mut fields = row.split(',');
        let name = fields.next().expect("a row has a name");
        let (_, pid) = name.rsplit_once(':').expect("a name ends in a pid");
        let numbers = fields.map(|field| field.parse().unwrap_or(u64::MAX));
        (pid.to_owned(), numbers.collect())
    });
    rows.collect()
}

fn anomalous(rows: &[(String, Vec<u64>)]) -> u64 {
    rows.iter().map(|(_, numbers)| numbers[1]).sum()
}

/// Check that an archiver is learnt from a few runs, does nothing odd in another, and does when it
/// is made to run a command. Needs strace.
#[test]
fn an_archiver_and_its_abuse_need_strace() {
    let folder = Folder::new();
    fs::create_dir(folder.path("data")).expect("it can be made");
    for name in ["data/a", "data/b", "data/c"] {
        folder.write(name, name.repeat(1000));
    }
    let (data, archive) = (folder.arg("data"), folder.arg("archive"));
    // With a compressor beside it: a pipe, a fork, an exec that fails and one that does not.
    let normal = ["tar", "-czf", &archive, &data];
    let mut train = vec!["train".to_owned(), "--out".to_owned(), folder.arg("p.json")];
    for number in 0..5 {
        train.push(strace(&folder, &format!("run{number}"), &["-f"], &normal));
    }
    let trained = run(&train);
    assert!(trained.errors.contains("gzip"), "{}", trained.errors);
    trained.ok();
    let profile = folder.profile("p.json");
    let tar = Path::new("/bin/tar").canonicalize().expect("tar is there");
    assert_eq!(profile.exe(), Some(&*tar));
    let identity = profile.identity().expect("the file is there");
    assert!(
        identity
            .exe
            .same_file(&ebph::FileIdentity::stat_of(&tar).expect("it is there"))
    );

    let again = strace(&folder, "again", &["-f"], &normal);
    let scored = rows(&folder.arg("p.json"), &[&again]);
    assert_eq!(anomalous(&scored), 0, "{scored:?}");
    assert!(scored.len() >= 2, "tar and its children: {scored:?}");
    let action = "--checkpoint-action=exec=true";
    let abuse = ["tar", "-czf", &archive, "--checkpoint=1", action, &data];
    let abused = strace(&folder, "abused", &["-f"], &abuse);
    let scored = rows(&folder.arg("p.json"), &[&again, &abused]);
    assert!(anomalous(&scored) > 0, "{scored:?}");
}

/// Check that threads and forks each have a row, and that further programs of a process have one
/// that says so. Needs strace.
#[test]
fn rows_of_threads_need_strace() {
    let folder = Folder::new();
    let threads = program("threads").to_str().expect("it is UTF-8");
    let file = strace(&folder, "threads", &["-f"], &[threads, "3", "5"]);
    run(&["train", "--out", &folder.arg("p.json"), &file]).ok();
    let scored = rows(&folder.arg("p.json"), &[&file]);
    assert_eq!(anomalous(&scored), 0);
    let mut calls: Vec<_> = scored.iter().map(|(_, numbers)| numbers[0]).collect();
    calls.sort_unstable();
    // Each thread: five calls and its exit; the leader: three clones and the end.
    assert_eq!(calls, [4, 6, 6, 6]);
    let odd = strace(&folder, "odd", &["-f"], &[threads, "2", "9"]);
    let scored = rows(&folder.arg("p.json"), &[&odd]);
    // From the sixth call in a row on, nothing fits: four calls and the exit.
    for (thread, numbers) in &scored {
        let expected = if numbers[0] == 10 {
            (5, 5)
        } else {
            (0, u64::MAX)
        };
        assert_eq!((numbers[1], numbers[4]), expected, "{thread}: {numbers:?}");
    }
    assert_eq!(anomalous(&scored), 10);

    let calls = program("calls").to_str().expect("it is UTF-8");
    let again = format!("e{calls}");
    let file = strace(&folder, "images", &["-f"], &[calls, "110x3", &again]);
    run(&["train", "--out", &folder.arg("p.json"), &file]).ok();
    let scored = rows(&folder.arg("p.json"), &[&file]);
    let (first, numbers) = &scored[0];
    assert_eq!(numbers[0], 4);
    assert_eq!(scored[1].0, format!("{first}#2"));
    assert_eq!(scored[1].1[0], 1);
}

/// Check that each option of strace that changes its lines leads to the same profile. Needs strace.
#[test]
fn options_of_strace_change_nothing_needs_strace() {
    let folder = Folder::new();
    let procs = program("procs").to_str().expect("it is UTF-8");
    let command = [procs, "fork", "3"];
    let learnt = |file: &str| -> Profile {
        run(&["train", "--out", &folder.arg("p.json"), file]).ok();
        folder.profile("p.json")
    };
    let plain = learnt(&strace(&folder, "plain", &["-f"], &command));
    assert_eq!(plain.symbols().count(), 4);
    for options in [
        "-t",
        "-tt",
        "-ttt",
        "-r",
        "-T",
        "-i",
        "-n",
        "-n -i -tt -T",
        "-X raw",
        "-X verbose",
        "-y",
        "-v",
        "-q",
        "-x",
        "-xx",
        "-a 1",
    ] {
        let options: Vec<_> = ["-f"].into_iter().chain(options.split(' ')).collect();
        let profile = learnt(&strace(&folder, "with", &options, &command));
        let difference = plain.diff(&profile);
        assert!(difference.is_empty(), "{options:?}: {difference}");
    }
    // A file for each process.
    strace(&folder, "each", &["-ff"], &command);
    let entries = fs::read_dir(folder.path("")).expect("it is there");
    let names = entries.map(|entry| entry.expect("it is there").file_name());
    let mut files: Vec<_> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.starts_with("each."))
        .map(|name| folder.arg(&name))
        .collect();
    files.sort();
    assert_eq!(files.len(), 2);
    let train = ["train".to_owned(), "--out".to_owned(), folder.arg("p.json")];
    run(&[&train[..], &files].concat()).ok();
    let difference = plain.diff(&folder.profile("p.json"));
    assert!(difference.is_empty(), "{difference}");
}

/// Check that another program of the trace can be asked for, and that one which is not there is
/// told. Needs strace.
#[test]
fn another_program_needs_strace() {
    let folder = Folder::new();
    let procs = program("procs").to_str().expect("it is UTF-8");
    let calls = program("calls").to_str().expect("it is UTF-8");
    let file = strace(&folder, "t", &["-f"], &[procs, "exec", calls]);
    let out = folder.arg("p.json");
    let trained = run(&["train", "--out", &out, "--exe", calls, &file]);
    let left_out = format!("left out: 4 calls of {procs}");
    assert!(trained.errors.contains(&left_out), "{}", trained.errors);
    trained.ok();
    let profile = folder.profile("p.json");
    assert_eq!(profile.exe(), Some(Path::new(calls)));
    let names: Vec<_> = profile.symbols().map(|symbol| symbol.name()).collect();
    assert_eq!(names, ["exit_group"]);
    let none = run(&["train", "--out", &out, "--exe", "/bin/true", &file]);
    assert_eq!(none.code, 2);
    assert!(
        none.errors.contains("there is no call of /bin/true"),
        "{}",
        none.errors
    );
}
