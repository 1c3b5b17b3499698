//! Vim: edits of texts, on a terminal and without one; abused for its ways to run commands.

use std::process::Stdio;

use fastrand::Rng;

use super::corpus;
use crate::program::{Abuse, Program, STARTING, Session, Training};
use crate::stage::{Stage, run};

const ABUSES: &[Abuse] = &[
    Abuse::new("bang", ":! runs a shell, on a terminal", STARTING),
    Abuse::new(
        "bang, batch",
        ":! runs a shell, without a terminal",
        STARTING,
    ),
    Abuse::new(
        "filter",
        ":%! gives the text to a shell, on a terminal",
        STARTING,
    ),
    Abuse::new(
        "job",
        "job_start() runs a shell beside the editing",
        STARTING,
    ),
    Abuse::hidden(
        "other files",
        "a file is edited that is none of its business",
    ),
];

pub const VIM: Program = Program {
    name: "vim",
    executable: || "/usr/bin/vim".into(),
    version: &["--version"],
    load: "edits: insertions, searches, substitutions, registers, undo, windows, several files",
    training: Training {
        short: 1,
        least: 60,
        most: 100,
        quiet: 20,
    },
    abuses: ABUSES,
    begin: |stage, _, _| Box::new(Edits(stage)),
};

struct Edits<'a>(&'a Stage);

impl Edits<'_> {
    /// Types keys into Vim on a terminal; they must end it.
    fn type_keys(&self, keys: &str, files: &str) {
        let keys = self.0.file("keys", keys);
        let command = format!("vim -N -u NONE -i NONE -s {} {files}", keys.display());
        // Standard input stays open: its end would be typed as well.
        let mut terminal = self
            .0
            .watched("script")
            .args(["-q", "-e", "-c", &command, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script starts: scripts/detection-deps.sh installs it");
        let input = terminal.stdin.take();
        let status = terminal.wait().expect("it is ours");
        drop(input);
        assert!(status.success(), "{command}: {status}");
    }

    /// Gives commands to Vim without a terminal.
    fn batch(&self, commands: &[&str], file: &str) {
        let mut vim = self.0.watched("vim");
        vim.args(["-N", "-u", "NONE", "-i", "NONE", "-es"]);
        for command in commands {
            vim.args(["-c", command]);
        }
        run(vim.args(["-c", "qa!", file]));
    }
}

impl Session for Edits<'_> {
    fn work(&mut self, rng: &mut Rng) {
        for name in ["one", "two"] {
            self.0.file(name, corpus::text(rng.usize(1..600), rng));
        }
        let typed = corpus::text(rng.usize(1..30), rng);
        self.type_keys(&format!("Go{typed}\x1b:w\rggdd3ddu:wq\r"), "one");
        self.type_keys("/error\rnN:%s/alpha/omega/ge\r:noh\rggyyP:x\r", "two");
        self.type_keys(
            ":split two\rG\x17wggVGy\x17wp:undo\r:w! three\r:qa!\r",
            "one",
        );
        self.type_keys(
            ":set number\r:g/note/normal A.\r:w\r:e two\rggOtop\x1b:wq\r",
            "one",
        );
        self.type_keys("qaA!\x1bjq5@a:sort\r:r two\r:wq\r", "one");
        self.batch(&["%s/beta/BETA/ge", "wq"], "one");
        self.batch(&["g/error/d", "w! three", "%y", "put"], "two");
    }

    fn little_work(&mut self, rng: &mut Rng) {
        for name in ["one", "two"] {
            self.0.file(name, corpus::text(rng.usize(1..600), rng));
        }
        self.type_keys("Gothe end\x1b:w\rggdd3ddu:wq\r", "one");
        self.batch(&["%s/beta/BETA/ge", "wq"], "two");
    }

    fn abuse(&mut self, abuse: &Abuse, rng: &mut Rng) {
        self.0.file("one", corpus::text(rng.usize(1..600), rng));
        match abuse.name {
            "bang" => self.type_keys(":!id >mark\r\r:q!\r", "one"),
            "bang, batch" => self.batch(&["!id >mark"], "one"),
            "filter" => self.type_keys(":%!cat >mark\r:q!\r", "one"),
            "job" => self.type_keys(
                ":let job = job_start(['sh', '-c', 'id >mark'])\r\
                 :while job_status(job) == 'run' | sleep 10m | endwhile\r:q!\r",
                "one",
            ),
            "other files" => {
                self.0.file("secret", corpus::text(rng.usize(1..600), rng));
                self.type_keys(
                    ":split secret\rG\x17wggVGy\x17wp:undo\r:w! mark\r:qa!\r",
                    "one",
                );
            }
            other => unreachable!("{other}"),
        }
        corpus::must_have_left(&self.0.path("mark"));
    }

    fn end(self: Box<Self>) {}
}
