//! What the detector must do, one paragraph of the algorithm after the other.

mod known;
mod learning;
mod model;
mod normal;
mod signals;
mod tasks;

use std::time::Duration;

use crate::key::Key;
use crate::limits::Limits;
use crate::profile::Profile;
use crate::syscall::Symbol;

use super::{Command, Detector, Did, ProfileId, TaskId, Verdict};

/// A stack pointer of code that no signal interrupted.
const SP: u64 = 0x7fff_0000;

/// A detector with one profile and one task that runs it.
struct Rig {
    detector: Detector,
    profile: ProfileId,
    task: TaskId,
    now: Duration,
}

impl Rig {
    fn new(limits: Limits) -> Self {
        let mut detector = Detector::new(limits);
        let profile = detector.add_profile(key());
        let task = detector.spawn(profile);
        Self {
            detector,
            profile,
            task,
            now: Duration::ZERO,
        }
    }

    /// One whose profile holds `calls`, made once, as normal.
    fn normal(limits: Limits, calls: &[u32]) -> Self {
        let mut rig = Self::new(limits);
        rig.calls(calls);
        rig.command(Command::Normalize);
        rig.detector.exec(rig.task, rig.profile);
        rig
    }

    fn call(&mut self, number: u32) -> Verdict {
        self.call_of(self.task, number)
    }

    fn call_of(&mut self, task: TaskId, number: u32) -> Verdict {
        self.detector
            .call(task, Symbol::native(number), SP, self.now)
    }

    fn call_at(&mut self, sp: u64, symbol: Symbol) -> Verdict {
        self.detector.call(self.task, symbol, sp, self.now)
    }

    /// Makes calls and answers what they did, all together.
    fn calls(&mut self, numbers: &[u32]) -> Did {
        numbers
            .iter()
            .fold(Did::default(), |did, number| did | self.call(*number).did)
    }

    fn command(&mut self, command: Command) -> Verdict {
        self.detector.command(self.profile, command, self.now)
    }

    fn profile(&self) -> Profile {
        self.detector.profile(self.profile).unwrap()
    }

    /// The bits of both planes for a call after another.
    fn bits(&self, current: u32, previous: u32) -> (u8, u8) {
        let profile = self.profile();
        let id = |number| profile.id_of(Symbol::native(number)).unwrap();
        let row = profile.raw_row(id(current)).unwrap();
        let [train, test] = row[usize::from(id(previous))].to_le_bytes();
        (train, test)
    }
}

fn key() -> Key {
    "8:1:42:0".parse().unwrap()
}

fn sigreturn() -> Symbol {
    (0..512)
        .map(Symbol::native)
        .find(|symbol| symbol.is_sigreturn())
        .unwrap()
}

fn restart_syscall() -> Symbol {
    (0..512)
        .map(Symbol::native)
        .find(|symbol| symbol.is_restart_syscall())
        .unwrap()
}
