//! x11perf on Xvfb: tests that are mostly requests and answers, and some that draw.

use std::fs;

use rustix::process::Signal;

use super::stage::{Service, Stage, run, timed, tool};
use super::{Kind, Size, Unit, Workload};
use crate::Failure;

pub const KIND: Kind = Kind {
    name: "x11",
    what: "x11perf on Xvfb: eleven of its tests, each a fixed number of times",
    unit: Unit::Seconds,
    begin,
};

/// Tests, and how many rounds of each take some tenths of a second: a round is one request, or some
/// hundreds, as the test has it.
const TESTS: [(&str, u32); 11] = [
    ("-noop", 6_000_000),
    ("-pointer", 30_000),
    ("-prop", 30_000),
    ("-getimage10", 8_000),
    ("-putimage10", 60_000),
    ("-putimage100", 6_000),
    ("-rect10", 3_000),
    ("-line10", 6_000),
    ("-f8text", 20_000),
    ("-copywinwin10", 200_000),
    ("-scroll100", 60_000),
];

struct X11 {
    display: String,
    // Ended before its folder is removed.
    _service: Service,
    stage: Stage,
}

fn begin() -> Result<Box<dyn Workload>, Failure> {
    tool("Xvfb", "xvfb")?;
    tool("x11perf", "x11-apps")?;
    let stage = Stage::new("x11")?;
    let log = stage.path("xvfb.out");
    let mut command = stage.command("Xvfb");
    // It finds a number that is free, and prints it as soon as it can be used.
    command.args([
        "-displayfd",
        "1",
        "-noreset",
        "-nolisten",
        "tcp",
        "-screen",
        "0",
        "1024x768x24",
    ]);
    let mut service = Service::start(&mut command, Signal::TERM, log.clone())?;
    let display = service.until(|| {
        let printed = fs::read_to_string(&log).ok()?;
        let mut lines = printed.split_inclusive('\n');
        let number = lines.find_map(|line| line.strip_suffix('\n')?.parse::<u32>().ok())?;
        Some(format!(":{number}"))
    })?;
    Ok(Box::new(X11 {
        display,
        _service: service,
        stage,
    }))
}

impl Workload for X11 {
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure> {
        timed(|| {
            for (test, times) in TESTS {
                let times = match size {
                    Size::Short => times / 20,
                    Size::Full => times,
                };
                let mut x11perf = self.stage.command("x11perf");
                x11perf
                    .args(["-display", &self.display, "-repeat", "1"])
                    .args(["-reps", &times.to_string(), test]);
                run(&mut x11perf)?;
            }
            Ok(())
        })
    }
}
