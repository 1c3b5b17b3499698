//! One event of each kind, as it might happen: for tests, and for the documentation.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{
    Actor, Ancestor, Anomaly, Capabilities, Capacity, CapacityExhausted, Circumstances, Container,
    Context, Event, EventKind, ExecutableChanged, Fact, Host, LossPlace, Lost, Marks, MissedPair,
    Namespaces, NewSequence, ProfileEvent, ProfileLoaded, ProfileSetAside, ProfileView, Response,
    ResponseAction, Runtime, StartNormal, StopCause, StopNormal, UnbalancedSigreturn, Warning,
    WarningKind,
};
use crate::key::Key;
use crate::profile::State;
use crate::syscall::{Abi, Letter, Symbol};

const DAY: u64 = 24 * 60 * 60;
const PID: u32 = 2212;
/// When it happens, since boot.
const BOOT: Duration = Duration::new(9 * DAY + 3_725, 900_000_123);
const CONTAINER: &str = "3f1c9e0a7b5d42688f0e6c1d2b3a49587c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f";

/// Returns an event of a kind: what a web server in a container does, and what becomes of its
/// profile. The same each time.
pub(crate) fn sample(kind: EventKind) -> Event {
    match kind {
        EventKind::ProfileCreated => Event::ProfileCreated(plain(created(), false)),
        EventKind::ProfileFrozen => Event::ProfileFrozen(plain(frozen(), false)),
        EventKind::ProfileThawed => Event::ProfileThawed(plain(training(), false)),
        EventKind::StartNormal => Event::StartNormal(Box::new(StartNormal {
            context: context(started()),
            by_command: false,
            refresh: false,
        })),
        EventKind::StopNormal => Event::StopNormal(Box::new(StopNormal {
            context: context(stopped()),
            cause: StopCause::AnomalyLimit,
        })),
        EventKind::TolerizeLimit => Event::TolerizeLimit(plain(emptied(), false)),
        EventKind::Sensitized => Event::Sensitized(plain(emptied(), true)),
        EventKind::ProfileReset => Event::ProfileReset(plain(wiped(), true)),
        EventKind::ProfileForgotten => Event::ProfileForgotten(plain(normal(), true)),
        EventKind::ProfileLoaded => Event::ProfileLoaded(Box::new(ProfileLoaded {
            context: monitor_context(normal()),
            returned: false,
        })),
        EventKind::ProfileEvicted => Event::ProfileEvicted(Box::new(ProfileEvent {
            context: monitor_context(normal()),
            by_command: false,
        })),
        EventKind::ExecutableChanged => Event::ExecutableChanged(Box::new(ExecutableChanged {
            context: monitor_context(training()),
            replaced: true,
        })),
        EventKind::ProfileSetAside => Event::ProfileSetAside(Box::new(ProfileSetAside {
            time: time(),
            boot: BOOT,
            path: "/var/lib/ebph/set-aside/usr-sbin-nginx.json".into(),
            reason: "it ends early, at line 41".to_owned(),
        })),
        EventKind::Anomaly => Event::Anomaly(Box::new(anomaly())),
        EventKind::Response => Event::Response(Box::new(response())),
        EventKind::NewSequence => Event::NewSequence(Box::new(NewSequence {
            context: context(training()),
            symbol: call("sendfile"),
            window: window(&["epoll_wait", "accept4", "recvfrom", "sendfile"]),
            novel: pairs(&["recvfrom", "accept4"]),
        })),
        EventKind::UnbalancedSigreturn => {
            let mut context = context(normal());
            context.circumstances = Some(Box::new(circumstances()));
            Event::UnbalancedSigreturn(Box::new(UnbalancedSigreturn {
                context,
                certain: true,
            }))
        }
        EventKind::CapacityExhausted => {
            let mut context = context(created());
            context.profile = None;
            Event::CapacityExhausted(Box::new(CapacityExhausted {
                context,
                what: Capacity::Profiles,
            }))
        }
        EventKind::Lost => Event::Lost(Lost {
            time: time(),
            boot: BOOT,
            count: 12,
            place: LossPlace::Ring,
        }),
        EventKind::Warning => Event::Warning(Warning {
            time: time(),
            boot: BOOT,
            what: WarningKind::MissedCalls,
            count: 3,
        }),
    }
}

/// Returns the machine that they are of.
pub(crate) fn host() -> Host {
    Host {
        name: Some("web-3".to_owned()),
        kernel: Some("6.18.0".to_owned()),
        machine: Some("x86_64".to_owned()),
    }
}

fn anomaly() -> Anomaly {
    let mut context = context(ProfileView {
        anomalies: 3,
        ..normal()
    });
    context.circumstances = Some(Box::new(circumstances()));
    Anomaly {
        context,
        symbol: call("dup2"),
        window: window(&[
            "epoll_wait",
            "accept4",
            "accept4",
            "epoll_ctl",
            "epoll_wait",
            "recvfrom",
            "socket",
            "connect",
            "dup2",
        ]),
        missed: pairs(&["connect", "socket", "recvfrom"]),
        lfc: 3,
        max_lfc: 3,
        suppressed: 0,
    }
}

fn response() -> Response {
    let Anomaly {
        context,
        symbol,
        window,
        missed,
        ..
    } = anomaly();
    Response {
        context,
        action: ResponseAction::Delay(Duration::from_millis(80)),
        would_have: false,
        symbol,
        window,
        missed,
        lfc: 3,
        max_lfc: 3,
        target: None,
        suppressed: 0,
    }
}

fn time() -> SystemTime {
    // 2026-11-22T09:00:00.123456789Z
    SystemTime::UNIX_EPOCH + Duration::new(1_795_338_000, 123_456_789)
}

fn plain(profile: ProfileView, by_command: bool) -> Box<ProfileEvent> {
    Box::new(ProfileEvent {
        context: context(profile),
        by_command,
    })
}

fn context(profile: ProfileView) -> Context {
    Context {
        time: time(),
        boot: BOOT,
        actor: Actor {
            pid: Some(PID),
            tid: Some(PID),
            ppid: Some(2190),
            start: BOOT - Duration::from_secs(3 * DAY),
            comm: "nginx".to_owned(),
            comm_lossy: false,
            uid: 33,
            euid: 33,
            gid: 33,
            egid: 33,
            cgroup_id: 8_127,
        },
        profile: Some(profile),
        circumstances: None,
        lost_before: 0,
    }
}

/// Of what the monitor does by itself.
fn monitor_context(profile: ProfileView) -> Context {
    Context {
        actor: Actor {
            pid: Some(611),
            tid: Some(614),
            ppid: Some(1),
            start: Duration::from_secs(21),
            comm: "ebph-keeper".to_owned(),
            cgroup_id: 3_001,
            ..Actor::default()
        },
        ..context(profile)
    }
}

/// A profile that has just been made.
fn created() -> ProfileView {
    ProfileView {
        key: Key::new(254, 0, 10_240_041, 3_818_136_664),
        exe: Some("/usr/sbin/nginx".into()),
        script: None,
        state: State::Training,
        frozen: false,
        train_count: 0,
        last_mod_count: 0,
        anomalies: 0,
        sequences: 0,
        basis: 0,
        execs: 4,
        normal_time: None,
        age: Duration::ZERO,
        marks: Marks::default(),
    }
}

fn training() -> ProfileView {
    ProfileView {
        train_count: 184_220,
        sequences: 212,
        age: Duration::from_secs(DAY),
        ..created()
    }
}

fn frozen() -> ProfileView {
    ProfileView {
        state: State::Frozen,
        frozen: true,
        train_count: 741_004,
        last_mod_count: 555_753,
        normal_time: Some(BOOT + Duration::from_secs(7 * DAY)),
        age: Duration::from_secs(2 * DAY),
        ..training()
    }
}

/// At the moment when it becomes normal, and counting begins anew.
fn started() -> ProfileView {
    ProfileView {
        state: State::Normal,
        sequences: 212,
        basis: 741_004,
        age: Duration::from_secs(9 * DAY),
        ..created()
    }
}

fn normal() -> ProfileView {
    ProfileView {
        train_count: 1_250_731,
        last_mod_count: 1_250_731,
        age: Duration::from_secs(12 * DAY),
        ..started()
    }
}

fn stopped() -> ProfileView {
    ProfileView {
        state: State::Training,
        train_count: 1_250_790,
        last_mod_count: 2,
        anomalies: 31,
        sequences: 241,
        ..normal()
    }
}

/// Normal still, but what it was learning is gone.
fn emptied() -> ProfileView {
    ProfileView {
        train_count: 0,
        last_mod_count: 0,
        anomalies: 13,
        sequences: 0,
        ..normal()
    }
}

fn wiped() -> ProfileView {
    ProfileView {
        age: normal().age,
        ..created()
    }
}

fn circumstances() -> Circumstances {
    let path = |path: &str| Fact::at_call(PathBuf::from(path));
    let ancestor = |pid, start, comm: &str, uid, exe| Ancestor {
        pid: Some(pid),
        start: Duration::from_secs(start),
        comm: comm.to_owned(),
        comm_lossy: false,
        uid,
        exe: path(exe),
    };
    Circumstances {
        exe: path("/usr/sbin/nginx"),
        exe_deleted: false,
        args: Fact::late(vec!["nginx: worker process".into()]),
        cwd: path("/"),
        ancestors: Fact::at_call(vec![
            ancestor(2190, 522_124, "nginx", 0, "/usr/sbin/nginx"),
            ancestor(
                2170,
                522_122,
                "containerd-shim",
                0,
                "/usr/bin/containerd-shim-runc-v2",
            ),
            ancestor(1, 1, "systemd", 0, "/usr/lib/systemd/systemd"),
        ]),
        cgroup: Fact::at_call(PathBuf::from(format!(
            "/system.slice/docker-{CONTAINER}.scope"
        ))),
        container: Fact::at_call(Container {
            runtime: Some(Runtime::Docker),
            id: CONTAINER.to_owned(),
        }),
        namespaces: Namespaces {
            pid: Some(4_026_532_612),
            mnt: Some(4_026_532_609),
            net: Some(4_026_532_614),
            user: Some(4_026_531_837),
            uts: Some(4_026_532_610),
            ipc: Some(4_026_532_611),
            cgroup: Some(4_026_532_613),
        },
        pid_inside: Some(29),
        login_uid: Fact::at_call(None),
        audit_session: Fact::at_call(None),
        // CAP_KILL and CAP_NET_BIND_SERVICE
        capabilities: Fact::at_call(Capabilities::from_bits(1 << 5 | 1 << 10)),
    }
}

/// A call of x86-64, so that samples are the same on every machine.
fn call(name: &str) -> Symbol {
    // SANITY: only the names above come here, and tests use every sample; `read` otherwise.
    Symbol::from_name(Abi::X86_64, name).unwrap_or(Symbol::new(Abi::X86_64, 0))
}

fn window(names: &[&str]) -> Vec<Letter> {
    names.iter().map(|name| call(name).into()).collect()
}

/// Pairs with the calls right before, nearest first.
fn pairs(names: &[&str]) -> Vec<MissedPair> {
    (1..)
        .zip(names)
        .map(|(distance, name)| MissedPair {
            distance,
            previous: call(name).into(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a sample is of the kind it is asked for, and that its calls are what they are
    /// called.
    #[test]
    fn kinds() {
        for &kind in EventKind::ALL {
            assert_eq!(sample(kind).kind(), kind);
        }
        for name in ["dup2", "sendfile", "connect", "epoll_wait", "accept4"] {
            assert_eq!(call(name).name(), name);
        }
        assert_eq!(
            humantime::format_rfc3339_nanos(time()).to_string(),
            "2026-11-22T09:00:00.123456789Z"
        );
    }

    /// Check that every sample is written and read again alike.
    #[test]
    fn round_trips() {
        for event in EventKind::ALL.iter().copied().map(sample) {
            let json = event.to_json();
            assert_eq!(
                serde_json::from_str::<Event>(&json).unwrap(),
                event,
                "{json}"
            );
        }
    }
}
