//! PostgreSQL under pgbench.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use super::stage::{Service, Stage, give, missing, run, user};
use super::{Kind, Size, Unit, Workload};
use crate::Failure;

pub const KIND: Kind = Kind {
    name: "postgres",
    what: "pgbench with 4 clients, its TPC-B script, without fsync",
    unit: Unit::Rate("transactions/s"),
    begin,
};

const PACKAGE: &str = "postgresql";
/// So that neither a disk nor what the server does on its own hides what calls cost, and no run is
/// slower than the next because it is the first to write a page after a checkpoint.
const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "autovacuum=off",
    "checkpoint_timeout=1h",
    "max_wal_size=8GB",
];

/// The programs of the newest version that is there; Debian keeps them apart by version.
fn programs() -> Result<PathBuf, Failure> {
    let versions = fs::read_dir("/usr/lib/postgresql").map_err(|_| missing("pgbench", PACKAGE))?;
    let found = versions.filter_map(|version| {
        let version = version.ok()?;
        let number: u32 = version.file_name().to_str()?.parse().ok()?;
        let folder = version.path().join("bin");
        ["initdb", "postgres", "pgbench"]
            .iter()
            .all(|name| folder.join(name).exists())
            .then_some((number, folder))
    });
    let newest = found.max().ok_or_else(|| missing("pgbench", PACKAGE))?;
    Ok(newest.1)
}

struct Postgres {
    programs: PathBuf,
    user: (u32, u32),
    // Ended before its folder is removed.
    _service: Service,
    stage: Stage,
}

/// A command that runs as the user, since the server refuses to be root's.
fn command(stage: &Stage, program: &Path, (uid, gid): (u32, u32)) -> Command {
    let mut command = stage.command(program);
    command.uid(uid).gid(gid);
    command
}

fn begin() -> Result<Box<dyn Workload>, Failure> {
    let programs = programs()?;
    let user = user("postgres", PACKAGE)?;
    let stage = Stage::new("postgres")?;
    let data = stage.folder("data")?;
    let sockets = stage.folder("sockets")?;
    give(&data, user)?;
    give(&sockets, user)?;
    let mut initdb = command(&stage, &programs.join("initdb"), user);
    run(initdb.args(["-A", "trust", "-N", "-D"]).arg(&data))?;
    let mut server = command(&stage, &programs.join("postgres"), user);
    server.arg("-D").arg(&data).arg("-k").arg(&sockets);
    for setting in SETTINGS {
        server.args(["-c", setting]);
    }
    let mut service = Service::start(&mut server, Signal::INT, stage.path("postgres.out"))?;
    let mut ready = command(&stage, &programs.join("pg_isready"), user);
    ready.arg("-q").arg("-h").arg(&sockets);
    service.until(|| run(&mut ready).ok())?;
    let postgres = Postgres {
        programs,
        user,
        _service: service,
        stage,
    };
    postgres.bench(&["-i", "-q", "-s", "5"])?;
    Ok(Box::new(postgres))
}

impl Postgres {
    fn bench(&self, args: &[&str]) -> Result<String, Failure> {
        let mut pgbench = command(&self.stage, &self.programs.join("pgbench"), self.user);
        pgbench
            .arg("-h")
            .arg(self.stage.path("sockets"))
            .args(args)
            .arg("postgres");
        run(&mut pgbench)
    }
}

impl Workload for Postgres {
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure> {
        let seconds = match size {
            Size::Short => "1",
            Size::Full => "3",
        };
        let printed = self.bench(&["-c", "4", "-j", "1", "-T", seconds])?;
        let rate = printed
            .lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
        let all = printed
            .lines()
            .find_map(|line| line.strip_prefix("number of transactions actually processed: "));
        let (Some(rate), Some(all)) = (rate, all) else {
            return Err(format!("pgbench printed {printed}").into());
        };
        Ok((rate.parse()?, all.parse()?))
    }
}
