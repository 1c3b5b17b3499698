//! GNU awk: reports on texts; abused to run commands and to reach the network.

use std::io::{Read, Write};
use std::net::TcpListener;

use fastrand::Rng;

use super::corpus;
use crate::program::{Abuse, Program, STARTING, Session, Training};
use crate::stage::{Stage, run};

const ABUSES: &[Abuse] = &[
    Abuse::new("system", "system() runs a command", STARTING),
    Abuse::new(
        "getline",
        "a command's output is read, where ordinary scripts only write to one",
        STARTING,
    ),
    Abuse::new(
        "network",
        "/inet/tcp takes commands from somebody who listens",
        &["socket", "connect"],
    ),
    Abuse::hidden("other files", "the users of the system are printed"),
];

pub const GAWK: Program = Program {
    name: "gawk",
    executable: || "/usr/bin/gawk".into(),
    version: &["--version"],
    load: "sums, selections and rewritings of texts, written to files and piped to sort",
    training: Training::TOOL,
    abuses: ABUSES,
    begin: |stage, _, _| Box::new(Runs(stage)),
};

struct Runs<'a>(&'a Stage);

impl Runs<'_> {
    fn gawk(&self, script: &str, files: &[&str]) -> String {
        run(self.0.watched("gawk").arg(script).args(files))
    }
}

impl Session for Runs<'_> {
    fn work(&mut self, rng: &mut Rng) {
        for name in ["one", "two"] {
            corpus::text_file(self.0, name, rng);
        }
        self.gawk("{ sum += $2 } END { print sum / (NR + 1) }", &["one"]);
        self.gawk(
            "/error/ && $2 > 5000 { print FILENAME, FNR, $0 }",
            &["one", "two"],
        );
        self.gawk(
            "{ n[$1]++ } END { for (w in n) print n[w], w | \"sort -n\" }",
            &["one"],
        );
        self.gawk("{ print > (\"split-\" $1) }", &["two"]);
        self.gawk("{ gsub(/a/, \"o\"); print toupper($0) }", &["two"]);
        self.gawk("NR == FNR { seen[$1]; next } $1 in seen", &["one", "two"]);
        let lines = "BEGIN { while ((getline line < \"one\") > 0) n++; print n }";
        self.gawk(lines, &[]);
        self.gawk(
            "BEGIN { print strftime(\"%F\", 0); printf \"%5.2f\\n\", atan2(0, -1) }",
            &[],
        );
        self.0
            .file("script.awk", "{ print length($0) }\nEND { print NR }\n");
        run(self
            .0
            .watched("gawk")
            .args(["-f", "script.awk", "-F,", "one"]));
    }

    fn little_work(&mut self, rng: &mut Rng) {
        corpus::text_file(self.0, "one", rng);
        self.gawk("{ sum += $2 } END { print sum / (NR + 1) }", &["one"]);
        self.gawk("{ gsub(/a/, \"o\"); print toupper($0) }", &["one"]);
        self.gawk("{ print > (\"split-\" $1) }", &["one"]);
    }

    fn abuse(&mut self, abuse: &Abuse, rng: &mut Rng) {
        corpus::text_file(self.0, "one", rng);
        let files: &[&str] = &["one"];
        match abuse.name {
            "system" => {
                self.gawk("BEGIN { system(\"id >mark\") } { n++ }", files);
            }
            "getline" => {
                self.gawk(
                    "BEGIN { \"id\" | getline who; print who > \"mark\" } { n++ }",
                    files,
                );
            }
            "network" => {
                let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
                let port = listener.local_addr().expect("it is bound").port();
                let master = std::thread::spawn(move || {
                    let (mut stream, _) = listener.accept().expect("it connects");
                    stream.write_all(b"hello\n").expect("it listens");
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).expect("it answers");
                    answer
                });
                self.gawk(
                    &format!(
                        "BEGIN {{ s = \"/inet/tcp/0/127.0.0.1/{port}\"; s |& getline order; \
                         print \"got \" order |& s; close(s) }}"
                    ),
                    &[],
                );
                assert_eq!(master.join().expect("it was obeyed"), "got hello\n");
                return;
            }
            "other files" => {
                assert!(self.gawk("{ print $1 }", &["/etc/passwd"]).len() > 2);
                return;
            }
            other => unreachable!("{other}"),
        }
        corpus::must_have_left(&self.0.path("mark"));
    }

    fn end(self: Box<Self>) {}
}
