//! Events as messages for syslog, by RFC 5424.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use super::export::{Host, PRODUCT, Severity};
use super::{Context, Event};
use crate::clock;

/// "Security/authorization messages", which others than administrators should not read.
const FACILITY: u8 = 10;

/// How many bytes of a value are kept, escapes counted: its end, which tells more of a path. Even if
/// all values are as long, there is room for them.
const VALUE: usize = 180;

/// Stands where something was cut off.
const CUT: &str = "...";

impl Event {
    /// The name of the structured data in [`to_syslog`](Self::to_syslog).
    ///
    /// RFC 5424 asks for the number of an enterprise in it. This is the one that RFC 5612 keeps
    /// for examples: no enterprise stands behind `ebph`.
    pub const SYSLOG_ID: &str = "ebph@32473";

    /// The most bytes that [`to_syslog`](Self::to_syslog) returns: what RFC 5424 recommends that
    /// every receiver can take.
    pub const SYSLOG_MAX: usize = 2048;

    /// Returns the event as one message for syslog, as of this machine, without a line end.
    ///
    /// It follows RFC 5424: facility 10, a severity that goes by [`severity`](Self::severity), the
    /// kind as MSGID, the main facts as structured data, and the text of Display as message. It has
    /// at most [`SYSLOG_MAX`](Self::SYSLOG_MAX) bytes, of which none is a control character. What
    /// is too long is cut short, has `...` where something is missing, and is listed in the
    /// parameter `cut`.
    ///
    /// # Examples
    ///
    /// ```
    /// use ebph::{EventKind, Host, testing};
    ///
    /// let line = testing::sample(EventKind::Lost).to_syslog_of(&Host::named("web-3"));
    /// assert!(line.starts_with("<85>1 2026-11-22T09:00:00.123456Z web-3 ebph - lost [ebph@32473 "));
    /// ```
    pub fn to_syslog(&self) -> String {
        self.to_syslog_of(&Host::here())
    }

    /// Returns the event as [`to_syslog`](Self::to_syslog) does, as of another machine: for events
    /// that were read from elsewhere.
    pub fn to_syslog_of(&self, host: &Host) -> String {
        let mut cut = Vec::new();
        let mut data = String::new();
        for (name, value) in self.facts() {
            let value = printable(&value);
            let kept = end_of(&value);
            if kept.len() < value.len() {
                cut.push(name);
            }
            let dots = if kept.len() < value.len() { CUT } else { "" };
            // SANITY: writing into a string does not fail.
            let _ = write!(data, " {name}=\"{dots}{}\"", escaped(kept));
        }
        let text = self.summary();
        let line = self.syslog_line(host, &data, &cut, &text);
        if line.len() <= Self::SYSLOG_MAX {
            return line;
        }
        cut.push("message");
        let empty = self.syslog_line(host, &data, &cut, "");
        // Room for the mark of text that is not ASCII, and for what tells that it was cut.
        let room = Self::SYSLOG_MAX.saturating_sub(empty.len() + BOM.len() + CUT.len());
        let text = format!("{}{CUT}", start_of(&text, room));
        self.syslog_line(host, &data, &cut, &text)
    }

    fn syslog_line(&self, host: &Host, data: &str, cut: &[&str], text: &str) -> String {
        let priority = FACILITY * 8 + self.syslog_severity();
        let time = humantime::format_rfc3339_micros(clock::printable(self.time()));
        let host = host.name.as_deref().map_or("-".to_owned(), header);
        let kind = self.kind();
        let id = Self::SYSLOG_ID;
        let cut = match cut {
            [] => String::new(),
            cut => format!(" cut=\"{}\"", cut.join(",")),
        };
        let bom = if text.is_ascii() { "" } else { BOM };
        format!("<{priority}>1 {time} {host} {PRODUCT} - {kind} [{id}{data}{cut}] {bom}{text}")
    }

    /// The severity of syslog, from 2 (critical) to 6 (informational).
    pub(super) fn syslog_severity(&self) -> u8 {
        match self.severity() {
            Severity::High => 2,
            Severity::Medium => 4,
            Severity::Low => 5,
            Severity::Informational => 6,
        }
    }

    /// The main facts, each by a short name; what is not known is not among them.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let mut add = |name, value: Option<String>| {
            facts.extend(value.map(|value| (name, value)));
        };
        if let Some(context) = self.context() {
            context_facts(context, &mut add);
        }
        if let Some(response) = self.response() {
            let wait = response.action.wait().map(|wait| wait.as_nanos());
            let target = response.target.as_deref().map(Path::to_string_lossy);
            add("response", Some(response.action.as_str().to_owned()));
            add("would_have", Some(response.would_have.to_string()));
            add("wait_ns", wait.map(|wait| wait.to_string()));
            add("target", target.map(Cow::into_owned));
        }
        if let Some(call) = self.call() {
            let missed = call.missed.iter().map(|pair| pair.distance.to_string());
            add("call", Some(call.symbol.to_string()));
            add("window", Some(call.window().join(" ")));
            add("missed", Some(missed.collect::<Vec<_>>().join(" ")));
            add("lfc", Some(call.lfc.to_string()));
            add("max_lfc", Some(call.max_lfc.to_string()));
            add("suppressed", Some(call.suppressed.to_string()));
            add("lost_before", Some(call.context.lost_before.to_string()));
        }
        match self {
            Self::UnbalancedSigreturn(event) => add("certain", Some(event.certain.to_string())),
            Self::StopNormal(event) => add("cause", Some(event.cause.as_str().to_owned())),
            Self::CapacityExhausted(event) => add("what", Some(event.what.as_str().to_owned())),
            Self::Lost(event) => {
                add("place", Some(event.place.as_str().to_owned()));
                add("count", Some(event.count.to_string()));
            }
            Self::Warning(event) => {
                add("what", Some(event.what.as_str().to_owned()));
                add("count", Some(event.count.to_string()));
            }
            Self::ProfileSetAside(event) => {
                add("path", Some(event.path.to_string_lossy().into_owned()));
            }
            _ => {}
        }
        facts
    }
}

/// What is put before text that is not all ASCII.
const BOM: &str = "\u{feff}";

fn context_facts(context: &Context, add: &mut impl FnMut(&'static str, Option<String>)) {
    let actor = &context.actor;
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    let around = context.circumstances.as_deref();
    let exe = around.and_then(|around| around.exe.value.as_deref());
    let container = around.and_then(|around| around.container.value.as_ref());
    add("pid", number(actor.pid));
    add("tid", number(actor.tid));
    add("ppid", number(actor.ppid));
    add("start_boot_ns", Some(actor.start.as_nanos().to_string()));
    add("comm", Some(actor.comm.clone()));
    add("uid", number(Some(actor.uid)));
    add("euid", number(Some(actor.euid)));
    add(
        "login_uid",
        number(around.and_then(|around| around.login_uid.value)),
    );
    add("exe", exe.map(|exe| exe.to_string_lossy().into_owned()));
    add("container", container.map(|container| container.id.clone()));
    if let Some(profile) = &context.profile {
        let program = profile.script.as_ref().or(profile.exe.as_ref());
        add(
            "program",
            program.map(|path| path.to_string_lossy().into_owned()),
        );
        add("profile", Some(profile.key.to_string()));
        add("state", Some(profile.state.to_string()));
        add("basis", Some(profile.basis.to_string()));
        add("train_count", Some(profile.train_count.to_string()));
        add("anomalies", Some(profile.anomalies.to_string()));
    }
}

/// Control characters, and what turns the direction of text around, as escapes.
fn printable(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\'' | '"' => out.push(c),
            _ => out.extend(c.escape_debug()),
        }
    }
    out
}

/// As RFC 5424 has it for values: three characters have a backslash before them.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    for c in value.chars() {
        if needs_escape(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

const fn needs_escape(c: char) -> bool {
    matches!(c, '"' | '\\' | ']')
}

/// The name of a host, as the header may have it: ASCII that can be seen, at most 255 of it.
fn header(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .take(255)
        .collect();
    if name.is_empty() {
        "-".to_owned()
    } else {
        name
    }
}

/// The end of a value, as much of it as is kept.
fn end_of(value: &str) -> &str {
    let mut room = VALUE;
    let mut start = value.len();
    for (place, c) in value.char_indices().rev() {
        let bytes = c.len_utf8() + usize::from(needs_escape(c));
        if bytes > room {
            break;
        }
        room -= bytes;
        start = place;
    }
    &value[start..]
}

/// The beginning of a text, of so many bytes at most.
fn start_of(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
