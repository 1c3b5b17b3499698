//! Copies out of the mapped arrays: wire structs to the public vocabulary.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::clock::{Clock, saturating_ns};
use crate::key::Key;
use crate::limits::Limits;
use crate::maps::{Mapped, Maps};
use crate::profile::{LONGEST_WINDOW, Origin, Profile, ProfileParts, Row, STATE_LIVE, State};
use crate::response::{ExecAnswer, Responses};
use crate::skel::types;
use crate::syscall::Symbol;
use crate::tenant::{Stamp, Tenant};

const BUSY: u64 = types::ebph_state::EBPH_BUSY.0 as u64;
/// What of the state word passes, and says nothing of what was learnt.
const PASSING: u64 = BUSY | types::ebph_state::EBPH_CHANGED.0 as u64;
const IDS: usize = 256;
/// `EBPH_BASIS_OVER`
pub(crate) const BASIS_OVER: u64 = 1 << 63;
const STATE: usize = std::mem::offset_of!(types::ebph_profile, state);

pub(crate) fn key(wire: &types::ebph_key) -> Key {
    Key::from_wire(
        wire.ino,
        wire.script,
        wire.partition,
        wire.dev,
        wire.generation,
    )
}

pub(crate) fn key_to_wire(key: Key) -> types::ebph_key {
    let (ino, script, partition, dev, generation) = key.to_wire();
    types::ebph_key {
        ino,
        script,
        partition,
        dev,
        generation,
    }
}

pub(crate) fn limits_to_wire(limits: &Limits, event_mask: u64) -> types::ebph_limits {
    let (factor_num, factor_den) = limits.freeze_factor;
    types::ebph_limits {
        normal_wait: saturating_ns(limits.normal_wait),
        anomaly_limit: limits.anomaly_limit,
        tolerize_limit: limits.tolerize_limit,
        factor: factor_num << 32 | factor_den,
        min_train_calls: limits.min_train_calls,
        min_train_processes: limits.min_train_processes,
        report_rate: limits.report_rate,
        thread_report_rate: limits.thread_report_rate,
        event_mask,
    }
}

pub(crate) fn responses_to_wire(responses: &Responses) -> types::ebph_responses {
    let Responses {
        delay, exec, kill, ..
    } = responses;
    let mut wire = types::ebph_responses::default();
    let dry = |what: types::ebph_response, dry: bool| if dry { 1 << what.0 } else { 0 };
    if let Some(delay) = delay {
        wire.delay_unit = saturating_ns(delay.unit);
        wire.delay_cap = saturating_ns(delay.cap);
        wire.dry |= dry(types::ebph_response::EBPH_RESPONSE_DELAY, delay.dry_run);
    }
    if let Some(exec) = exec {
        wire.exec_at = exec.lfc;
        let what = match exec.answer {
            ExecAnswer::Deny => types::ebph_response::EBPH_RESPONSE_DENY,
            ExecAnswer::Suspend(wait) => {
                wire.suspend = saturating_ns(wait);
                types::ebph_response::EBPH_RESPONSE_SUSPEND
            }
        };
        wire.dry |= dry(what, exec.dry_run);
    }
    if let Some(kill) = kill {
        wire.kill_at = kill.lfc;
        wire.dry |= dry(types::ebph_response::EBPH_RESPONSE_KILL, kill.dry_run);
    }
    wire
}

/// A zero-terminated path, as far as it goes; `None` if there is none.
fn path(bytes: &[u8]) -> Option<PathBuf> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    (end > 0).then(|| PathBuf::from(OsStr::from_bytes(&bytes[..end])))
}

/// The state of the profile in a slot; `None` while there is none.
pub(crate) fn state(maps: &Maps, slot: u32) -> Option<State> {
    let word = maps.profiles.word(slot, STATE)?;
    (word & STATE_LIVE != 0).then(|| State::from_word(word))
}

/// Which tenant a slot has; `None` while there is no profile in it.
pub(crate) fn tenant(maps: &Maps, slot: u32) -> Option<(Key, Tenant)> {
    state(maps, slot)?;
    let profile = maps.profiles.get(slot)?;
    (profile.state & STATE_LIVE != 0).then(|| (key(&profile.key), tenant_of(slot, &profile)))
}

fn tenant_of(slot: u32, profile: &types::ebph_profile) -> Tenant {
    Tenant {
        slot,
        generation: profile.generation,
    }
}

/// What the keeper wants to know of a profile beside what it has learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub key: Key,
    pub tenant: Tenant,
    /// The file as it was at its last exec.
    pub stamp: Stamp,
    /// `enum ebph_profile_flag`
    pub flags: u32,
    pub rows: u32,
    /// In the middle of a transition.
    pub busy: bool,
    /// How often a thread was bound to it.
    pub binds: u64,
    /// Boot nanoseconds, below zero before this boot: when it was last executed, or else made.
    pub used: i64,
    /// Differs where something worth saving does.
    pub version: [u64; 8],
}

/// The first two words of [`Entry::version`], of a copy.
pub(crate) fn version_of(profile: &Profile) -> [u64; 2] {
    let parts = profile.parts();
    [parts.state_word & !PASSING, parts.train_count]
}

/// The paths that the kernel keeps of the profile in a slot: of the executable, and of the script.
pub(crate) fn paths(maps: &Maps, slot: u32) -> Option<(Option<PathBuf>, Option<PathBuf>)> {
    let names = maps.names.get(slot)?;
    Some((path(&names.exe), path(&names.script)))
}

/// The profile in a slot, at a glance.
pub(crate) fn entry(maps: &Maps, slot: u32) -> Option<Entry> {
    state(maps, slot)?;
    let wire = maps.profiles.get(slot)?;
    if wire.state & STATE_LIVE == 0 {
        return None;
    }
    let used = if wire.last_exec == 0 {
        wire.created
    } else {
        wire.last_exec
    };
    Some(Entry {
        key: key(&wire.key),
        tenant: tenant_of(slot, &wire),
        stamp: Stamp {
            ctime: wire.file_ctime,
            size: wire.file_size,
        },
        flags: wire.flags,
        rows: wire.rows,
        busy: wire.state & BUSY != 0,
        binds: wire.binds,
        used: used as i64,
        version: [
            wire.state & !PASSING,
            wire.train_count,
            wire.last_mod_count,
            wire.anomalies,
            wire.normal_time,
            wire.unlearnt,
            wire.execs,
            wire.ended,
        ],
    })
}

/// Returns a copy of the profile in a slot, and which tenant it was.
///
/// Words are read one by one while the kernel goes on, so the copy of a busy profile may mix
/// moments a microsecond apart; it never mixes two profiles: a slot that changed hands meanwhile
/// counts as empty.
pub(crate) fn profile(maps: &Maps, slot: u32) -> Option<(Tenant, Profile)> {
    let wire = maps.profiles.get(slot)?;
    if wire.state & STATE_LIVE == 0 {
        return None;
    }
    let profile = copy(maps, slot, &wire)?;
    let again = maps.profiles.get(slot)?;
    let same = again.state & STATE_LIVE != 0 && again.generation == wire.generation;
    same.then(|| (tenant_of(slot, &wire), profile))
}

/// Returns what a profile was that was taken out, before its room is given back.
pub(crate) fn remains(maps: &Maps, tenant: Tenant) -> Option<Profile> {
    let mut wire = maps.profiles.get(tenant.slot)?;
    wire.state |= STATE_LIVE;
    (wire.generation == tenant.generation).then(|| copy(maps, tenant.slot, &wire))?
}

fn copy(maps: &Maps, slot: u32, wire: &types::ebph_profile) -> Option<Profile> {
    let names = maps.names.get(slot)?;
    let rows = wire
        .row
        .iter()
        .map(|index| (*index != 0).then(|| row(&maps.rows, *index)).flatten())
        .collect();
    let ids = (0u16..)
        .zip(wire.id)
        .filter(|(_, id)| *id != 0)
        .filter_map(|(letter, id)| Some((Symbol::from_wire(letter)?, id)))
        .collect();
    Some(Profile::from_parts(ProfileParts {
        key: key(&wire.key),
        exe: path(&names.exe),
        script: path(&names.script),
        state_word: wire.state,
        train_count: wire.train_count,
        last_mod_count: wire.last_mod_count,
        anomalies: wire.anomalies,
        normal_time_ns: wire.normal_time,
        unlearnt: wire.unlearnt,
        execs: wire.execs,
        processes_ended: wire.ended,
        basis: wire.basis & !BASIS_OVER,
        basis_over: wire.basis & BASIS_OVER != 0,
        created_ns: wire.created as i64,
        last_exec_ns: wire.last_exec as i64,
        rows_held: wire.rows.into(),
        clock: Some(Clock::now()),
        identity: None,
        origin: Origin::live(),
        window: LONGEST_WINDOW,
        saved: None,
        ids,
        rows,
    }))
}

/// Unpacks a row: a word has the columns `2 i` and `2 i + 1`.
pub(crate) fn row(rows: &Mapped<types::ebph_row>, index: u32) -> Option<Box<Row>> {
    let wire = rows.get(index)?;
    let mut row = Box::new([0; IDS]);
    for (columns, word) in row.chunks_exact_mut(2).zip(wire.word) {
        columns[0] = word as u16;
        columns[1] = (word >> 16) as u16;
    }
    Some(row)
}
