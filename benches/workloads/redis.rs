//! redis-server under redis-benchmark.

use std::path::PathBuf;

use rustix::process::Signal;

use super::stage::{Service, Stage, run, tool};
use super::{Kind, Size, Unit, Workload};
use crate::Failure;

pub const KIND: Kind = Kind {
    name: "redis",
    what: "redis-benchmark with 50 connections: SET, GET, LPUSH, LPOP, MSET",
    unit: Unit::Rate("requests/s"),
    begin,
};

const TESTS: &str = "set,get,lpush,lpop,mset";

struct Redis {
    socket: PathBuf,
    // Ended before its folder is removed.
    _service: Service,
    stage: Stage,
}

fn begin() -> Result<Box<dyn Workload>, Failure> {
    tool("redis-server", "redis-server")?;
    tool("redis-benchmark", "redis-tools")?;
    let stage = Stage::new("redis")?;
    let socket = stage.path("socket");
    let mut command = stage.command("redis-server");
    command
        .args(["--port", "0", "--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(&socket);
    let mut service = Service::start(&mut command, Signal::TERM, stage.path("redis.out"))?;
    let mut ping = stage.command("redis-cli");
    ping.arg("-s").arg(&socket).arg("ping");
    service.until(|| run(&mut ping).ok().filter(|answer| answer.trim() == "PONG"))?;
    Ok(Box::new(Redis {
        socket,
        _service: service,
        stage,
    }))
}

impl Workload for Redis {
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure> {
        let requests = match size {
            Size::Short => "5000",
            Size::Full => "40000",
        };
        let mut benchmark = self.stage.command("redis-benchmark");
        benchmark
            .args([
                "--csv", "-c", "50", "-n", requests, "-r", "10000", "-t", TESTS,
            ])
            .arg("-s")
            .arg(&self.socket);
        let printed = run(&mut benchmark)?;
        // "SET","91743.12",...; every test makes as many requests, so their rate together is the
        // harmonic mean.
        let rates = printed.lines().filter_map(|line| {
            let rate = line.split("\",\"").nth(1)?;
            rate.parse::<f64>().ok()
        });
        let times: Vec<f64> = rates.map(|rate| 1.0 / rate).collect();
        if times.len() != TESTS.split(',').count() {
            return Err(format!("redis-benchmark printed {printed}").into());
        }
        let rate = times.len() as f64 / times.iter().sum::<f64>();
        Ok((rate, times.len() as f64 * requests.parse::<f64>()?))
    }
}
