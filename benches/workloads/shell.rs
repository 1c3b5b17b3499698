//! A shell script in the manner of `configure`: many small files, and programs that end at once.

use super::stage::{Stage, run, timed};
use super::{Kind, Size, Unit, Workload};
use crate::Failure;

pub const KIND: Kind = Kind {
    name: "shell",
    what: "a script that writes, reads and looks at small files, and starts programs that end at once",
    unit: Unit::Seconds,
    begin,
};

const SCRIPT: &str = "\
    i=0\n\
    while [ $i -lt $1 ]; do\n\
    i=$((i + 1))\n\
    echo \"#define N $i\" >probe.h\n\
    [ -f probe.h ] && [ ! -e missing.$i ] && read line <probe.h\n\
    sh -c 'cd . && [ -d / ]'\n\
    sed 's/N/M/' probe.h >other.h\n\
    cat probe.h other.h | grep -q M || exit 1\n\
    rm other.h\n\
    done\n";

struct Shell(Stage);

fn begin() -> Result<Box<dyn Workload>, Failure> {
    let stage = Stage::new("shell")?;
    stage.file("script", SCRIPT)?;
    Ok(Box::new(Shell(stage)))
}

impl Workload for Shell {
    fn work(&mut self, size: Size) -> Result<(f64, f64), Failure> {
        let rounds = match size {
            Size::Short => "50",
            Size::Full => "400",
        };
        timed(|| run(self.0.command("sh").args(["script", rounds])).map(drop))
    }
}
