//! What is printed, and where. Output that nobody reads is no reason to panic.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

use ebph::Event;

/// Returns a handler that prints events: as JSON on standard output, or for people on standard
/// error. Calls `gone`, once, when standard output is closed.
pub fn printer(
    json: bool,
    gone: impl Fn() + Send + 'static,
) -> impl FnMut(&Event) + Send + 'static {
    let mut open = true;
    move |event| {
        if !json {
            note(&event);
        } else if open {
            let line = event.to_json() + "\n";
            let mut out = io::stdout().lock();
            let written = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            if let Err(error) = written {
                open = false;
                if error.kind() != ErrorKind::BrokenPipe {
                    complain(&format!("cannot write events: {error}"));
                }
                gone();
            }
        }
    }
}

/// Prints a line on standard output.
pub fn print(text: &impl Display) {
    // SANITY: as in `note`.
    let _ = writeln!(io::stdout(), "{text}");
}

/// Prints a line on standard error.
pub fn note(text: &impl Display) {
    // SANITY: with standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says what went wrong.
pub fn complain(message: &str) {
    note(&format_args!("monitor: {message}"));
}
