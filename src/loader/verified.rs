//! What the verifier thinks of each program.

use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;

use libbpf_rs::skel::{OpenSkel as _, Skel as _};

use super::{Sizes, load_error, open};
use crate::error::{Error, Result};
use crate::kernel::UringTracepoint;
use crate::plan;
use crate::preflight::{self, Essentials};
use crate::sys::info;

/// Loads every program that this kernel takes, attaches none, and returns how many instructions the
/// verifier walked for each.
///
/// Shows whether a kernel takes them all, and what a change to them costs.
///
/// # Errors
///
/// As for [`MonitorBuilder::start`](crate::MonitorBuilder::start).
///
/// # Minimum kernel version
///
/// 6.1
pub fn verified_instructions() -> Result<Vec<(String, u32)>> {
    crate::preflight::Preflight::run().require()?;
    let essentials = Essentials::gather();
    let deny = preflight::denial(&essentials).program();
    let uring = essentials.kernel.uring.map(UringTracepoint::program);
    let mut storage = MaybeUninit::uninit();
    let mut open = open(
        &mut storage,
        &Sizes {
            profiles: 1,
            rows: 1,
            ring_bytes: rustix::param::page_size() as u32,
            replay_steps: 1,
        },
    )?;
    for mut program in open.open_object_mut().progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let name = name.as_str();
        let elsewhere = (plan::is_deny(name) && deny.as_deref() != Ok(name))
            || (plan::is_uring(name) && uring != Some(name));
        program.set_autoload(!elsewhere);
    }
    let skel = open.load().map_err(load_error("the BPF object"))?;
    skel.object()
        .progs()
        .filter(|program| program.autoload())
        .map(|program| {
            let name = program.name().to_string_lossy().into_owned();
            let info = info(program.as_fd()).map_err(Error::io(name.clone()))?;
            Ok((name, info.verified_instructions))
        })
        .collect()
}
