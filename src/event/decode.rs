//! Bytes from the kernel to events: pure, and for any bytes without a panic.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::surroundings;
use super::wire::{self, CallView, Cursor, Header, Names, View};
use super::{
    Actor, Anomaly, Capacity, CapacityExhausted, Context, Event, EventKind, ExecutableChanged,
    Marks, MissedPair, NewSequence, ProfileEvent, ProfileLoaded, ProfileView, Response,
    ResponseAction, StartNormal, StopCause, StopNormal, UnbalancedSigreturn,
};
use crate::clock::Clock;
use crate::profile::{State, distances, word_is_frozen, word_is_incomplete};
use crate::syscall::{Letter, Symbol};

/// Why a record from the kernel is no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Its length does not suit its kind, or what it says of its own size.
    #[error("a record of {length} bytes, where {expected} were expected")]
    Length { length: usize, expected: usize },
    /// No kind has this number.
    #[error("a record of unknown kind {0}")]
    Kind(u16),
    /// No system call has this letter.
    #[error("a record with unknown symbol {0}")]
    Symbol(u16),
    /// Its texts are not where it says.
    #[error("a record whose texts are not where it says")]
    Texts,
    /// It says that room ran out, and not for what.
    #[error("a record without its cause")]
    Cause,
}

/// An event, and the running count that came with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) event: Event,
    /// Events that the kernel has failed to send, ever, when it sent this one.
    pub(crate) lost: u64,
}

/// Reads one record; `lost_seen` is the running count of the record before it.
pub(crate) fn decode(bytes: &[u8], clock: &Clock, lost_seen: u64) -> Result<Decoded, DecodeError> {
    let length = bytes.len();
    let mismatch = |expected| DecodeError::Length { length, expected };
    let mut from = Cursor::new(bytes);
    let head = Header::read(&mut from).ok_or(mismatch(wire::EVENT_SIZE))?;
    let kind = EventKind::from_wire(head.kind).ok_or(DecodeError::Kind(head.kind))?;
    let flag = |flag| head.flags & flag != 0;
    let is_call = matches!(
        kind,
        EventKind::Anomaly
            | EventKind::NewSequence
            | EventKind::UnbalancedSigreturn
            | EventKind::Response
    );
    let base = if is_call {
        wire::CALL_EVENT_SIZE
    } else {
        wire::EVENT_SIZE
    };
    // How long the texts are must agree with what is said of them, below.
    let surrounded = is_call && flag(wire::SURROUNDED);
    let expected = if surrounded {
        usize::from(head.size).max(base + wire::CIRCUMSTANCES_SIZE)
    } else {
        base
    };
    if length != expected || usize::from(head.size) != expected {
        return Err(mismatch(expected));
    }
    let mut context = context(&mut from, &head, clock, lost_seen).ok_or(mismatch(expected))?;
    let call = match is_call {
        true => Some(CallView::read(&mut from).ok_or(mismatch(expected))?),
        false => None,
    };
    let mut target = None;
    if surrounded {
        let (circumstances, executed) = surroundings::read(&mut from).ok_or(DecodeError::Texts)?;
        context.circumstances = Some(Box::new(circumstances));
        target = executed;
    }
    let by_command = flag(wire::BY_COMMAND);
    let profile_event = |context| {
        Box::new(ProfileEvent {
            context,
            by_command,
        })
    };
    let event = match kind {
        EventKind::ProfileCreated => Event::ProfileCreated(profile_event(context)),
        EventKind::ProfileFrozen => Event::ProfileFrozen(profile_event(context)),
        EventKind::ProfileThawed => Event::ProfileThawed(profile_event(context)),
        EventKind::TolerizeLimit => Event::TolerizeLimit(profile_event(context)),
        EventKind::Sensitized => Event::Sensitized(profile_event(context)),
        EventKind::ProfileReset => Event::ProfileReset(profile_event(context)),
        EventKind::ProfileForgotten => Event::ProfileForgotten(profile_event(context)),
        EventKind::ProfileEvicted => Event::ProfileEvicted(profile_event(context)),
        EventKind::ProfileLoaded => {
            let returned = flag(wire::RETURNED);
            Event::ProfileLoaded(Box::new(ProfileLoaded { context, returned }))
        }
        EventKind::ExecutableChanged => {
            let replaced = flag(wire::REPLACED);
            Event::ExecutableChanged(Box::new(ExecutableChanged { context, replaced }))
        }
        EventKind::StartNormal => {
            let refresh = flag(wire::REFRESH);
            Event::StartNormal(Box::new(StartNormal {
                context,
                by_command,
                refresh,
            }))
        }
        EventKind::StopNormal => {
            let cause = if flag(wire::CAUSE_LIMIT) {
                StopCause::AnomalyLimit
            } else if flag(wire::CAUSE_CHANGED) {
                StopCause::ExecutableChanged
            } else if by_command {
                StopCause::Command
            } else {
                return Err(DecodeError::Cause);
            };
            Event::StopNormal(Box::new(StopNormal { context, cause }))
        }
        EventKind::UnbalancedSigreturn => {
            let certain = flag(wire::CERTAIN);
            Event::UnbalancedSigreturn(Box::new(UnbalancedSigreturn { context, certain }))
        }
        EventKind::CapacityExhausted => {
            let what = if flag(wire::CAUSE_SLOTS) {
                Capacity::Profiles
            } else if flag(wire::CAUSE_ROWS) {
                Capacity::Rows
            } else {
                return Err(DecodeError::Cause);
            };
            Event::CapacityExhausted(Box::new(CapacityExhausted { context, what }))
        }
        EventKind::Anomaly | EventKind::NewSequence => {
            let call = call.ok_or(mismatch(expected))?;
            call_event(kind, context, &call)?
        }
        EventKind::Response => {
            let call = call.ok_or(mismatch(expected))?;
            let would_have = flag(wire::WOULD_HAVE);
            response(context, &call, would_have, target)?
        }
        // Not from the kernel; `from_wire` gives none of them.
        EventKind::Lost | EventKind::Warning | EventKind::ProfileSetAside => {
            return Err(DecodeError::Kind(head.kind));
        }
    };
    Ok(Decoded {
        event,
        lost: head.lost,
    })
}

fn call_event(kind: EventKind, context: Context, call: &CallView) -> Result<Event, DecodeError> {
    let Call {
        symbol,
        window,
        pairs,
    } = Call::read(call)?;
    Ok(if kind == EventKind::Anomaly {
        Event::Anomaly(Box::new(Anomaly {
            context,
            symbol,
            window,
            missed: pairs,
            lfc: call.lfc,
            max_lfc: call.max_lfc,
            suppressed: call.suppressed,
        }))
    } else {
        Event::NewSequence(Box::new(NewSequence {
            context,
            symbol,
            window,
            novel: pairs,
        }))
    })
}

fn response(
    context: Context,
    view: &CallView,
    would_have: bool,
    target: Option<PathBuf>,
) -> Result<Event, DecodeError> {
    let wait = Duration::from_nanos(view.wait);
    let action = match view.response {
        wire::RESPONSE_DELAY => ResponseAction::Delay(wait),
        wire::RESPONSE_SUSPEND => ResponseAction::SuspendExec(wait),
        wire::RESPONSE_DENY => ResponseAction::DenyExec,
        wire::RESPONSE_KILL => ResponseAction::Kill,
        _ => return Err(DecodeError::Cause),
    };
    let call = Call::read(view)?;
    Ok(Event::Response(Box::new(Response {
        context,
        action,
        would_have,
        symbol: call.symbol,
        window: call.window,
        missed: call.pairs,
        lfc: view.lfc,
        max_lfc: view.max_lfc,
        target,
        suppressed: view.suppressed,
    })))
}

/// A call with what was before it.
struct Call {
    symbol: Symbol,
    window: Vec<Letter>,
    pairs: Vec<MissedPair>,
}

impl Call {
    fn read(view: &CallView) -> Result<Self, DecodeError> {
        let symbol = Symbol::from_wire(view.symbol).ok_or(DecodeError::Symbol(view.symbol))?;
        let places = places(view)?;
        let pairs = distances(view.missed)
            .map(|distance| MissedPair {
                distance,
                previous: places[usize::from(distance) - 1].unwrap_or(Letter::Unknown),
            })
            .collect();
        let window = places
            .into_iter()
            .rev()
            .flatten()
            .chain([Letter::Symbol(symbol)])
            .collect();
        Ok(Self {
            symbol,
            window,
            pairs,
        })
    }
}

/// What the places of the window hold, most recent first; `None` where no call was made yet.
fn places(call: &CallView) -> Result<[Option<Letter>; wire::DISTANCES], DecodeError> {
    let mut places = [None; wire::DISTANCES];
    for ((bit, place), letter) in places.iter_mut().enumerate().zip(call.window) {
        let marked = |bits: u8| bits & (1 << bit) != 0;
        *place = if marked(call.others) {
            Some(Letter::Other)
        } else if letter != wire::SYMBOL_NONE {
            let symbol = Symbol::from_wire(letter).ok_or(DecodeError::Symbol(letter))?;
            Some(Letter::Symbol(symbol))
        } else if marked(call.missed) {
            // There was a call, or it could not have been missed; it is no longer known which.
            Some(Letter::Unknown)
        } else {
            None
        };
    }
    Ok(places)
}

fn context(from: &mut Cursor<'_>, head: &Header, clock: &Clock, lost_seen: u64) -> Option<Context> {
    let actor = actor(&wire::Actor::read(from)?);
    let view = View::read(from)?;
    let names = Names::read(from)?;
    Some(Context {
        time: clock.wall(i64::try_from(head.time).unwrap_or(i64::MAX)),
        boot: Duration::from_nanos(head.time),
        actor,
        profile: (head.flags & wire::NO_PROFILE == 0).then(|| profile(&view, &names, head.time)),
        circumstances: None,
        lost_before: head.lost.saturating_sub(lost_seen),
    })
}

fn actor(actor: &wire::Actor<'_>) -> Actor {
    let visible = |pid| (pid != 0).then_some(pid);
    let (comm, comm_lossy) = wire::comm(actor.comm);
    Actor {
        pid: visible(actor.pid),
        tid: visible(actor.tid),
        ppid: visible(actor.ppid),
        start: Duration::from_nanos(actor.start),
        comm,
        comm_lossy,
        uid: actor.uid,
        euid: actor.euid,
        gid: actor.gid,
        egid: actor.egid,
        cgroup_id: actor.cgroup_id,
    }
}

fn profile(view: &View, names: &Names<'_>, now: u64) -> ProfileView {
    let flag = |flag| view.flags & flag != 0;
    let state = u64::from(view.state);
    let frozen = word_is_frozen(state);
    let exe = path(names.exe);
    let script = path(names.script).filter(|_| flag(wire::PROFILE_SCRIPT));
    let lossy = |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| path.to_str().is_none());
    ProfileView {
        key: view.key,
        state: State::from_word(state),
        frozen,
        train_count: view.train_count,
        last_mod_count: view.last_mod_count,
        anomalies: view.anomalies,
        sequences: view.sequences,
        basis: view.basis,
        execs: view.execs,
        normal_time: frozen.then(|| Duration::from_nanos(view.normal_time)),
        // Both are signed, in effect: a profile may be older than this boot. And if the clock was
        // set back since, it may be from the future.
        age: Duration::from_nanos(
            u64::try_from(now.wrapping_sub(view.created).cast_signed()).unwrap_or_default(),
        ),
        marks: Marks {
            exe_truncated: flag(wire::PROFILE_EXE_TRUNCATED),
            exe_lossy: lossy(&exe),
            script_truncated: flag(wire::PROFILE_SCRIPT_TRUNCATED),
            script_lossy: lossy(&script),
            script_unnamed: flag(wire::PROFILE_SCRIPT_UNNAMED),
            no_path: flag(wire::PROFILE_NO_PATH),
            incomplete: word_is_incomplete(state),
        },
        exe,
        script,
    }
}

fn path(bytes: &[u8]) -> Option<PathBuf> {
    let bytes = wire::until_nul(bytes);
    (!bytes.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(bytes)))
}
