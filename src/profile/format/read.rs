//! Text to profiles.

use std::time::SystemTime;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use super::calls::PlaneReader;
use super::times::Times;
use super::{
    Counts, FileForm, Form, FormatError, IdentityForm, MAX_BYTES, MadeForm, SCHEMA, VERSION,
    presentable,
};
use crate::clock::Clock;
use crate::profile::{
    FileIdentity, How, Identity, LONGEST_WINDOW, Origin, Profile, ProfileParts, SEQUENCES_SHIFT,
    STATE_FROZEN, STATE_INCOMPLETE, STATE_LIVE, STATE_NORMAL, State,
};

impl Profile {
    /// Reads the text of a profile file.
    ///
    /// Calls are known by their names; where this version does not know the name, by their number.
    /// Calls of another machine stay what they are; [`for_abi`](Self::for_abi) translates them.
    ///
    /// The rest of a frozen profile's wait begins to run now. It is never longer than it was when
    /// the file was written, whatever happened to the clock meanwhile.
    ///
    /// # Errors
    ///
    /// [`FormatError`] says what is wrong, and where. Fields that this version does not know are no
    /// error.
    pub fn from_json(text: &[u8]) -> Result<Self, FormatError> {
        Self::from_json_at(text, Clock::now(), SystemTime::now())
    }

    /// Reads the text as if at another time.
    pub(crate) fn from_json_at(
        text: &[u8],
        clock: Clock,
        now: SystemTime,
    ) -> Result<Self, FormatError> {
        let bytes = text.len() as u64;
        if bytes > MAX_BYTES {
            return Err(FormatError::TooLarge {
                bytes,
                limit: MAX_BYTES,
            });
        }
        let form = parse(text)?;
        profile(form, clock, now)
    }
}

/// What tells whether the rest can be understood.
#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    schema: serde_json::Value,
    version: Option<u64>,
}

fn parse(text: &[u8]) -> Result<Form<'_>, FormatError> {
    // Serde would take a list for an object, its fields one after the other.
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    let parsed = match first {
        Some(b'{') | None => serde_json::from_slice::<Form>(text),
        _ => serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(text)
            .and_then(|_| serde_json::from_slice::<Form>(text)),
    };
    let error = match parsed {
        Ok(form) if form.schema == SCHEMA && form.version == VERSION => return Ok(form),
        Ok(form) => {
            let schema = serde_json::Value::from(&*form.schema);
            return Err(header(&schema, Some(form.version))
                .unwrap_or_else(|| FormatError::value("version", format!("expected {VERSION}"))));
        }
        Err(error) => error,
    };
    let is_json = || serde_json::from_slice::<IgnoredAny>(text).is_ok();
    Err(match error.classify() {
        Category::Eof => FormatError::Truncated { line: error.line() },
        // Some values of a wrong type are called bad syntax.
        Category::Syntax | Category::Io if !is_json() => FormatError::Syntax {
            problem: error.to_string(),
        },
        _ => serde_json::from_slice::<Header>(text)
            .ok()
            .and_then(|found| header(&found.schema, found.version))
            .unwrap_or_else(|| explain(text, &error)),
    })
}

/// What is wrong with the two fields that say what the file is; `None` if nothing is.
fn header(schema: &serde_json::Value, version: Option<u64>) -> Option<FormatError> {
    if schema != SCHEMA {
        let found = if schema.is_null() {
            "none".to_owned()
        } else {
            presentable(&schema.to_string())
        };
        return Some(FormatError::Schema { found });
    }
    version
        .filter(|version| *version > VERSION)
        .map(|found| FormatError::Version {
            found,
            newest: VERSION,
        })
}

/// Reads once more, for the way to the field that is wrong.
fn explain(text: &[u8], error: &serde_json::Error) -> FormatError {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let field = match serde_path_to_error::deserialize::<_, Form>(&mut deserializer) {
        Err(error) => error.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    let place = format!(" at line {} column {}", error.line(), error.column());
    let problem = error.to_string();
    FormatError::Value {
        field: match &*field {
            "." => "(whole file)".to_owned(),
            field => presentable(field),
        },
        line: Some(error.line()),
        problem: presentable(problem.strip_suffix(&place).unwrap_or(&problem)),
    }
}

fn profile(form: Form<'_>, clock: Clock, now: SystemTime) -> Result<Profile, FormatError> {
    let value = FormatError::value;
    if !(2..=LONGEST_WINDOW).contains(&form.window) {
        return Err(value(
            "window",
            format!("expected 2 to 9, found {}", form.window),
        ));
    }
    let key = form.key.parse();
    let key = key.map_err(|error: crate::key::ParseKeyError| value("key", error.to_string()))?;
    let times = Times::of(&form, clock, now)?;
    let state_word = state_word(&form)?;
    let mut reader = PlaneReader::new(&form)?;
    reader.plane("train", 0, &form.train)?;
    reader.plane("test", 8, &form.test)?;
    let planes = reader.into_planes();
    Ok(Profile::from_parts(ProfileParts {
        key,
        exe: form.exe.map(|path| path.0),
        script: form.script.map(|path| path.0),
        state_word,
        train_count: form.counts.train,
        last_mod_count: form.counts.since_novelty,
        anomalies: form.counts.anomalies,
        normal_time_ns: times.normal_ns,
        unlearnt: form.counts.unlearnt,
        execs: form.counts.execs,
        processes_ended: form.counts.processes_ended,
        basis: form.counts.basis,
        basis_over: form.counts.basis_over,
        created_ns: times.created_ns,
        last_exec_ns: times.last_exec_ns,
        rows_held: planes.rows_held(),
        clock: times.clock,
        identity: form.identity.map(identity),
        origin: origin(form.made)?,
        window: form.window,
        saved: Some(form.saved.0),
        ids: planes.ids,
        rows: planes.rows,
    }))
}

fn state_word(form: &Form<'_>) -> Result<u64, FormatError> {
    let Counts {
        train,
        since_novelty,
        sequences,
        ..
    } = form.counts;
    let value = FormatError::value;
    if since_novelty > train {
        let problem = format!("cannot be more than counts.train, {train}: found {since_novelty}");
        return Err(value("counts.since_novelty", problem));
    }
    let most = u64::MAX >> SEQUENCES_SHIFT;
    if sequences > most {
        let problem = format!("expected at most {most}, found {sequences}");
        return Err(value("counts.sequences", problem));
    }
    if form.state != State::Normal && form.frozen != (form.state == State::Frozen) {
        let problem = format!("contradicts the state, which is {}", form.state);
        return Err(value("frozen", problem));
    }
    let flags = [
        (form.state == State::Normal, STATE_NORMAL),
        (form.frozen, STATE_FROZEN),
        (form.incomplete, STATE_INCOMPLETE),
    ];
    let flags = flags.iter().filter(|(set, _)| *set);
    let word = flags.fold(STATE_LIVE, |word, (_, flag)| word | flag);
    Ok(sequences << SEQUENCES_SHIFT | word)
}

fn origin(form: MadeForm<'_>) -> Result<Origin, FormatError> {
    let needed = |field: &str| FormatError::value(format!("made.{field}"), "is missing");
    let how = match &*form.how {
        "live" => How::Live {
            kernel: form.kernel.ok_or_else(|| needed("kernel"))?.into_owned(),
        },
        "detector" => How::Detector,
        "traces" => How::Traces {
            format: form.format.ok_or_else(|| needed("format"))?.into_owned(),
            traces: form.traces.ok_or_else(|| needed("traces"))?,
        },
        "merged" => How::Merged {
            profiles: form.profiles.ok_or_else(|| needed("profiles"))?,
        },
        other => How::Other(other.to_owned()),
    };
    Ok(Origin {
        how,
        crate_version: form.crate_version.into_owned(),
    })
}

fn identity(form: IdentityForm) -> Identity {
    Identity {
        exe: file(form.exe),
        script: form.script.map(file),
        cgroup: form.cgroup.map(|path| path.0),
    }
}

fn file(form: FileForm) -> FileIdentity {
    FileIdentity {
        path: form.path.0,
        inode: form.inode,
        size: form.size,
        modified: form.modified.0,
        changed: form.changed.0,
        sha256: form.sha256.map(|hash| hash.0),
    }
}
