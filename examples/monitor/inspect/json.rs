//! A profile as JSON.

use std::time::SystemTime;

use ebph::{FileIdentity, Letter, Pair, Profile};
use serde_json::{Value, json};

use super::View;
use super::windows::Windows;

/// Everything that is to be shown, as one object.
pub fn report(view: &View<'_>) -> Value {
    let calls = view.profile.symbols().map(|symbol| symbol.to_string());
    let pairs = view.pairs.iter().map(|pair| row(view, pair));
    json!({
        "schema": 1,
        "profile": header(view.profile),
        "calls": calls.collect::<Vec<_>>(),
        "pairs": pairs.collect::<Vec<_>>(),
        "pairs_left_out": view.all - view.pairs.len(),
    })
}

fn header(profile: &Profile) -> Value {
    let identity = profile.identity();
    let script = identity.and_then(|identity| identity.script.as_ref());
    json!({
        "key": profile.key(),
        "exe": profile.exe().map(|path| path.to_string_lossy()),
        "script": profile.script().map(|path| path.to_string_lossy()),
        "state": profile.state(),
        "frozen": profile.is_frozen(),
        "incomplete": profile.is_incomplete(),
        "normal_at": profile.normal_at().map(time),
        "train_count": profile.train_count(),
        "last_mod_count": profile.last_mod_count(),
        "sequences": profile.sequences(),
        "anomalies": profile.anomalies(),
        "unlearnt": profile.unlearnt(),
        "execs": profile.execs(),
        "processes_ended": profile.processes_ended(),
        "window": profile.window(),
        "created_at": profile.created_at().map(time),
        "last_exec_at": profile.last_exec_at().map(time),
        "saved_at": profile.saved_at().map(time),
        "origin": profile.origin().to_string(),
        "executable": identity.map(|identity| file(&identity.exe)),
        "script_file": script.map(file),
        "cgroup": identity.and_then(|identity| Some(identity.cgroup.as_ref()?.to_string_lossy())),
    })
}

fn file(file: &FileIdentity) -> Value {
    json!({
        "path": file.path.to_string_lossy(),
        "inode": file.inode,
        "size": file.size,
        "modified": time(file.modified),
        "changed": time(file.changed),
        "sha256": file.sha256.map(|hash| super::text::hexadecimal(&hash)),
    })
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_nanos(time).to_string()
}

fn row(view: &View<'_>, pair: &Pair) -> Value {
    let mut row = json!({
        "current": pair.current.to_string(),
        "previous": pair.previous.to_string(),
        "train": pair.train_distances().collect::<Vec<_>>(),
        "test": pair.test_distances().collect::<Vec<_>>(),
    });
    if view.closely {
        let windows = Windows::of(&view.planes, pair);
        row["windows"] = windows.iter().map(|one| window(one, pair)).collect();
    }
    row
}

fn window(windows: &Windows, pair: &Pair) -> Value {
    let name = |letter: &Letter| letter.to_string();
    let shape = windows.shape(pair);
    let shape = shape.iter().map(|letter| letter.as_ref().map(name));
    let fitting = windows.fitting.iter();
    let fitting = fitting.map(|window| window.iter().map(name).collect::<Vec<_>>());
    json!({
        "distance": windows.distance,
        "train": windows.train,
        "test": windows.test,
        "shape": shape.collect::<Vec<_>>(),
        "fitting": fitting.collect::<Vec<_>>(),
        "fitting_count": windows.count,
        "fitting_complete": windows.complete,
    })
}
