//! GNU tar: archives of files that differ each time; abused for its ways to run commands.

use std::process::Command;

use fastrand::Rng;

use super::corpus;
use crate::program::{Abuse, Program, STARTING, Session, Training};
use crate::stage::{Stage, run};

const ABUSES: &[Abuse] = &[
    Abuse::new(
        "checkpoint",
        "--checkpoint-action=exec runs a command while an archive is made",
        STARTING,
    ),
    Abuse::new(
        "to-command",
        "--to-command gives the members to a command while they are extracted",
        STARTING,
    ),
    Abuse::new(
        "info-script",
        "--info-script runs a command at the end of each volume",
        STARTING,
    ),
    Abuse::hidden(
        "compressor",
        "--use-compress-program runs a command in the place of gzip, which is ordinary",
    ),
    Abuse::hidden(
        "other files",
        "an archive of a file that is none of its business",
    ),
];

pub const TAR: Program = Program {
    name: "tar",
    executable: || "/usr/bin/tar".into(),
    version: &["--version"],
    load: "making, listing, extending and extracting archives, plain and with gzip",
    training: Training {
        short: 1,
        least: 40,
        most: 150,
        quiet: 25,
    },
    abuses: ABUSES,
    begin: |stage, _, _| Box::new(Runs(stage)),
};

struct Runs<'a>(&'a Stage);

impl Runs<'_> {
    fn tar(&self, args: &[&str]) -> Command {
        let mut command = self.0.watched("tar");
        command.args(args);
        command
    }
}

impl Session for Runs<'_> {
    fn work(&mut self, rng: &mut Rng) {
        corpus::tree(self.0, "tree", rng);
        run(&mut self.tar(&["-cf", "plain.tar", "tree"]));
        run(&mut self.tar(&["-czf", "small.tar.gz", "tree"]));
        run(&mut self.tar(&["-cvf", "part.tar", "--exclude=*.bin", "tree"]));
        run(&mut self.tar(&["-tf", "plain.tar"]));
        run(&mut self.tar(&["-tvzf", "small.tar.gz"]));
        corpus::tree(self.0, "more", rng);
        run(&mut self.tar(&["-rf", "plain.tar", "more"]));
        corpus::empty(self.0, "out");
        run(&mut self.tar(&["-xf", "plain.tar", "-C", "out"]));
        // Once more, over what is there.
        run(&mut self.tar(&["-xzf", "small.tar.gz", "-C", "out"]));
        run(&mut self.tar(&["-xvf", "plain.tar", "-C", "out", "more"]));
    }

    fn little_work(&mut self, rng: &mut Rng) {
        corpus::tree(self.0, "tree", rng);
        run(&mut self.tar(&["-cf", "plain.tar", "tree"]));
        run(&mut self.tar(&["-tf", "plain.tar"]));
        corpus::empty(self.0, "out");
        run(&mut self.tar(&["-xf", "plain.tar", "-C", "out"]));
    }

    fn abuse(&mut self, abuse: &Abuse, rng: &mut Rng) {
        corpus::tree(self.0, "tree", rng);
        run(self.0.unwatched("tar").args(["-cf", "given.tar", "tree"]));
        let args: &[&str] = match abuse.name {
            "checkpoint" => &[
                "-cf",
                "x.tar",
                "--checkpoint=1",
                "--checkpoint-action=exec=sh -c 'id >mark'",
                "tree",
            ],
            "to-command" => &["-xf", "given.tar", "--to-command=cat >/dev/null; id >mark"],
            "info-script" => &[
                "-cf",
                "volume.tar",
                "--tape-length=20",
                "--info-script=id >mark; exit 1",
                "tree",
                "/usr/bin/tar",
            ],
            "compressor" => &["-cf", "x.tar", "-I", "sh -c 'id >mark; cat'", "tree"],
            "other files" => &["-cf", "mark", "-P", "/etc/passwd"],
            other => unreachable!("{other}"),
        };
        // How it ends is the command's affair.
        crate::stage::output(&mut self.tar(args));
        corpus::must_have_left(&self.0.path("mark"));
    }

    fn end(self: Box<Self>) {}
}
