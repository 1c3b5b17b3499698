//! The in-kernel detector run on made-up threads: the header the live hook runs, without a hook.

use crate::detector::{Command, Did, Interrupted, Op, Step, Verdict};
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::loader::{self, Replay, Sizes};
use crate::profile::Profile;
use crate::skel::types;
use crate::snapshot;
use crate::syscall::Symbol;

/// Steps that one run of the program takes.
const STEPS: u32 = types::ebph_replay_limit::EBPH_REPLAY_OPS.0;
const NO_SYMBOL: u16 = types::ebph_symbol::EBPH_SYMBOL_NONE.0 as u16;

/// The kernel's detector, fed from user space.
///
/// Takes the same steps as [`Detector`](crate::Detector) and gives the same verdicts; it exists to
/// show that, and to run traces at the kernel's speed. Nothing is attached.
///
/// # Minimum kernel version
///
/// 6.1
#[derive(Debug)]
pub struct KernelReplay {
    kernel: Replay,
    profiles: u32,
    batch: u32,
}

impl KernelReplay {
    /// Loads the program, with `profiles` empty profiles and `rows` rows for them to take.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidSetting`] for no profiles or no rows, otherwise as for
    /// [`MonitorBuilder::start`](crate::MonitorBuilder::start).
    pub fn new(limits: &Limits, profiles: u32, rows: u32) -> Result<Self> {
        limits.validate()?;
        for (name, value) in [("profiles", profiles), ("rows", rows)] {
            if value == 0 || value > 1 << 20 {
                return Err(Error::InvalidSetting {
                    name,
                    value: value.to_string(),
                    reason: "it must be from 1 to 1048576".to_owned(),
                });
            }
        }
        let kernel = loader::replay(&Sizes {
            profiles,
            rows,
            ring_bytes: 4096,
            replay_steps: STEPS,
        })?;
        let mut setup = types::ebph_command {
            op: types::ebph_op::EBPH_OP_SETUP.0,
            limits: snapshot::limits_to_wire(limits, 0),
            ..Default::default()
        };
        kernel
            .command
            .run(&mut setup)
            .map_err(Error::io("setting the replay up"))?;
        let mut open = types::ebph_replay {
            profiles,
            ..Default::default()
        };
        kernel
            .program
            .run(&mut open)
            .map_err(Error::io("opening the replay's profiles"))?;
        Ok(Self {
            kernel,
            profiles,
            batch: 1,
        })
    }

    /// Lets threads hold calls back before they count them, as live ones do (up to 64), which also
    /// lets ordinary calls take the short way; 1, the default, counts each at once.
    ///
    /// Transitions then come late by up to that many calls, as they do for live threads.
    #[must_use]
    pub fn batch(mut self, calls: u32) -> Self {
        self.batch = calls.max(1);
        self
    }

    /// Runs the steps, one verdict each. State is kept from one call to the next.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidStep`] for a thread, profile or symbol that the kernel has no place for;
    /// no step was run then. [`Error::Io`] if the kernel refuses to run the program.
    pub fn run(&mut self, steps: &[Step]) -> Result<Vec<Verdict>> {
        let wire = steps
            .iter()
            .map(|step| self.to_wire(step))
            .collect::<Result<Vec<_>>>()?;
        let mut verdicts = Vec::with_capacity(steps.len());
        for chunk in wire.chunks(STEPS as usize) {
            for (i, step) in (0..).zip(chunk) {
                self.kernel.steps.set(i, step);
            }
            let mut run = types::ebph_replay {
                count: chunk.len() as u32,
                batch: self.batch,
                ..Default::default()
            };
            self.kernel
                .program
                .run(&mut run)
                .map_err(Error::io("replaying"))?;
            for i in 0..chunk.len() as u32 {
                let verdict = self.kernel.verdicts.get(i).unwrap_or_default();
                verdicts.push(from_wire(&verdict));
            }
        }
        Ok(verdicts)
    }

    /// Returns a copy of the profile in slot `slot`, or `None` if there is no such slot.
    pub fn profile(&self, slot: u32) -> Option<Profile> {
        Some(snapshot::profile(&self.kernel.maps, slot)?.1)
    }

    fn to_wire(&self, step: &Step) -> Result<types::ebph_replay_op> {
        use types::ebph_replay_kind as kinds;

        let mut wire = types::ebph_replay_op {
            now: step.now_boot_ns,
            symbol: NO_SYMBOL,
            ..Default::default()
        };
        let (kind, task) = match step.op {
            Op::Call { task, symbol, sp } => {
                wire.symbol = letter(symbol)?;
                wire.sp = sp;
                (kinds::EBPH_REPLAY_CALL, task)
            }
            Op::Fork {
                parent,
                child,
                new_stack,
            } => {
                wire.other = check_task(child)?.into();
                wire.flag = new_stack.into();
                (kinds::EBPH_REPLAY_FORK, parent)
            }
            Op::Exec { task, profile } => {
                wire.other = self.check_profile(profile)?;
                (kinds::EBPH_REPLAY_EXEC, task)
            }
            Op::Exit { task } => (kinds::EBPH_REPLAY_EXIT, task),
            Op::Signal {
                task,
                handler,
                interrupted,
            } => {
                if let Some(handler) = handler {
                    wire.flag |= 1;
                    wire.sp = handler.sp;
                    (wire.alt_lo, wire.alt_hi) = handler.alt.unwrap_or((0, 0));
                }
                match interrupted {
                    Interrupted::None => {}
                    Interrupted::Aborted => wire.flag |= 2,
                    Interrupted::Restarts(symbol) => {
                        wire.flag |= 2;
                        wire.symbol = letter(symbol)?;
                    }
                }
                (kinds::EBPH_REPLAY_SIGNAL, task)
            }
            Op::Command { profile, command } => {
                wire.other = self.check_profile(profile)?;
                wire.flag = command_op(command).0 as u16;
                (kinds::EBPH_REPLAY_COMMAND, 0)
            }
        };
        wire.kind = kind.0 as u16;
        wire.task = check_task(task)?;
        Ok(wire)
    }

    fn check_profile(&self, profile: u32) -> Result<u32> {
        if profile < self.profiles {
            return Ok(profile);
        }
        Err(Error::InvalidStep {
            what: "profile",
            value: profile.to_string(),
            reason: format!("this replay has {} profiles", self.profiles),
        })
    }
}

fn check_task(task: u16) -> Result<u16> {
    let tasks = types::ebph_replay_limit::EBPH_REPLAY_TASKS.0;
    if u32::from(task) < tasks {
        return Ok(task);
    }
    Err(Error::InvalidStep {
        what: "thread",
        value: task.to_string(),
        reason: format!("a replay has {tasks} threads"),
    })
}

fn letter(symbol: Symbol) -> Result<u16> {
    symbol.to_wire().ok_or_else(|| Error::InvalidStep {
        what: "symbol",
        value: format!("{} {}", symbol.abi(), symbol.number()),
        reason: "the kernel's alphabet has no such letter".to_owned(),
    })
}

/// The kernel's name of a command.
pub(crate) fn command_op(command: Command) -> types::ebph_op {
    match command {
        Command::Normalize => types::ebph_op::EBPH_OP_NORMALIZE,
        Command::Sensitize => types::ebph_op::EBPH_OP_SENSITIZE,
        Command::Tolerize => types::ebph_op::EBPH_OP_TOLERIZE,
        Command::Freeze => types::ebph_op::EBPH_OP_FREEZE,
        Command::Thaw => types::ebph_op::EBPH_OP_THAW,
        Command::Reset => types::ebph_op::EBPH_OP_RESET,
    }
}

fn from_wire(wire: &types::ebph_verdict) -> Verdict {
    Verdict {
        did: Did::from_bits(wire.did),
        novel: wire.novel,
        missed: wire.missed,
        id: wire.id as u8,
        lfc: wire.lfc,
        result: wire.result,
        anomalies: wire.anomalies,
    }
}
