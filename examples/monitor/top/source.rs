//! The thread that asks the monitor, so that keys never wait for an answer.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use ebph::Profile;

use super::command::Command;
use super::model::{Interest, Update, View};
use crate::protocol::{Answer, Code, Monitored, Refusal, Request};
use crate::rows::StatusReport;

/// How often the monitor is asked, unless asking takes long.
const INTERVAL: Duration = Duration::from_secs(1);
/// No more than this part of the time is spent on asking.
const SHARE: u32 = 8;
const INTERVAL_MAX: Duration = Duration::from_secs(15);

/// What the thread is told.
pub enum Order {
    /// Something else is looked at.
    Look(Interest),
    Ask(Box<Command>),
}

/// Someone who can be asked; connects if that is needed.
pub type Connect<'a> = dyn FnMut() -> Result<Box<dyn Monitored + 'a>, Refusal> + Send + 'a;

/// What the thread knows between two rounds.
struct Source<'a> {
    connect: Box<Connect<'a>>,
    monitor: Option<Box<dyn Monitored + 'a>>,
    interest: Interest,
    /// The number of the last event that was got, and of which monitor.
    after: Option<(u64, (u32, SystemTime))>,
    /// What the last lists were got by.
    listed: Option<(Interest, StatusReport)>,
}

/// Asks until nobody gives orders any more. `send` is false when nobody listens.
pub fn run(
    connect: Box<Connect<'_>>,
    interest: Interest,
    orders: &Receiver<Order>,
    send: &dyn Fn(Update) -> bool,
) {
    let mut source = Source {
        connect,
        monitor: None,
        interest,
        after: None,
        listed: None,
    };
    loop {
        let began = Instant::now();
        if !source.round(send) {
            return;
        }
        let wait = (began.elapsed() * SHARE).clamp(INTERVAL, INTERVAL_MAX);
        if !source.wait(orders, Instant::now() + wait, send) {
            return;
        }
    }
}

impl Source<'_> {
    /// Takes orders until the next round is due, at once if there is another thing to look at.
    /// False if nobody gives any more, or nobody listens.
    fn wait(
        &mut self,
        orders: &Receiver<Order>,
        due: Instant,
        send: &dyn Fn(Update) -> bool,
    ) -> bool {
        let left = due.saturating_duration_since(Instant::now());
        let mut order = match orders.recv_timeout(left) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        };
        while let Some(next) = order {
            match next {
                Order::Look(interest) => self.interest = interest,
                Order::Ask(command) => {
                    let answer = self.ask(&command.request);
                    self.listed = None;
                    if !send(Update::Done(command, answer)) {
                        return false;
                    }
                }
            }
            order = orders.try_recv().ok();
        }
        true
    }

    fn ask(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let mut monitor = match self.monitor.take() {
            Some(monitor) => monitor,
            None => (self.connect)()?,
        };
        let answer = monitor.ask(request);
        // A connection on which an answer was not understood may be out of step as well.
        let lost = |refusal: &Refusal| matches!(refusal.code, Code::Unreachable | Code::TooLong);
        if !answer.as_ref().is_err_and(lost) {
            self.monitor = Some(monitor);
        }
        answer
    }

    /// Asks for everything that is looked at. False if nobody listens.
    fn round(&mut self, send: &dyn Fn(Update) -> bool) -> bool {
        match self.updates() {
            Ok(updates) => updates.into_iter().all(send),
            Err(refusal) => {
                self.listed = None;
                send(Update::Unreachable(refusal.to_string()))
            }
        }
    }

    fn updates(&mut self) -> Result<Vec<Update>, Refusal> {
        let status = match self.ask(&Request::Status {})? {
            Answer::Status(status) => status,
            other => return Err(Refusal::unexpected(&other)),
        };
        let mut updates = Vec::new();
        let monitor = (status.pid, status.started);
        let after = self.after.filter(|(_, of)| *of == monitor);
        let number = after.map_or(0, |(number, _)| number);
        if number < status.last_event || after.is_none() {
            let mut batch = match self.ask(&Request::Events { after: number })? {
                Answer::Events(batch) => batch,
                other => return Err(Refusal::unexpected(&other)),
            };
            if after.is_none() {
                // What was before anybody looked is not missed.
                batch.gone = 0;
            }
            self.after = Some((batch.last().max(number), monitor));
            updates.push(Update::Events(batch));
        }
        let same = self.listed.as_ref().is_some_and(|(interest, before)| {
            *interest == self.interest && nothing_happened(before, &status)
        });
        if !same {
            self.lists(&mut updates)?;
            self.listed = Some((self.interest, (*status).clone()));
        }
        // First, since a new monitor's makes all else void.
        updates.insert(0, Update::Status(status));
        Ok(updates)
    }

    fn lists(&mut self, updates: &mut Vec<Update>) -> Result<(), Refusal> {
        if let Some(key) = self.interest.profile {
            let profile = match self.ask(&Request::Profile { key }) {
                Ok(Answer::Profile(content)) => Profile::from_json(content.to_string().as_bytes())
                    .map(Box::new)
                    .map_err(|error| Refusal::new(Code::Failed, error)),
                Ok(other) => return Err(Refusal::unexpected(&other)),
                Err(refusal) if refusal.code == Code::Unreachable => return Err(refusal),
                Err(refusal) => Err(refusal),
            };
            updates.push(Update::Profile(key, profile));
            return Ok(());
        }
        updates.push(match self.interest.view {
            View::Processes => match self.ask(&Request::Processes { threads: false })? {
                Answer::Processes(rows) => Update::Processes(rows),
                other => return Err(Refusal::unexpected(&other)),
            },
            View::Profiles => match self.ask(&Request::Profiles {})? {
                Answer::Profiles(rows) => Update::Profiles(rows),
                other => return Err(Refusal::unexpected(&other)),
            },
            View::Events | View::Counters => return Ok(()),
        });
        Ok(())
    }
}

/// Tells whether two reports of a monitor differ in their age only.
fn nothing_happened(before: &StatusReport, now: &StatusReport) -> bool {
    // Rates fall to zero one round after the last call.
    before.calls == now.calls
        && before.processes == now.processes
        && before.last_event == now.last_event
        && before.running == now.running
        && before.pid == now.pid
        && before.started == now.started
        && before.stats.profiles == now.stats.profiles
        && before.stats.store == now.stats.store
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::protocol::EventBatch;
    use crate::top::samples;

    /// A monitor that notes what it was asked.
    #[derive(Clone, Default)]
    struct Fake {
        asked: Rc<RefCell<Vec<String>>>,
        status: Rc<RefCell<Option<StatusReport>>>,
    }

    impl Monitored for Fake {
        fn ask(&mut self, request: &Request) -> Result<Answer, Refusal> {
            let json = serde_json::to_value(request).unwrap();
            self.asked.borrow_mut().push(json["request"].to_string());
            let gone = || Refusal::new(Code::Unreachable, "gone");
            let status = self.status.borrow().clone().ok_or_else(gone)?;
            Ok(match request {
                Request::Status {} => Answer::Status(Box::new(status)),
                Request::Processes { .. } => Answer::Processes(Vec::new()),
                Request::Profiles {} => Answer::Profiles(Vec::new()),
                Request::Events { after } => Answer::Events(EventBatch {
                    first: after + 1,
                    gone: 5,
                    events: samples::events(status.last_event - after),
                }),
                _ => Answer::Done,
            })
        }
    }

    fn source(fake: &Fake) -> Source<'static> {
        Source {
            connect: Box::new(|| Err(Refusal::new(Code::Unreachable, "no way"))),
            monitor: Some(Box::new(fake.clone())),
            interest: Interest {
                view: View::Processes,
                profile: None,
            },
            after: None,
            listed: None,
        }
    }

    fn round(source: &mut Source<'_>) -> Vec<Update> {
        let updates = RefCell::new(Vec::new());
        assert!(source.round(&|update| {
            updates.borrow_mut().push(update);
            true
        }));
        updates.into_inner()
    }

    /// Check that lists are asked for when something happened, and otherwise not.
    #[test]
    fn asks_for_what_changed() {
        let fake = Fake::default();
        let mut status = samples::status();
        status.last_event = 2;
        *fake.status.borrow_mut() = Some(status.clone());
        let mut source = source(&fake);
        round(&mut source);
        assert_eq!(
            fake.asked.take(),
            ["\"status\"", "\"events\"", "\"processes\""]
        );
        status.uptime_seconds += 1;
        *fake.status.borrow_mut() = Some(status.clone());
        round(&mut source);
        assert_eq!(fake.asked.take(), ["\"status\""]);
        source.interest.view = View::Profiles;
        round(&mut source);
        assert_eq!(fake.asked.take(), ["\"status\"", "\"profiles\""]);
        status.calls += 1;
        *fake.status.borrow_mut() = Some(status);
        round(&mut source);
        assert_eq!(fake.asked.take(), ["\"status\"", "\"profiles\""]);
    }

    /// Check that events of a monitor that was started again are asked for from the first, and that
    /// only those missed while looking count as missed.
    #[test]
    fn events_of_another_monitor() {
        let fake = Fake::default();
        let mut status = samples::status();
        status.last_event = 3;
        *fake.status.borrow_mut() = Some(status.clone());
        let mut source = source(&fake);
        let batch = |updates: Vec<Update>| {
            let mut batches = updates.into_iter().filter_map(|update| match update {
                Update::Events(batch) => Some((batch.first, batch.events.len(), batch.gone)),
                _ => None,
            });
            batches.next()
        };
        assert_eq!(batch(round(&mut source)), Some((1, 3, 0)));
        assert_eq!(batch(round(&mut source)), None);
        status.last_event = 4;
        *fake.status.borrow_mut() = Some(status.clone());
        assert_eq!(batch(round(&mut source)), Some((4, 1, 5)));
        status.pid += 1;
        status.last_event = 2;
        *fake.status.borrow_mut() = Some(status);
        assert_eq!(batch(round(&mut source)), Some((1, 2, 0)));
    }

    /// Check that a monitor that is gone is said to be, and connected to anew.
    #[test]
    fn unreachable() {
        let fake = Fake::default();
        let mut source = source(&fake);
        let [Update::Unreachable(why)] = &round(&mut source)[..] else {
            panic!("it is gone");
        };
        assert!(why.contains("gone"));
        let [Update::Unreachable(why)] = &round(&mut source)[..] else {
            panic!("it cannot be had back");
        };
        assert!(why.contains("no way"));
        *fake.status.borrow_mut() = Some(samples::status());
        source.connect = Box::new({
            let status = samples::status();
            move || {
                let fake = Fake::default();
                *fake.status.borrow_mut() = Some(status.clone());
                Ok(Box::new(fake) as Box<dyn Monitored>)
            }
        });
        assert!(matches!(round(&mut source)[0], Update::Status(_)));
    }
}
