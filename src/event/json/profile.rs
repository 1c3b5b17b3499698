//! A profile within an event's JSON.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ns;
use crate::event::{Marks, ProfileView};
use crate::key::Key;
use crate::profile::State;

#[derive(Serialize, Deserialize)]
pub(super) struct ProfileForm<'a> {
    key: Key,
    exe: Option<Cow<'a, str>>,
    script: Option<Cow<'a, str>>,
    state: State,
    train_count: u64,
    last_mod_count: u64,
    anomalies: u64,
    #[serde(default)]
    sequences: u64,
    #[serde(default)]
    frozen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    normal_boot_ns: Option<u64>,
    #[serde(default)]
    age_ns: u64,
    #[serde(default)]
    basis: u64,
    #[serde(default)]
    execs: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marks: Vec<Cow<'a, str>>,
}

impl<'a> ProfileForm<'a> {
    pub(super) fn of(view: &'a ProfileView) -> Self {
        let text = |path: &'a Option<PathBuf>| path.as_deref().map(Path::to_string_lossy);
        Self {
            key: view.key,
            exe: text(&view.exe),
            script: text(&view.script),
            state: view.state,
            train_count: view.train_count,
            last_mod_count: view.last_mod_count,
            anomalies: view.anomalies,
            sequences: view.sequences,
            frozen: view.frozen,
            normal_boot_ns: view.normal_time.map(ns),
            age_ns: ns(view.age),
            basis: view.basis,
            execs: view.execs,
            marks: view.marks.names().map(Cow::Borrowed).collect(),
        }
    }

    pub(super) fn into_view(self) -> ProfileView {
        let path = |text: Option<Cow<'a, str>>| text.map(|text| text.into_owned().into());
        ProfileView {
            key: self.key,
            exe: path(self.exe),
            script: path(self.script),
            state: self.state,
            frozen: self.frozen,
            train_count: self.train_count,
            last_mod_count: self.last_mod_count,
            anomalies: self.anomalies,
            sequences: self.sequences,
            normal_time: self.normal_boot_ns.map(Duration::from_nanos),
            age: Duration::from_nanos(self.age_ns),
            basis: self.basis,
            execs: self.execs,
            marks: Marks::from_names(&self.marks),
        }
    }
}
