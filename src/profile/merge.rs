//! Two profiles of one program made into one.

use std::time::SystemTime;

use crate::syscall::Abi;

use super::planes::Planes;
use super::{
    Profile, ProfileParts, ROW_TRAIN, SEQUENCES_SHIFT, STATE_FROZEN, STATE_INCOMPLETE, STATE_LIVE,
    STATE_NORMAL, State,
};

/// Why two profiles cannot be made into one.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// They compare calls with different numbers of earlier ones.
    #[error("one profile has a window of {0}, the other one of {1}: learn them with the same")]
    Windows(u8, u8),
    /// They were learnt on different machines.
    #[error(
        "one profile has calls of {0}, the other of {1}: translate one of them first \
         (Profile::for_abi)"
    )]
    Machines(Abi, Abi),
}

impl Profile {
    /// Makes one profile of two, as learnt on two machines from one program.
    ///
    /// It knows what either knows, and is what both are:
    ///
    /// - Both normal: it is normal, and both planes are the union of theirs. So **what was normal
    ///   on either machine is normal on both**: the result accepts more than each of the two.
    /// - Both normal or frozen: it is frozen until the later of their times, and what either
    ///   learnt or held as normal is what it has learnt. Where the times cannot be compared it is
    ///   training.
    /// - Otherwise it is training, with the same in its training plane, and nothing is normal.
    ///
    /// Counts are added up, but for the calls since the last novelty, of which it has the fewer,
    /// and the anomalies, of which it has the more. Key, paths and identity are those of `self`;
    /// paths and identity only where the other's agree.
    ///
    /// # Errors
    ///
    /// [`MergeError`] if the two cannot be compared.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use ebph::Profile;
    ///
    /// let one = Profile::read_from("web1/nginx.json")?;
    /// let other = Profile::read_from("web2/nginx.json")?;
    /// one.merge(&other)?.write_to("nginx.json")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&self, other: &Self) -> Result<Self, MergeError> {
        let (ours, theirs) = (&self.parts, &other.parts);
        if ours.window != theirs.window {
            return Err(MergeError::Windows(ours.window, theirs.window));
        }
        if let (Some(our), Some(their)) = (machine(self), machine(other))
            && our != their
        {
            return Err(MergeError::Machines(our, their));
        }

        let normal = self.is_normal() && other.is_normal();
        let until = common_wait(self, other);
        let mut planes = Planes::default();
        planes.absorb([self, other], Some, |bits| {
            if normal { bits } else { joined(bits) }
        });
        let mut state = STATE_LIVE | (ours.state_word | theirs.state_word) & STATE_INCOMPLETE;
        if normal {
            state |= STATE_NORMAL;
        }
        if until.is_some() {
            state |= STATE_FROZEN;
        }
        let sequences = self.sequences().saturating_add(other.sequences());
        let sequences = sequences.min(u64::MAX >> SEQUENCES_SHIFT);

        let clock = ours.clock.or(theirs.clock);
        // Boot times of the other's clock, in ours.
        let ours_of = |ns: i64| match (theirs.clock, clock) {
            (Some(its), Some(clock)) => clock.since_boot(its.wall(ns)),
            _ => ns,
        };
        let last_exec = match (ours.last_exec_ns, theirs.last_exec_ns) {
            (one, 0) => one,
            (0, other) => ours_of(other),
            (one, other) => one.max(ours_of(other)),
        };
        let created = match (ours.clock, theirs.clock) {
            (Some(_), None) => ours.created_ns,
            (None, Some(_)) => theirs.created_ns,
            _ => ours.created_ns.min(ours_of(theirs.created_ns)),
        };
        let agreed = |one: &Option<_>, other: &Option<_>| one.clone().filter(|_| one == other);
        Ok(Self::from_parts(ProfileParts {
            key: ours.key,
            exe: agreed(&ours.exe, &theirs.exe),
            script: agreed(&ours.script, &theirs.script),
            state_word: sequences << SEQUENCES_SHIFT | state,
            train_count: ours.train_count.saturating_add(theirs.train_count),
            last_mod_count: ours.last_mod_count.min(theirs.last_mod_count),
            anomalies: ours.anomalies.max(theirs.anomalies),
            normal_time_ns: until.unwrap_or(0),
            unlearnt: ours.unlearnt.saturating_add(theirs.unlearnt),
            execs: ours.execs.saturating_add(theirs.execs),
            processes_ended: ours.processes_ended.saturating_add(theirs.processes_ended),
            basis: ours.basis.saturating_add(theirs.basis),
            basis_over: ours.basis_over || theirs.basis_over,
            created_ns: created,
            last_exec_ns: last_exec,
            rows_held: planes.rows_held(),
            clock,
            identity: common_identity(self, other),
            origin: ours.origin.merged(&theirs.origin),
            window: ours.window,
            saved: None::<SystemTime>,
            ids: planes.ids,
            rows: planes.rows,
        }))
    }
}

impl Profile {
    /// Adds what another copy of the same program has learnt, and nothing else of it: counts and
    /// what is normal stay as they are.
    pub(crate) fn with_training_of(mut self, other: &Self) -> Self {
        let mut planes = Planes::default();
        planes.absorb([&self], Some, |bits| bits);
        planes.absorb([other], Some, |bits| bits & ROW_TRAIN);
        self.parts.rows_held = planes.rows_held();
        self.parts.ids = planes.ids;
        self.parts.rows = planes.rows;
        Self::from_parts(self.parts)
    }
}

impl Profile {
    /// Adds what the same program did later, while this was not at hand: what it learnt, and its
    /// counts. As if it had been learnt on top of this, but that nothing of it was judged.
    pub(crate) fn followed_by(self, later: &Self) -> Self {
        let (known, new) = (self.pairs_learnt(), later.sequences());
        let mut profile = self.with_training_of(later);
        let novel = profile.pairs_learnt() != known;
        let parts = &mut profile.parts;
        let sum = |count: &mut u64, more: u64| *count = count.saturating_add(more);
        sum(&mut parts.train_count, later.parts.train_count);
        sum(&mut parts.unlearnt, later.parts.unlearnt);
        sum(&mut parts.execs, later.parts.execs);
        sum(&mut parts.processes_ended, later.parts.processes_ended);
        sum(&mut parts.basis, later.parts.basis);
        parts.last_exec_ns = later.parts.last_exec_ns;
        parts.state_word |= later.parts.state_word & STATE_INCOMPLETE;
        if novel {
            parts.last_mod_count = later.parts.last_mod_count;
            parts.state_word &= !STATE_FROZEN;
            let room = (u64::MAX >> SEQUENCES_SHIFT) - (parts.state_word >> SEQUENCES_SHIFT);
            parts.state_word += new.min(room) << SEQUENCES_SHIFT;
        } else {
            sum(&mut parts.last_mod_count, later.parts.last_mod_count);
        }
        profile
    }

    /// How many pairs were learnt, each distance counted.
    fn pairs_learnt(&self) -> u32 {
        self.pairs().map(|pair| pair.train.count_ones()).sum()
    }
}

/// The machine whose calls a profile has; `None` if they could be any's.
fn machine(profile: &Profile) -> Option<Abi> {
    let known = profile
        .symbols()
        .any(|symbol| symbol.abi().unprefixed().is_some());
    Some(profile.abi()).filter(|abi| known && *abi != Abi::Raw)
}

/// Both planes of a pair in the training plane.
pub(super) fn joined(bits: u16) -> u16 {
    let [train, test] = bits.to_le_bytes();
    u16::from(train | test)
}

/// The later of the times at which two profiles become normal, on the clock of the first, or the
/// other's if it has none; `None` if the result is not frozen.
fn common_wait(one: &Profile, other: &Profile) -> Option<u64> {
    if one.parts.clock.is_some() != other.parts.clock.is_some() {
        return None;
    }
    let frozen = [one, other].map(Profile::is_frozen);
    let states = [one, other].map(Profile::state);
    match (states, frozen) {
        ([State::Training, _] | [_, State::Training], _) => None,
        // A normal profile that is not frozen does not become normal again.
        ([State::Normal, State::Normal], [false, _] | [_, false]) => None,
        (_, [true, false]) => Some(one.parts.normal_time_ns),
        (_, [false, true]) => Some(in_clock_of(one, other)),
        _ => Some(in_clock_of(one, other).max(one.parts.normal_time_ns)),
    }
}

/// The time at which `other`, which is frozen, becomes normal, on the clock of `one`.
fn in_clock_of(one: &Profile, other: &Profile) -> u64 {
    match (one.parts.clock, other.normal_at()) {
        (Some(clock), Some(at)) => u64::try_from(clock.since_boot(at)).unwrap_or(0),
        _ => other.parts.normal_time_ns,
    }
}

/// The identity of the first, as far as the second has the same.
fn common_identity(one: &Profile, other: &Profile) -> Option<super::Identity> {
    let (one, other) = (one.parts.identity.as_ref()?, other.parts.identity.as_ref()?);
    let agree = |one: &super::FileIdentity, other: &super::FileIdentity| {
        one.path == other.path && (one.same_content(other) || one == other)
    };
    let scripts = match (&one.script, &other.script) {
        (None, None) => true,
        (Some(one), Some(other)) => agree(one, other),
        _ => false,
    };
    let same = agree(&one.exe, &other.exe) && scripts && one.cgroup == other.cgroup;
    same.then(|| one.clone())
}
