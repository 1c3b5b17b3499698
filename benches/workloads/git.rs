//! git over a large repository.

use std::fmt::Write as _;
use std::fs::File;

use fastrand::Rng;

use super::stage::{Stage, run, timed, tool};
use super::{Kind, Size, Unit, Workload};
use crate::Failure;

pub const KIND: Kind = Kind {
    name: "git",
    what: "status, log --stat, grep, checkout and gc over 6,000 files and 400 commits",
    unit: Unit::Seconds,
    begin,
};

const FILES: usize = 6000;
const COMMITS: usize = 400;
/// Files that a commit changes.
const CHANGES: usize = 20;

struct Git(Stage);

/// Some lines, no two alike.
fn text(rng: &mut Rng) -> String {
    (0..rng.usize(5..60)).fold(String::new(), |mut text, _| {
        let words = (0..8).map(|_| rng.lowercase().to_string().repeat(rng.usize(1..8)));
        text.push_str(&words.collect::<Vec<_>>().join(" "));
        text.push('\n');
        text
    })
}

/// A history, as `git fast-import` reads it: the same at every time.
fn history() -> Result<String, Failure> {
    let mut rng = Rng::with_seed(1);
    let mut stream = String::new();
    for commit in 0..COMMITS {
        let message = format!("change {commit}\n");
        writeln!(stream, "commit refs/heads/main")?;
        writeln!(
            stream,
            "committer A <a@localhost> {} +0000",
            1_600_000_000 + commit * 600
        )?;
        write!(stream, "data {}\n{message}", message.len())?;
        let files: Vec<usize> = match commit {
            0 => (0..FILES).collect(),
            _ => (0..CHANGES).map(|_| rng.usize(..FILES)).collect(),
        };
        for file in files {
            let text = text(&mut rng);
            writeln!(
                stream,
                "M 100644 inline {}/{}/{file}.txt",
                file % 20,
                file % 300
            )?;
            writeln!(stream, "data {}\n{text}", text.len())?;
        }
    }
    Ok(stream)
}

fn begin() -> Result<Box<dyn Workload>, Failure> {
    tool("git", "git")?;
    let git = Git(Stage::new("git")?);
    let stream = git.0.file("history", history()?)?;
    run(git
        .0
        .command("git")
        .args(["init", "-q", "-b", "main", "repository"]))?;
    // Nothing in the background.
    git.git("config gc.auto 0")?;
    git.git("config gc.autoDetach false")?;
    git.git("config maintenance.auto false")?;
    run(git
        .0
        .command("git")
        .args(["fast-import", "--quiet"])
        .stdin(File::open(stream)?)
        .current_dir(git.0.path("repository")))?;
    git.git("checkout -q -f main")?;
    git.git("gc -q")?;
    Ok(Box::new(git))
}

impl Git {
    fn git(&self, args: &str) -> Result<(), Failure> {
        let mut git = self.0.command("git");
        git.args(args.split(' '))
            .current_dir(self.0.path("repository"));
        run(&mut git).map(drop)
    }
}

impl Workload for Git {
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure> {
        let (rounds, commits) = match size {
            Size::Short => (1, 20),
            Size::Full => (5, 100),
        };
        timed(|| {
            for _ in 0..rounds {
                self.git("status --short")?;
                self.git(&format!("log --stat -n {commits}"))?;
                self.git("grep -c aaa")?;
                self.git("checkout -q main~100")?;
                self.git("status --short")?;
                self.git("checkout -q main")?;
            }
            self.git("gc -q")
        })
    }
}
