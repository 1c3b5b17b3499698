//! Loading and attaching: the one place that holds libbpf objects.

mod attach;
mod events;
mod hooks;
mod replay;
mod verified;

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use libbpf_rs::skel::{OpenSkel as _, Skel as _, SkelBuilder as _};
use libbpf_rs::{Link, MapCore as _, OpenObject};

use self::attach::{Attached, adopt_tree, attach_error};
pub(crate) use self::events::Events;
pub(crate) use self::hooks::Hooks;
pub(crate) use self::replay::{Replay, replay};
pub use self::verified::verified_instructions;
use crate::engine::{Engine, Stage};
use crate::error::{Error, Result};
use crate::maps::{Mapped, Maps, RingUse};
use crate::plan::{self, Hook, Plan};
use crate::skel::{EbphSkel, EbphSkelBuilder, types};
use crate::sys::{GracePeriod, Program, TaskList, as_io, memlock, own};

/// How large the maps are, and what is fixed while the hooks run.
#[derive(Debug, Clone)]
pub(crate) struct Sizes {
    pub profiles: u32,
    /// Usable rows; one more is allocated for the row that stands for none.
    pub rows: u32,
    pub ring_bytes: u32,
    /// Steps of one replay; none outside it.
    pub replay_steps: u32,
}

/// Everything of a monitor that lives in the kernel. Dropping it detaches.
#[derive(Debug)]
pub(crate) struct Live {
    /// First, so that nothing runs any more when the rest goes.
    pub links: Vec<Link>,
    /// Each attached program, for its statistics.
    pub programs: Arc<Vec<Program>>,
    pub engine: Arc<Engine>,
    pub sizes: Vec<MapSize>,
    /// What the kernel holds for all programs, in bytes.
    pub program_bytes: u64,
    /// The most calls that were ever told to be recorded.
    pub recorded: AtomicU64,
}

/// How large a map is.
#[derive(Debug)]
pub(crate) struct MapSize {
    pub name: String,
    /// Entries; 0 if there is no limit.
    pub capacity: u32,
    /// What the kernel allocated for it; thread state comes on top.
    pub bytes: u64,
}

fn load_error(object: &str) -> impl FnOnce(libbpf_rs::Error) -> Error {
    let object = object.to_owned();
    move |error| match as_io(error) {
        error if error.kind() == io::ErrorKind::PermissionDenied => Error::BpfDenied {
            why: format!("loading {object}: {error}"),
        },
        cause => Error::Load { object, cause },
    }
}

/// One more than the highest number that a CPU may ever have: the counters have a cell for each.
fn cpu_numbers() -> Result<u32> {
    const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

    let text = std::fs::read_to_string(POSSIBLE).map_err(Error::io(POSSIBLE))?;
    highest(&text).map_or_else(
        || {
            let source = io::Error::new(io::ErrorKind::InvalidData, text);
            Err(Error::io(POSSIBLE)(source))
        },
        |highest| Ok(highest + 1),
    )
}

/// The last number of a list like `0-3,8-11`.
fn highest(list: &str) -> Option<u32> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

/// Opens the object with its maps sized.
fn open<'obj>(
    storage: &'obj mut MaybeUninit<OpenObject>,
    sizes: &Sizes,
) -> Result<crate::skel::OpenEbphSkel<'obj>> {
    let mut open = EbphSkelBuilder::default()
        .open(storage)
        .map_err(load_error("the BPF object"))?;
    let maps = &mut open.maps;
    let entries = [
        (&mut maps.profiles, sizes.profiles),
        (&mut maps.names, sizes.profiles),
        (&mut maps.slots, sizes.profiles),
        (&mut maps.rows, sizes.rows + 1),
        (&mut maps.counters, cpu_numbers()?),
        (&mut maps.events, sizes.ring_bytes),
        (&mut maps.replay_ops, sizes.replay_steps.max(1)),
        (&mut maps.replay_verdicts, sizes.replay_steps.max(1)),
    ];
    for (map, count) in entries {
        map.set_max_entries(count).map_err(load_error("a map"))?;
    }
    let config = rodata(&mut open)?;
    config.cfg_max_slots = sizes.profiles;
    config.cfg_max_rows = sizes.rows + 1;
    Ok(open)
}

fn rodata<'a>(open: &'a mut crate::skel::OpenEbphSkel<'_>) -> Result<&'a mut types::rodata> {
    open.maps
        .rodata_data
        .as_deref_mut()
        .ok_or_else(|| Error::Load {
            object: "the BPF object".to_owned(),
            cause: io::Error::new(io::ErrorKind::InvalidData, "it has no constants"),
        })
}

/// Loads what the plan asks for, says who we are, calls `prepare`, and attaches: what that does is
/// done before the first call is seen. On an error nothing stays.
pub(crate) fn start<T>(
    plan: &Plan,
    sizes: &Sizes,
    limits: types::ebph_limits,
    prepare: impl FnOnce(&Arc<Engine>) -> Result<T>,
) -> Result<(Live, Events, Hooks, T)> {
    let mut storage = MaybeUninit::uninit();
    let mut open = open(&mut storage, sizes)?;
    let config = rodata(&mut open)?;
    config.cfg_scope = plan.scope;
    config.cfg_partition = plan.partition;
    config.cfg_scripts = plan.scripts.into();
    config.cfg_may_skip = plan.may_skip.into();
    config.cfg_redact = plan.redact_args.into();
    config.cfg_root_pid = plan.root_pid;
    config.cfg_cgroup_id = plan.cgroup_id;
    for mut program in open.open_object_mut().progs_mut() {
        let name = program.name().to_string_lossy().into_owned();
        let wanted = match name.as_str() {
            "ebph_replay" => false,
            name if plan::is_entry(name) => name == plan.entry,
            name if plan::is_uring(name) => plan.uring == Some(name),
            name if plan::is_deny(name) => plan.deny.as_deref() == Ok(name),
            _ => true,
        };
        program.set_autoload(wanted);
    }
    let skel = open.load().map_err(load_error("the BPF object"))?;
    let progs = &skel.progs;

    let events = Events::new(&skel)?;
    let tasks = progs
        .ebph_tasks
        .attach()
        .map_err(attach_error("ebph_tasks"))?;
    let mut attached = Attached::default();
    let mapping = |source| Error::io("mapping the profiles")(source);
    let engine = Arc::new(Engine {
        maps: Arc::new(mapped(&skel).map_err(mapping)?),
        command: own("ebph_command", &progs.ebph_command)?,
        tasks: TaskList::new(tasks),
        grace: GracePeriod::new(skel.maps.grace.as_fd()).map_err(Error::io("making a map"))?,
        stage: stage(&skel).map_err(mapping)?,
    });
    engine.set_up(limits)?;
    let prepared = prepare(&engine)?;

    // What threads do comes before what they call, so that the first call judged is of a thread
    // whose past is known.
    attached.attach("ebph_fork", &progs.ebph_fork)?;
    attached.attach("ebph_exec", &progs.ebph_exec)?;
    attached.attach("ebph_exit", &progs.ebph_exit)?;
    attached.attach("ebph_signal", &progs.ebph_signal)?;
    match plan.uring {
        Some(plan::URING) => attached.attach(plan::URING, &progs.ebph_uring)?,
        Some(_) => attached.attach(plan::URING_SQE, &progs.ebph_uring_sqe)?,
        None => {}
    }
    if plan.root_pid != 0 {
        let adopt = progs
            .ebph_adopt
            .attach()
            .map_err(attach_error("ebph_adopt"))?;
        adopt_tree(&TaskList::new(adopt), &engine.maps, plan.root_pid)?;
    }
    let entry = match plan.entry {
        plan::SYSTEM => &progs.ebph_sys_enter_system,
        plan::SYSTEM_TP => &progs.ebph_sys_enter_system_tp,
        plan::TREE => &progs.ebph_sys_enter_tree,
        plan::TREE_TP => &progs.ebph_sys_enter_tree_tp,
        plan::CGROUP => &progs.ebph_sys_enter_cgroup,
        _ => &progs.ebph_sys_enter_cgroup_tp,
    };
    match plan.hook {
        Hook::TpBtf => attached.attach(plan.entry, entry)?,
        Hook::Tracepoint => attached.attach_tracepoint(plan.entry, entry)?,
    }
    let sizes = skel.object().maps().map(|map| MapSize {
        name: map.name().to_string_lossy().into_owned(),
        capacity: map.max_entries(),
        bytes: memlock(map.as_fd()),
    });
    let sizes = sizes.collect();
    let loaded = skel.object().progs().filter(|program| program.autoload());
    let program_bytes = loaded.map(|program| memlock(program.as_fd())).sum();
    let hooks = Hooks::new(&skel, plan)?;
    attached.programs.extend(hooks.programs()?);
    let live = Live {
        links: attached.links,
        programs: Arc::new(attached.programs),
        engine,
        sizes,
        program_bytes,
        recorded: AtomicU64::new(0),
    };
    Ok((live, events, hooks, prepared))
}

/// Maps what user space reads.
fn mapped(skel: &EbphSkel<'_>) -> io::Result<Maps> {
    let maps = &skel.maps;
    Ok(Maps {
        profiles: Mapped::new(maps.profiles.as_fd(), maps.profiles.max_entries(), false)?,
        names: Mapped::new(maps.names.as_fd(), maps.names.max_entries(), false)?,
        rows: Mapped::new(maps.rows.as_fd(), maps.rows.max_entries(), false)?,
        counters: Mapped::new(maps.counters.as_fd(), maps.counters.max_entries(), false)?,
        globals: Mapped::new(maps.bss.as_fd(), 1, false)?,
        ring: RingUse::new(maps.events.as_fd())?,
    })
}

fn stage(skel: &EbphSkel<'_>) -> io::Result<Stage> {
    let maps = &skel.maps;
    Ok(Stage::new(
        Mapped::new(maps.stage.as_fd(), maps.stage.max_entries(), true)?,
        Mapped::new(maps.stage_rows.as_fd(), maps.stage_rows.max_entries(), true)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that CPU numbers with holes among them all have a cell.
    #[test]
    fn cpus() {
        assert_eq!(highest("0-3,8-11\n"), Some(11));
        assert_eq!(highest("0\n"), Some(0));
        assert_eq!(highest(""), None);
    }
}
