//! What the scenarios have reached. A comparison that never went somewhere says
//! nothing about that place.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use ebph::Detector;
use ebph::detector::{
    Command, Did, HandlerFrame, Interrupted, Op, ProfileId, Step, TaskId, TaskStatus, Verdict,
};

use crate::preset::Setup;

/// Everything that has to be reached, besides each bit of [`Did`] and each command.
const GOALS: &[&str] = &[
    // Transitions that calls bring about.
    "call: freezes",
    "call: thaws",
    "call: starts normal",
    "call: refreshes normal",
    "call: stops normal",
    "call: wipes what is learnt",
    "call: freezes and starts at once",
    "call: starts at the very moment",
    "call: one moment before it would start",
    "call: stops where it would have wiped as well",
    "call: starts after a command froze it",
    "call: frozen, but incomplete",
    "call: new, but normal",
    "call: learnt, but an anomaly",
    "command: refreshes normal",
    // Ids and rows.
    "id: shared by one more symbol",
    "id: shared, and known",
    "row: none for a new id",
    "row: none for a known id",
    "row: none for the shared id",
    "row: none, and an anomaly",
    "row: none, in a profile that is normal",
    // Locality frames.
    "lfc: falls with time",
    "lfc: all 128",
    "lfc: emptied by somebody else",
    // Signals.
    "signal: handler, in no call",
    "signal: handler, call aborted",
    "signal: handler, call restarts",
    "signal: no handler, in no call",
    "signal: no handler, call aborted",
    "signal: no handler, call restarts",
    "signal: nested handlers",
    "restart: after a signal without handler",
    "restart: after a handler",
    "restart: kept by a second signal",
    "restart: given up by a second signal",
    "restart: due when a handler is entered",
    "restart: another call comes",
    "frame: dropped",
    "frame: dropped from an alternate stack",
    "frame: several dropped at once",
    "frame: dropped from beyond the kept ones",
    "frame: dropped by a call that is ignored",
    "frame: called from just below",
    "frame: called from its very place",
    "frame: called from the lowest byte of an alternate stack",
    "frame: called from just above an alternate stack",
    "sigreturn: without a handler, for sure",
    "sigreturn: without a handler, after a guess",
    // Tasks.
    "fork: same stack",
    "fork: new stack",
    "fork: same stack, in a handler",
    "fork: new stack, in a handler",
    "fork: same stack, with anomalies",
    "fork: new stack, with anomalies",
    "fork: with a restart due",
    "exec: of a new task",
    "exec: of another program",
    "exec: of the same program",
    "exec: in a handler",
    "exec: with anomalies",
    "exit",
    "exit: in a handler",
];

const COMMANDS: &[(Command, bool)] = &[
    (Command::Normalize, false),
    (Command::Sensitize, false),
    (Command::Tolerize, true),
    (Command::Freeze, true),
    (Command::Thaw, true),
    (Command::Reset, false),
];

/// What a task did last, as far as restarts go.
#[derive(Clone, Debug, Default)]
enum Last {
    #[default]
    Else,
    /// A signal without a handler.
    Signal(Interrupted),
    /// Return from a handler.
    Return,
}

#[derive(Clone, Debug, Default)]
struct Mirror {
    last: Last,
    lfc: u32,
    handlers: Vec<HandlerFrame>,
}

/// How often each goal was reached.
pub struct Coverage {
    reached: BTreeMap<String, u64>,
    mirrors: BTreeMap<u16, Mirror>,
    /// By profile that is frozen: when it becomes normal, and whether by command.
    appointments: BTreeMap<usize, (u64, bool)>,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (goal, count) in &self.reached {
            writeln!(f, "{count:>9}  {goal}")?;
        }
        Ok(())
    }
}

impl Coverage {
    pub fn new() -> Self {
        let names = Did::NAMES.iter().map(|(name, _)| format!("did: {name}"));
        let commands = COMMANDS.iter().flat_map(|(command, refusable)| {
            let refused = refusable.then(|| format!("command: {command:?} refused"));
            std::iter::once(format!("command: {command:?}")).chain(refused)
        });
        let goals = GOALS.iter().map(|goal| (*goal).to_owned());
        Self {
            reached: names
                .chain(commands)
                .chain(goals)
                .map(|goal| (goal, 0))
                .collect(),
            mirrors: BTreeMap::new(),
            appointments: BTreeMap::new(),
        }
    }

    /// Forgets the tasks and profiles of a scenario that is over.
    pub fn end_scenario(&mut self) {
        self.mirrors.clear();
        self.appointments.clear();
    }

    /// The goals that were never reached.
    pub fn missing(&self) -> Vec<&str> {
        let missing = self.reached.iter().filter(|(_, count)| **count == 0);
        missing.map(|(goal, _)| goal.as_str()).collect()
    }

    fn hit(&mut self, goal: &str) {
        let count = self.reached.get_mut(goal);
        *count.unwrap_or_else(|| panic!("{goal} is not on the list")) += 1;
    }

    fn hit_if(&mut self, reached: bool, goal: &str) {
        if reached {
            self.hit(goal);
        }
    }

    /// Notes a step: `before` is how its task stood, `detector` how all stands now.
    pub fn note(
        &mut self,
        setup: &Setup,
        step: &Step,
        verdict: &Verdict,
        before: Option<TaskStatus>,
        detector: &Detector,
    ) {
        for (name, bit) in Did::NAMES {
            self.hit_if(verdict.did.contains(*bit), &format!("did: {name}"));
        }
        match step.op {
            Op::Call { task, sp, .. } => {
                let Some(before) = before else { return };
                let after = detector.task(TaskId::new(task.into()));
                let after = after.expect("a call does not end a task");
                self.transition(setup, step.now_boot_ns, before.profile, verdict);
                self.letter(verdict);
                self.locality(task, verdict, &before);
                self.stack(task, sp, verdict, &after);
                self.restart(task, verdict);
            }
            Op::Signal {
                task,
                handler,
                interrupted,
            } => self.signal(task, handler, interrupted),
            Op::Fork {
                parent,
                child,
                new_stack,
            } => {
                let Some(before) = before else { return };
                let kind = if new_stack { "new stack" } else { "same stack" };
                self.hit(&format!("fork: {kind}"));
                self.hit_if(
                    before.signal_depth > 0,
                    &format!("fork: {kind}, in a handler"),
                );
                self.hit_if(before.lfc > 0, &format!("fork: {kind}, with anomalies"));
                let mut mirror = self.mirrors.entry(parent).or_default().clone();
                let due = matches!(mirror.last, Last::Signal(Interrupted::Restarts(_)));
                self.hit_if(due, "fork: with a restart due");
                mirror.last = Last::Else;
                if new_stack {
                    mirror.handlers.clear();
                    mirror.lfc = 0;
                }
                self.mirrors.insert(child, mirror);
            }
            Op::Exec { task, profile } => {
                self.mirrors.remove(&task);
                let Some(before) = before else {
                    return self.hit("exec: of a new task");
                };
                let same = before.profile.number() == profile as usize;
                self.hit_if(same, "exec: of the same program");
                self.hit_if(!same, "exec: of another program");
                self.hit_if(before.signal_depth > 0, "exec: in a handler");
                self.hit_if(before.lfc > 0, "exec: with anomalies");
            }
            Op::Exit { task } => {
                self.mirrors.remove(&task);
                self.hit("exit");
                self.hit_if(
                    before.is_some_and(|before| before.signal_depth > 0),
                    "exit: in a handler",
                );
            }
            Op::Command { profile, command } => {
                let refused = if verdict.result == 0 { "" } else { " refused" };
                self.hit(&format!("command: {command:?}{refused}"));
                self.hit_if(
                    verdict.did.contains(Did::REFRESH),
                    "command: refreshes normal",
                );
                self.appoint(setup, step.now_boot_ns, profile as usize, verdict, true);
                if command == Command::Reset {
                    self.appointments.remove(&(profile as usize));
                }
            }
            _ => {}
        }
    }

    fn appoint(
        &mut self,
        setup: &Setup,
        now: u64,
        profile: usize,
        verdict: &Verdict,
        by_command: bool,
    ) {
        let did = |bits| verdict.did.contains(bits);
        if did(Did::THAW) || did(Did::START) || did(Did::STOP) || did(Did::RESET_TRAIN) {
            self.appointments.remove(&profile);
        } else if did(Did::FREEZE) {
            let wait = setup.limits.normal_wait.as_nanos() as u64;
            self.appointments.insert(profile, (now + wait, by_command));
        }
    }

    fn transition(&mut self, setup: &Setup, now: u64, profile: ProfileId, verdict: &Verdict) {
        let did = |bits| verdict.did.contains(bits);
        let start = did(Did::START);
        self.hit_if(did(Did::FREEZE), "call: freezes");
        self.hit_if(did(Did::THAW), "call: thaws");
        self.hit_if(start, "call: starts normal");
        self.hit_if(did(Did::REFRESH), "call: refreshes normal");
        self.hit_if(did(Did::STOP), "call: stops normal");
        self.hit_if(did(Did::RESET_TRAIN), "call: wipes what is learnt");
        self.hit_if(
            did(Did::FREEZE | Did::START),
            "call: freezes and starts at once",
        );
        self.hit_if(
            did(Did::STOP) && u64::from(verdict.lfc) > setup.limits.tolerize_limit,
            "call: stops where it would have wiped as well",
        );
        self.hit_if(
            did(Did::FREEZE) && !start && setup.limits.normal_wait == Duration::ZERO,
            "call: frozen, but incomplete",
        );
        self.hit_if(
            did(Did::NOVEL | Did::TEST) && !did(Did::ANOMALY),
            "call: new, but normal",
        );
        self.hit_if(
            did(Did::ANOMALY) && !did(Did::NOVEL),
            "call: learnt, but an anomaly",
        );
        if let Some((at, by_command)) = self.appointments.get(&profile.number()).copied() {
            self.hit_if(start && by_command, "call: starts after a command froze it");
            self.hit_if(start && now == at, "call: starts at the very moment");
            self.hit_if(
                !start && did(Did::RECORD) && now + 1 == at,
                "call: one moment before it would start",
            );
        }
        self.appoint(setup, now, profile.number(), verdict, false);
    }

    fn letter(&mut self, verdict: &Verdict) {
        let did = |bits| verdict.did.contains(bits);
        self.hit_if(did(Did::OTHER_ID), "id: shared by one more symbol");
        self.hit_if(
            verdict.id == 255 && !did(Did::OTHER_ID),
            "id: shared, and known",
        );
        if did(Did::NO_ROW) {
            let new = did(Did::NEW_ID) || did(Did::OTHER_ID);
            self.hit_if(new, "row: none for a new id");
            self.hit_if(!new, "row: none for a known id");
            self.hit_if(verdict.id == 255, "row: none for the shared id");
            self.hit_if(did(Did::ANOMALY), "row: none, and an anomaly");
            self.hit_if(did(Did::TEST), "row: none, in a profile that is normal");
        }
    }

    fn locality(&mut self, task: u16, verdict: &Verdict, before: &TaskStatus) {
        let did = |bits| verdict.did.contains(bits);
        let last = self.mirrors.entry(task).or_default().lfc;
        self.hit_if(last > 0 && before.lfc == 0, "lfc: emptied by somebody else");
        self.hit_if(
            did(Did::TEST) && !did(Did::START) && verdict.lfc < before.lfc,
            "lfc: falls with time",
        );
        self.hit_if(verdict.lfc == 128, "lfc: all 128");
        let emptied = did(Did::STOP) || did(Did::RESET_TRAIN);
        let lfc = if emptied { 0 } else { verdict.lfc };
        self.mirrors.entry(task).or_default().lfc = lfc;
    }

    fn stack(&mut self, task: u16, sp: u64, verdict: &Verdict, after: &TaskStatus) {
        let did = |bits| verdict.did.contains(bits);
        let mirror = self.mirrors.entry(task).or_default();
        let handlers = std::mem::take(&mut mirror.handlers);
        let (kept, left) = handlers.split_at(after.signal_depth.min(handlers.len()));
        mirror.handlers = kept.to_vec();
        let returned = usize::from(did(Did::POP)).min(left.len());
        let dropped = left[returned..].to_vec();
        if did(Did::DROP_FRAME) {
            let alternate = dropped.iter().any(|frame| frame.alt.is_some());
            let plain = dropped.iter().any(|frame| frame.alt.is_none());
            self.hit_if(plain, "frame: dropped");
            self.hit_if(alternate, "frame: dropped from an alternate stack");
            self.hit_if(dropped.len() > 1, "frame: several dropped at once");
            self.hit_if(
                handlers.len() > 8,
                "frame: dropped from beyond the kept ones",
            );
            self.hit_if(did(Did::IGNORE), "frame: dropped by a call that is ignored");
        }
        if let Some(frame) = handlers.last()
            && handlers.len() <= 8
        {
            let plain = frame.alt.is_none();
            self.hit_if(
                plain && sp.checked_add(1) == Some(frame.sp),
                "frame: called from just below",
            );
            self.hit_if(plain && sp == frame.sp, "frame: called from its very place");
            if let Some((low, high)) = frame.alt {
                self.hit_if(
                    sp == low,
                    "frame: called from the lowest byte of an alternate stack",
                );
                self.hit_if(
                    sp == high,
                    "frame: called from just above an alternate stack",
                );
            }
        }
        if did(Did::UNBALANCED) {
            self.hit_if(after.certain, "sigreturn: without a handler, for sure");
            self.hit_if(
                !after.certain,
                "sigreturn: without a handler, after a guess",
            );
        }
    }

    fn restart(&mut self, task: u16, verdict: &Verdict) {
        let did = |bits| verdict.did.contains(bits);
        let last = std::mem::take(&mut self.mirrors.entry(task).or_default().last);
        if did(Did::RESTART) {
            let goal = match last {
                Last::Signal(Interrupted::None) => "restart: kept by a second signal",
                Last::Signal(_) => "restart: after a signal without handler",
                _ => "restart: after a handler",
            };
            self.hit(goal);
        } else if did(Did::RECORD) && matches!(last, Last::Signal(Interrupted::Restarts(_))) {
            self.hit("restart: another call comes");
        }
        if did(Did::POP) {
            self.mirrors.entry(task).or_default().last = Last::Return;
        }
    }

    fn signal(&mut self, task: u16, handler: Option<HandlerFrame>, interrupted: Interrupted) {
        let how = match interrupted {
            Interrupted::Aborted => "call aborted",
            Interrupted::Restarts(_) => "call restarts",
            _ => "in no call",
        };
        let what = if handler.is_some() {
            "handler"
        } else {
            "no handler"
        };
        self.hit(&format!("signal: {what}, {how}"));
        let mirror = self.mirrors.entry(task).or_default();
        let due = matches!(mirror.last, Last::Signal(Interrupted::Restarts(_)));
        let nested = handler.is_some() && !mirror.handlers.is_empty();
        mirror.last = match handler {
            Some(frame) => {
                mirror.handlers.push(frame);
                Last::Else
            }
            None => Last::Signal(interrupted),
        };
        self.hit_if(nested, "signal: nested handlers");
        if due {
            match (handler, interrupted) {
                (Some(_), Interrupted::None) => self.hit("restart: due when a handler is entered"),
                (None, Interrupted::Aborted) => self.hit("restart: given up by a second signal"),
                _ => {}
            }
        }
    }
}
