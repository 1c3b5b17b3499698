//! Processes in the Open Cybersecurity Schema Framework.

use std::path::Path;

use serde_json::{Value, json};

use super::ms;
use crate::event::export::{command_line, entity, name_of, whole};
use crate::event::{Ancestor, Context};

/// The process that an event is about; nothing if it cannot be named.
pub(super) fn process(context: &Context) -> Value {
    let actor = &context.actor;
    let Some(uid) = entity(actor.pid, actor.start) else {
        return Value::Null;
    };
    let around = context.circumstances.as_deref();
    let ancestors = around.and_then(|around| around.ancestors.value.as_deref());
    let deleted = around.is_some_and(|around| around.exe_deleted);
    let login = around.and_then(|around| around.login_uid.value);
    let session = around.and_then(|around| around.audit_session.value);
    let container = around.and_then(|around| around.container.value.as_ref());
    json!({
        "pid": actor.pid,
        "uid": uid,
        "ptid": actor.tid,
        "name": context.process_name(),
        "path": context.exe().map(Path::to_string_lossy),
        "file": context.exe().map(|exe| file(exe, deleted)),
        "cmd_line": around.and_then(command_line),
        "working_directory": around
            .and_then(|around| whole(&around.cwd))
            .map(Path::to_string_lossy),
        "created_time": ms(context.wall(actor.start)),
        "user": { "uid": actor.uid.to_string() },
        "group": { "uid": actor.gid.to_string() },
        "euid": actor.euid,
        "egid": actor.egid,
        "auid": login,
        "session": { "uid": session.map(|session| session.to_string()) },
        "namespace_pid": around.and_then(|around| around.pid_inside),
        "container": {
            "uid": container.map(|container| &container.id),
            "runtime": container
                .and_then(|container| container.runtime)
                .map(crate::event::Runtime::as_str),
        },
        "parent_process": parent(context, ancestors.and_then(<[Ancestor]>::first)),
        "ancestry": ancestors.map(|list| {
            list.iter()
                .map(|ancestor| entity_of(context, ancestor))
                .collect::<Vec<_>>()
        }),
    })
}

fn parent(context: &Context, parent: Option<&Ancestor>) -> Value {
    let Some(parent) = parent else {
        return json!({ "pid": context.actor.ppid });
    };
    // One that cannot be named is among the ancestry all the same.
    if parent.pid.is_none() {
        return Value::Null;
    }
    let mut process = entity_of(context, parent);
    process["user"] = json!({ "uid": parent.uid.to_string() });
    process["file"] = json!(whole(&parent.exe).map(|exe| file(exe, false)));
    process
}

fn entity_of(context: &Context, ancestor: &Ancestor) -> Value {
    json!({
        "pid": ancestor.pid,
        "uid": entity(ancestor.pid, ancestor.start),
        "name": name_of(ancestor.exe.value.as_deref(), &ancestor.comm),
        "path": whole(&ancestor.exe).map(Path::to_string_lossy),
        "created_time": ms(context.wall(ancestor.start)),
    })
}

pub(super) fn file(path: &Path, deleted: bool) -> Value {
    json!({
        "name": name_of(Some(path), "unknown"),
        "path": path.to_string_lossy(),
        "type_id": 8,
        "type": "Executable File",
        "is_deleted": deleted.then_some(true),
    })
}
