//! PostgreSQL under pgbench; abused by whoever got hold of a superuser's connection.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use fastrand::Rng;
use rustix::process::Signal;

use super::corpus;
use crate::program::{Abuse, Life, Program, STARTING, Session, Training};
use crate::stage::{Service, Stage, free_port, give, output, run, user};

const ABUSES: &[Abuse] = &[
    Abuse::new(
        "copy from program",
        "COPY ... FROM PROGRAM reads what a command prints",
        STARTING,
    ),
    Abuse::new(
        "copy to program",
        "COPY ... TO PROGRAM gives rows to a command",
        STARTING,
    ),
    Abuse::new(
        "large object export",
        "lo_export writes a file of the attacker's choice",
        &["openat", "umask", "write"],
    ),
    Abuse::new(
        "library",
        "a function is taken from a library on disk",
        &["mmap", "mprotect", "openat", "read", "newfstatat"],
    ),
    Abuse::new(
        "list files",
        "pg_ls_dir lists a folder of the system",
        &["openat", "getdents64"],
    ),
    Abuse::hidden(
        "other tables",
        "a table is read that no ordinary query reads",
    ),
];

/// One of the programs of the newest version that is here.
fn tool(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is installed: scripts/detection-deps.sh does it");
    let found = versions.filter_map(|version| {
        let path = version.ok()?.path();
        let number: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let tool = path.join("bin").join(name);
        tool.exists().then_some((number, tool))
    });
    let newest = found.max().expect("some version of PostgreSQL is whole");
    newest.1
}

pub const POSTGRES: Program = Program {
    name: "postgresql",
    executable: || tool("postgres"),
    version: &["--version"],
    load: "pgbench: its three scripts and one of reports, over lasting and new connections; COPY, VACUUM, CHECKPOINT, restarts",
    training: Training {
        short: 10,
        least: 25,
        most: 25,
        quiet: 8,
    },
    abuses: ABUSES,
    begin,
};

fn begin<'a>(stage: &'a Stage, life: Life, _rng: &mut Rng) -> Box<dyn Session + 'a> {
    let data = stage.path("data");
    if !data.exists() {
        let folder = stage.folder("data");
        give(&folder, user("postgres"));
        let mut initdb = stage.unwatched(tool("initdb"));
        let initdb = as_postgres(&mut initdb);
        run(initdb.arg("-D").arg(&data).args(["-A", "trust", "-N"]));
    }
    let port = free_port();
    let mut command = stage.watched(tool("postgres"));
    as_postgres(&mut command).arg("-D").arg(&data);
    let port_setting = format!("port={port}");
    let own: &[&str] = &[
        &port_setting,
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_logical_replication_workers=0",
    ];
    let often: &[&str] = match life {
        Life::Short => &[],
        Life::Busy => &[
            "autovacuum_naptime=1s",
            "checkpoint_timeout=30s",
            "max_wal_size=64MB",
        ],
    };
    for setting in own.iter().chain(often) {
        command.args(["-c", setting]);
    }
    let service = Service::start(&mut command, stage.path("postgres.out"));
    let mut server = Server {
        stage,
        port,
        service,
    };
    let mut ready = stage.unwatched(tool("pg_isready"));
    ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    server
        .service
        .until("PostgreSQL to accept connections", || {
            output(&mut ready).status.success().then_some(())
        });
    if server
        .sql("select to_regclass('pgbench_accounts')")
        .is_empty()
    {
        server.bench(&["-i", "-q", "-s", "2"]);
    }
    Box::new(server)
}

/// Where the C library is, by what this process has of it.
fn c_library() -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("/proc is mounted");
    let paths = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    let found = paths.filter(|path| path.contains("/libc.so") || path.contains("/libc-"));
    let found = found.map(str::to_owned).next();
    found.expect("this program is linked to the C library")
}

fn as_postgres(command: &mut Command) -> &mut Command {
    let (uid, gid) = user("postgres");
    command.uid(uid).gid(gid)
}

struct Server<'a> {
    stage: &'a Stage,
    port: u16,
    service: Service,
}

impl Server<'_> {
    fn client(&self, name: &str) -> Command {
        let mut command = self.stage.unwatched(tool(name));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]);
        command.arg(self.port.to_string());
        command
    }

    fn bench(&self, args: &[&str]) {
        run(self.client("pgbench").args(args).arg("postgres"));
    }

    /// Runs statements in one connection, and returns what the last ones print.
    fn sql(&self, statements: &str) -> String {
        let mut psql = self.client("psql");
        let psql = psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c"]);
        run(psql.arg(statements)).trim().to_owned()
    }
}

impl Session for Server<'_> {
    fn work(&mut self, rng: &mut Rng) {
        let script = self.stage.file(
            "reports.sql",
            "\\set low random(1, 190000)\n\
             select bid, count(*), sum(abalance) from pgbench_accounts group by bid order by 2;\n\
             select a.aid, t.delta from pgbench_accounts a left join pgbench_history t \
             using (aid) where a.aid between :low and :low + 5000 order by t.delta, a.filler;\n\
             insert into pgbench_history (tid, bid, aid, delta, mtime) \
             select 1, 1, g, random() * 1000, now() from generate_series(1, 2000) g;\n",
        );
        let clients = ["1", "2", "4", "8"][rng.usize(..4)];
        let transactions = rng.u32(50..300).to_string();
        let mode = ["simple", "extended", "prepared"][rng.usize(..3)];
        let common = ["-n", "-c", clients, "-t", &transactions, "-M", mode];
        for kind in ["tpcb-like", "simple-update", "select-only"] {
            self.bench(&[&common[..], &["-b", kind]].concat());
        }
        let script = script.display().to_string();
        self.bench(&["-n", "-c", "2", "-t", "5", "-f", &script]);
        if rng.bool() {
            self.bench(&["-n", "-C", "-c", "4", "-t", "10", "-S"]);
        }
        self.sql(
            "create temp table own as select * from pgbench_accounts limit 2000; \
             create index on own (abalance); analyze own; drop table own",
        );
        self.little_work(rng);
        match rng.u32(..3) {
            0 => drop(self.sql("vacuum analyze")),
            1 => drop(self.sql("checkpoint")),
            _ => {}
        }
    }

    fn little_work(&mut self, rng: &mut Rng) {
        let row = rng.u32(1..200_000);
        self.sql(&format!(
            "select * from pgbench_accounts where aid = {row}; \
             update pgbench_accounts set abalance = {row} where aid = {row}"
        ));
        self.sql("copy (select * from pgbench_tellers) to stdout");
        // An error, as clients make them.
        output(self.client("psql").args(["-X", "-c", "select nothing"]));
    }

    fn abuse(&mut self, abuse: &Abuse, _rng: &mut Rng) {
        let folder = self.stage.folder("theirs");
        give(&folder, user("postgres"));
        let mark = folder.join("mark");
        let path = mark.display();
        match abuse.name {
            "copy from program" => {
                let who = self
                    .sql("create temp table c (t text); copy c from program 'id'; select t from c");
                assert!(who.contains("postgres"), "{who}");
                return;
            }
            "copy to program" => {
                self.sql(&format!("copy (select 1) to program 'cat >{path}'"));
            }
            "large object export" => {
                self.sql("select lo_from_bytea(4711, 'ssh-rsa AAAA')");
                self.sql(&format!("select lo_export(4711, '{path}')"));
                self.sql("select lo_unlink(4711)");
            }
            "library" => {
                // Refused in the end, since the C library is no module; it is loaded first.
                let statement = format!(
                    "create function run(cstring) returns int as '{}', 'system' language c",
                    c_library()
                );
                let ended = output(self.client("psql").args(["-X", "-c", &statement]));
                let said = String::from_utf8_lossy(&ended.stderr);
                assert!(said.contains("magic block"), "{said}");
                return;
            }
            "list files" => {
                assert!(self.sql("select pg_ls_dir('/etc')").contains("passwd"));
                return;
            }
            "other tables" => {
                assert!(
                    self.sql("select rolname from pg_authid")
                        .contains("postgres")
                );
                return;
            }
            other => unreachable!("{other}"),
        }
        corpus::must_have_left(&mark);
    }

    fn end(self: Box<Self>) {
        // "Fast" shutdown.
        self.service.end(Signal::INT);
    }
}
