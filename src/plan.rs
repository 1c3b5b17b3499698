//! Facts and options to what is to be loaded: pure.

use crate::error::{Error, Result};
use crate::kernel::{Facts, UringTracepoint};
use crate::skel::types;

/// Which program stands at the entry of system calls.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EntryHook {
    /// What suits the kernel: [`TpBtf`](Self::TpBtf), but the plain tracepoint on kernels (7.2 and
    /// later) whose `tp_btf` programs run preemptibly and lose calls.
    #[default]
    Auto,
    /// `tp_btf/sys_enter`: the cheaper one.
    TpBtf,
    /// `tracepoint/raw_syscalls/sys_enter`: dearer, and blind while some process of the machine is
    /// preempted within a map operation of bpf(2).
    Tracepoint,
}

/// The choice that [`EntryHook`] comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    TpBtf,
    Tracepoint,
}

/// What the builder was told, as far as it decides what is loaded.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub scope: ScopeKind,
    pub partition: Partition,
    pub scripts: bool,
    pub hook: EntryHook,
    pub redact_args: bool,
    pub io_uring: bool,
}

/// How an exec can be made to fail on this kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denial {
    /// BPF is an active security module.
    Lsm,
    /// By changing what the kernel's own check returns.
    FmodRet,
    /// Not at all, and why.
    None(String),
}

/// The scope, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    System,
    Tree { pid: u32 },
    Cgroup { id: u64 },
}

/// What profiles are divided by, besides the executable.
///
/// With one profile for all, any user who can run `/bin/sh` can train, or un-normal, the profile
/// that root's daemons are judged by.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Partition {
    /// One profile per executable, as in pH.
    #[default]
    Executable,
    /// One per executable and cgroup: containers of one image are learnt apart.
    Cgroup,
    /// One per executable and real user id (of the initial user namespace).
    User,
}

/// What is to be loaded, in the terms of the BPF object's constants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub scope: u32,
    pub partition: u32,
    pub scripts: bool,
    pub may_skip: bool,
    pub redact_args: bool,
    pub root_pid: u32,
    pub cgroup_id: u64,
    pub hook: Hook,
    /// The program for this hook and scope.
    pub entry: &'static str,
    /// The program at the submission of io_uring requests; none where the kernel has no tracepoint
    /// there, or it is not wanted.
    pub uring: Option<&'static str>,
    /// The program that denies execs; or why there is none.
    pub deny: std::result::Result<&'static str, String>,
}

/// The programs at the entry of system calls: one for each scope and kind of hook.
pub(crate) const SYSTEM: &str = "ebph_sys_enter_system";
pub(crate) const SYSTEM_TP: &str = "ebph_sys_enter_system_tp";
pub(crate) const TREE: &str = "ebph_sys_enter_tree";
pub(crate) const TREE_TP: &str = "ebph_sys_enter_tree_tp";
pub(crate) const CGROUP: &str = "ebph_sys_enter_cgroup";
pub(crate) const CGROUP_TP: &str = "ebph_sys_enter_cgroup_tp";

/// The programs at the submission of io_uring requests: one for each tracepoint that kernels have
/// there.
pub(crate) const URING: &str = "ebph_uring";
pub(crate) const URING_SQE: &str = "ebph_uring_sqe";

impl UringTracepoint {
    /// The program for it.
    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Request => URING,
            Self::Entry => URING_SQE,
        }
    }
}

/// The programs that deny execs.
pub(crate) const DENY_LSM: &str = "ebph_deny_lsm";
pub(crate) const DENY_FMOD_RET: &str = "ebph_deny_fmod_ret";

impl Denial {
    /// The program that does it, or why there is none.
    pub(crate) fn program(&self) -> std::result::Result<&'static str, String> {
        match self {
            Self::Lsm => Ok(DENY_LSM),
            Self::FmodRet => Ok(DENY_FMOD_RET),
            Self::None(why) => Err(why.clone()),
        }
    }
}

/// What no monitor can do without.
pub(crate) fn require(facts: &Facts) -> Result<()> {
    if !facts.btf {
        return Err(Error::NoBtf);
    }
    if !facts.task_storage {
        return Err(Error::KernelTooOld {
            needs: "Linux 6.1, or BPF task storage,",
            found: facts.release.clone(),
        });
    }
    match facts.missing_tracepoint {
        None => Ok(()),
        Some(what) => Err(Error::Unsupported {
            what,
            why: "this kernel has no such tracepoint (CONFIG_FTRACE_SYSCALLS)".to_owned(),
        }),
    }
}

/// Decides; refuses what this kernel cannot do.
pub(crate) fn plan(facts: &Facts, denial: &Denial, options: &Options) -> Result<Plan> {
    require(facts)?;
    let hook = match options.hook {
        EntryHook::TpBtf => Hook::TpBtf,
        EntryHook::Tracepoint => Hook::Tracepoint,
        EntryHook::Auto if facts.preemptible_tp_btf => Hook::Tracepoint,
        EntryHook::Auto => Hook::TpBtf,
    };
    let (scope, root_pid, cgroup_id) = match options.scope {
        ScopeKind::System => (types::ebph_scope::EBPH_SCOPE_SYSTEM, 0, 0),
        ScopeKind::Tree { pid } => (types::ebph_scope::EBPH_SCOPE_TREE, pid, 0),
        ScopeKind::Cgroup { id } => (types::ebph_scope::EBPH_SCOPE_CGROUP, 0, id),
    };
    let partition = match options.partition {
        Partition::Executable => types::ebph_partition::EBPH_BY_EXECUTABLE,
        Partition::Cgroup => types::ebph_partition::EBPH_BY_CGROUP,
        Partition::User => types::ebph_partition::EBPH_BY_USER,
    };
    let entry = match (options.scope, hook) {
        (ScopeKind::System, Hook::TpBtf) => SYSTEM,
        (ScopeKind::System, Hook::Tracepoint) => SYSTEM_TP,
        (ScopeKind::Tree { .. }, Hook::TpBtf) => TREE,
        (ScopeKind::Tree { .. }, Hook::Tracepoint) => TREE_TP,
        (ScopeKind::Cgroup { .. }, Hook::TpBtf) => CGROUP,
        (ScopeKind::Cgroup { .. }, Hook::Tracepoint) => CGROUP_TP,
    };
    Ok(Plan {
        scope: scope.0,
        partition: partition.0,
        scripts: options.scripts,
        may_skip: facts.events_may_skip,
        redact_args: options.redact_args,
        root_pid,
        cgroup_id,
        hook,
        entry,
        uring: facts
            .uring
            .filter(|_| options.io_uring)
            .map(UringTracepoint::program),
        deny: denial.program(),
    })
}

/// Whether a program of this name stands at the entry of system calls.
pub(crate) fn is_entry(name: &str) -> bool {
    name.starts_with("ebph_sys_enter_")
}

/// Whether a program of this name stands at the submission of io_uring requests.
pub(crate) fn is_uring(name: &str) -> bool {
    name == URING || name == URING_SQE
}

/// Whether a program of this name denies execs.
pub(crate) fn is_deny(name: &str) -> bool {
    name == DENY_LSM || name == DENY_FMOD_RET
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            release: "6.18.0".to_owned(),
            btf: true,
            missing_tracepoint: None,
            task_storage: true,
            preemptible_tp_btf: false,
            events_may_skip: false,
            uring: Some(UringTracepoint::Request),
        }
    }

    fn options() -> Options {
        Options {
            scope: ScopeKind::System,
            partition: Partition::Executable,
            scripts: true,
            hook: EntryHook::Auto,
            redact_args: false,
            io_uring: true,
        }
    }

    /// Check that the entry hook follows the kernel, unless it was chosen.
    #[test]
    fn hook() {
        let old = facts();
        let new = Facts {
            preemptible_tp_btf: true,
            ..facts()
        };
        let auto = options();
        let forced = Options {
            hook: EntryHook::TpBtf,
            ..options()
        };
        assert_eq!(plan(&old, &Denial::Lsm, &auto).unwrap().hook, Hook::TpBtf);
        assert_eq!(
            plan(&new, &Denial::Lsm, &auto).unwrap().hook,
            Hook::Tracepoint
        );
        assert_eq!(plan(&new, &Denial::Lsm, &forced).unwrap().hook, Hook::TpBtf);
    }

    /// Check that the program at submissions is the one for the kernel's tracepoint, and that none is
    /// loaded where there is no such thing or it is not wanted.
    #[test]
    fn uring() {
        let of = |uring, io_uring| {
            let facts = Facts { uring, ..facts() };
            let options = Options {
                io_uring,
                ..options()
            };
            plan(&facts, &Denial::Lsm, &options).unwrap().uring
        };
        assert_eq!(of(Some(UringTracepoint::Request), true), Some(URING));
        assert_eq!(of(Some(UringTracepoint::Entry), true), Some(URING_SQE));
        assert_eq!(of(Some(UringTracepoint::Request), false), None);
        assert_eq!(of(None, true), None);
    }

    /// Check that a kernel without task storage is refused by name.
    #[test]
    fn refusal() {
        let old = Facts {
            task_storage: false,
            release: "5.10.0".to_owned(),
            ..facts()
        };
        let error = plan(&old, &Denial::Lsm, &options()).unwrap_err();
        assert!(matches!(error, Error::KernelTooOld { .. }), "{error}");
        assert!(error.to_string().contains("5.10.0"));
        let bare = Facts {
            missing_tracepoint: Some("tracepoint sys_enter"),
            ..facts()
        };
        let error = plan(&bare, &Denial::Lsm, &options()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        let blind = Facts {
            btf: false,
            ..facts()
        };
        let error = plan(&blind, &Denial::Lsm, &options()).unwrap_err();
        assert!(matches!(error, Error::NoBtf), "{error}");
    }

    /// Check that a scope carries its one number, and no other.
    #[test]
    fn scope() {
        let tree = Options {
            scope: ScopeKind::Tree { pid: 7 },
            ..options()
        };
        let cgroup = Options {
            scope: ScopeKind::Cgroup { id: 9 },
            ..options()
        };
        let tree = plan(&facts(), &Denial::Lsm, &tree).unwrap();
        let cgroup = plan(&facts(), &Denial::Lsm, &cgroup).unwrap();
        assert_eq!((tree.root_pid, tree.cgroup_id), (7, 0));
        assert_eq!((cgroup.root_pid, cgroup.cgroup_id), (0, 9));
    }
}
