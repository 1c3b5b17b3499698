//! The example `replay`, whose command line is a contract, on files and on what strace writes.
//!
//! Tests named so need strace, some of them root as well.

#[path = "live/harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the live tests need more of it")]
mod harness;
#[path = "replay_cli/live.rs"]
mod live;
#[path = "replay_cli/strace.rs"]
mod strace;
#[path = "replay_cli/tool.rs"]
mod tool;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ebph::{Abi, How, Profile, State, Symbol};
use tempfile::TempDir;

use harness::built;
use tool::{replay, run, run_with};

const HEADER: &str = "trace,calls,anomalous,misses,max_lfc,first\n";

/// A folder with files, and paths in it as arguments.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn arg(&self, name: &str) -> String {
        self.path(name).to_str().expect("it is UTF-8").to_owned()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        fs::write(self.path(name), text).expect("the file can be written");
        self.arg(name)
    }

    pub fn profile(&self, name: &str) -> Profile {
        Profile::read_from(self.path(name)).expect("replay wrote it")
    }
}

/// Check that numbers are learnt as bare numbers, a file being a trace, and scored.
#[test]
fn numbers() {
    let folder = Folder::new();
    let (one, two) = (
        folder.write("one", "4 2 66\n66 4"),
        folder.write("two", "5\n"),
    );
    let out = folder.arg("p.json");
    let trained = run(&["train", "--out", &out, "--format", "numbers", &one, &two]);
    assert!(
        trained.errors.contains("learnt 6 calls in 2 traces"),
        "{}",
        trained.errors
    );
    trained.ok();
    let profile = folder.profile("p.json");
    let numbers: Vec<_> = profile
        .symbols()
        .map(|symbol| (symbol.abi(), symbol.number()))
        .collect();
    assert_eq!(numbers, [4, 2, 66, 5].map(|number| (Abi::Raw, number)));
    assert_eq!((profile.state(), profile.window()), (State::Normal, 9));
    assert_eq!((profile.execs(), profile.processes_ended()), (2, 2));
    assert!(
        matches!(&profile.origin().how, How::Traces { traces: 2, format } if format == "numbers")
    );

    let odd = folder.write("odd, \"quoted\"", "4 2 66 5 66 4");
    let empty = folder.write("empty", "");
    let score = ["score", "--csv", "--profile", &out, "--format", "numbers"];
    let scores = run(&[&score[..], &[&one, &odd, &empty]].concat()).ok();
    let quoted = odd.replace('"', "\"\"");
    let expected = format!("{HEADER}{one},5,0,0,0,\n\"{quoted}\",6,3,11,3,3\n{empty},0,0,0,0,\n");
    assert_eq!(scores, expected);
    let small = run(&[&score[..], &["--window", "2", &odd]].concat()).ok();
    assert_eq!(small, format!("{HEADER}\"{quoted}\",6,2,2,2,3\n"));
    let table = run(&["score", "--profile", &out, &one, &odd]).ok();
    assert!(
        table.ends_with("3 of 11 calls anomalous, in 1 of 2 traces\n"),
        "{table}"
    );

    // Of a known origin after all.
    let named = folder.arg("named.json");
    run(&["train", "--abi", "x86_64", "--out", &named, &one]).ok();
    let names: Vec<_> = folder.profile("named.json").symbols().collect();
    assert_eq!(
        names,
        [4, 2, 66].map(|number| Symbol::new(Abi::X86_64, number))
    );
    let foreign = run(&["score", "--profile", &named, &one]);
    assert!(
        foreign
            .errors
            .contains("the profile knows none of the calls"),
        "{}",
        foreign.errors
    );
}

/// Check that a line is a trace, and that windows are as long as was asked.
#[test]
fn traces() {
    let folder = Folder::new();
    let normal = folder.write("normal", "a#1\t4 2 66 4\nb#1\t5 5\n");
    let odd = folder.write("odd", "c\t4 2 66 4\nd\t\ne\t5 4\n");
    let out = folder.arg("p.json");
    run(&[
        "train", "--window", "3", "--out", &out, "--format", "traces", &normal,
    ])
    .ok();
    assert_eq!(folder.profile("p.json").window(), 3);
    let score = |window: &str| {
        let args = [
            "score",
            "--csv",
            "--profile",
            &out,
            "--window",
            window,
            &odd,
        ];
        run(&args)
    };
    let expected = format!("{HEADER}c,4,0,0,0,\nd,0,0,0,0,\ne,2,1,1,1,1\n");
    assert_eq!(score("3").ok(), expected);
    assert_eq!(score("2").ok(), expected);
    let larger = score("9");
    assert_eq!(larger.code, 2);
    assert!(
        larger
            .errors
            .contains("a window of 9 calls is larger than the 3"),
        "{}",
        larger.errors
    );
    assert!(larger.out.is_empty());
}

/// Check that files which are not what they should be are named, and that the others go on.
#[test]
fn bad_files_beside_good_ones() {
    let folder = Folder::new();
    let good = folder.write("good", "4 2 66 66 4");
    let bad = folder.write("bad", "9 9 9 9\n9 9 nine 9\n");
    let missing = folder.arg("missing");
    let directory = folder.0.path().to_str().expect("it is UTF-8");
    let out = folder.arg("p.json");
    let train = ["train", "--out", &out, "--format", "numbers"];
    let trained = run(&[&train[..], &[&bad, &good, &missing, directory]].concat());
    assert_eq!(trained.code, 1, "{}", trained.errors);
    let expected = format!("{bad}:2: expected a system call number, found `nine`");
    for part in [&expected, &missing, directory] {
        assert!(trained.errors.contains(part), "{}", trained.errors);
    }
    // Nothing of a bad file was learnt.
    let numbers: Vec<_> = folder
        .profile("p.json")
        .symbols()
        .map(Symbol::number)
        .collect();
    assert_eq!(numbers, [4, 2, 66]);
    let score = ["score", "--csv", "--profile", &out, "--format", "numbers"];
    let scores = run(&[&score[..], &[&bad, &good]].concat());
    assert_eq!(scores.code, 1);
    assert_eq!(scores.out, format!("{HEADER}{good},5,0,0,0,\n"));

    fs::remove_file(&out).expect("it is there");
    let none = run(&[&train[..], &[&bad]].concat());
    assert_eq!(none.code, 2);
    assert!(!folder.path("p.json").exists());
    let nothing = folder.write("nothing", "\n");
    let none = run(&[&train[..], &[&nothing]].concat());
    assert_eq!(
        (none.code, none.errors.trim_end()),
        (2, "replay: there is no call in the traces")
    );
    let text = folder.write("text", "7 getpid() = 7\nDear reader,\n");
    let none = run(&["train", "--out", &out, &text]);
    assert_eq!(none.code, 2);
    assert!(
        none.errors
            .contains("text:2: expected a line of strace's output"),
        "{}",
        none.errors
    );
}

/// Check that formats are told from the beginning of files, where it tells.
#[test]
fn formats_are_told() {
    let folder = Folder::new();
    let files = [
        folder.write("n", "\n 4 2\n66"),
        folder.write("t", "a#1\t4 2\n"),
        folder.write("s", "7 getpid() = 7\n"),
    ];
    let out = folder.arg("p.json");
    for (file, format) in files.iter().zip(["numbers", "traces", "strace"]) {
        run(&["train", "--out", &out, file]).ok();
        let origin = folder.profile("p.json").origin().to_string();
        assert!(origin.contains(&format!("({format})")), "{origin}");
    }
    for text in ["", "12\t4 2\n"] {
        let unsure = folder.write("unsure", text);
        let result = run(&["train", "--out", &out, &unsure]);
        assert_eq!(result.code, 2);
        assert!(result.errors.contains("--format"), "{}", result.errors);
    }
}

/// Check that `-` is standard input, and standard output for what is written.
#[test]
fn standard_input_and_output() {
    let folder = Folder::new();
    let profile = run_with(&["train", "--out", "-", "-"], b"4 2 66 4").ok();
    let file = folder.write("p.json", &profile);
    assert_eq!(folder.profile("p.json").symbols().count(), 3);
    let scores = run_with(&["score", "--csv", "--profile", &file, "-"], b"4 2 66 4").ok();
    assert_eq!(scores, format!("{HEADER}-,4,0,0,0,\n"));
    let numbers = folder.write("n", "4 2 5");
    let score = ["score", "--csv", "--profile", "-", &numbers];
    let scores = run_with(&score, profile.as_bytes()).ok();
    assert_eq!(scores, format!("{HEADER}{numbers},3,1,2,1,2\n"));
    let shown = run_with(&["show", "-"], profile.as_bytes()).ok();
    assert!(
        shown.contains("knows     3 that differ, 6 pairs at 6 distances"),
        "{shown}"
    );
    let broken = run_with(&["show", "-"], b"{\"schema\":");
    assert_eq!(broken.code, 2);
    assert!(
        broken.errors.starts_with("replay: standard input: "),
        "{}",
        broken.errors
    );
}

/// Check what is shown of a profile, and of what two have in common and have not.
#[test]
fn show_diff_and_merge() {
    let folder = Folder::new();
    let profile = |name: &str, numbers: &str| {
        let file = folder.write("n", numbers);
        let out = folder.arg(name);
        run(&[
            "train",
            "--out",
            &out,
            "--exe",
            "/opt/no/such/program",
            &file,
        ])
        .ok();
        out
    };
    let (one, two) = (profile("one.json", "4 2 66"), profile("two.json", "4 2 67"));
    let shown = run(&["show", &one]).ok();
    for part in [
        "program   /opt/no/such/program\n",
        "state     normal\n",
        "made      learnt from 1 trace",
        "window    9 calls\n",
        "\nraw:66 after\n",
    ] {
        assert!(shown.contains(part), "no {part:?} in {shown}");
    }
    let same = run(&["diff", &one, &one]).ok();
    assert_eq!(same, "both know the same\n");
    let difference = run(&["diff", &one, &two]).ok();
    assert!(difference.contains("+ raw:67"), "{difference}");
    assert!(difference.contains("- raw:66"), "{difference}");
    let merged = folder.arg("merged.json");
    run(&["merge", "--out", &merged, &one, &two]).ok();
    let profile = folder.profile("merged.json");
    assert_eq!(profile.state(), State::Normal);
    let numbers: Vec<_> = profile.symbols().map(Symbol::number).collect();
    assert_eq!(numbers, [4, 2, 66, 67]);
    let files = [folder.write("a", "4 2 66"), folder.write("b", "4 2 67")];
    let score = ["score", "--csv", "--profile", &merged, &files[0], &files[1]];
    let scores = run(&score).ok();
    assert!(
        scores.lines().skip(1).all(|row| row.contains(",3,0,0,0,")),
        "{scores}"
    );

    let short = folder.arg("short.json");
    run(&["train", "--window", "5", "--out", &short, &files[0]]).ok();
    let refused = run(&["merge", "--out", &merged, &one, &short]);
    assert_eq!(refused.code, 2);
    assert!(refused.errors.contains("short.json"), "{}", refused.errors);
    // What was there is there still.
    assert!(folder.profile("merged.json").diff(&profile).is_empty());
}

/// Check that mistakes on the command line are told, and help is given.
#[test]
fn usage() {
    let code = |args: &[&str]| run(args).code;
    assert_eq!(code(&["--help"]), 0);
    assert_eq!(code(&[]), 2);
    assert_eq!(code(&["train", "x"]), 2);
    assert_eq!(code(&["train", "--out", "/tmp/p"]), 2);
    assert_eq!(code(&["train", "--out", "p", "--window", "1", "x"]), 2);
    assert_eq!(code(&["train", "--out", "p", "--window", "10", "x"]), 2);
    assert_eq!(code(&["train", "--out", "p", "--format", "xml", "x"]), 2);
    assert_eq!(code(&["train", "--out", "p", "--abi", "z80", "x"]), 2);
    assert_eq!(code(&["score", "--profile", "/no/such/profile", "x"]), 2);
    assert_eq!(code(&["show", "/no/such/profile"]), 2);
    assert_eq!(code(&["merge", "--out", "p", "a"]), 2);
    let help = run(&["--help"]).ok();
    assert!(help.contains("Exit status: 0"), "{help}");
}

/// Check that a reader which goes away ends it quietly.
#[test]
fn a_closed_pipe_is_no_fault() {
    let folder = Folder::new();
    let out = folder.arg("p.json");
    let normal = folder.write("normal", "4 2 66");
    run(&["train", "--out", &out, &normal]).ok();
    let rows: String = (0..200_000)
        .map(|row| format!("t{row}\t4 2 66\n"))
        .collect();
    let many = folder.write("many", rows);
    for csv in [true, false] {
        let mut command = replay();
        command.args(["score", "--profile", &out, &many]);
        if csv {
            command.arg("--csv");
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example can be run");
        let mut pipe = child.stdout.take().expect("it is piped");
        pipe.read_exact(&mut [0; 10]).expect("it prints");
        drop(pipe);
        let output = child.wait_with_output().expect("it is our child");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{errors}");
    }
}

/// Check that a single line of many megabytes takes no memory to speak of.
#[test]
fn long_lines_take_no_memory() {
    let folder = Folder::new();
    let calls = format!("4 2 66{:58}", "").repeat(24 << 14);
    let files = [
        ("numbers", folder.write("n", &calls)),
        ("traces", folder.write("t", format!("a\t{calls}"))),
        (
            "strace",
            folder.write("s", format!("7 write(1, \"{calls}\", 9) = 9\n")),
        ),
    ];
    for (format, file) in files {
        let out = folder.arg("p.json");
        let mut command = replay();
        command.args(["train", "--out", &out, "--format", format, &file]);
        let mut limited = std::process::Command::new("sh");
        // Address space: less than the file alone would take.
        limited.args(["-c", "ulimit -v 20480; exec \"$@\"", "sh"]);
        limited.arg(command.get_program()).args(command.get_args());
        let output = limited.output().expect("a shell can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{format}: {errors}");
    }
}

/// Check that progress is shown on a terminal when it takes a while, and nowhere else.
#[test]
fn progress_is_for_terminals() {
    let folder = Folder::new();
    let pipe = folder.arg("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "mkfifo is in coreutils"
    );
    let mut command = replay();
    command.args([
        "train",
        "--format",
        "numbers",
        "--out",
        &folder.arg("p.json"),
        &pipe,
    ]);
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words
        .map(|word| word.to_str().expect("it is UTF-8"))
        .collect();
    // `script` gives what it runs a terminal, and hands on what is printed there.
    let mut on_terminal = Command::new("script");
    on_terminal.args(["-qefc", &words.join(" "), "/dev/null"]);

    for (mut command, terminal) in [(on_terminal, true), (command, false)] {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("script is in util-linux or bsdutils");
        let mut feed = fs::OpenOptions::new()
            .write(true)
            .open(&pipe)
            .expect("the other end is opened for reading");
        // Longer than the second after which progress is worth showing.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(1500) {
            feed.write_all(b"4 2 66\n").expect("it reads");
        }
        drop(feed);
        let mut shown = Vec::new();
        let mut out = child.stdout.take().expect("it is piped");
        out.read_to_end(&mut shown).expect("it can be read");
        let mut errors = child.stderr.take().expect("it is piped");
        errors.read_to_end(&mut shown).expect("it can be read");
        assert!(child.wait().expect("it is our child").success());
        let shown = String::from_utf8_lossy(&shown);
        assert!(shown.contains("learnt"), "{shown}");
        assert_eq!(shown.contains("iB, "), terminal, "{shown}");
    }
}
