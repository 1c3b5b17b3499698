//! What surrounds a call, within an event's JSON: fields of the event itself, beside marks that
//! say how each is known.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{COMM_LOSSY, ns};
use crate::event::{
    Ancestor, Capabilities, Circumstances, Container, Fact, Namespaces, Runtime, Source,
};

type Marks<'a> = Vec<Cow<'a, str>>;

const EXE_DELETED: &str = "exe_deleted";

#[derive(Serialize, Deserialize)]
pub(super) struct AncestorForm<'a> {
    pid: Option<u32>,
    start_boot_ns: u64,
    comm: Cow<'a, str>,
    uid: u32,
    exe: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marks: Marks<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ContainerForm<'a> {
    runtime: Option<Cow<'a, str>>,
    id: Cow<'a, str>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NamespacesForm {
    pid: Option<u32>,
    mnt: Option<u32>,
    net: Option<u32>,
    user: Option<u32>,
    uts: Option<u32>,
    ipc: Option<u32>,
    cgroup: Option<u32>,
}

/// The fields that an event has for its circumstances.
pub(super) struct CircumstancesForm<'a> {
    pub exe: Option<Cow<'a, str>>,
    pub args: Option<Vec<Cow<'a, str>>>,
    pub cwd: Option<Cow<'a, str>>,
    pub ancestors: Option<Vec<AncestorForm<'a>>>,
    pub cgroup: Option<Cow<'a, str>>,
    pub container: Option<ContainerForm<'a>>,
    pub namespaces: NamespacesForm,
    pub pid_inside: Option<u32>,
    pub login_uid: Option<u32>,
    pub audit_session: Option<u32>,
    pub capabilities: Option<Vec<String>>,
}

impl<'a> CircumstancesForm<'a> {
    /// Lays circumstances out, and adds what is to be said about them to the marks.
    pub(super) fn of(from: &'a Circumstances, marks: &mut Marks<'a>) -> Self {
        if from.exe_deleted {
            marks.push(EXE_DELETED.into());
        }
        note(marks, "exe", &from.exe);
        note(marks, "args", &from.args);
        note(marks, "cwd", &from.cwd);
        note(marks, "ancestors", &from.ancestors);
        note(marks, "cgroup", &from.cgroup);
        note(marks, "container", &from.container);
        note(marks, "login_uid", &from.login_uid);
        note(marks, "audit_session", &from.audit_session);
        note(marks, "capabilities", &from.capabilities);
        let args = from.args.value.as_ref().map(|args| {
            let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
            if args.iter().any(|arg| is_lossy(arg)) {
                marks.push("args_lossy".into());
            }
            args
        });
        Self {
            exe: path(marks, "exe", &from.exe),
            args,
            cwd: path(marks, "cwd", &from.cwd),
            ancestors: from
                .ancestors
                .value
                .as_ref()
                .map(|list| list.iter().map(AncestorForm::of).collect()),
            cgroup: path(marks, "cgroup", &from.cgroup),
            container: from.container.value.as_ref().map(ContainerForm::of),
            namespaces: NamespacesForm::of(from.namespaces),
            pid_inside: from.pid_inside,
            login_uid: from.login_uid.value,
            audit_session: from.audit_session.value,
            capabilities: from.capabilities.value.map(|set| set.names().collect()),
        }
    }

    /// Reads what [`of`](Self::of) laid out.
    ///
    /// A later version may know capabilities and runtimes that have no name here: they become
    /// unknown, since an alert must not be refused for that.
    pub(super) fn into_circumstances(self, marks: &[Cow<'_, str>]) -> Circumstances {
        let paths = |name, value: Option<Cow<'_, str>>| {
            fact(
                marks,
                name,
                value.map(|text| PathBuf::from(text.into_owned())),
            )
        };
        let args = self.args.map(|args| {
            args.into_iter()
                .map(|arg| OsString::from(arg.into_owned()))
                .collect()
        });
        let ancestors = self
            .ancestors
            .map(|list| list.into_iter().map(AncestorForm::into_ancestor).collect());
        let capabilities = match self.capabilities.as_deref().map(read_set) {
            Some(None) => Fact::default(),
            set => fact(marks, "capabilities", set.flatten()),
        };
        Circumstances {
            exe: paths("exe", self.exe),
            exe_deleted: has(marks, EXE_DELETED),
            args: fact(marks, "args", args),
            cwd: paths("cwd", self.cwd),
            ancestors: fact(marks, "ancestors", ancestors),
            cgroup: paths("cgroup", self.cgroup),
            container: fact(
                marks,
                "container",
                self.container.map(ContainerForm::into_container),
            ),
            namespaces: self.namespaces.into_namespaces(),
            pid_inside: self.pid_inside,
            login_uid: fact(marks, "login_uid", self.login_uid),
            audit_session: fact(marks, "audit_session", self.audit_session),
            capabilities,
        }
    }
}

impl<'a> AncestorForm<'a> {
    fn of(from: &'a Ancestor) -> Self {
        let mut marks = Marks::new();
        if from.comm_lossy {
            marks.push(COMM_LOSSY.into());
        }
        note(&mut marks, "exe", &from.exe);
        Self {
            pid: from.pid,
            start_boot_ns: ns(from.start),
            comm: from.comm.as_str().into(),
            uid: from.uid,
            exe: path(&mut marks, "exe", &from.exe),
            marks,
        }
    }

    fn into_ancestor(self) -> Ancestor {
        let exe = self.exe.map(|text| PathBuf::from(text.into_owned()));
        Ancestor {
            pid: self.pid,
            start: Duration::from_nanos(self.start_boot_ns),
            comm: self.comm.into_owned(),
            comm_lossy: has(&self.marks, COMM_LOSSY),
            uid: self.uid,
            exe: fact(&self.marks, "exe", exe),
        }
    }
}

impl<'a> ContainerForm<'a> {
    fn of(from: &'a Container) -> Self {
        Self {
            runtime: from.runtime.map(|runtime| runtime.as_str().into()),
            id: from.id.as_str().into(),
        }
    }

    fn into_container(self) -> Container {
        let known = |name: Cow<'_, str>| {
            let mut all = Runtime::ALL.iter().copied();
            all.find(|runtime| runtime.as_str() == name)
        };
        Container {
            runtime: self.runtime.and_then(known),
            id: self.id.into_owned(),
        }
    }
}

impl NamespacesForm {
    fn of(from: Namespaces) -> Self {
        let Namespaces {
            pid,
            mnt,
            net,
            user,
            uts,
            ipc,
            cgroup,
        } = from;
        Self {
            pid,
            mnt,
            net,
            user,
            uts,
            ipc,
            cgroup,
        }
    }

    fn into_namespaces(self) -> Namespaces {
        Namespaces {
            pid: self.pid,
            mnt: self.mnt,
            net: self.net,
            user: self.user,
            uts: self.uts,
            ipc: self.ipc,
            cgroup: self.cgroup,
        }
    }
}

/// `None` if one of them has no name here.
fn read_set(names: &[String]) -> Option<Capabilities> {
    names.iter().try_fold(Capabilities::default(), |set, name| {
        Some(set.union(Capabilities::named(name)?))
    })
}

/// The mark of how something is known; what was seen at the call needs none.
const fn source_mark(source: Source) -> Option<&'static str> {
    match source {
        Source::Call => None,
        Source::Late => Some("late"),
        Source::Unknown => Some("unknown"),
        Source::Redacted => Some("redacted"),
    }
}

fn note<T>(marks: &mut Marks<'_>, name: &str, fact: &Fact<T>) {
    let cut = fact.truncated.then_some("truncated");
    for mark in cut.into_iter().chain(source_mark(fact.source)) {
        marks.push(format!("{name}_{mark}").into());
    }
}

fn fact<T>(marks: &[Cow<'_, str>], name: &str, value: Option<T>) -> Fact<T> {
    let has = |mark: &str| has(marks, &format!("{name}_{mark}"));
    let source = [Source::Late, Source::Unknown, Source::Redacted]
        .into_iter()
        .find(|source| source_mark(*source).is_some_and(has))
        .unwrap_or(Source::Call);
    Fact {
        value,
        source,
        truncated: has("truncated"),
    }
}

fn path<'a>(marks: &mut Marks<'a>, name: &str, fact: &'a Fact<PathBuf>) -> Option<Cow<'a, str>> {
    let text = OsStr::to_string_lossy(fact.value.as_deref()?.as_os_str());
    if is_lossy(&text) {
        marks.push(format!("{name}_lossy").into());
    }
    Some(text)
}

/// Tells whether text may have been changed to be text. Also if it was read from JSON where that
/// had happened, so that the mark stays however often it is read and written.
pub(super) fn is_lossy(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}

fn has(marks: &[Cow<'_, str>], name: &str) -> bool {
    marks.iter().any(|mark| mark == name)
}
