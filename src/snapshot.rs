//! Copies out of the mapped arrays: wire structs to the public vocabulary.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use crate::clock::Clock;
use crate::key::Key;
use crate::limits::Limits;
use crate::loader::Maps;
use crate::maps::Mapped;
use crate::profile::{Profile, ProfileParts, Row, State};
use crate::replay::saturating_ns;
use crate::skel::types;
use crate::syscall::Symbol;

const LIVE: u64 = types::ebph_state::EBPH_LIVE.0 as u64;
const IDS: usize = 256;
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
        event_mask,
    }
}

/// A zero-terminated path, as far as it goes; `None` if there is none.
fn path(bytes: &[u8]) -> Option<PathBuf> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    (end > 0).then(|| PathBuf::from(OsStr::from_bytes(&bytes[..end])))
}

/// The state of the profile in a slot; `None` while there is none.
pub(crate) fn state(maps: &Maps, slot: u32) -> Option<State> {
    let word = maps.profiles.word(slot, STATE)?;
    (word & LIVE != 0).then(|| State::from_word(word))
}

/// Which tenant a slot has: its generation, or `None` while there is no profile in it.
pub(crate) fn tenant(maps: &Maps, slot: u32) -> Option<(Key, u32)> {
    state(maps, slot)?;
    let profile = maps.profiles.get(slot)?;
    (profile.state & LIVE != 0).then(|| (key(&profile.key), profile.generation))
}

/// Returns a copy of the profile in a slot.
///
/// Words are read one by one while the kernel goes on, so the copy of a busy profile may mix
/// moments a microsecond apart; it never mixes two profiles: a slot that changed hands meanwhile
/// counts as empty.
pub(crate) fn profile(maps: &Maps, slot: u32) -> Option<Profile> {
    let wire = maps.profiles.get(slot)?;
    if wire.state & LIVE == 0 {
        return None;
    }
    let names = maps.names.get(slot)?;
    let rows = wire
        .row
        .iter()
        .map(|index| (*index != 0).then(|| row(&maps.rows, *index)).flatten())
        .collect();
    let again = maps.profiles.get(slot)?;
    if again.state & LIVE == 0 || again.generation != wire.generation {
        return None;
    }
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
        created_ns: wire.created,
        last_exec_ns: wire.last_exec,
        rows_held: wire.rows.into(),
        clock: Some(Clock::now()),
        ids,
        rows,
    }))
}

/// Unpacks a row: a word has the columns `2 i` and `2 i + 1`.
fn row(rows: &Mapped<types::ebph_row>, index: u32) -> Option<Box<Row>> {
    let wire = rows.get(index)?;
    let mut row = Box::new([0; IDS]);
    for (columns, word) in row.chunks_exact_mut(2).zip(wire.word) {
        columns[0] = word as u16;
        columns[1] = (word >> 16) as u16;
    }
    Some(row)
}
