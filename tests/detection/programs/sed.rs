//! GNU sed: edits of texts; abused to run commands.

use fastrand::Rng;

use super::corpus;
use crate::program::{Abuse, Program, STARTING, Session, Training};
use crate::stage::{Stage, run};

const ABUSES: &[Abuse] = &[
    Abuse::new("command e", "the command `e` runs a shell", STARTING),
    Abuse::new(
        "flag e",
        "the flag `e` of a substitution runs its result",
        STARTING,
    ),
    Abuse::hidden("other files", "the users of the system are printed"),
];

pub const SED: Program = Program {
    name: "sed",
    executable: || "/usr/bin/sed".into(),
    version: &["--version"],
    load: "substitutions, selections and edits of texts, printed, in place and to other files",
    training: Training::TOOL,
    abuses: ABUSES,
    begin: |stage, _, _| Box::new(Runs(stage)),
};

struct Runs<'a>(&'a Stage);

impl Runs<'_> {
    fn sed(&self, args: &[&str]) -> String {
        run(self.0.watched("sed").args(args))
    }
}

impl Session for Runs<'_> {
    fn work(&mut self, rng: &mut Rng) {
        for name in ["one", "two"] {
            corpus::text_file(self.0, name, rng);
        }
        self.sed(&["s/alpha/omega/g", "one"]);
        self.sed(&["-n", "/error/p", "one", "two"]);
        self.sed(&[
            "-E",
            "-e",
            "1,5d",
            "-e",
            "s/([a-z]+) ([0-9]+)/\\2 \\1/",
            "two",
        ]);
        self.sed(&["-i", "s/beta/BETA/", "one"]);
        self.sed(&["-i.before", "$a the end", "one", "two"]);
        self.sed(&["-n", "/warning/w warnings", "two"]);
        self.sed(&["-s", "$!N;P;D", "one", "two"]);
        self.sed(&["r one", "two"]);
        self.sed(&["10q", "one"]);
        self.0.file("script.sed", "/^note/{\nh\nG\n}\ny/abc/xyz/\n");
        self.sed(&["-f", "script.sed", "one"]);
    }

    fn little_work(&mut self, rng: &mut Rng) {
        corpus::text_file(self.0, "one", rng);
        self.sed(&["s/alpha/omega/g", "one"]);
        self.sed(&["-n", "/error/p", "one"]);
        self.sed(&["-i", "s/beta/BETA/", "one"]);
    }

    fn abuse(&mut self, abuse: &Abuse, rng: &mut Rng) {
        self.0.file("one", corpus::text(rng.usize(1..400), rng));
        match abuse.name {
            "command e" => self.sed(&["1e id >mark", "one"]),
            "flag e" => self.sed(&["1s/.*/id >mark/e", "one"]),
            "other files" => {
                assert!(self.sed(&["s/:.*//", "/etc/passwd"]).len() > 2);
                return;
            }
            other => unreachable!("{other}"),
        };
        corpus::must_have_left(&self.0.path("mark"));
    }

    fn end(self: Box<Self>) {}
}
