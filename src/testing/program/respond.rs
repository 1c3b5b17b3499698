//! What would be done about the anomalies of a program that only plays.

use std::sync::atomic::Ordering;

use super::Program;
use crate::detector::Verdict;
use crate::event::{Event, MissedPair, Response, ResponseAction};
use crate::profile::State;
use crate::response::{ExecAnswer, Responses};
use crate::syscall::{Letter, Symbol};

impl Program<'_> {
    /// Sets what is done about its anomalies, as a monitor would do it.
    ///
    /// It is only told: the program goes on at once, whatever was done to it, and is killed once until its next exec. An exec is denied at a call of
    /// `execve` or `execveat`, and suspended at [`exec`](Self::exec).
    ///
    /// # Examples
    ///
    /// ```
    /// use ebph::detector::Command;
    /// use ebph::{Event, EventKind, EventMask, Kill, ResponseAction, Responses, testing::Stub};
    ///
    /// let stub = Stub::new().with_events(EventMask::NONE.with(EventKind::Response));
    /// let events = stub.events();
    /// let responses = Responses::default().kill(Kill::new(2));
    /// let mut program = stub.program("/usr/bin/greet").with_responses(responses);
    /// program.calls(["openat", "read", "write", "close"])?;
    /// program.command(Command::Normalize);
    /// program.exec();
    /// program.calls(["openat", "socket", "connect"])?;
    ///
    /// let Event::Response(response) = events.recv()? else { unreachable!() };
    /// assert_eq!((response.action, response.lfc), (ResponseAction::Kill, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_responses(mut self, responses: Responses) -> Self {
        self.responses = responses;
        self
    }

    /// Tells what is done at a call.
    pub(super) fn respond(
        &self,
        symbol: Symbol,
        verdict: Verdict,
        window: &[Letter],
        missed: Vec<MissedPair>,
    ) {
        let lfc = verdict.lfc;
        let name = symbol.name();
        let exits = matches!(&*name, "exit" | "exit_group");
        let kill = self.responses.kill.as_ref();
        let kill = kill.filter(|kill| lfc > 0 && lfc >= kill.lfc);
        let delay = self.responses.delay.as_ref();
        // Not for who is dead by then, or would be; but one that is not killed after all is delayed all the same.
        let delay = delay.filter(|delay| {
            lfc > 0 && !exits && kill.is_none_or(|kill| kill.dry_run && !delay.dry_run)
        });
        if let Some(kill) = kill
            && !self.killed.load(Ordering::Relaxed)
        {
            let told = self.done(
                ResponseAction::Kill,
                kill.dry_run,
                symbol,
                lfc,
                window,
                missed.clone(),
            );
            self.killed.store(told, Ordering::Relaxed);
        }
        if let Some(delay) = delay {
            let action = ResponseAction::Delay(delay.wait(lfc));
            self.done(action, delay.dry_run, symbol, lfc, window, missed);
        }
        if matches!(&*name, "execve" | "execveat") {
            self.respond_to_exec(symbol, window, true);
        }
    }

    /// Tells what is done at an exec that was made, or is about to be.
    pub(super) fn respond_to_exec(&self, symbol: Symbol, window: &[Letter], before: bool) {
        let Some(exec) = &self.responses.exec else {
            return;
        };
        let action = match exec.answer {
            ExecAnswer::Deny if before => ResponseAction::DenyExec,
            ExecAnswer::Suspend(wait) if !before => ResponseAction::SuspendExec(wait),
            _ => return,
        };
        let status = self.detector.task(self.task);
        if let Some(status) = status.filter(|status| status.max_lfc >= exec.lfc) {
            self.done(action, exec.dry_run, symbol, status.lfc, window, Vec::new());
        }
    }

    fn done(
        &self,
        action: ResponseAction,
        would_have: bool,
        symbol: Symbol,
        lfc: u32,
        window: &[Letter],
        missed: Vec<MissedPair>,
    ) -> bool {
        let exempt = &self.responses.exempt;
        let by_pid = self.actor.pid.is_some_and(|pid| exempt.pids.contains(&pid));
        if by_pid || exempt.executables.contains(&self.exe) || self.profile().state != State::Normal
        {
            return false;
        }
        let status = self.detector.task(self.task);
        self.send(Event::Response(Box::new(Response {
            context: self.alert_context(),
            action,
            would_have,
            symbol,
            window: window.to_vec(),
            missed,
            lfc,
            max_lfc: status.map_or(0, |status| status.max_lfc).max(lfc),
            target: None,
            suppressed: 0,
        })));
        true
    }
}
