//! Profiles from outside: those of the folder at the start, and those that are imported.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;

use super::evicting::rows_of;
use super::place::{self, Changed, Found, Name, Whom};
use super::{Keeper, Known, State, Tallies};
use crate::clock::Clock;
use crate::engine::{Change, Full, Place};
use crate::error::{Error, Result};
use crate::event::{Capacity, Event, ProfileSetAside};
use crate::key::Key;
use crate::plan::Partition;
use crate::profile::{Origin, Profile};
use crate::snapshot;
use crate::store::Stored;
use crate::syscall::{Abi, Symbol};
use crate::tenant::Tenant;

/// What became of a profile that was imported.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The name of the profile on this machine.
    pub key: Key,
    /// Whether the executable here is what the profile was learnt from. Otherwise it trains on from
    /// the profile's pairs, and [`Event::ExecutableChanged`](crate::Event::ExecutableChanged) says
    /// so.
    pub unchanged: bool,
    /// Calls that this machine does not have, and that are left out.
    pub dropped: Vec<Symbol>,
}

/// What the kernel's windows span, the current call included.
const WINDOW: u8 = 9;

/// A stored profile whose program is here.
struct Candidate {
    stored: Stored,
    name: Name,
    found: Found,
}

impl Keeper {
    /// Puts every stored profile whose program is here into the kernel, the last executed first,
    /// as far as there is room. The others are found when their programs are executed.
    pub(crate) fn load(&self) -> Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let loaded = store.load()?;
        let mut state = self.lock();
        for aside in loaded.set_aside {
            log::warn!("{}: {}", aside.path.display(), aside.reason);
            Tallies::add(&self.tallies.set_aside);
            let (time, boot) = Clock::both();
            self.hub
                .deliver(&Event::ProfileSetAside(Box::new(ProfileSetAside {
                    time,
                    boot,
                    path: aside.path,
                    reason: aside.reason.to_string(),
                })));
        }
        let mut profiles = loaded.profiles;
        profiles.sort_by_key(|stored| stored.saved);
        let mut best: HashMap<_, Candidate> = HashMap::new();
        for stored in profiles {
            let Some(candidate) = self.candidate(&mut state, stored) else {
                continue;
            };
            match best.entry(candidate.found.key) {
                MapEntry::Vacant(place) => {
                    place.insert(candidate);
                }
                // Of several versions, that which is installed; else the one saved last.
                MapEntry::Occupied(mut place) => {
                    if place.get().found.change.is_some() || candidate.found.change.is_none() {
                        place.insert(candidate);
                    }
                }
            }
        }
        let mut candidates: Vec<_> = best.into_values().collect();
        candidates.sort_by_key(|candidate| {
            std::cmp::Reverse(candidate.stored.profile.parts().last_exec_ns)
        });
        let (slots, rows) = self.pools();
        let (mut slots, mut rows) = (slots.fill(), rows.fill());
        for candidate in candidates {
            let needed = rows_of(&candidate.stored.profile);
            if slots == 0 || rows < needed {
                continue;
            }
            if self.put(&mut state, candidate)? {
                slots -= 1;
                rows -= needed;
            }
        }
        Ok(())
    }

    /// Notes a file, and looks whether its program is here.
    fn candidate(&self, state: &mut State, stored: Stored) -> Option<Candidate> {
        let Some(name) = Name::of(&stored.profile) else {
            log::warn!("{}: it is of no particular program", stored.path.display());
            return None;
        };
        if stored.profile.window() != WINDOW || !self.fits(&name) {
            return None;
        }
        let found = place::find(&self.engine, &name, &stored.profile)
            .inspect_err(|error| log::info!("{}: {error}", name.exe.display()))
            .ok();
        // Devices have other numbers since, or it was learnt elsewhere.
        let key = match &found {
            Some(found) => found.key,
            None => stored.profile.key(),
        };
        let identity = stored.profile.identity().cloned();
        state
            .files
            .add(name.clone(), key, stored.path.clone(), identity);
        Some(Candidate {
            stored,
            name,
            found: found?,
        })
    }

    /// Whether this monitor would ever look for a profile of that name.
    fn fits(&self, name: &Name) -> bool {
        let partition = match name.whom {
            Whom::All => Partition::Executable,
            Whom::User(_) => Partition::User,
            Whom::Cgroup(_) => Partition::Cgroup,
        };
        partition == self.options.partition && (name.script.is_none() || self.options.scripts)
    }

    /// Puts a profile into the kernel; false if there is no room.
    fn put(&self, state: &mut State, candidate: Candidate) -> Result<bool> {
        let Candidate {
            stored,
            name,
            found,
        } = candidate;
        let (profile, _, changed) = native(&stored.profile, found.change);
        let place = Place {
            key: found.key,
            stamp: found.stamp,
            exe: &name.exe,
            script: name.script.as_deref(),
        };
        let change = Changed::change(changed, false);
        let Ok(tenant) = self.engine.absorb(&profile, &place, change)? else {
            return Ok(false);
        };
        Tallies::add(match changed {
            None => &self.tallies.loaded,
            Some(_) => &self.tallies.changed,
        });
        // What is on disk is what is there, unless the file says less of the program than is known
        // by now.
        let same = changed.is_none() && stored.profile.identity() == Some(&found.identity);
        let version = || Some(snapshot::entry(&self.engine.maps, tenant.slot)?.version);
        let saved = same.then(version).flatten();
        state.known.insert(
            tenant,
            Known::loaded(name, found, saved, stored.profile.origin().clone()),
        );
        Ok(true)
    }

    /// Adds a profile from elsewhere to what the kernel has of the same program.
    pub(crate) fn import(&self, profile: &Profile) -> Result<Imported> {
        if profile.window() != WINDOW {
            return Err(Error::WrongWindow(profile.window()));
        }
        let name = Name::of(profile).ok_or(Error::NoExecutable)?;
        if !self.fits(&name) {
            return Err(Error::WrongPartition);
        }
        // Held all the while: the file that is looked at is the one that is learnt for.
        let mut state = self.lock();
        let found = place::find(&self.engine, &name, profile)
            .map_err(Error::io(name.exe.display().to_string()))?;
        let place = Place {
            key: found.key,
            stamp: found.stamp,
            exe: &name.exe,
            script: name.script.as_deref(),
        };
        // Its own past first, so that this is added to all of it.
        let there = self.engine.find(found.key);
        if let Some(tenant) = there {
            self.meet(&mut state);
            if state
                .known
                .get(&tenant)
                .is_none_or(|known| known.owed.is_some())
            {
                return Err(Error::Busy(found.key));
            }
        } else if let Some(past) = self.on_disk(&mut state, &name, &found.identified()) {
            let (past, _, changed) = native(&past, None);
            self.take_in(&mut state, &past, &place, Changed::change(changed, false))?;
        }
        let (profile, dropped, changed) = native(profile, found.change);
        let change = Changed::change(changed, there.is_some());
        let tenant = self.take_in(&mut state, &profile, &place, change)?;
        let key = found.key;
        let known = Known::loaded(name, found, None, profile.origin().clone());
        state.known.insert(tenant, known);
        Ok(Imported {
            key,
            unchanged: changed.is_none(),
            dropped,
        })
    }

    fn take_in(
        &self,
        state: &mut State,
        profile: &Profile,
        place: &Place<'_>,
        change: Change,
    ) -> Result<Tenant> {
        let mut absorbed = self.engine.absorb(profile, place, change)?;
        if let (Err(full), Some(_)) = (absorbed, &self.store) {
            self.make_room_for(state, profile, full);
            absorbed = self.engine.absorb(profile, place, change)?;
        }
        absorbed.map_err(|full| {
            Error::NoRoom(match full {
                Full::Profiles => Capacity::Profiles,
                Full::Rows => Capacity::Rows,
            })
        })
    }
}

impl Known {
    /// What is known of a profile that was put into the kernel from outside.
    fn loaded(name: Name, found: Found, saved: Option<[u64; 8]>, origin: Origin) -> Self {
        Self {
            name: Some(name),
            stamp: found.stamp,
            found: Some(found.identified()),
            looked: 0,
            rewritten: false,
            saved,
            owed: None,
            origin: Some(origin),
        }
    }
}

/// A profile in this machine's letters. One that was learnt by another machine's calls is of
/// another executable, whatever its hash may be.
pub(super) fn native(
    profile: &Profile,
    changed: Option<Changed>,
) -> (Profile, Vec<Symbol>, Option<Changed>) {
    if profile.symbols().all(|symbol| symbol.to_wire().is_some()) {
        return (profile.clone(), Vec::new(), changed);
    }
    let (profile, dropped) = profile.for_abi(Abi::NATIVE);
    (profile, dropped, changed.or(Some(Changed::Replaced)))
}
