//! What is printed, and where. Output that nobody reads is no reason to panic.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ebph::Event;
use rustix::event::{PollFd, PollFlags, poll};
use serde::Serialize;

use crate::format::Format;

/// How long who reads events may keep a monitor waiting that is to end.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// How often to look whether it is to end.
const LOOK: Duration = Duration::from_millis(250);
/// A pipe that can be written to at all takes so much at once.
const PIECE: usize = 4096;

/// Says since when a monitor is to end, if it is.
#[derive(Clone, Debug, Default)]
pub struct Ending(Arc<OnceLock<Instant>>);

impl Ending {
    pub fn begin(&self) {
        self.0.get_or_init(Instant::now);
    }

    fn is_over(&self) -> bool {
        let began = self.0.get();
        began.is_some_and(|began| began.elapsed() >= FAREWELL_MAX)
    }
}

/// Returns a handler that prints events: for programs on standard output, for people on standard
/// error. Calls `gone`, once, when standard output is closed. Who does not read is waited for, but
/// not by a monitor that is to end.
pub fn printer(
    format: Format,
    ending: Ending,
    gone: impl Fn() + Send + 'static,
) -> impl FnMut(&Event) + Send + 'static {
    let mut open = true;
    move |event| {
        if !open {
            return;
        }
        let line = format.of(event) + "\n";
        let people = format.is_for_people();
        let written = if people {
            put(&io::stderr().lock(), line.as_bytes(), &ending)
        } else {
            put(&io::stdout().lock(), line.as_bytes(), &ending)
        };
        let Err(error) = written else { return };
        // With standard error gone there is nobody left to tell, but somebody may still ask.
        open = people && error.kind() != ErrorKind::TimedOut;
        if people {
            return;
        }
        if error.kind() != ErrorKind::BrokenPipe {
            let line = format!("monitor: cannot write events: {error}\n");
            // SANITY: as above; they may even be the same pipe.
            let _ = put(&io::stderr().lock(), line.as_bytes(), &ending);
        }
        gone();
    }
}

/// Writes everything, however long that takes; with an end in sight, not much longer.
fn put(file: &impl AsFd, bytes: &[u8], ending: &Ending) -> io::Result<()> {
    let look = rustix::time::Timespec::try_from(LOOK).ok();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut files = [PollFd::new(file, PollFlags::OUT)];
        match poll(&mut files, look.as_ref()) {
            Ok(0) if ending.is_over() => {
                return Err(io::Error::new(ErrorKind::TimedOut, "nobody reads them"));
            }
            Ok(0) => continue,
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => (),
        }
        match rustix::io::write(file, &rest[..rest.len().min(PIECE)]) {
            Ok(written) => rest = &rest[written..],
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Prints a line on standard output. Who has read enough may close it.
pub fn print(text: &impl Display) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot print: {error}"))
        }
        _ => Ok(()),
    }
}

/// Prints a line on standard error.
pub fn note(text: &impl Display) {
    // SANITY: with standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says what went wrong.
pub fn complain(message: &str) {
    // Paths and names in it may have been chosen by anybody.
    note(&format_args!("monitor: {}", printable(message)));
}

/// Returns one line of JSON in which nothing commands a terminal, or turns the direction of text
/// around: JSON itself would let some of it pass. Empty for what has no such form.
pub fn json(value: &impl Serialize) -> String {
    // SANITY: fails for maps whose keys are not text, of which there are none here.
    let text = serde_json::to_string(value).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ' '..='~') || c.escape_debug().len() == 1 {
            out.push(c);
        } else {
            let mut units = [0; 2];
            out.extend(
                c.encode_utf16(&mut units)
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}")),
            );
        }
    }
    out
}

/// Returns a text in which everything is escaped that could command a terminal.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}
