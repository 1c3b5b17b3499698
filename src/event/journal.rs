//! Events as entries for systemd's journal.

use std::os::unix::ffi::OsStrExt as _;

use super::export::PRODUCT;
use super::{Context, Event};

/// One field of an entry in the journal: its name, and a value that may hold any bytes.
pub type JournalField = (&'static str, Vec<u8>);

impl Event {
    /// Returns the event as the fields of an entry in systemd's journal.
    ///
    /// `MESSAGE`, `PRIORITY`, `SYSLOG_IDENTIFIER` and `SYSLOG_FACILITY` are the journal's own. The
    /// main facts are `EBPH_EVENT`, `EBPH_PID` and so on; `EBPH_JSON` is all of it, as
    /// [`to_json`](Self::to_json) writes it. Paths are what they are, byte for byte. Something
    /// that is not known has no field.
    ///
    /// # Examples
    ///
    /// ```
    /// use ebph::{EventKind, testing};
    ///
    /// let fields = testing::sample(EventKind::Anomaly).to_journal_fields();
    /// assert!(fields.contains(&("EBPH_CALL", b"dup2".to_vec())));
    /// assert!(fields.contains(&("PRIORITY", b"4".to_vec())));
    /// ```
    pub fn to_journal_fields(&self) -> Vec<JournalField> {
        let mut fields: Vec<JournalField> = vec![
            ("MESSAGE", self.summary().into_bytes()),
            ("PRIORITY", text(self.syslog_severity())),
            ("SYSLOG_IDENTIFIER", text(PRODUCT)),
            ("SYSLOG_FACILITY", text(10)),
            ("EBPH_EVENT", text(self.kind())),
            ("EBPH_ID", text(self.uid())),
            ("EBPH_JSON", text(self.to_json())),
        ];
        let mut add = |name, value: Option<Vec<u8>>| {
            fields.extend(value.map(|value| (name, value)));
        };
        if let Some(context) = self.context() {
            context_fields(context, &mut add);
        }
        if let Some(response) = self.response() {
            let wait = response.action.wait();
            let target = response.target.as_deref();
            add("EBPH_RESPONSE", Some(text(response.action.as_str())));
            add("EBPH_WOULD_HAVE", Some(text(response.would_have)));
            add("EBPH_WAIT_NS", wait.map(|wait| text(wait.as_nanos())));
            add(
                "EBPH_TARGET",
                target.map(|target| target.as_os_str().as_bytes().to_vec()),
            );
        }
        if let Some(call) = self.call() {
            add("EBPH_CALL", Some(text(call.symbol)));
            add("EBPH_WINDOW", Some(text(call.window().join(" "))));
            add("EBPH_MISSES", Some(text(call.missed.len())));
            add("EBPH_LFC", Some(text(call.lfc)));
            add("EBPH_MAX_LFC", Some(text(call.max_lfc)));
        }
        fields
    }

    /// Returns the same as one message of the journal's native protocol.
    ///
    /// Send it as one datagram to the socket `/run/systemd/journal/socket`. An event fits: it is
    /// smaller than the datagrams that a socket takes by default.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::os::unix::net::UnixDatagram;
    /// use ebph::{EventKind, testing};
    ///
    /// let journal = UnixDatagram::unbound()?;
    /// journal.connect("/run/systemd/journal/socket")?;
    /// journal.send(&testing::sample(EventKind::Anomaly).to_journal())?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn to_journal(&self) -> Vec<u8> {
        let mut message = Vec::new();
        for (name, value) in self.to_journal_fields() {
            message.extend_from_slice(name.as_bytes());
            if value.contains(&b'\n') {
                message.push(b'\n');
                message.extend_from_slice(&(value.len() as u64).to_le_bytes());
            } else {
                message.push(b'=');
            }
            message.extend_from_slice(&value);
            message.push(b'\n');
        }
        message
    }
}

fn context_fields(context: &Context, add: &mut impl FnMut(&'static str, Option<Vec<u8>>)) {
    let actor = &context.actor;
    let around = context.circumstances.as_deref();
    let exe = around.and_then(|around| around.exe.value.as_deref());
    let container = around.and_then(|around| around.container.value.as_ref());
    let login = around.and_then(|around| around.login_uid.value);
    add("EBPH_PID", actor.pid.map(text));
    add("EBPH_TID", actor.tid.map(text));
    add("EBPH_PPID", actor.ppid.map(text));
    add("EBPH_COMM", Some(text(&actor.comm)));
    add("EBPH_UID", Some(text(actor.uid)));
    add("EBPH_EUID", Some(text(actor.euid)));
    add("EBPH_LOGIN_UID", login.map(text));
    add(
        "EBPH_EXE",
        exe.map(|exe| exe.as_os_str().as_bytes().to_vec()),
    );
    add(
        "EBPH_CONTAINER_ID",
        container.map(|container| text(&container.id)),
    );
    if let Some(profile) = &context.profile {
        let program = profile.script.as_ref().or(profile.exe.as_ref());
        add(
            "EBPH_PROGRAM",
            program.map(|path| path.as_os_str().as_bytes().to_vec()),
        );
        add("EBPH_PROFILE", Some(text(profile.key)));
        add("EBPH_STATE", Some(text(profile.state)));
    }
}

fn text(value: impl ToString) -> Vec<u8> {
    value.to_string().into_bytes()
}
