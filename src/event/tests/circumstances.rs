//! Circumstances as JSON: arbitrary ones there and back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::read;
use crate::event::samples::sample;
use crate::event::{
    Ancestor, Capabilities, Circumstances, Container, Event, EventKind, Fact, Namespaces, Runtime,
    Source,
};

fn any_source() -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Call),
        Just(Source::Late),
        Just(Source::Unknown),
        Just(Source::Redacted),
    ]
}

fn any_fact<T: std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Fact<T>> {
    (option::of(value), any_source(), any::<bool>()).prop_map(|(value, source, truncated)| Fact {
        value,
        source,
        truncated,
    })
}

/// Any bytes, or any text.
fn any_name() -> impl Strategy<Value = OsString> {
    prop_oneof![
        any::<String>().prop_map(OsString::from),
        vec(any::<u8>(), 0..20).prop_map(OsString::from_vec),
    ]
}

fn any_path() -> impl Strategy<Value = PathBuf> {
    any_name().prop_map(PathBuf::from)
}

fn any_ancestor() -> impl Strategy<Value = Ancestor> {
    (
        any::<Option<u32>>(),
        any::<u64>(),
        any::<String>(),
        any::<bool>(),
        any::<u32>(),
        any_fact(any_path()),
    )
        .prop_map(|(pid, start, comm, comm_lossy, uid, exe)| Ancestor {
            pid,
            start: std::time::Duration::from_nanos(start),
            comm,
            comm_lossy,
            uid,
            exe,
        })
}

fn any_container() -> impl Strategy<Value = Container> {
    let runtime = option::of((0..Runtime::ALL.len()).prop_map(|index| Runtime::ALL[index]));
    (runtime, any::<String>()).prop_map(|(runtime, id)| Container { runtime, id })
}

fn any_namespaces() -> impl Strategy<Value = Namespaces> {
    any::<[Option<u32>; 7]>().prop_map(|[pid, mnt, net, user, uts, ipc, cgroup]| Namespaces {
        pid,
        mnt,
        net,
        user,
        uts,
        ipc,
        cgroup,
    })
}

pub(super) fn any_circumstances() -> impl Strategy<Value = Circumstances> {
    let paths = (
        any_fact(any_path()),
        any_fact(any_path()),
        any_fact(any_path()),
        any::<bool>(),
    );
    let lists = (
        any_fact(vec(any_name(), 0..4)),
        any_fact(vec(any_ancestor(), 0..3)),
    );
    let ids = (
        any_fact(any::<u32>()),
        any_fact(any::<u32>()),
        any::<Option<u32>>(),
        any_fact(any::<u64>().prop_map(Capabilities::from_bits)),
    );
    (
        paths,
        lists,
        ids,
        any_fact(any_container()),
        any_namespaces(),
    )
        .prop_map(|(paths, lists, ids, container, namespaces)| {
            let (exe, cwd, cgroup, exe_deleted) = paths;
            let (args, ancestors) = lists;
            let (login_uid, audit_session, pid_inside, capabilities) = ids;
            Circumstances {
                exe,
                exe_deleted,
                args,
                cwd,
                ancestors,
                cgroup,
                container,
                namespaces,
                pid_inside,
                login_uid,
                audit_session,
                capabilities,
            }
        })
}

/// An alert in these circumstances.
fn alert(circumstances: Option<Circumstances>) -> Event {
    let mut event = sample(EventKind::Anomaly);
    let Event::Anomaly(anomaly) = &mut event else {
        unreachable!("a sample is of the kind that was asked for")
    };
    anomaly.context.circumstances = circumstances.map(Box::new);
    event
}

/// Whether everything in it is text.
fn is_text(circumstances: &Circumstances) -> bool {
    let path = |fact: &Fact<PathBuf>| {
        fact.value
            .as_ref()
            .is_none_or(|path| path.to_str().is_some())
    };
    let args = circumstances.args.value.as_deref().unwrap_or_default();
    let ancestors = circumstances.ancestors.value.as_deref().unwrap_or_default();
    path(&circumstances.exe)
        && path(&circumstances.cwd)
        && path(&circumstances.cgroup)
        && args.iter().all(|arg| arg.to_str().is_some())
        && ancestors.iter().all(|ancestor| path(&ancestor.exe))
}

proptest! {
    /// Check that any circumstances are written and read again alike: exactly where all is
    /// text, and otherwise as what was shown and marked.
    #[test]
    fn round_trip(circumstances in any_circumstances()) {
        let event = alert(Some(circumstances.clone()));
        let json = event.to_json();
        let again = read(&json);
        prop_assert_eq!(again.to_json(), json.clone());
        if is_text(&circumstances) {
            prop_assert_eq!(again, event);
        } else {
            prop_assert!(json.contains("_lossy"), "{}", json);
        }
    }
}

/// Check that nothing known and nothing gathered are told apart.
#[test]
fn unknown_is_not_absent() {
    let nothing = alert(Some(Circumstances::default()));
    assert!(nothing.to_json().contains(r#""exe":null,"args":null"#));
    assert!(
        nothing
            .to_json()
            .contains(r#""exe_unknown","args_unknown""#)
    );
    assert_eq!(read(&nothing.to_json()), nothing);
    let absent = alert(None);
    assert!(!absent.to_json().contains("namespaces"));
    assert_eq!(read(&absent.to_json()), absent);
}

/// Check that a login that never was is not taken for one that is unknown.
#[test]
fn none_is_not_unknown() {
    let circumstances = Circumstances {
        login_uid: Fact::at_call(None),
        ..Circumstances::default()
    };
    let json = alert(Some(circumstances)).to_json();
    assert!(json.contains(r#""login_uid":null"#));
    assert!(!json.contains("login_uid_"), "{json}");
}

/// Check that an alert of a later version is read, with what has no name here as unknown.
#[test]
fn of_a_later_version() {
    let json = sample(EventKind::Anomaly).to_json();
    let read = |from: &str, to: &str| {
        assert!(json.contains(from), "{json}");
        let event: Event = serde_json::from_str(&json.replace(from, to)).unwrap();
        *event.context().unwrap().circumstances.clone().unwrap()
    };
    let known = read("", "");
    let later = read(r#""CAP_KILL""#, r#""CAP_MAGIC""#);
    assert!(later.capabilities.is_unknown() && later.capabilities.value.is_none());
    let later = read(r#""runtime":"docker""#, r#""runtime":"jail""#);
    let mut expected = known.clone();
    expected.container.value.as_mut().unwrap().runtime = None;
    assert_eq!(later, expected);
}

/// Check that a name cannot pretend to be what stands behind it.
#[test]
fn name_as_a_sentence() {
    let ancestor = Ancestor {
        pid: Some(7),
        comm: "a (pid 1) of b".to_owned(),
        ..Ancestor::default()
    };
    let event = alert(Some(Circumstances {
        ancestors: Fact::at_call(vec![ancestor]),
        args: Fact::at_call(vec!["x".into(), "(cut)".into(), "\"y".into()]),
        ..Circumstances::default()
    }));
    let line = event.to_string();
    assert!(
        line.contains("; started by \"a (pid 1) of b\" (pid 7); "),
        "{line}"
    );
    let lines = format!("{event:#}");
    assert!(
        lines.contains("\"a (pid 1) of b\" (pid 7, uid 0)"),
        "{lines}"
    );
    assert!(lines.contains(r#"x "(cut)" "\"y""#), "{lines}");
}
