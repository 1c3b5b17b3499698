//! Profiles on their way into the kernel: from a file, or from a program's older version.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::stage::Layout;
use super::{Engine, Stamp, Tenant};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::profile::{Profile, ROW_TRAIN, Row, SEQUENCES_SHIFT, STATE_BITS, STATE_FROZEN};
use crate::skel::types;
use crate::snapshot;
use crate::syscall::Symbol;

const BASIS_OVER: u64 = snapshot::BASIS_OVER;
/// The largest count that is taken over.
const COUNT_LIMIT: u64 = 1 << 48;

/// Where a profile goes: the executable as it is now.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    pub key: Key,
    pub stamp: Stamp,
    pub exe: &'a Path,
    pub script: Option<&'a Path>,
}

/// What became of the executable since the profile was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: all of the profile holds.
    None {
        /// Its program runs already, so some of its calls were not judged.
        returned: bool,
    },
    /// Another file is in its place: what was seen is worth learning from, and no more.
    Replaced,
    /// As before, but it is the same file.
    Rewritten,
}

/// There was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Profiles,
    /// The profile is there, without the pairs that were to be added.
    Rows,
}

/// What became of a profile that was to be added.
pub(crate) type Absorbed = std::result::Result<Tenant, Full>;

impl Change {
    fn argument(self) -> u32 {
        use types::{ebph_absorb as modes, ebph_event_flag as flags};

        match self {
            Self::None { returned: false } => modes::EBPH_ABSORB_ALL.0,
            Self::None { returned: true } => modes::EBPH_ABSORB_ALL.0 | flags::EBPH_RETURNED.0,
            Self::Replaced => modes::EBPH_ABSORB_PAIRS.0 | flags::EBPH_REPLACED.0,
            Self::Rewritten => modes::EBPH_ABSORB_PAIRS.0,
        }
    }
}

impl Engine {
    /// Adds a profile to the one of that place, which is made if there is none.
    ///
    /// Hooks may run meanwhile: they learn beside it, and judge by it from the end on. The profile
    /// must speak this machine's letters.
    pub(crate) fn absorb(
        &self,
        profile: &Profile,
        place: &Place<'_>,
        change: Change,
    ) -> Result<Absorbed> {
        let mut stage = self.stage.lock();
        if !self.has_rows_for(profile, place.key) {
            return Ok(Err(Full::Rows));
        }
        let head = head(profile, place);
        stage.set_head(&head);
        let open = types::ebph_command {
            op: types::ebph_op::EBPH_OP_OPEN.0,
            ..Default::default()
        };
        let (opened, answer) = self.insist(open)?;
        let tenant = Tenant {
            slot: opened.slot,
            generation: opened.generation,
        };
        let absorb = |argument| types::ebph_command {
            op: types::ebph_op::EBPH_OP_ABSORB.0,
            slot: tenant.slot,
            generation: tenant.generation,
            arg: argument,
            ..Default::default()
        };
        let let_go = || self.run(&mut absorb(types::ebph_absorb::EBPH_ABSORB_NOTHING.0));
        match answer {
            0 => {}
            libc::EBUSY => return Err(Error::Busy(place.key)),
            _ if opened.slot == types::ebph_slot::EBPH_SLOT_NONE.0 => {
                return Ok(Err(Full::Profiles));
            }
            _ => {
                let_go()?;
                return Ok(Err(Full::Rows));
            }
        }
        // Held busy: nobody else changes what its ids mean, or forgets it, until it is let go.
        let live = self.maps.profiles.get(tenant.slot).unwrap_or_default();
        self.lay_out(&mut stage, head, profile, &live, change);
        let absorbed = self.insist(absorb(change.argument()));
        match absorbed {
            Ok((_, 0)) => Ok(Ok(tenant)),
            failed => {
                let_go()?;
                failed.and(Err(Error::Busy(place.key)))
            }
        }
    }

    /// Whether there are rows for what the profile of that key does not know yet: one that does not
    /// fit shall not take what others could use.
    fn has_rows_for(&self, profile: &Profile, key: Key) -> bool {
        let there = self
            .find(key)
            .and_then(|tenant| self.maps.profiles.get(tenant.slot));
        let has_row = |symbol: &Symbol| {
            there.is_some_and(|there| there.row[usize::from(wire_id(*symbol, &there.id))] != 0)
        };
        let needed = profile.symbols().filter(|symbol| !has_row(symbol)).count();
        let pool = self.maps.globals().pool;
        // Row 0 stands for none.
        let capacity = u64::from(self.maps.rows.len()) - 1;
        needed.min(255) as u64 <= capacity.saturating_sub(pool.rows_used)
    }

    /// Lays out rows, under the ids of the profile that is there, counts and state.
    fn lay_out(
        &self,
        stage: &mut Layout,
        mut head: types::ebph_stage,
        profile: &Profile,
        live: &types::ebph_profile,
        change: Change,
    ) {
        let pairs_only = !matches!(change, Change::None { .. });
        let rows = translate(profile, &live.id, pairs_only);
        let mut known_better = false;
        for (id, index) in (0..).zip(live.row).skip(1).filter(|(_, index)| *index != 0) {
            if let Some(row) = snapshot::row(&self.maps.rows, index) {
                known_better |= knows_more(&row, rows.get(id).and_then(Option::as_deref));
            }
        }
        for (id, row) in (0..).zip(&rows).skip(1) {
            stage.set_row(id, row.as_deref());
            head.top = id;
        }
        head.novel = known_better.into();
        head.forgotten = if known_better {
            0
        } else {
            live.state >> SEQUENCES_SHIFT
        };
        if pairs_only {
            // As if something new had been learnt just now.
            head.train_count = head.train_count.max(head.state >> SEQUENCES_SHIFT);
        }
        stage.set_head(&head);
    }
}

/// Everything but the rows.
fn head(profile: &Profile, place: &Place<'_>) -> types::ebph_stage {
    // No program makes so many calls; and sums of a few of them do not overflow.
    let count = |count: u64| count.min(COUNT_LIMIT);
    let parts = profile.parts();
    // One that never had a time of day begins now, and has waited for nothing yet.
    let (created, last_exec, normal_time, state_bits) = match parts.clock {
        Some(_) => (
            parts.created_ns,
            parts.last_exec_ns,
            parts.normal_time_ns,
            STATE_BITS,
        ),
        None => (now_ns(), 0, 0, STATE_BITS & !STATE_FROZEN),
    };
    let mut head = types::ebph_stage {
        key: snapshot::key_to_wire(place.key),
        file_ctime: place.stamp.ctime,
        file_size: place.stamp.size,
        state: parts.state_word & state_bits | count(profile.sequences()) << SEQUENCES_SHIFT,
        train_count: count(parts.train_count),
        last_mod_count: count(parts.last_mod_count),
        anomalies: count(parts.anomalies),
        normal_time,
        unlearnt: count(parts.unlearnt),
        execs: count(parts.execs),
        ended: count(parts.processes_ended),
        basis: count(parts.basis) | if parts.basis_over { BASIS_OVER } else { 0 },
        created: created as u64,
        last_exec: last_exec as u64,
        ..Default::default()
    };
    use types::ebph_profile_flag as flags;
    if keep_end(&mut head.names.exe, place.exe) {
        head.flags |= flags::EBPH_PROFILE_EXE_TRUNCATED.0;
    }
    if place.key.script.is_some() {
        head.flags |= flags::EBPH_PROFILE_SCRIPT.0;
        match place.script {
            Some(script) => {
                if keep_end(&mut head.names.script, script) {
                    head.flags |= flags::EBPH_PROFILE_SCRIPT_TRUNCATED.0;
                }
            }
            None => head.flags |= flags::EBPH_PROFILE_SCRIPT_UNNAMED.0,
        }
    }
    let letters = parts.ids.iter().filter_map(|(symbol, _)| symbol.to_wire());
    for (to, letter) in head.symbol.iter_mut().zip(letters) {
        *to = letter;
        head.symbols += 1;
    }
    head
}

fn now_ns() -> i64 {
    let (_, boot) = Clock::both();
    i64::try_from(boot.as_nanos()).unwrap_or(i64::MAX)
}

/// The end of a path, with a zero behind it; true if its beginning did not fit.
fn keep_end(to: &mut [u8], path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    let kept = &bytes[(bytes.len() + 1).saturating_sub(to.len())..];
    to[..kept.len()].copy_from_slice(kept);
    kept.len() < bytes.len()
}

/// The rows of a profile under the ids that another one gives to the same calls. Up to the highest
/// id that has a row.
///
/// Where calls share an id here and not there, what is known of one is known of all of them: a
/// profile of more than 254 calls cannot do better.
fn translate(profile: &Profile, ids: &[u8], pairs_only: bool) -> Vec<Option<Box<Row>>> {
    let parts = profile.parts();
    let mut names: Vec<Vec<u8>> = vec![Vec::new(); 256];
    for (symbol, id) in &parts.ids {
        let there = wire_id(*symbol, ids);
        let list = &mut names[usize::from(*id)];
        if there != 0 && !list.contains(&there) {
            list.push(there);
        }
    }
    let top = names.iter().flatten().copied().max().unwrap_or(0);
    let mut rows: Vec<Option<Box<Row>>> = vec![None; usize::from(top) + 1];
    for (id, row) in parts.rows.iter().enumerate().skip(1) {
        let Some(row) = row else { continue };
        for current in &names[id] {
            let to = rows[usize::from(*current)].get_or_insert_with(|| Box::new([0; 256]));
            for (previous, bits) in row
                .iter()
                .enumerate()
                .skip(1)
                .filter(|(_, bits)| **bits != 0)
            {
                let bits = if pairs_only {
                    (bits | bits >> 8) & ROW_TRAIN
                } else {
                    *bits
                };
                for previous in &names[previous] {
                    to[usize::from(*previous)] |= bits;
                }
            }
        }
    }
    rows
}

fn wire_id(symbol: Symbol, ids: &[u8]) -> u8 {
    symbol
        .to_wire()
        .and_then(|letter| ids.get(usize::from(letter)))
        .copied()
        .unwrap_or(0)
}

/// Whether a row that is there has learnt something that the one to be added has not.
fn knows_more(there: &Row, added: Option<&Row>) -> bool {
    (1..there.len()).any(|column| {
        let added = added.map_or(0, |row| row[column]);
        there[column] & ROW_TRAIN & !added != 0
    })
}
