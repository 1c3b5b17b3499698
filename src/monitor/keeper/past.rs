//! What was learnt of a program before: by a version of it that ran here, or by itself once.

use std::io;
use std::path::Path;

use super::loading::native;
use super::place::{Changed, Identified, Name};
use super::{Keeper, Known, State, Tallies};
use crate::engine::Place;
use crate::error::Error;
use crate::profile::{Origin, Profile};
use crate::snapshot::{self, Entry};
use crate::tasks;
use crate::tenant::Tenant;

/// What was learnt of a program.
struct Past {
    profile: Profile,
    changed: Option<Changed>,
    /// The profile in the kernel that it is of, if it is of one.
    tenant: Option<Tenant>,
}

/// It could not be read now; later perhaps.
struct Later;

impl Keeper {
    /// Adds what was learnt of the program before; `None` if that must be tried again, else how it
    /// began.
    pub(super) fn bring_back(
        &self,
        state: &mut State,
        entry: &Entry,
        name: &Name,
        found: &Identified,
        rewritten: bool,
    ) -> Option<Option<Origin>> {
        let past = match self.past(state, entry, name, found, rewritten) {
            Ok(Some(past)) => past,
            Ok(None) => return Some(None),
            Err(Later) => return None,
        };
        let place = Place {
            key: entry.key,
            stamp: entry.stamp,
            exe: &name.exe,
            script: name.script.as_deref(),
        };
        let (profile, _, changed) = native(&past.profile, past.changed);
        let change = Changed::change(changed, true);
        match self.engine.absorb(&profile, &place, change) {
            Ok(Ok(_)) => {
                Tallies::add(match changed {
                    None => &self.tallies.returned,
                    Some(_) => &self.tallies.changed,
                });
                if let (Some(tenant), None) = (past.tenant, changed) {
                    self.retire(state, tenant);
                }
                Some(Some(past.profile.origin().clone()))
            }
            Ok(Err(full)) => {
                state.hopeless = None;
                self.make_room_for(state, &profile, full);
                None
            }
            Err(error) => {
                self.failed(&error);
                None
            }
        }
    }

    /// Takes out a profile whose program goes on in another file of the same content, unless it is
    /// still in use. What it knew is there.
    fn retire(&self, state: &mut State, tenant: Tenant) {
        let entry = snapshot::entry(&self.engine.maps, tenant.slot);
        let Some(entry) = entry.filter(|entry| entry.tenant == tenant) else {
            return;
        };
        let Ok(threads) = self.engine.tasks() else {
            return;
        };
        if tasks::user(&threads, tenant).is_some() {
            return;
        }
        // It stays if it is executed after all.
        let gone = self.engine.evict(&[entry], |tenant, _| {
            Tallies::add(&self.tallies.evicted);
            state.known.remove(&tenant);
        });
        if let Err(error) = gone {
            self.failed(&error);
        }
    }

    /// The best that is known of a program from before: its own profile if there is one, else that
    /// of the version before it. The kernel's is newer than a file's.
    fn past(
        &self,
        state: &mut State,
        entry: &Entry,
        name: &Name,
        found: &Identified,
        rewritten: bool,
    ) -> Result<Option<Past>, Later> {
        let in_kernel = |of: &dyn Fn(&Known) -> bool| {
            let kin = state.known.iter().filter(|(tenant, known)| {
                **tenant != entry.tenant && known.owed.is_none() && of(known)
            });
            let last_used = |tenant: &Tenant| {
                snapshot::entry(&self.engine.maps, tenant.slot).map(|entry| entry.used)
            };
            let last = kin.map(|(tenant, _)| *tenant).max_by_key(last_used)?;
            Some((last, self.engine.profile(last)?))
        };
        if let Some((tenant, profile)) = in_kernel(&|known| known.is_of(name, &found.identity)) {
            return Ok(Some(Past {
                profile,
                changed: None,
                tenant: Some(tenant),
            }));
        }
        let own = state.files.of_content(name, &found.identity);
        let changed = Some(Changed::Replaced);
        if own.is_none() {
            // What another file at the same path of another container did says nothing; and what
            // this one did before it was rewritten is there.
            if rewritten || !found.here {
                return Ok(None);
            }
            let here = |known: &Known| {
                let here = known.found.as_ref().is_some_and(|found| found.here);
                here && known.name.as_ref() == Some(name)
            };
            if let Some((_, profile)) = in_kernel(&here) {
                return Ok(Some(Past {
                    profile,
                    changed,
                    tenant: None,
                }));
            }
        }
        let (path, changed) = match own {
            Some(path) => (Some(path), None),
            None => (state.files.newest(name), changed),
        };
        let Some(path) = path else {
            return Ok(None);
        };
        let profile = self.read(state, &path)?;
        Ok(profile.map(|profile| Past {
            profile,
            changed,
            tenant: None,
        }))
    }

    /// Reads a profile file. One that is damaged is as good as none, and is set aside at the next
    /// start; an error of the system is worth another try.
    fn read(&self, state: &mut State, path: &Path) -> Result<Option<Profile>, Later> {
        match Profile::read_from(path) {
            Ok(profile) => Ok(Some(profile)),
            Err(error) => {
                self.failed(&error);
                let gone = matches!(&error, Error::Io { cause, .. }
                    if cause.kind() == io::ErrorKind::NotFound);
                if gone || matches!(error, Error::ProfileFile { .. }) {
                    state.files.remove(path);
                    return Ok(None);
                }
                Err(Later)
            }
        }
    }

    /// What the file of a program holds, if it can be read.
    pub(super) fn on_disk(
        &self,
        state: &mut State,
        name: &Name,
        found: &Identified,
    ) -> Option<Profile> {
        let path = state.files.of_content(name, &found.identity)?;
        self.read(state, &path).ok()?
    }
}
