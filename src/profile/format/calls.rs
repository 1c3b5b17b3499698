//! Names of calls to ids, and pairs to rows.

use std::collections::HashMap;

use super::write::within;
use super::{Digits, Form, FormatError, OTHER, Table};
use crate::profile::ID_OTHER;
use crate::profile::planes::{ID_LAST, Planes};
use crate::syscall::{Abi, Symbol};

type Ids<'a> = HashMap<&'a str, u8>;

fn calls<'a>(
    abi: Abi,
    calls: &'a Table<'_, u32>,
    others: &'a Table<'_, u32>,
) -> Result<(Planes, Ids<'a>), FormatError> {
    let abi = match abi.unprefixed() {
        Some(own) if own == abi => abi,
        _ => {
            let problem = format!("expected x86_64, aarch64 or raw, found {abi}");
            return Err(FormatError::value("abi", problem));
        }
    };
    let most = usize::from(ID_LAST);
    if calls.0.len() > most {
        let problem = format!("expected at most {most} calls, found {}", calls.0.len());
        return Err(FormatError::value("calls", problem));
    }
    let mut planes = Planes::default();
    let mut ids = HashMap::with_capacity(calls.0.len() + 1);
    let field = |list: &str, name: &str| format!("{list}.{name}");
    let twice = "stands for a call that is listed already";
    for (name, number) in &calls.0 {
        let wrong = |problem: String| FormatError::value(field("calls", name), problem);
        let symbol = symbol(abi, name, *number).map_err(wrong)?;
        let (id, new) = planes.identify(symbol);
        if !new {
            return Err(wrong(twice.to_owned()));
        }
        ids.insert(&**name, id);
    }
    for (name, number) in &others.0 {
        let wrong = |problem: String| FormatError::value(field("others", name), problem);
        let symbol = symbol(abi, name, *number).map_err(wrong)?;
        if !planes.identify_other(symbol) {
            return Err(wrong(twice.to_owned()));
        }
    }
    if !others.0.is_empty() {
        ids.insert(OTHER, ID_OTHER);
    }
    Ok((planes, ids))
}

fn symbol(own: Abi, name: &str, number: u32) -> Result<Symbol, String> {
    if name == OTHER {
        return Err("is no call, but the name of all that are listed in others".to_owned());
    }
    let (abi, bare) = match name.split_once(':') {
        Some((abi, bare)) => (abi.parse(), bare),
        None => (Ok(own), name),
    };
    let abi: Abi = abi.map_err(|error| error.to_string())?;
    Ok(Symbol::from_name(abi, bare).unwrap_or_else(|| Symbol::new(abi, number)))
}

/// Reads pairs of calls that were listed before.
pub(super) struct PlaneReader<'a> {
    planes: Planes,
    names: Ids<'a>,
    window: u8,
}

impl<'a> PlaneReader<'a> {
    /// Reads which calls there are.
    pub(super) fn new(form: &'a Form<'_>) -> Result<Self, FormatError> {
        let (planes, names) = calls(form.abi, &form.calls, &form.others)?;
        Ok(Self {
            planes,
            names,
            window: form.window,
        })
    }

    pub(super) fn into_planes(self) -> Planes {
        self.planes
    }

    /// Reads a plane whose bits begin at `shift` in a row's words.
    pub(super) fn plane(
        &mut self,
        field: &str,
        shift: u32,
        plane: &Table<'_, Table<'_, Digits>>,
    ) -> Result<(), FormatError> {
        let within = within(self.window);
        let mut seen = [false; 256];
        for (current, row) in &plane.0 {
            let wrong = |previous: &str, problem: &str| {
                FormatError::value(format!("{field}.{current}{previous}"), problem)
            };
            let current_id = self.id(current).ok_or_else(|| wrong("", NOT_LISTED))?;
            if std::mem::replace(&mut seen[usize::from(current_id)], true) {
                return Err(wrong("", TWICE));
            }
            for (previous, Digits(bits)) in &row.0 {
                let wrong = |problem: &str| wrong(&format!(".{previous}"), problem);
                let previous = self.id(previous).ok_or_else(|| wrong(NOT_LISTED))?;
                if bits & !within != 0 {
                    let most = self.window - 1;
                    let window = self.window;
                    return Err(wrong(&format!(
                        "expected distances up to {most}, as the window is {window}"
                    )));
                }
                let before = self
                    .planes
                    .set(current_id, previous, u16::from(*bits) << shift);
                if before & 0xff << shift != 0 {
                    return Err(wrong(TWICE));
                }
            }
        }
        Ok(())
    }

    fn id(&self, name: &str) -> Option<u8> {
        self.names.get(name).copied()
    }
}

const TWICE: &str = "is there twice";
const NOT_LISTED: &str = "is not among the calls that are listed";
