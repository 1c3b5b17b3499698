//! Redis under redis-benchmark; abused by whoever may give it commands.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use fastrand::Rng;
use rustix::process::Signal;

use super::corpus;
use crate::eventually;
use crate::program::{Abuse, Life, Program, Session, Training};
use crate::stage::{Service, Stage, free_port, output, run};

const ABUSES: &[Abuse] = &[
    Abuse::new(
        "save elsewhere",
        "CONFIG SET dir and dbfilename, then SAVE: a key file or cron table is written",
        &["chdir", "rename", "fsync", "getcwd"],
    ),
    Abuse::new(
        "module",
        "MODULE LOAD of a library that runs a shell",
        &[
            "mmap", "mprotect", "clone", "clone3", "vfork", "execve", "wait4",
        ],
    ),
    Abuse::new(
        "replica",
        "REPLICAOF makes it the replica of a server of the attacker's",
        &["socket", "connect"],
    ),
    Abuse::hidden(
        "other keys",
        "keys are read and changed that are none of the client's business",
    ),
];

/// What the module does when it is loaded; the interface is the one symbol.
const MODULE: &str = "#include <stdlib.h>\n\
    int RedisModule_OnLoad(void *context, void **arguments, int count)\n\
    { (void)context; (void)arguments; (void)count; system(\"id >mark\"); return 1; }\n";

pub const REDIS: Program = Program {
    name: "redis",
    executable: || "/usr/bin/redis-server".into(),
    version: &["--version"],
    load: "redis-benchmark: any mix of its tests, clients, sizes and pipelines; snapshots; restarts",
    training: Training {
        short: 12,
        least: 25,
        most: 30,
        quiet: 5,
    },
    abuses: ABUSES,
    begin,
};

fn begin<'a>(stage: &'a Stage, life: Life, _rng: &mut Rng) -> Box<dyn Session + 'a> {
    let port = free_port();
    let directory = stage.path("");
    let directory = directory.display();
    let settings = match life {
        Life::Short => "dbfilename calm.rdb\n",
        Life::Busy => "dbfilename busy.rdb\nsave 5 100\n",
    };
    // The two `enable` lines are what Redis 6 and older always did, and what many set again.
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {directory}\n{settings}\
         enable-protected-configs yes\nenable-module-command yes\n"
    );
    let mut command = stage.watched("redis-server");
    command.arg(stage.file("redis.conf", text));
    let mut server = Server {
        stage,
        port,
        service: Service::start(&mut command, stage.path("redis.out")),
    };
    server.service.until_listening(port);
    eventually("the snapshot to be loaded", || {
        (server.ask(&["ping"]) == "PONG").then_some(())
    });
    Box::new(server)
}

struct Server<'a> {
    stage: &'a Stage,
    port: u16,
    service: Service,
}

impl Server<'_> {
    fn client(&self, program: &str) -> Command {
        let mut command = self.stage.unwatched(program);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command
    }

    fn ask(&self, words: &[&str]) -> String {
        run(self.client("redis-cli").args(words)).trim().to_owned()
    }

    /// Waits until no snapshot is being written.
    fn until_saved(&self) {
        eventually("the snapshot to be written", || {
            let info = self.ask(&["info", "persistence"]);
            info.contains("rdb_bgsave_in_progress:0").then_some(())
        });
    }

    /// A library that runs a command when it is loaded, compiled once.
    fn module(&self) -> PathBuf {
        static COMPILED: OnceLock<Vec<u8>> = OnceLock::new();
        let library = COMPILED.get_or_init(|| {
            let source = self.stage.file("module.c", MODULE);
            let library = self.stage.path("module.so");
            let mut compiler = self.stage.unwatched("cc");
            run(compiler
                .args(["-shared", "-fPIC", "-o"])
                .arg(&library)
                .arg(source));
            std::fs::read(library).expect("it was compiled")
        });
        let path = self.stage.file("module.so", library);
        run(self.stage.unwatched("chmod").arg("755").arg(&path));
        path
    }
}

impl Session for Server<'_> {
    fn work(&mut self, rng: &mut Rng) {
        let tests = [
            "ping",
            "set",
            "get",
            "incr",
            "lpush",
            "rpush",
            "lpop",
            "rpop",
            "sadd",
            "hset",
            "spop",
            "zadd",
            "zpopmin",
            "lrange_100",
            "lrange_300",
            "lrange_600",
            "mset",
        ];
        if rng.bool() {
            self.ask(&["flushall"]);
        }
        for _ in 0..2 {
            let chosen: Vec<_> = (0..3).map(|_| tests[rng.usize(..tests.len())]).collect();
            // Ranges of long values would be gigabytes.
            let ranges = chosen.iter().any(|test| test.starts_with("lrange"));
            let sizes: &[u32] = match ranges {
                true => &[3, 20],
                false => &[3, 100, 1_000, 5_000],
            };
            let number =
                |rng: &mut Rng, values: &[u32]| values[rng.usize(..values.len())].to_string();
            run(self.client("redis-benchmark").args([
                "-q",
                "-t",
                &chosen.join(","),
                "-n",
                &number(rng, &[1_000, 5_000, 20_000]),
                "-c",
                &number(rng, &[1, 5, 50, 100]),
                "-d",
                &number(rng, sizes),
                "-P",
                &number(rng, &[1, 1, 8, 32]),
                "-r",
                &number(rng, &[1, 100, 5_000]),
            ]));
        }
        self.little_work(rng);
        if rng.bool() {
            self.ask(&["bgsave"]);
            self.little_work(rng);
            self.until_saved();
        }
    }

    fn little_work(&mut self, rng: &mut Rng) {
        for number in 0..rng.u32(2..8) {
            let key = format!("key-{number}");
            self.ask(&["set", &key, &corpus::text(rng.usize(..20), rng)]);
            self.ask(&["expire", &key, "1"]);
            self.ask(&["get", &key]);
        }
        self.ask(&["info"]);
        self.ask(&["dbsize"]);
        self.ask(&["config", "get", "maxmemory"]);
        self.ask(&["eval", "return redis.call('get', 'key-1')", "0"]);
        self.ask(&["--scan", "--pattern", "key-*"]);
        self.ask(&["no-such-command"]);
    }

    fn abuse(&mut self, abuse: &Abuse, rng: &mut Rng) {
        match abuse.name {
            "save elsewhere" => {
                let folder = corpus::empty(self.stage, "cron.d");
                self.ask(&["set", "x", "\n* * * * * root id\n"]);
                self.ask(&["config", "set", "dir", &folder.display().to_string()]);
                self.ask(&["config", "set", "dbfilename", "root"]);
                assert_eq!(self.ask(&["save"]), "OK");
                corpus::must_have_left(&folder.join("root"));
            }
            "module" => {
                let module = self.module();
                // It says that it failed, and is not kept; the deed is done.
                let mut client = self.client("redis-cli");
                output(client.args(["module", "load"]).arg(module));
                corpus::must_have_left(&self.stage.path("mark"));
            }
            "replica" => {
                let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
                let port = listener.local_addr().expect("it is bound").port();
                self.ask(&["replicaof", "127.0.0.1", &port.to_string()]);
                listener.accept().expect("it connected");
                self.ask(&["replicaof", "no", "one"]);
            }
            "other keys" => {
                self.ask(&["set", "session:admin", &rng.u64(..).to_string()]);
                self.ask(&["get", "session:admin"]);
            }
            other => unreachable!("{other}"),
        }
    }

    fn end(self: Box<Self>) {
        self.service.end(Signal::TERM);
    }
}
