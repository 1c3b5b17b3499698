//! What is said, and where: results on standard output, the rest on standard error.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;

/// How it went, where it went at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Complete,
    /// Something was left out, and has been told.
    Incomplete,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Message(String),
    #[error("cannot write the results: {0}")]
    Output(#[from] io::Error),
    #[error(transparent)]
    Profile(#[from] ebph::Error),
    /// It has been told already.
    #[error("nothing was done")]
    Said,
}

impl Failure {
    /// Whether whoever read the results has gone away, which is no fault.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == ErrorKind::BrokenPipe)
    }
}

impl From<csv::Error> for Failure {
    fn from(error: csv::Error) -> Self {
        Self::Output(error.into())
    }
}

/// Says something on standard error.
pub fn note(text: &impl Display) {
    // SANITY: with standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "replay: {text}");
}

/// A name from a file as text that does nothing to a terminal.
pub fn printable(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => name.as_bytes().escape_ascii().to_string(),
    }
}

/// A number of things: `1 trace`, `2 traces`.
pub fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}
