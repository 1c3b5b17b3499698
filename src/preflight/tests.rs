//! Made-up facts, and what the report makes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rustix::thread::CapabilitySet;

use super::attempt::Attempt;
use super::facts::{Essentials, Found};
use super::{CheckId, Preflight, Purpose, Status};
use crate::error::Error;
use crate::kernel::{Facts, UringTracepoint};
use crate::sys::probe::Kind;

const EPERM: Attempt = Attempt::Failed(libc::EPERM);

/// A machine on which nothing is missing.
fn best() -> Found {
    let kinds = [
        Kind::TpBtf,
        Kind::Iter,
        Kind::Syscall,
        Kind::Lsm,
        Kind::FmodRet,
    ];
    Found {
        essentials: Essentials {
            kernel: Facts {
                release: "6.18.0".to_owned(),
                btf: true,
                missing_tracepoint: None,
                task_storage: true,
                preemptible_tp_btf: false,
                events_may_skip: false,
                uring: Some(UringTracepoint::Request),
            },
            capabilities: CapabilitySet::all(),
            own_user_namespace: false,
            filtered: false,
            lockdown: Some("none".to_owned()),
            map: Attempt::Worked,
        },
        types: Attempt::Worked,
        functions: super::facts::FUNCTIONS.into(),
        uring_disabled: Some(0),
        ring: Attempt::Worked,
        reads: Some(true),
        programs: kinds.map(|kind| (kind, Attempt::Worked)).into(),
        modules: Some(vec!["capability".to_owned(), "bpf".to_owned()]),
        tracefs: Some(PathBuf::from("/sys/kernel/tracing")),
        has_tracefs: true,
        entry_number: Attempt::Worked,
        entry_event: Attempt::Worked,
        perf_paranoid: Some(2),
        cgroup: Some(PathBuf::from("/sys/fs/cgroup")),
        memory: None,
        login: Attempt::Worked,
        others: Attempt::Worked,
        statistics: Some(true),
        compiler: Some(true),
    }
}

/// The same without privileges: nothing can be tried.
fn unprivileged() -> Found {
    let mut found = best();
    found.essentials.capabilities = CapabilitySet::empty();
    found.essentials.map = EPERM;
    found.ring = Attempt::Untried;
    found.reads = None;
    found.programs = BTreeMap::new();
    found.others = EPERM;
    found
}

/// The report about the best machine after a change.
fn report(change: impl FnOnce(&mut Found)) -> Preflight {
    let mut found = best();
    change(&mut found);
    Preflight::of(found)
}

#[track_caller]
fn status(report: &Preflight, id: CheckId) -> Status {
    report.check(id).expect("every check is there").status
}

/// The checks that are not present.
fn wanting(report: &Preflight) -> Vec<CheckId> {
    let checks = report.checks.iter();
    let checks = checks.filter(|check| check.status != Status::Present);
    checks.map(|check| check.id).collect()
}

/// Check that the best machine is ready, and has nothing to do.
#[test]
fn nothing_missing() {
    let report = report(|_| ());
    assert_eq!(wanting(&report), []);
    assert!(report.ready());
    assert!(report.checks.iter().all(|check| check.remedy.is_empty()));
    let needed = report.checks.iter().take_while(|check| check.required);
    let monitor = report.checks.iter();
    let monitor = monitor.filter(|check| check.purpose == Purpose::Monitor);
    assert_eq!(needed.count(), monitor.count());
}

/// Check that each check is made once, and that its name, its state and what is to be done are in
/// the table and in the JSON.
#[test]
fn forms() {
    for report in [
        Preflight::of(best()),
        Preflight::of(unprivileged()),
        Preflight::run(),
    ] {
        let text = report.to_string();
        let json = serde_json::to_value(&report).unwrap();
        let listed = json["checks"].as_array().unwrap();
        assert_eq!(listed.len(), report.checks.len());
        for (check, listed) in report.checks.iter().zip(listed) {
            assert!(
                text.contains(check.name) && text.contains(&check.why),
                "{text}"
            );
            assert!(text.contains(check.remedy), "{text}");
            assert!(!check.why.is_empty());
            assert_eq!(listed["status"], check.status.as_str());
            assert!(listed["id"].is_string() && listed["purpose"].is_string());
        }
        let mut ids: Vec<_> = report.checks.iter().map(|check| check.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), report.checks.len());
        let verdict = text.lines().last().unwrap();
        assert_eq!(verdict == "ready", report.ready());
        assert_eq!(json["ready"], report.ready());
        assert_eq!(json["error"].is_null(), report.ready());
    }
}

/// Check that whatever is absent or refused comes with something to do, but for what only another
/// version of the kernel could change.
#[test]
fn remedies() {
    const ENOENT: Attempt = Attempt::Failed(libc::ENOENT);

    let absent = report(|found| {
        found.essentials.kernel.missing_tracepoint = Some("tracepoint sys_enter");
        found.essentials.kernel.task_storage = false;
        found.essentials.kernel.preemptible_tp_btf = true;
        found.essentials.kernel.events_may_skip = true;
        found.essentials.map = Attempt::Failed(libc::ENOSYS);
        found.types = ENOENT;
        found.functions.clear();
        found.essentials.kernel.uring = None;
        (found.has_tracefs, found.tracefs, found.entry_number) = (false, None, ENOENT);
        found.cgroup = None;
        found.login = ENOENT;
        found.statistics = Some(false);
        found.compiler = Some(false);
    });
    let refused = report(|found| {
        *found = unprivileged();
        found.essentials.own_user_namespace = true;
        found.essentials.lockdown = Some("confidentiality".to_owned());
        found.types = EPERM;
        found.ring = EPERM;
        let kinds = best().programs.into_keys();
        found.programs = kinds.map(|kind| (kind, EPERM)).collect();
        (found.entry_number, found.entry_event) = (EPERM, EPERM);
        found.memory = Some((PathBuf::from("/sys/fs/cgroup/memory.max"), 1 << 20));
        found.login = EPERM;
    });
    let mut seen = BTreeSet::new();
    for check in absent.checks.iter().chain(&refused.checks) {
        let newer = [
            CheckId::CheapEntry,
            CheckId::ProcessEvents,
            CheckId::IoUring,
        ];
        if matches!(check.status, Status::Absent | Status::Refused) {
            seen.insert(check.id);
            assert_eq!(
                check.remedy.is_empty(),
                newer.contains(&check.id),
                "{check:?}"
            );
        }
    }
    let all: BTreeSet<_> = absent.checks.iter().map(|check| check.id).collect();
    assert_eq!(seen, all, "each of them can be absent or refused");
}

/// Check that whatever is required and wanting keeps it from being ready, and that nothing else
/// does.
#[test]
fn verdict() {
    let changes: [fn(&mut Found); 16] = [
        |found| found.essentials.kernel.btf = false,
        |found| found.essentials.kernel.missing_tracepoint = Some("tracepoint sys_enter"),
        |found| found.essentials.kernel.task_storage = false,
        |found| found.functions.clear(),
        |found| found.ring = EPERM,
        |found| found.programs = [(Kind::Iter, EPERM)].into(),
        |found| found.programs = [(Kind::Lsm, EPERM)].into(),
        |found| found.essentials.map = EPERM,
        |found| found.essentials.capabilities = CapabilitySet::BPF,
        |found| found.essentials.lockdown = Some("confidentiality".to_owned()),
        |found| found.essentials.lockdown = Some("integrity".to_owned()),
        |found| found.entry_number = EPERM,
        |found| {
            found.essentials.kernel.preemptible_tp_btf = true;
            found.entry_number = EPERM;
        },
        |found| {
            found.essentials.kernel.preemptible_tp_btf = true;
            found.entry_event = EPERM;
        },
        |found| found.modules = None,
        |found| *found = unprivileged(),
    ];
    let mut ready = Vec::new();
    for (number, change) in changes.into_iter().enumerate() {
        let report = report(change);
        // Without its types a kernel's other parts cannot be told.
        let blocking = |check: &super::Check| {
            check.required && matches!(check.status, Status::Absent | Status::Refused)
        };
        let blocked = report.checks.iter().any(blocking) || !report.found.essentials.kernel.btf;
        assert_eq!(report.ready(), !blocked, "change {number}: {report}");
        if report.ready() {
            ready.push(number);
        }
    }
    assert_eq!(ready, [6, 10, 11, 14]);
}

/// Check that each capability has a line of its own, and that CAP_SYS_ADMIN stands for both.
#[test]
fn capabilities() {
    let having = |set| report(|found| found.essentials.capabilities = set);
    let bpf = having(CapabilitySet::BPF);
    assert_eq!(status(&bpf, CheckId::CapBpf), Status::Present);
    assert_eq!(status(&bpf, CheckId::CapPerfmon), Status::Refused);
    let error = bpf.require().unwrap_err();
    assert!(matches!(&error, Error::NotPrivileged { missing } if missing == &["CAP_PERFMON"]));
    let perfmon = having(CapabilitySet::PERFMON);
    assert_eq!(status(&perfmon, CheckId::CapBpf), Status::Refused);
    let error = perfmon.require().unwrap_err();
    assert!(matches!(&error, Error::NotPrivileged { missing } if missing == &["CAP_BPF"]));
    let admin = having(CapabilitySet::SYS_ADMIN);
    assert_eq!(status(&admin, CheckId::CapBpf), Status::Present);
    assert!(admin.ready());
    assert_eq!(status(&admin, CheckId::OtherFiles), Status::Refused);
}

/// Check that types which are missing, closed, or nonsense are told apart, and that what they would
/// tell is unknown rather than absent.
#[test]
fn types() {
    let with = |types| {
        report(|found| {
            found.types = types;
            found.essentials.kernel.btf = false;
            found.functions.clear();
            found.programs.clear();
        })
    };
    let hidden = with(Attempt::Failed(libc::ENOENT));
    assert_eq!(status(&hidden, CheckId::Types), Status::Absent);
    let closed = with(Attempt::Failed(libc::EACCES));
    assert_eq!(status(&closed, CheckId::Types), Status::Refused);
    let nonsense = with(Attempt::Failed(libc::EINVAL));
    assert_eq!(status(&nonsense, CheckId::Types), Status::Absent);
    for report in [&hidden, &closed, &nonsense] {
        assert_eq!(status(report, CheckId::RingBuffer), Status::Unknown);
        assert_eq!(status(report, CheckId::BpfLsm), Status::Unknown);
        assert!(matches!(report.require(), Err(Error::NoBtf)));
        let types = report.check(CheckId::Types).unwrap();
        assert!(types.remedy.contains("CONFIG_DEBUG_INFO_BTF"));
    }
}

/// Check that a bpf(2) which a filter denies is refused, whatever the filter answers, and absent
/// only where the kernel is not known to have it.
#[test]
fn bpf() {
    for number in [libc::EPERM, libc::ENOSYS] {
        let denied = report(|found| {
            found.essentials.map = Attempt::Failed(number);
            found.essentials.filtered = true;
        });
        let check = denied.check(CheckId::Bpf).unwrap();
        assert_eq!(check.status, Status::Refused);
        assert!(check.why.contains("seccomp") && check.remedy.contains("seccomp"));
        let error = denied.require().unwrap_err();
        assert!(matches!(&error, Error::BpfDenied { why } if why.contains("seccomp")));
    }
    let without = report(|found| {
        found.essentials.map = Attempt::Failed(libc::ENOSYS);
        found.functions.clear();
    });
    assert_eq!(status(&without, CheckId::Bpf), Status::Absent);
    let inside = report(|found| {
        found.essentials.map = EPERM;
        found.essentials.own_user_namespace = true;
    });
    assert_eq!(status(&inside, CheckId::UserNamespace), Status::Refused);
    let error = inside.require().unwrap_err();
    assert!(error.to_string().contains("user namespace"), "{error}");
}

/// Check that kernel lockdown matters in one mode only, and is told by trying where its mode cannot
/// be read.
#[test]
fn lockdown() {
    let unread = |reads, modules: Option<&str>| {
        report(|found| {
            found.essentials.lockdown = None;
            found.reads = reads;
            found.modules = modules.map(|one| vec![one.to_owned()]);
        })
    };
    let of = |report: &Preflight| status(report, CheckId::Lockdown);
    assert_eq!(of(&unread(Some(true), None)), Status::Present);
    assert_eq!(of(&unread(Some(false), Some("lockdown"))), Status::Refused);
    assert_eq!(of(&unread(None, Some("bpf"))), Status::Present);
    assert_eq!(of(&unread(None, None)), Status::Unknown);
    let closed = report(|found| found.essentials.lockdown = Some("confidentiality".to_owned()));
    assert_eq!(of(&closed), Status::Refused);
    assert!(matches!(closed.require(), Err(Error::BpfDenied { .. })));
}

/// Check that tracefs is needed where the plain tracepoint is the default, and that the error is
/// that of a start there.
#[test]
fn plain_tracepoint() {
    let unmounted = |plain| {
        report(|found| {
            found.essentials.kernel.preemptible_tp_btf = plain;
            found.tracefs = None;
            found.entry_number = EPERM;
            found.entry_event = Attempt::Untried;
        })
    };
    let option = unmounted(false);
    assert_eq!(status(&option, CheckId::Tracefs), Status::Refused);
    assert_eq!(status(&option, CheckId::PlainTracepoint), Status::Unknown);
    assert!(option.ready());
    let needed = unmounted(true);
    let error = needed.require().unwrap_err();
    assert!(matches!(&error, Error::NotPrivileged { missing } if missing == &["CAP_SYS_ADMIN"]));
    let without = report(|found| {
        found.has_tracefs = false;
        found.entry_number = Attempt::Failed(libc::ENODEV);
        found.essentials.kernel.preemptible_tp_btf = true;
    });
    assert_eq!(status(&without, CheckId::Tracefs), Status::Absent);
    assert!(matches!(without.require(), Err(Error::Unsupported { .. })));
    let closed = report(|found| found.entry_event = Attempt::Failed(libc::EACCES));
    let check = closed.check(CheckId::PlainTracepoint).unwrap();
    assert_eq!(check.status, Status::Refused);
    assert!(check.why.contains("perf_event_paranoid"), "{}", check.why);
}

/// Check that a security module of BPF is told by the list of active ones, and by what the kernel
/// answers.
#[test]
fn security_module() {
    let of = |report: &Preflight| status(report, CheckId::BpfLsm);
    let inactive = report(|found| found.modules = Some(vec!["yama".to_owned()]));
    assert_eq!(of(&inactive), Status::Refused);
    let remedy = inactive.check(CheckId::BpfLsm).unwrap().remedy;
    assert!(remedy.contains("lsm="), "{remedy}");
    let refused = report(|found| found.programs.extend([(Kind::Lsm, EPERM)]));
    assert_eq!(of(&refused), Status::Refused);
    let built_without = report(|found| {
        found
            .functions
            .retain(|name| *name != "bpf_lsm_bprm_check_security");
    });
    assert_eq!(of(&built_without), Status::Absent);
    assert_eq!(of(&report(|found| found.modules = None)), Status::Unknown);
}

/// Check that what somebody else named cannot command a terminal.
#[test]
fn names() {
    let evil = || PathBuf::from("/sys/\u{1b}[2J\n");
    let report = report(|found| {
        found.memory = Some((evil(), 0));
        found.cgroup = Some(evil());
        found.tracefs = Some(evil());
    });
    let text = report.to_string();
    assert!(
        text.contains("/sys/\\u{1b}[2J\\n") && !text.contains('\u{1b}'),
        "{text}"
    );
    for id in [CheckId::Memory, CheckId::Cgroups, CheckId::Tracefs] {
        assert!(!report.check(id).unwrap().why.contains('\u{1b}'));
    }
}

/// Check that each option tells its absence from its refusal.
#[test]
fn options() {
    let of = |id, change: fn(&mut Found)| status(&report(change), id);
    use CheckId::{
        Cgroups, CheapEntry, Compiler, FmodRet, IoUring, LoginUid, ProcessEvents, SendSignal,
        Statistics,
    };
    assert_eq!(of(Cgroups, |found| found.cgroup = None), Status::Absent);
    let file = || PathBuf::from("/sys/fs/cgroup/memory.max");
    let tight = report(|found| found.memory = Some((file(), 32 << 20)));
    assert_eq!(status(&tight, CheckId::Memory), Status::Refused);
    assert!(tight.ready(), "with smaller pools it may start");
    let wide = report(|found| found.memory = Some((file(), 1 << 30)));
    assert_eq!(status(&wide, CheckId::Memory), Status::Present);
    assert_eq!(of(LoginUid, |found| found.login = EPERM), Status::Refused);
    let no_file = |found: &mut Found| found.login = Attempt::Failed(libc::ENOENT);
    assert_eq!(of(LoginUid, no_file), Status::Absent);
    assert_eq!(
        of(Statistics, |found| found.statistics = Some(false)),
        Status::Absent
    );
    assert_eq!(
        of(Statistics, |found| found.statistics = None),
        Status::Unknown
    );
    assert_eq!(
        of(Compiler, |found| found.compiler = Some(false)),
        Status::Absent
    );
    let without = |found: &mut Found| found.essentials.kernel.uring = None;
    assert_eq!(of(IoUring, without), Status::Absent);
    let older = report(|found| {
        found.essentials.kernel.uring = Some(UringTracepoint::Entry);
        found.uring_disabled = Some(2);
    });
    let check = older.checks.iter().find(|check| check.id == IoUring);
    let why = &check.expect("there is such a line").why;
    assert!(why.starts_with("io_uring_submit_sqe; nobody may"), "{why}");
    assert_eq!(
        of(SendSignal, |found| found.functions.clear()),
        Status::Absent
    );
    assert_eq!(of(FmodRet, |found| found.functions.clear()), Status::Absent);
    let denied = |found: &mut Found| found.programs.extend([(Kind::FmodRet, EPERM)]);
    assert_eq!(of(FmodRet, denied), Status::Refused);
    let new = |found: &mut Found| {
        found.essentials.kernel.events_may_skip = true;
        found.essentials.kernel.preemptible_tp_btf = true;
    };
    assert_eq!(of(ProcessEvents, new), Status::Absent);
    assert_eq!(of(CheapEntry, new), Status::Absent);
    let alone = Preflight::of(unprivileged());
    assert_eq!(status(&alone, CheckId::OtherProcesses), Status::Refused);
    assert_eq!(status(&alone, CheckId::OtherFiles), Status::Refused);
}
