//! Building a C project: libbpf, by its own Makefile and gcc.

use std::path::PathBuf;

use super::stage::{Stage, run, timed, tool};
use super::{Kind, Size, Unit, Workload, sources};
use crate::Failure;

pub const KIND: Kind = Kind {
    name: "build",
    what: "libbpf, by make -j and gcc",
    unit: Unit::Seconds,
    begin,
};

struct Build {
    source: PathBuf,
    jobs: usize,
    stage: Stage,
}

fn begin() -> Result<Box<dyn Workload>, Failure> {
    tool("make", "make")?;
    tool("gcc", "gcc")?;
    let stage = Stage::new("build")?;
    run(stage
        .command("cp")
        .args(["--recursive", "--no-preserve=mode"])
        .arg(sources::libbpf()?)
        .arg(stage.path("libbpf")))?;
    Ok(Box::new(Build {
        source: stage.path("libbpf/src"),
        jobs: std::thread::available_parallelism()?.get(),
        stage,
    }))
}

impl Workload for Build {
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure> {
        let objects = self.stage.path("objects");
        if objects.exists() {
            std::fs::remove_dir_all(&objects)?;
        }
        let target = match size {
            Size::Full => objects.join("libbpf.a"),
            Size::Short => objects.join("staticobjs/nlattr.o"),
        };
        timed(|| {
            let mut make = self.stage.command("make");
            make.arg("--silent")
                .arg(format!("--jobs={}", self.jobs))
                .arg("CC=gcc")
                .arg("BUILD_STATIC_ONLY=1")
                .arg(format!("OBJDIR={}", objects.display()))
                .arg(target)
                .current_dir(&self.source);
            run(&mut make).map(drop)
        })
    }
}
