//! The command line of SQLite: a small database; abused to run commands and to write files.

use std::io::Write;
use std::process::Stdio;

use fastrand::Rng;

use super::corpus;
use crate::program::{Abuse, Program, STARTING, Session, Training};
use crate::stage::Stage;

const ABUSES: &[Abuse] = &[
    Abuse::new("shell", ".shell runs a command", STARTING),
    Abuse::new(
        "output pipe",
        ".output gives results to a command",
        STARTING,
    ),
    Abuse::new(
        "writefile",
        "writefile() writes a file of the attacker's choice",
        &["openat", "write", "chmod", "mkdir"],
    ),
    Abuse::hidden(
        "other table",
        "a table is read that no ordinary query reads",
    ),
];

pub const SQLITE: Program = Program {
    name: "sqlite3",
    executable: || "/usr/bin/sqlite3".into(),
    version: &["--version"],
    load: "a database made, filled, searched, changed, exported and packed",
    training: Training::TOOL,
    abuses: ABUSES,
    begin: |stage, _, _| Box::new(Runs(stage)),
};

struct Runs<'a>(&'a Stage);

impl Runs<'_> {
    /// Gives statements to the shell of SQLite on its standard input.
    fn sqlite(&self, statements: &str) -> String {
        let mut child = self
            .0
            .watched("sqlite3")
            .args(["-batch", "data.db"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sqlite3 starts: scripts/detection-deps.sh installs it");
        let mut input = child.stdin.take().expect("it is piped");
        let text = statements.to_owned();
        let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        writer.join().expect("no panic").expect("it reads");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "sqlite3: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Session for Runs<'_> {
    fn work(&mut self, rng: &mut Rng) {
        if rng.u32(..3) == 0 {
            let _ = std::fs::remove_file(self.0.path("data.db"));
        }
        let rows = rng.u32(1..3_000);
        self.sqlite(&format!(
            "create table if not exists t (id integer primary key, a int, b text);\n\
             create table if not exists secret (s text);\n\
             begin;\n\
             insert into t (a, b) with recursive n(i) as (select 1 union all select i + 1 from n \
             where i < {rows}) select random() % 1000, hex(randomblob(i % 200)) from n;\n\
             commit;\n"
        ));
        self.sqlite(
            "select count(*), max(a) from t;\nselect a, count(*) from t group by a order by 2;\n",
        );
        self.sqlite("create index if not exists i on t (a);\nselect * from t where a = 7;\n");
        let change = rng.u32(..1000);
        self.sqlite(&format!(
            "update t set b = 'x' where a = {change};\ndelete from t where a = {};\n",
            change / 2
        ));
        self.sqlite("begin;\ndelete from t;\nrollback;\n.mode csv\nselect * from t limit 20;\n");
        self.sqlite(".output out.sql\n.dump\n");
        self.sqlite(".tables\n.schema\npragma integrity_check;\n");
        if rng.bool() {
            self.sqlite("vacuum;\n");
        }
    }

    fn little_work(&mut self, rng: &mut Rng) {
        self.sqlite(&format!(
            "insert into t (a, b) values ({}, 'x');\n",
            rng.u16(..)
        ));
        self.sqlite("select count(*), max(a) from t;\n");
        self.sqlite("select * from t where a = 7;\n.tables\n");
    }

    fn abuse(&mut self, abuse: &Abuse, _rng: &mut Rng) {
        let statements = match abuse.name {
            "shell" => "select 1;\n.shell id >mark\nselect 2;\n",
            "output pipe" => ".output \"|cat >mark\"\nselect 1;\n.output\n",
            "writefile" => "select writefile('mark', 'ssh-rsa AAAA');\n",
            "other table" => {
                self.sqlite("select s from secret;\n");
                return;
            }
            other => unreachable!("{other}"),
        };
        self.sqlite(statements);
        corpus::must_have_left(&self.0.path("mark"));
    }

    fn end(self: Box<Self>) {}
}
