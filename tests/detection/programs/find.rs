//! GNU find: questions about files; abused for its actions.

use fastrand::Rng;

use super::corpus;
use crate::program::{Abuse, Program, STARTING, Session, Training};
use crate::stage::{Stage, run};

const ABUSES: &[Abuse] = &[
    Abuse::new("exec", "-exec runs a shell for a file", STARTING),
    Abuse::new(
        "execdir",
        "-execdir runs a shell in a file's folder",
        STARTING,
    ),
    Abuse::new("delete", "-delete removes files", &["unlinkat"]),
    Abuse::new("fprintf", "-fprintf writes a file", &["openat", "write"]),
    Abuse::hidden(
        "other files",
        "a search for private keys all over the system",
    ),
];

pub const FIND: Program = Program {
    name: "find",
    executable: || "/usr/bin/find".into(),
    version: &["--version"],
    load: "questions by name, type, size, age and owner, printed, formatted and listed",
    training: Training::TOOL,
    abuses: ABUSES,
    begin: |stage, _, _| Box::new(Runs(stage)),
};

struct Runs<'a>(&'a Stage);

impl Runs<'_> {
    fn find(&self, args: &[&str]) {
        run(self.0.watched("find").args(args));
    }
}

impl Session for Runs<'_> {
    fn work(&mut self, rng: &mut Rng) {
        corpus::tree(self.0, "tree", rng);
        self.find(&["tree"]);
        self.find(&["tree", "-name", "*.txt"]);
        self.find(&["tree", "-type", "f", "-size", "+20k", "-print0"]);
        self.find(&["tree", "-newer", "tree", "-o", "-empty"]);
        self.find(&["tree", "-maxdepth", "2", "-printf", "%p %s %u %t\\n"]);
        self.find(&["tree", "-type", "f", "-ls"]);
        self.find(&["-L", "tree", "-mmin", "-5", "-iname", "FILE-1*"]);
        self.find(&["tree", "-type", "l", "-printf", "%l\\n"]);
        self.find(&["tree", "-user", "root", "-perm", "-u+r", "-prune"]);
        self.find(&["tree", "-links", "+1", "-samefile", "tree"]);
        // Larger, and not of our making.
        let system = ["/etc", "/usr/include", "/usr/share/doc", "/var/lib"];
        let folder = system[rng.usize(..system.len())];
        self.find(&[folder, "-maxdepth", "3", "-name", "*.conf"]);
    }

    fn little_work(&mut self, rng: &mut Rng) {
        corpus::tree(self.0, "tree", rng);
        self.find(&["tree", "-name", "*.txt"]);
        self.find(&["tree", "-type", "f", "-size", "+20k", "-print0"]);
        self.find(&["tree", "-type", "f", "-ls"]);
    }

    fn abuse(&mut self, abuse: &Abuse, rng: &mut Rng) {
        let tree = corpus::tree(self.0, "tree", rng);
        std::fs::write(tree.join("bait.bait"), "bait").expect("a file can be written here");
        let mark = self.0.path("mark");
        let shell = format!("id >{}", mark.display());
        match abuse.name {
            "exec" => self.find(&["tree", "-name", "*.bait", "-exec", "sh", "-c", &shell, ";"]),
            "execdir" => {
                self.find(&[
                    "tree", "-name", "*.bait", "-execdir", "sh", "-c", &shell, ";",
                ]);
            }
            "delete" => {
                self.find(&["tree", "-name", "*.bait", "-delete"]);
                assert!(!tree.join("bait.bait").exists(), "it removes the file");
                return;
            }
            "fprintf" => self.find(&["tree", "-name", "*.bait", "-fprintf", "mark", "* * * * *"]),
            "other files" => {
                self.find(&["/etc", "/root", "-maxdepth", "3", "-name", "*_rsa"]);
                return;
            }
            other => unreachable!("{other}"),
        }
        corpus::must_have_left(&mark);
    }

    fn end(self: Box<Self>) {}
}
