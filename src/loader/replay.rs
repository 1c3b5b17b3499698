//! The replay program, loaded alone.

use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;

use libbpf_rs::skel::OpenSkel as _;

use super::{Sizes, load_error, mapped, open};
use crate::error::{Error, Result};
use crate::maps::{Mapped, Maps};
use crate::skel::types;
use crate::sys::{Program, own};

/// The parts of the object that replay needs, on their own.
#[derive(Debug)]
pub(crate) struct Replay {
    pub program: Program,
    pub command: Program,
    pub maps: Maps,
    pub steps: Mapped<types::ebph_replay_op>,
    pub verdicts: Mapped<types::ebph_verdict>,
}

/// Loads the replay program, and attaches nothing.
pub(crate) fn replay(sizes: &Sizes) -> Result<Replay> {
    let mut storage = MaybeUninit::uninit();
    let mut open = open(&mut storage, sizes)?;
    for mut program in open.open_object_mut().progs_mut() {
        let wanted = program.name() == "ebph_replay" || program.name() == "ebph_command";
        program.set_autoload(wanted);
    }
    let skel = open.load().map_err(load_error("the BPF object"))?;
    let maps = &skel.maps;
    let mapping = |source| Error::io("mapping the replay's arrays")(source);
    Ok(Replay {
        program: own("ebph_replay", &skel.progs.ebph_replay)?,
        command: own("ebph_command", &skel.progs.ebph_command)?,
        maps: mapped(&skel).map_err(mapping)?,
        steps: Mapped::new(maps.replay_ops.as_fd(), sizes.replay_steps, true).map_err(mapping)?,
        verdicts: Mapped::new(maps.replay_verdicts.as_fd(), sizes.replay_steps, false)
            .map_err(mapping)?,
    })
}
