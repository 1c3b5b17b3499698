//! Events out of JSON.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::circumstances::CircumstancesForm;
use super::profile::ProfileForm;
use super::{COMM_LOSSY, Form, FormError, PairForm};
use crate::event::{
    Actor, Anomaly, Capacity, CapacityExhausted, Context, Event, EventKind, ExecutableChanged,
    LossPlace, Lost, MissedPair, NewSequence, ProfileEvent, ProfileLoaded, ProfileSetAside,
    Response, ResponseAction, StartNormal, StopCause, StopNormal, UnbalancedSigreturn, Warning,
    WarningKind,
};
use crate::syscall::{Abi, Letter};

impl<'a> Form<'a> {
    pub(super) fn into_event(mut self) -> Result<Event, FormError> {
        match need(&mut self.schema, "schema")? {
            Event::SCHEMA => (),
            other => return Err(FormError::Schema(other)),
        }
        let kind: EventKind = parsed(&mut self.event, "event")?;
        Ok(match kind {
            EventKind::ProfileCreated => Event::ProfileCreated(self.profile_event()?),
            EventKind::ProfileFrozen => Event::ProfileFrozen(self.profile_event()?),
            EventKind::ProfileThawed => Event::ProfileThawed(self.profile_event()?),
            EventKind::TolerizeLimit => Event::TolerizeLimit(self.profile_event()?),
            EventKind::Sensitized => Event::Sensitized(self.profile_event()?),
            EventKind::ProfileReset => Event::ProfileReset(self.profile_event()?),
            EventKind::ProfileForgotten => Event::ProfileForgotten(self.profile_event()?),
            EventKind::ProfileEvicted => Event::ProfileEvicted(self.profile_event()?),
            EventKind::ProfileLoaded => Event::ProfileLoaded(Box::new(ProfileLoaded {
                returned: need(&mut self.returned, "returned")?,
                context: self.context()?,
            })),
            EventKind::ExecutableChanged => Event::ExecutableChanged(Box::new(ExecutableChanged {
                replaced: need(&mut self.replaced, "replaced")?,
                context: self.context()?,
            })),
            EventKind::ProfileSetAside => Event::ProfileSetAside(Box::new(ProfileSetAside {
                time: self.time()?,
                boot: self.boot()?,
                path: PathBuf::from(need(&mut self.path, "path")?.into_owned()),
                reason: need(&mut self.reason, "reason")?.into_owned(),
            })),
            EventKind::StartNormal => Event::StartNormal(Box::new(StartNormal {
                by_command: need(&mut self.by_command, "by_command")?,
                refresh: need(&mut self.refresh, "refresh")?,
                context: self.context()?,
            })),
            EventKind::StopNormal => Event::StopNormal(Box::new(StopNormal {
                cause: named(&mut self.cause, "cause", &StopCause::ALL, StopCause::as_str)?,
                context: self.context()?,
            })),
            EventKind::Anomaly => {
                let symbol = need(&mut self.symbol, "symbol")?;
                Event::Anomaly(Box::new(Anomaly {
                    symbol,
                    window: self.window(symbol.abi())?,
                    missed: read_pairs(&mut self.missed, "missed", symbol.abi())?,
                    lfc: need(&mut self.lfc, "lfc")?,
                    max_lfc: need(&mut self.max_lfc, "max_lfc")?,
                    suppressed: need(&mut self.suppressed, "suppressed")?,
                    context: self.context()?,
                }))
            }
            EventKind::Response => {
                let symbol = need(&mut self.symbol, "symbol")?;
                Event::Response(Box::new(Response {
                    action: self.action()?,
                    would_have: need(&mut self.would_have, "would_have")?,
                    symbol,
                    window: self.window(symbol.abi())?,
                    missed: read_pairs(&mut self.missed, "missed", symbol.abi())?,
                    lfc: need(&mut self.lfc, "lfc")?,
                    max_lfc: need(&mut self.max_lfc, "max_lfc")?,
                    target: self
                        .target
                        .take()
                        .flatten()
                        .map(|path| PathBuf::from(path.into_owned())),
                    suppressed: need(&mut self.suppressed, "suppressed")?,
                    context: self.context()?,
                }))
            }
            EventKind::NewSequence => {
                let symbol = need(&mut self.symbol, "symbol")?;
                Event::NewSequence(Box::new(NewSequence {
                    symbol,
                    window: self.window(symbol.abi())?,
                    novel: read_pairs(&mut self.novel, "novel", symbol.abi())?,
                    context: self.context()?,
                }))
            }
            EventKind::UnbalancedSigreturn => {
                Event::UnbalancedSigreturn(Box::new(UnbalancedSigreturn {
                    certain: need(&mut self.certain, "certain")?,
                    context: self.context()?,
                }))
            }
            EventKind::CapacityExhausted => Event::CapacityExhausted(Box::new(CapacityExhausted {
                what: named(&mut self.what, "what", &Capacity::ALL, Capacity::as_str)?,
                context: self.context()?,
            })),
            EventKind::Lost => Event::Lost(Lost {
                time: self.time()?,
                boot: self.boot()?,
                count: need(&mut self.count, "count")?,
                place: named(&mut self.place, "place", &LossPlace::ALL, LossPlace::as_str)?,
            }),
            EventKind::Warning => Event::Warning(Warning {
                time: self.time()?,
                boot: self.boot()?,
                count: need(&mut self.count, "count")?,
                what: named(
                    &mut self.what,
                    "what",
                    &WarningKind::ALL,
                    WarningKind::as_str,
                )?,
            }),
        })
    }

    fn profile_event(&mut self) -> Result<Box<ProfileEvent>, FormError> {
        let by_command = need(&mut self.by_command, "by_command")?;
        Ok(Box::new(ProfileEvent {
            context: self.context()?,
            by_command,
        }))
    }

    fn context(&mut self) -> Result<Context, FormError> {
        let marks = self.marks.take().unwrap_or_default();
        let circumstances = self
            .take_circumstances()
            .map(|form| Box::new(form.into_circumstances(&marks)));
        Ok(Context {
            time: self.time()?,
            boot: self.boot()?,
            actor: Actor {
                pid: self.pid.flatten(),
                tid: self.tid.flatten(),
                ppid: self.ppid.flatten(),
                start: Duration::from_nanos(need(&mut self.start_boot_ns, "start_boot_ns")?),
                comm: need(&mut self.comm, "comm")?.into_owned(),
                comm_lossy: marks.iter().any(|mark| mark == COMM_LOSSY),
                uid: need(&mut self.uid, "uid")?,
                euid: need(&mut self.euid, "euid")?,
                gid: need(&mut self.gid, "gid")?,
                egid: need(&mut self.egid, "egid")?,
                cgroup_id: need(&mut self.cgroup_id, "cgroup_id")?,
            },
            profile: self.profile.take().flatten().map(ProfileForm::into_view),
            circumstances,
            lost_before: need(&mut self.lost_before, "lost_before")?,
        })
    }

    fn action(&mut self) -> Result<ResponseAction, FormError> {
        let name = need(&mut self.response, "response")?;
        let wait = self.wait_ns.flatten().map(Duration::from_nanos);
        let waits = wait.ok_or(FormError::Missing("wait_ns"));
        match &*name {
            "delay" => Ok(ResponseAction::Delay(waits?)),
            "suspend_exec" => Ok(ResponseAction::SuspendExec(waits?)),
            "deny_exec" => Ok(ResponseAction::DenyExec),
            "kill" => Ok(ResponseAction::Kill),
            other => Err(FormError::unknown("response", other)),
        }
    }

    fn window(&mut self, beside: Abi) -> Result<Vec<Letter>, FormError> {
        let names = need(&mut self.window, "window")?;
        names
            .iter()
            .map(|name| letter("window", beside, name))
            .collect()
    }

    fn time(&mut self) -> Result<SystemTime, FormError> {
        humantime::parse_rfc3339(&need(&mut self.time, "time")?)
            .map_err(|error| FormError::Value("time", error.to_string()))
    }

    fn boot(&mut self) -> Result<Duration, FormError> {
        need(&mut self.boot_ns, "boot_ns").map(Duration::from_nanos)
    }

    fn take_circumstances(&mut self) -> Option<CircumstancesForm<'a>> {
        let namespaces = self.namespaces.take()?;
        Some(CircumstancesForm {
            exe: self.exe.take().flatten(),
            args: self.args.take().flatten(),
            cwd: self.cwd.take().flatten(),
            ancestors: self.ancestors.take().flatten(),
            cgroup: self.cgroup.take().flatten(),
            container: self.container.take().flatten(),
            namespaces,
            pid_inside: self.pid_inside.flatten(),
            login_uid: self.login_uid.flatten(),
            audit_session: self.audit_session.flatten(),
            capabilities: self.capabilities.take().flatten(),
        })
    }
}

fn read_pairs(
    forms: &mut Option<Vec<PairForm<'_>>>,
    field: &'static str,
    beside: Abi,
) -> Result<Vec<MissedPair>, FormError> {
    let read = |form: &PairForm<'_>| {
        let previous = letter(field, beside, &form.previous)?;
        Ok(MissedPair {
            distance: form.distance,
            previous,
        })
    };
    need(forms, field)?.iter().map(read).collect()
}

fn letter(field: &'static str, beside: Abi, name: &str) -> Result<Letter, FormError> {
    Letter::from_name_beside(beside, name)
        .map_err(|error| FormError::Value(field, error.to_string()))
}

fn need<T>(value: &mut Option<T>, field: &'static str) -> Result<T, FormError> {
    value.take().ok_or(FormError::Missing(field))
}

fn parsed<T>(value: &mut Option<Cow<'_, str>>, field: &'static str) -> Result<T, FormError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    need(value, field)?
        .parse()
        .map_err(|error: T::Err| FormError::Value(field, error.to_string()))
}

fn named<T: Copy>(
    value: &mut Option<Cow<'_, str>>,
    field: &'static str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, FormError> {
    let value = need(value, field)?;
    all.iter()
        .copied()
        .find(|known| name(*known) == value)
        .ok_or_else(|| FormError::unknown(field, &value))
}
