//! Profiles to text.

use std::borrow::Cow;
use std::time::SystemTime;

use serde::Serialize as _;

use super::layout::Layout;
use super::{
    Counts, Digits, FileForm, Form, Hash, IdentityForm, MadeForm, OTHER, PathForm, SCHEMA, Table,
    Time, VERSION,
};
use crate::profile::{FileIdentity, How, ID_OTHER, Identity, Origin, Profile};
use crate::syscall::{Abi, Symbol};

impl Profile {
    /// Returns the text of a profile file: JSON with a line end, as `docs/profile-files.md`
    /// describes it.
    ///
    /// Pairs with a call that could not be named when the profile was copied from the kernel are
    /// left out.
    ///
    /// # Examples
    ///
    /// ```
    /// use ebph::{Detector, Key, Limits, Profile};
    ///
    /// let mut detector = Detector::new(Limits::default());
    /// let id = detector.add_profile(Key::new(8, 1, 42, 0));
    /// let text = detector.profile(id).expect("it was added").to_json();
    /// let profile = Profile::from_json(text.as_bytes())?;
    /// assert_eq!(profile.key(), Key::new(8, 1, 42, 0));
    /// # Ok::<(), ebph::FormatError>(())
    /// ```
    pub fn to_json(&self) -> String {
        self.to_json_at(SystemTime::now())
    }

    /// The text as if written at another time.
    pub(crate) fn to_json_at(&self, saved: SystemTime) -> String {
        let names = Names::of(self);
        let mut text = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut text, Layout::default());
        // SANITY: the form has text keys only, and nothing in it can fail to be written.
        let _ = self.form(saved, &names).serialize(&mut serializer);
        text.push(b'\n');
        String::from_utf8(text).unwrap_or_default()
    }

    fn form<'a>(&'a self, saved: SystemTime, names: &'a Names) -> Form<'a> {
        let parts = &self.parts;
        let numbers = |calls: &'a [(String, u32)]| {
            let calls = calls.iter();
            Table(calls.map(|(name, number)| (name.into(), *number)).collect())
        };
        Form {
            schema: SCHEMA.into(),
            version: VERSION,
            saved: Time(saved),
            made: made(&parts.origin),
            key: parts.key.to_string().into(),
            exe: self.exe().map(PathForm::of),
            script: self.script().map(PathForm::of),
            identity: parts.identity.as_ref().map(identity),
            abi: names.abi,
            window: parts.window,
            state: self.state(),
            frozen: self.is_frozen(),
            normal_at: self.normal_at().map(Time),
            normal_ns: (self.is_frozen() && parts.clock.is_none()).then_some(parts.normal_time_ns),
            incomplete: self.is_incomplete(),
            created: self.created_at().map(Time),
            last_exec: self.last_exec_at().map(Time),
            counts: Counts {
                train: parts.train_count,
                // The two are copied one after the other from a kernel that goes on counting.
                since_novelty: parts.last_mod_count.min(parts.train_count),
                sequences: self.sequences(),
                anomalies: parts.anomalies,
                unlearnt: parts.unlearnt,
                execs: parts.execs,
                processes_ended: parts.processes_ended,
                basis: parts.basis,
                basis_over: parts.basis_over,
            },
            calls: numbers(&names.calls),
            others: numbers(&names.others),
            train: self.plane(names, |[train, _]| train),
            test: self.plane(names, |[_, test]| test),
        }
    }

    fn plane<'a>(
        &self,
        names: &'a Names,
        plane: fn([u8; 2]) -> u8,
    ) -> Table<'a, Table<'a, Digits>> {
        let within = within(self.window());
        let row = |row: &[u16; 256]| {
            let columns = (0..=ID_OTHER).zip(row).skip(1);
            let pairs = columns.filter_map(|(previous, bits)| {
                let bits = plane(bits.to_le_bytes()) & within;
                (bits != 0).then_some((names.of_id(previous)?, Digits(bits)))
            });
            Table(pairs.collect())
        };
        let rows = (0..=ID_OTHER).zip(&self.parts.rows).skip(1);
        let rows = rows.filter_map(|(current, columns)| {
            Some((names.of_id(current)?, row(columns.as_deref()?)))
        });
        Table(rows.filter(|(_, row)| !row.0.is_empty()).collect())
    }
}

/// The bits of the distances that a window has.
pub(super) fn within(window: u8) -> u8 {
    // A window of 9 has all eight.
    u8::MAX >> (9 - window.clamp(2, 9))
}

/// What the calls of one profile are called in its file.
struct Names {
    abi: Abi,
    /// By id, from 1 on.
    calls: Vec<(String, u32)>,
    /// Index: id of the profile; the place among `calls`.
    places: Vec<Option<usize>>,
    others: Vec<(String, u32)>,
}

impl Names {
    fn of(profile: &Profile) -> Self {
        let mut names = Self {
            abi: profile.abi(),
            calls: Vec::new(),
            places: vec![None; 256],
            others: Vec::new(),
        };
        for (symbol, id) in &profile.parts.ids {
            let call = (name(*symbol, names.abi), symbol.number());
            if *id == ID_OTHER {
                names.others.push(call);
            } else {
                names.places[usize::from(*id)] = Some(names.calls.len());
                names.calls.push(call);
            }
        }
        names
    }

    fn of_id(&self, id: u8) -> Option<Cow<'_, str>> {
        if id == ID_OTHER {
            (!self.others.is_empty()).then_some(OTHER.into())
        } else {
            let place = self.places[usize::from(id)]?;
            Some(self.calls[place].0.as_str().into())
        }
    }
}

fn name(symbol: Symbol, abi: Abi) -> String {
    if symbol.abi() == abi {
        symbol.name().into_owned()
    } else {
        format!("{}:{}", symbol.abi(), symbol.name())
    }
}

fn made(origin: &Origin) -> MadeForm<'_> {
    let mut form = MadeForm {
        how: "".into(),
        crate_version: origin.crate_version.as_str().into(),
        kernel: None,
        format: None,
        traces: None,
        profiles: None,
    };
    form.how = match &origin.how {
        How::Live { kernel } => {
            form.kernel = Some(kernel.as_str().into());
            "live".into()
        }
        How::Detector => "detector".into(),
        How::Traces { format, traces } => {
            form.format = Some(format.as_str().into());
            form.traces = Some(*traces);
            "traces".into()
        }
        How::Merged { profiles } => {
            form.profiles = Some(*profiles);
            "merged".into()
        }
        How::Other(name) => name.as_str().into(),
    };
    form
}

fn identity(identity: &Identity) -> IdentityForm {
    IdentityForm {
        exe: file(&identity.exe),
        script: identity.script.as_ref().map(file),
        cgroup: identity.cgroup.as_deref().map(PathForm::of),
    }
}

fn file(file: &FileIdentity) -> FileForm {
    FileForm {
        path: PathForm::of(&file.path),
        inode: file.inode,
        size: file.size,
        modified: Time(file.modified),
        changed: Time(file.changed),
        sha256: file.sha256.map(Hash),
    }
}
