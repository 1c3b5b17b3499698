//! Profiles on their way to disk, and off it.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use super::place;
use super::{Keeper, Known, Name, State, Tallies};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::profile::{How, Profile};
use crate::skel::types;
use crate::snapshot::{self, Entry};
use crate::store::{Stale, Store};
use crate::tasks;
use crate::tenant::Tenant;

impl Keeper {
    /// Saves every profile that changed since it was saved; returns how many.
    ///
    /// # Errors
    ///
    /// The first one met; the others were saved all the same.
    pub(crate) fn save(&self) -> Result<usize> {
        self.save_all(None)
    }

    /// Saves for the last time, when nothing runs any more: calls that threads held back are
    /// counted as well.
    pub(crate) fn save_finally(&self) -> Result<()> {
        let threads = self.engine.tasks();
        self.save_all(Some(threads.as_deref().unwrap_or_default()))?;
        threads.map(drop)
    }

    /// `threads`: as they are at the end, if this is the last time.
    fn save_all(&self, threads: Option<&[types::ebph_task_record]>) -> Result<usize> {
        if self.store.is_none() {
            return Err(Error::NoProfileDirectory);
        }
        let mut state = self.lock();
        state.last_save = Instant::now();
        self.meet(&mut state);
        drop(state);
        let mut saved = 0;
        let mut first = None;
        for entry in self.entries() {
            // Let go of each time: a program that returns shall not wait for all the files.
            let mut state = self.lock();
            self.catch_up(&mut state);
            match self.save_one(&mut state, &entry, threads) {
                Ok(written) => saved += usize::from(written),
                Err(error) => {
                    self.failed(&error);
                    first.get_or_insert(error);
                }
            }
        }
        first.map_or(Ok(saved), Err)
    }

    /// Saves a profile if it changed; tells whether it did.
    pub(super) fn save_one(
        &self,
        state: &mut State,
        entry: &Entry,
        threads: Option<&[types::ebph_task_record]>,
    ) -> Result<bool> {
        let Some(known) = state.known.get(&entry.tenant).cloned() else {
            return Ok(false);
        };
        // Until its past is there the file knows more; at the end both are put together.
        if known.owed.is_some() && threads.is_none() {
            return Ok(false);
        }
        let pending = threads.map(|threads| tasks::pending(threads, entry.tenant));
        let pending = pending.unwrap_or_default();
        let unchanged = known.saved == Some(entry.version) && pending == (0, 0);
        // A file that was rewritten since is looked at first.
        if unchanged || known.stamp != entry.stamp {
            return Ok(false);
        }
        let Some(profile) = self.engine.profile(entry.tenant) else {
            return Ok(false);
        };
        let now = snapshot::entry(&self.engine.maps, entry.tenant.slot);
        if now.is_none_or(|now| (now.tenant, now.stamp) != (entry.tenant, entry.stamp)) {
            return Ok(false);
        }
        let written = self.write(state, entry.tenant, &known, profile.with_pending(pending))?;
        if let (true, Some(known)) = (written, state.known.get_mut(&entry.tenant)) {
            known.saved = Some(entry.version);
        }
        Ok(written)
    }

    /// Saves what a profile was at its very end, if that differs from what was saved before; false
    /// if it is not kept at all.
    pub(super) fn save_last(
        &self,
        state: &mut State,
        tenant: Tenant,
        last: Profile,
    ) -> Result<bool> {
        let Some(known) = state.known.remove(&tenant) else {
            return Ok(false);
        };
        let same = |saved: [u64; 8]| saved[..2] == snapshot::version_of(&last);
        if known.saved.is_some_and(same) {
            return Ok(true);
        }
        self.write(state, tenant, &known, last)
    }

    /// Writes a profile to its file; false if it is none that can be found again.
    fn write(
        &self,
        state: &mut State,
        tenant: Tenant,
        known: &Known,
        profile: Profile,
    ) -> Result<bool> {
        let (Some(store), Some(name), Some(found)) = (&self.store, &known.name, &known.found)
        else {
            return Ok(false);
        };
        let key = profile.key();
        let mut profile = self.with_siblings(state, tenant, known, profile);
        if known.owed.is_some()
            && let Some(past) = self.on_disk(state, name, found)
        {
            profile = past.followed_by(&profile);
        }
        // That it was learnt on is no news of one that began in a kernel.
        if let Some(origin) = &known.origin
            && !matches!(origin.how, How::Live { .. })
        {
            profile = profile.with_origin(origin.clone());
        }
        // Whoever executed it first may have done so by another path.
        let profile = profile
            .with_paths(Some(name.exe.clone()), name.script.clone())
            .with_identity(found.identity.clone());
        let path = store.save(&profile)?;
        let identity = found.identity.clone();
        state.files.add(name.clone(), key, path, identity);
        Tallies::add(&self.tallies.saved);
        Ok(true)
    }

    /// What the file of a program is to hold that runs in several places, containers for example,
    /// with a profile in each: of the one executed last all there is, of the others what they have
    /// learnt.
    fn with_siblings(
        &self,
        state: &State,
        tenant: Tenant,
        known: &Known,
        profile: Profile,
    ) -> Profile {
        let siblings = siblings(state, tenant, known);
        let siblings = siblings.filter_map(|other| self.engine.profile(other));
        siblings.fold(profile, |last, sibling| {
            let used = |profile: &Profile| profile.parts().last_exec_ns;
            if used(&sibling) > used(&last) {
                sibling.with_training_of(&last)
            } else {
                last.with_training_of(&sibling)
            }
        })
    }

    /// Adds what the executable of a profile is, for keeping it elsewhere.
    pub(crate) fn identified(&self, profile: Profile) -> Profile {
        let Some(tenant) = self.engine.find(profile.key()) else {
            return profile;
        };
        let Some(entry) = snapshot::entry(&self.engine.maps, tenant.slot) else {
            return profile;
        };
        let pid = || tasks::user(&self.engine.tasks().ok()?, tenant);
        let found = self
            .name(&entry)
            .and_then(|name| place::identify(&self.engine, &entry, &name, pid, true));
        match found {
            Some(found) => profile.with_identity(found.identity),
            None => profile,
        }
    }

    /// Carries out a command that takes something back, on all profiles that share a file: what one
    /// of them has lost shall not come back from another.
    pub(crate) fn take_back(&self, key: Key, op: types::ebph_op) -> Result<()> {
        let mut state = self.lock();
        let Some(tenant) = self.engine.find(key) else {
            // All that an evicted profile can lose is its file.
            return match op {
                types::ebph_op::EBPH_OP_RESET => {
                    let files = state.files.take_key(key);
                    if files.is_empty() {
                        return Err(Error::NoSuchProfile(key));
                    }
                    remove_all(files)
                }
                _ => Err(Error::NoSuchProfile(key)),
            };
        };
        self.engine.on_profile(key, tenant, op)?;
        let Some(known) = state.known.get(&tenant) else {
            return Ok(());
        };
        for other in siblings(&state, tenant, known) {
            let Some(entry) = snapshot::entry(&self.engine.maps, other.slot) else {
                continue;
            };
            match self.engine.on_profile(entry.key, other, op) {
                // That it had nothing to lose is as well.
                Ok(()) | Err(Error::NotNormal(_) | Error::NoSuchProfile(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Removes a profile that no process uses, and its file, or it would come back.
    pub(crate) fn forget(&self, key: Key) -> Result<()> {
        // Held all the while: nobody shall find the file when the profile is gone already.
        let mut state = self.lock();
        let Some(tenant) = self.engine.find(key) else {
            return self.forget_evicted(&mut state, key);
        };
        let threads = self.engine.tasks()?;
        if let Some(pid) = tasks::user(&threads, tenant) {
            return Err(Error::ProfileInUse {
                key,
                pid: (pid != 0).then_some(pid),
            });
        }
        let entry = snapshot::entry(&self.engine.maps, tenant.slot);
        if let Some(entry) = entry.filter(|entry| entry.tenant == tenant) {
            // Its file may be known though the profile is not.
            self.greet(&mut state, &entry);
        }
        self.engine.forget(key, tenant)?;
        let Some(known) = state.known.remove(&tenant) else {
            return Ok(());
        };
        for other in siblings(&state, tenant, &known).collect::<Vec<_>>() {
            let entry = snapshot::entry(&self.engine.maps, other.slot);
            if let Some(entry) = entry
                && tasks::user(&threads, other).is_none()
            {
                self.engine.forget(entry.key, other)?;
                state.known.remove(&other);
            }
        }
        match (&known.name, known.identity()) {
            (Some(name), Some(identity)) => {
                self.forget_files(state.files.take_content(name, identity))
            }
            _ => self.forget_files(state.files.take_key(key)),
        }
    }

    fn forget_evicted(&self, state: &mut State, key: Key) -> Result<()> {
        let files = state.files.take_key(key);
        if files.is_empty() {
            return Err(Error::NoSuchProfile(key));
        }
        self.forget_files(files)
    }

    /// Removes files, and what their profiles were while they were normal.
    fn forget_files(&self, files: Vec<PathBuf>) -> Result<()> {
        // Without a folder there are none.
        let Some(store) = &self.store else {
            return Ok(());
        };
        // All that can be removed is, whatever one of them meets.
        let removed: Vec<_> = files.iter().map(|file| store.discard(file)).collect();
        removed.into_iter().collect()
    }

    /// Removes a file that is of no use any more, and what the kernel has of it.
    pub(crate) fn prune(&self, stale: &Stale) -> Result<bool> {
        let store = self.store.as_ref().ok_or(Error::NoProfileDirectory)?;
        let mut state = self.lock();
        let name = Name::of(&stale.profile);
        let of_it = |known: &&Known| {
            let both = name.as_ref().zip(stale.profile.identity());
            both.is_some_and(|(name, identity)| known.is_of(name, identity))
        };
        let loaded = state.known.iter().find(|(_, known)| of_it(known));
        let entry = loaded.and_then(|(tenant, _)| {
            let entry = snapshot::entry(&self.engine.maps, tenant.slot)?;
            (entry.tenant == *tenant).then_some(entry)
        });
        if let Some(entry) = entry
            && tasks::user(&self.engine.tasks()?, entry.tenant).is_none()
        {
            self.engine.forget(entry.key, entry.tenant)?;
            state.known.remove(&entry.tenant);
        }
        state.files.remove(&stale.path);
        Store::forget(store, stale)
    }
}

/// The other profiles of the same program, which share its file.
fn siblings(state: &State, tenant: Tenant, known: &Known) -> impl Iterator<Item = Tenant> {
    let program = known.name.as_ref().zip(known.identity());
    let is_sibling = move |other: &Known| {
        other.owed.is_none() && program.is_some_and(|(name, identity)| other.is_of(name, identity))
    };
    state
        .known
        .iter()
        .filter(move |(other, known)| **other != tenant && is_sibling(known))
        .map(|(other, _)| *other)
}

fn remove_all(files: Vec<PathBuf>) -> Result<()> {
    let mut first = None;
    for path in files {
        if let Err(error) = fs::remove_file(&path) {
            first.get_or_insert(Error::io(path.display().to_string())(error));
        }
    }
    first.map_or(Ok(()), Err)
}
