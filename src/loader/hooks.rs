//! What responses need of the kernel, ready to be attached.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;

use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::error::{Error, Result};
use crate::guardian;
use crate::plan::{self, Plan};
use crate::skel::{EbphSkel, types};
use crate::sys::{Program, own};

/// The programs and maps of responses.
#[derive(Debug)]
pub(crate) struct Hooks {
    /// Denies execs; or why nothing does.
    pub deny: std::result::Result<Program, String>,
    /// Looks at signals while processes are held.
    pub signalled: Program,
    /// What it takes to let them go.
    pub guarded: Arc<guardian::Parts>,
    exempt: MapHandle,
}

impl Hooks {
    pub(super) fn new(skel: &EbphSkel<'_>, plan: &Plan) -> Result<Self> {
        let progs = &skel.progs;
        let deny = match plan.deny {
            Ok(plan::DENY_LSM) => Ok(own(plan::DENY_LSM, &progs.ebph_deny_lsm)?),
            Ok(_) => Ok(own(plan::DENY_FMOD_RET, &progs.ebph_deny_fmod_ret)?),
            Err(ref why) => Err(why.clone()),
        };
        let maps = &skel.maps;
        let guarded = guardian::Parts::new(
            (maps.holds.as_fd(), maps.holds.max_entries()),
            (maps.profiles.as_fd(), maps.profiles.max_entries()),
            maps.wakes.as_fd(),
        );
        let mapping = |source| Error::io("mapping the stopped processes")(source);
        let handle =
            |source: libbpf_rs::Error| Error::io("taking hold of a map")(io::Error::other(source));
        Ok(Self {
            deny,
            signalled: own("ebph_signalled", &progs.ebph_signalled)?,
            guarded: Arc::new(guarded.map_err(mapping)?),
            exempt: MapHandle::try_from(&maps.exempt).map_err(handle)?,
        })
    }

    /// Those that are loaded, for their statistics.
    pub(super) fn programs(&self) -> Result<Vec<Program>> {
        let all = self.deny.iter().chain([&self.signalled]);
        all.map(Program::try_clone)
            .collect::<io::Result<_>>()
            .map_err(Error::io("taking hold of a program"))
    }

    /// Exempts an executable, a script or a process.
    pub(crate) fn exempt(&self, who: &types::ebph_exempt) -> io::Result<()> {
        self.exempt
            .update(&bytes(who), &1_u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(io::Error::other)
    }

    /// Takes that back; of one that was not exempt nothing needs taking.
    pub(crate) fn unexempt(&self, who: &types::ebph_exempt) {
        // SANITY: it can only fail where there is nothing of that kind.
        let _absent = self.exempt.delete(&bytes(who));
    }
}

/// `struct ebph_exempt`, as the map's key.
fn bytes(who: &types::ebph_exempt) -> Vec<u8> {
    let longs = [who.ino, who.script].map(u64::to_ne_bytes);
    let words = [who.dev, who.generation, who.process, who.pad].map(u32::to_ne_bytes);
    [longs.concat(), words.concat()].concat()
}
