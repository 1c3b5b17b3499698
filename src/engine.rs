//! What is in the kernel, as calls that cannot be made wrongly: commands, lists, copies of profiles.
//!
//! Shared by the monitor, which does what it is asked, and by its keeper, which looks after
//! profile files.

mod absorb;
mod stage;

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use crate::error::{Error, Result};
use crate::key::Key;
use crate::limits::Limits;
use crate::maps::Maps;
use crate::profile::Profile;
use crate::response::Responses;
use crate::skel::types;
use crate::snapshot::{self, Entry};
use crate::sys::{GracePeriod, Program, TaskList};
use crate::tasks;
use crate::tenant::{FileFacts, Stamp, Tenant};

pub(crate) use absorb::{Change, Full, Place};
pub(crate) use stage::Stage;

/// How long a command waits for a profile in the middle of a transition: a plane copy takes some
/// ten microseconds, so the tries end long after any of them.
const TRIES: u32 = 200;
const PAUSE: Duration = Duration::from_millis(1);

/// The parts of a loaded object that commands and lists need.
#[derive(Debug)]
pub(crate) struct Engine {
    pub maps: Arc<Maps>,
    pub command: Program,
    pub tasks: TaskList,
    pub grace: GracePeriod,
    pub stage: Stage,
}

impl Engine {
    /// Runs a command that nothing can stand in the way of.
    pub(crate) fn run(&self, command: &mut types::ebph_command) -> Result<()> {
        self.command
            .run(command)
            .map_err(Error::io("running a command in the kernel"))
    }

    /// Says who the monitor is, and puts the limits in force.
    pub(crate) fn set_up(&self, limits: types::ebph_limits) -> Result<()> {
        self.run(&mut types::ebph_command {
            op: types::ebph_op::EBPH_OP_SETUP.0,
            limits,
            ..Default::default()
        })
    }

    pub(crate) fn set_limits(&self, limits: &Limits, event_mask: u64) -> Result<()> {
        self.run(&mut types::ebph_command {
            op: types::ebph_op::EBPH_OP_LIMITS.0,
            limits: snapshot::limits_to_wire(limits, event_mask),
            ..Default::default()
        })
    }

    pub(crate) fn set_responses(&self, responses: &Responses) -> Result<()> {
        self.run(&mut types::ebph_command {
            op: types::ebph_op::EBPH_OP_RESPONSES.0,
            responses: snapshot::responses_to_wire(responses),
            ..Default::default()
        })
    }

    pub(crate) fn set_running(&self, running: bool) -> Result<()> {
        self.run(&mut types::ebph_command {
            op: types::ebph_op::EBPH_OP_RUN.0,
            arg: running.into(),
            ..Default::default()
        })
    }

    /// How many slots were ever used; profiles are in the first so many.
    pub(crate) fn slots(&self) -> u32 {
        let used = self.maps.globals().pool.next_slot;
        u32::try_from(used)
            .unwrap_or(u32::MAX)
            .min(self.maps.profiles.len())
    }

    /// The profile of a key.
    pub(crate) fn find(&self, key: Key) -> Option<Tenant> {
        (0..self.slots()).find_map(|slot| {
            let (found, tenant) = snapshot::tenant(&self.maps, slot)?;
            (found == key).then_some(tenant)
        })
    }

    /// A copy of a profile, if it is still there; without what its threads hold back.
    pub(crate) fn profile(&self, tenant: Tenant) -> Option<Profile> {
        let (found, profile) = snapshot::profile(&self.maps, tenant.slot)?;
        (found == tenant).then_some(profile)
    }

    /// Every watched thread, as it is now.
    pub(crate) fn tasks(&self) -> Result<Vec<types::ebph_task_record>> {
        let bytes = self
            .tasks
            .read()
            .map_err(Error::io("listing the threads"))?;
        Ok(tasks::records(&bytes))
    }

    /// Opens the file at `path`, not to read it, and asks the kernel about it.
    pub(crate) fn facts_at(&self, path: &Path) -> io::Result<FileFacts> {
        // A path alone neither waits for a pipe's other end nor needs permission.
        let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        self.facts_of(file.as_fd())
    }

    /// Asks the kernel about an open file.
    pub(crate) fn facts_of(&self, file: BorrowedFd<'_>) -> io::Result<FileFacts> {
        let mut command = types::ebph_command {
            op: types::ebph_op::EBPH_OP_FILE_KEY.0,
            arg: file.as_raw_fd() as u32,
            ..Default::default()
        };
        self.command.run(&mut command)?;
        if command.result != 0 {
            return Err(io::Error::from_raw_os_error(-command.result as i32));
        }
        Ok(FileFacts {
            key: snapshot::key(&command.key),
            stamp: Stamp {
                ctime: command.file_ctime,
                size: command.file_size,
            },
        })
    }

    /// Carries out a command on a profile.
    pub(crate) fn on_profile(&self, key: Key, tenant: Tenant, op: types::ebph_op) -> Result<()> {
        self.on_profile_with(key, tenant, op, 0)
    }

    fn on_profile_with(
        &self,
        key: Key,
        tenant: Tenant,
        op: types::ebph_op,
        binds: u64,
    ) -> Result<()> {
        let command = types::ebph_command {
            op: op.0,
            slot: tenant.slot,
            generation: tenant.generation,
            binds,
            ..Default::default()
        };
        match self.insist(command)?.1 {
            0 => Ok(()),
            libc::EBUSY => Err(Error::Busy(key)),
            libc::ESTALE => Err(Error::NoSuchProfile(key)),
            _ => Err(unmet(op, key)),
        }
    }

    /// Tries while the profile is in the middle of a transition; answers the number of the error.
    fn insist(&self, command: types::ebph_command) -> Result<(types::ebph_command, i32)> {
        for _ in 0..TRIES {
            let mut command = command;
            self.run(&mut command)?;
            match i32::try_from(-command.result).unwrap_or(libc::EINVAL) {
                libc::EBUSY => thread::sleep(PAUSE),
                answer => return Ok((command, answer)),
            }
        }
        Ok((command, libc::EBUSY))
    }

    /// Removes a profile, and gives its room back.
    ///
    /// The caller has seen that no process uses it; one that is executed meanwhile is not misjudged:
    /// its thread finds the profile gone at its next call, and a new one is made.
    pub(crate) fn forget(&self, key: Key, tenant: Tenant) -> Result<()> {
        self.on_profile(key, tenant, types::ebph_op::EBPH_OP_FORGET)?;
        self.grace.wait();
        self.on_profile(key, tenant, types::ebph_op::EBPH_OP_RECLAIM)
    }

    /// Takes idle profiles out, but for those that were bound to since they were looked at, and
    /// gives their room back after one wait for all. Tells what they were at the very end.
    pub(crate) fn evict(
        &self,
        profiles: &[Entry],
        mut last: impl FnMut(Tenant, Profile),
    ) -> Result<()> {
        let mut failed = None;
        let mut gone = Vec::new();
        for entry in profiles {
            let op = types::ebph_op::EBPH_OP_EVICT;
            match self.on_profile_with(entry.key, entry.tenant, op, entry.binds) {
                Ok(()) => gone.push(entry),
                Err(Error::ProfileInUse { .. } | Error::NoSuchProfile(_)) => {}
                Err(error) => failed = Some(error),
            }
        }
        if !gone.is_empty() {
            self.grace.wait();
        }
        for entry in gone {
            if let Some(profile) = snapshot::remains(&self.maps, entry.tenant) {
                last(entry.tenant, profile);
            }
            let reclaim = types::ebph_op::EBPH_OP_RECLAIM;
            if let Err(error) = self.on_profile(entry.key, entry.tenant, reclaim) {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// The need that a command's profile does not meet.
fn unmet(op: types::ebph_op, key: Key) -> Error {
    match op {
        types::ebph_op::EBPH_OP_TOLERIZE => Error::NotNormal(key),
        types::ebph_op::EBPH_OP_FREEZE => Error::AlreadyFrozen(key),
        types::ebph_op::EBPH_OP_THAW => Error::NotFrozen(key),
        types::ebph_op::EBPH_OP_EVICT => Error::ProfileInUse { key, pid: None },
        _ => Error::NoSuchProfile(key),
    }
}
