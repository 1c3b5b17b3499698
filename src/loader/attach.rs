//! Attaching, and who is in a tree when it is done.

use std::os::fd::{AsRawFd as _, IntoRawFd as _};

use libbpf_rs::Link;

use crate::error::{Error, Result};
use crate::maps::Maps;
use crate::preflight::ENTRY_TRACEPOINT;
use crate::sys::{Program, TaskList, as_io, own, tracepoint};

pub(super) fn attach_error(program: &str) -> impl FnOnce(libbpf_rs::Error) -> Error {
    let program = program.to_owned();
    move |error| Error::Attach {
        program,
        cause: as_io(error),
    }
}

/// What was attached so far; dropping it detaches.
#[derive(Default)]
pub(super) struct Attached {
    pub links: Vec<Link>,
    pub programs: Vec<Program>,
}

impl Attached {
    pub(super) fn attach(
        &mut self,
        name: &'static str,
        program: &libbpf_rs::ProgramMut<'_>,
    ) -> Result<()> {
        self.programs.push(own(name, program)?);
        self.links
            .push(program.attach().map_err(attach_error(name))?);
        Ok(())
    }

    /// Attaches to the plain tracepoint without a need for tracefs to be mounted, which libbpf has.
    pub(super) fn attach_tracepoint(
        &mut self,
        name: &'static str,
        program: &libbpf_rs::ProgramMut<'_>,
    ) -> Result<()> {
        self.programs.push(own(name, program)?);
        let event = tracepoint::open(ENTRY_TRACEPOINT).map_err(|cause| Error::Attach {
            program: name.to_owned(),
            cause,
        })?;
        let link = program
            .attach_perf_event(event.as_raw_fd())
            .map_err(attach_error(name))?;
        // The link closes it from now on.
        let _owned_by_link = event.into_raw_fd();
        self.links.push(link);
        Ok(())
    }
}

/// Marks what the tree has already. A fork may race with a walk, so walks go on until one finds
/// nothing new; from then on the fork hook, which is attached, sees every child.
pub(super) fn adopt_tree(walk: &TaskList, maps: &Maps, root_pid: u32) -> Result<()> {
    const WALKS: usize = 1000;

    for _ in 0..WALKS {
        let found = walk.read().map_err(Error::io("walking the process tree"))?;
        if maps.globals().root_tgid == 0 {
            return Err(Error::NoSuchProcess(root_pid));
        }
        if found.is_empty() {
            return Ok(());
        }
    }
    log::warn!("the tree of process {root_pid} grows too fast to be walked to its end");
    Ok(())
}
