//! The records of the ring buffer, as `include/ebph/events.h` lays them out.
//!
//! Read field by field: no unsafe code, and no layout that compiler or padding could change.

use crate::key::Key;

pub(super) const DISTANCES: usize = 8;
pub(super) const COMM: usize = 16;
pub(super) const PATH: usize = 256;
pub(super) const SYMBOL_NONE: u16 = 0xffff;

/// Size of `struct ebph_event`.
pub(super) const EVENT_SIZE: usize = 712;
/// Size of `struct ebph_call_event`.
pub(super) const CALL_EVENT_SIZE: usize = 760;

// enum ebph_event_flag
pub(super) const BY_COMMAND: u32 = 1;
pub(super) const REFRESH: u32 = 2;
pub(super) const CERTAIN: u32 = 4;
pub(super) const CAUSE_LIMIT: u32 = 8;
pub(super) const CAUSE_CHANGED: u32 = 16;
pub(super) const CAUSE_SLOTS: u32 = 32;
pub(super) const CAUSE_ROWS: u32 = 64;
pub(super) const NO_PROFILE: u32 = 128;
pub(super) const REPLACED: u32 = 256;
pub(super) const RETURNED: u32 = 512;
pub(super) const SURROUNDED: u32 = 1024;
pub(super) const WOULD_HAVE: u32 = 2048;

// enum ebph_response
pub(super) const RESPONSE_DELAY: u32 = 1;
pub(super) const RESPONSE_SUSPEND: u32 = 2;
pub(super) const RESPONSE_DENY: u32 = 3;
pub(super) const RESPONSE_KILL: u32 = 4;

/// Size of `struct ebph_circumstances`, behind which its texts are.
pub(super) const CIRCUMSTANCES_SIZE: usize = 384;
pub(super) const ANCESTORS: usize = 8;
pub(super) const TEXTS: usize = 16;

// enum ebph_text_of
pub(super) const TEXT_EXE: usize = 0;
pub(super) const TEXT_CWD: usize = 1;
pub(super) const TEXT_ARGS: usize = 2;
pub(super) const TEXT_CGROUP: usize = 3;
pub(super) const TEXT_ANCESTOR: usize = 4;
pub(super) const TEXT_TARGET: usize = 12;

// enum ebph_known
pub(super) const KNOWN_ANCESTORS: u32 = 1 << 16;
pub(super) const KNOWN_LOGIN: u32 = 1 << 18;
pub(super) const KNOWN_CAPABILITIES: u32 = 1 << 19;
pub(super) const KNOWN_DELETED: u32 = 1 << 20;
pub(super) const KNOWN_REDACTED: u32 = 1 << 21;

// enum ebph_profile_flag
pub(super) const PROFILE_SCRIPT: u32 = 1;
pub(super) const PROFILE_NO_PATH: u32 = 2;
pub(super) const PROFILE_EXE_TRUNCATED: u32 = 4;
pub(super) const PROFILE_SCRIPT_TRUNCATED: u32 = 8;
pub(super) const PROFILE_SCRIPT_UNNAMED: u32 = 16;

/// The bytes not read yet.
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(first)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take().map(|[byte]| *byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().copied().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().copied().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().copied().map(u64::from_ne_bytes)
    }
}

/// `struct ebph_event_header`
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) size: u16,
    pub(super) flags: u32,
    pub(super) time: u64,
    pub(super) lost: u64,
}

impl Header {
    pub(super) fn read(from: &mut Cursor<'_>) -> Option<Self> {
        Some(Self {
            kind: from.u16()?,
            size: from.u16()?,
            flags: from.u32()?,
            time: from.u64()?,
            lost: from.u64()?,
        })
    }
}

/// `struct ebph_actor`
pub(super) struct Actor<'a> {
    pub(super) start: u64,
    pub(super) cgroup_id: u64,
    pub(super) pid: u32,
    pub(super) tid: u32,
    pub(super) ppid: u32,
    pub(super) uid: u32,
    pub(super) euid: u32,
    pub(super) gid: u32,
    pub(super) egid: u32,
    pub(super) comm: &'a [u8; COMM],
}

impl<'a> Actor<'a> {
    pub(super) fn read(from: &mut Cursor<'a>) -> Option<Self> {
        Some(Self {
            start: from.u64()?,
            cgroup_id: from.u64()?,
            pid: from.u32()?,
            tid: from.u32()?,
            ppid: from.u32()?,
            uid: from.u32()?,
            euid: from.u32()?,
            gid: from.u32()?,
            egid: from.u32()?,
            comm: {
                from.u32()?;
                from.take()?
            },
        })
    }
}

/// `struct ebph_view`
pub(super) struct View {
    pub(super) key: Key,
    pub(super) train_count: u64,
    pub(super) last_mod_count: u64,
    pub(super) sequences: u64,
    pub(super) anomalies: u64,
    pub(super) normal_time: u64,
    pub(super) created: u64,
    pub(super) basis: u64,
    pub(super) execs: u64,
    pub(super) state: u32,
    pub(super) flags: u32,
}

impl View {
    pub(super) fn read(from: &mut Cursor<'_>) -> Option<Self> {
        let (ino, script, partition) = (from.u64()?, from.u64()?, from.u64()?);
        let (dev, generation) = (from.u32()?, from.u32()?);
        let view = Self {
            key: Key::from_wire(ino, script, partition, dev, generation),
            train_count: from.u64()?,
            last_mod_count: from.u64()?,
            sequences: from.u64()?,
            anomalies: from.u64()?,
            normal_time: from.u64()?,
            created: from.u64()?,
            basis: from.u64()?,
            execs: from.u64()?,
            state: from.u32()?,
            flags: from.u32()?,
        };
        // Slot and generation mean nothing outside the kernel.
        from.u64()?;
        Some(view)
    }
}

/// `struct ebph_names`
pub(super) struct Names<'a> {
    pub(super) exe: &'a [u8; PATH],
    pub(super) script: &'a [u8; PATH],
}

impl<'a> Names<'a> {
    pub(super) fn read(from: &mut Cursor<'a>) -> Option<Self> {
        Some(Self {
            exe: from.take()?,
            script: from.take()?,
        })
    }
}

/// `struct ebph_call_view`
pub(super) struct CallView {
    pub(super) window: [u16; DISTANCES],
    pub(super) symbol: u16,
    pub(super) missed: u8,
    pub(super) others: u8,
    pub(super) lfc: u32,
    pub(super) max_lfc: u32,
    pub(super) response: u32,
    pub(super) suppressed: u64,
    pub(super) wait: u64,
}

impl CallView {
    pub(super) fn read(from: &mut Cursor<'_>) -> Option<Self> {
        let mut window = [SYMBOL_NONE; DISTANCES];
        for place in &mut window {
            *place = from.u16()?;
        }
        Some(Self {
            window,
            symbol: from.u16()?,
            missed: from.u8()?,
            others: from.u8()?,
            lfc: from.u32()?,
            max_lfc: from.u32()?,
            response: from.u32()?,
            suppressed: from.u64()?,
            wait: from.u64()?,
        })
    }
}

/// `struct ebph_ancestor`
pub(super) struct Ancestor<'a> {
    pub(super) start: u64,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) comm: &'a [u8; COMM],
}

/// `struct ebph_circumstances`
pub(super) struct Surroundings<'a> {
    pub(super) known: u32,
    pub(super) cut: u32,
    pub(super) capabilities: u64,
    pub(super) login_uid: u32,
    pub(super) session: u32,
    pub(super) pid_inside: u32,
    /// Of pids, mounts, network, users, names, messages, cgroups.
    pub(super) namespaces: [u32; 7],
    pub(super) ancestors: u32,
    pub(super) texts: u32,
    /// Where each text is, and how long.
    pub(super) text: [(u16, u16); TEXTS],
    pub(super) ancestor: Vec<Ancestor<'a>>,
}

impl<'a> Surroundings<'a> {
    pub(super) fn read(from: &mut Cursor<'a>) -> Option<Self> {
        let (known, cut, capabilities) = (from.u32()?, from.u32()?, from.u64()?);
        let (login_uid, session, pid_inside) = (from.u32()?, from.u32()?, from.u32()?);
        let mut namespaces = [0; 7];
        for namespace in &mut namespaces {
            *namespace = from.u32()?;
        }
        let (ancestors, texts) = (from.u32()?, from.u32()?);
        let mut text = [(0, 0); TEXTS];
        for text in &mut text {
            *text = (from.u16()?, from.u16()?);
        }
        let mut ancestor = Vec::with_capacity(ANCESTORS);
        for _ in 0..ANCESTORS {
            ancestor.push(Ancestor {
                start: from.u64()?,
                pid: from.u32()?,
                uid: from.u32()?,
                comm: from.take()?,
            });
        }
        Some(Self {
            known,
            cut,
            capabilities,
            login_uid,
            session,
            pid_inside,
            namespaces,
            ancestors,
            texts,
            text,
            ancestor,
        })
    }
}

/// A thread's name, and whether something in it was replaced.
pub(super) fn comm(bytes: &[u8]) -> (String, bool) {
    let comm = String::from_utf8_lossy(until_nul(bytes));
    // Owned only when something had to be.
    let lossy = matches!(comm, std::borrow::Cow::Owned(_));
    (comm.into_owned(), lossy)
}

/// Text up to its end, or all of it.
pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = concat!(
        include_str!("../../include/ebph/wire.h"),
        include_str!("../../include/ebph/events.h")
    );

    /// Finds `name = number` in the C header.
    fn constant(name: &str) -> u64 {
        let found = HEADER.lines().find_map(|line| {
            let (left, right) = line.trim().split_once(" = ")?;
            (left == name).then(|| right.split(',').next())?
        });
        let text = found.unwrap_or_else(|| panic!("{name} is in neither header"));
        match text.strip_prefix("0x") {
            Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).unwrap(),
            None => match text.split_once(" << ") {
                Some((one, by)) => one.parse::<u64>().unwrap() << by.parse::<u32>().unwrap(),
                None => text.parse().unwrap(),
            },
        }
    }

    /// Check that the numbers here are those of the C header.
    #[test]
    fn constants() {
        for (name, here) in [
            ("EBPH_DISTANCES", DISTANCES as u64),
            ("EBPH_COMM", COMM as u64),
            ("EBPH_PATH", PATH as u64),
            ("EBPH_SYMBOL_NONE", SYMBOL_NONE.into()),
            ("EBPH_BY_COMMAND", BY_COMMAND.into()),
            ("EBPH_REFRESH", REFRESH.into()),
            ("EBPH_CERTAIN", CERTAIN.into()),
            ("EBPH_CAUSE_LIMIT", CAUSE_LIMIT.into()),
            ("EBPH_CAUSE_CHANGED", CAUSE_CHANGED.into()),
            ("EBPH_CAUSE_SLOTS", CAUSE_SLOTS.into()),
            ("EBPH_CAUSE_ROWS", CAUSE_ROWS.into()),
            ("EBPH_NO_PROFILE", NO_PROFILE.into()),
            ("EBPH_SURROUNDED", SURROUNDED.into()),
            ("EBPH_ANCESTORS", ANCESTORS as u64),
            ("EBPH_TEXTS", TEXTS as u64),
            ("EBPH_TEXT_EXE", TEXT_EXE as u64),
            ("EBPH_TEXT_CWD", TEXT_CWD as u64),
            ("EBPH_TEXT_ARGS", TEXT_ARGS as u64),
            ("EBPH_TEXT_CGROUP", TEXT_CGROUP as u64),
            ("EBPH_TEXT_ANCESTOR", TEXT_ANCESTOR as u64),
            ("EBPH_KNOWN_ANCESTORS", KNOWN_ANCESTORS.into()),
            ("EBPH_KNOWN_LOGIN", KNOWN_LOGIN.into()),
            ("EBPH_KNOWN_CAPABILITIES", KNOWN_CAPABILITIES.into()),
            ("EBPH_KNOWN_DELETED", KNOWN_DELETED.into()),
            ("EBPH_KNOWN_REDACTED", KNOWN_REDACTED.into()),
            ("EBPH_PROFILE_SCRIPT", PROFILE_SCRIPT.into()),
            ("EBPH_PROFILE_NO_PATH", PROFILE_NO_PATH.into()),
            ("EBPH_PROFILE_EXE_TRUNCATED", PROFILE_EXE_TRUNCATED.into()),
            (
                "EBPH_PROFILE_SCRIPT_TRUNCATED",
                PROFILE_SCRIPT_TRUNCATED.into(),
            ),
            ("EBPH_PROFILE_SCRIPT_UNNAMED", PROFILE_SCRIPT_UNNAMED.into()),
        ] {
            assert_eq!(constant(name), here, "{name}");
        }
        for &kind in crate::event::EventKind::ALL {
            let name = format!("EBPH_EVENT_{}", kind.as_str().to_uppercase());
            if crate::event::EventKind::from_wire(kind as u16).is_some() {
                assert_eq!(constant(&name), kind as u64, "{name}");
            }
        }
    }

    /// Lists the members of a struct in the C header, as in `__u64 start`.
    fn members(name: &str) -> Vec<&'static str> {
        let start = format!("struct {name} {{");
        let (_, after) = HEADER
            .split_once(&start)
            .unwrap_or_else(|| panic!("no struct {name}"));
        let (body, _) = after.split_once("\n};").unwrap();
        body.lines()
            .filter_map(|line| Some(line.split_once(';')?.0.trim()))
            .collect()
    }

    /// Check that the C header has the members that are read here, in the order they are read.
    #[test]
    fn layout() {
        let expected: [(&str, &[&str]); 10] = [
            (
                "ebph_event_header",
                &[
                    "__u16 kind",
                    "__u16 size",
                    "__u32 flags",
                    "__u64 time",
                    "__u64 lost",
                ],
            ),
            (
                "ebph_actor",
                &[
                    "__u64 start",
                    "__u64 cgroup_id",
                    "__u32 pid",
                    "__u32 tid",
                    "__u32 ppid",
                    "__u32 uid",
                    "__u32 euid",
                    "__u32 gid",
                    "__u32 egid",
                    "__u32 pad",
                    "__u8 comm[EBPH_COMM]",
                ],
            ),
            (
                "ebph_key",
                &[
                    "__u64 ino",
                    "__u64 script",
                    "__u64 partition",
                    "__u32 dev",
                    "__u32 generation",
                ],
            ),
            (
                "ebph_view",
                &[
                    "struct ebph_key key",
                    "__u64 train_count",
                    "__u64 last_mod_count",
                    "__u64 sequences",
                    "__u64 anomalies",
                    "__u64 normal_time",
                    "__u64 created",
                    "__u64 basis",
                    "__u64 execs",
                    "__u32 state",
                    "__u32 flags",
                    "__u32 slot",
                    "__u32 generation",
                ],
            ),
            (
                "ebph_names",
                &["__u8 exe[EBPH_PATH]", "__u8 script[EBPH_PATH]"],
            ),
            (
                "ebph_call_view",
                &[
                    "__u16 window[EBPH_DISTANCES]",
                    "__u16 symbol",
                    "__u8 missed",
                    "__u8 others",
                    "__u32 lfc",
                    "__u32 max_lfc",
                    "__u32 response",
                    "__u64 suppressed",
                    "__u64 wait",
                ],
            ),
            ("ebph_text", &["__u16 at", "__u16 length"]),
            (
                "ebph_ancestor",
                &[
                    "__u64 start",
                    "__u32 pid",
                    "__u32 uid",
                    "__u8 comm[EBPH_COMM]",
                ],
            ),
            (
                "ebph_circumstances",
                &[
                    "__u32 known",
                    "__u32 cut",
                    "__u64 capabilities",
                    "__u32 login_uid",
                    "__u32 session",
                    "__u32 pid_inside",
                    "__u32 ns_pid",
                    "__u32 ns_mnt",
                    "__u32 ns_net",
                    "__u32 ns_user",
                    "__u32 ns_uts",
                    "__u32 ns_ipc",
                    "__u32 ns_cgroup",
                    "__u32 ancestors",
                    "__u32 texts",
                    "struct ebph_text text[EBPH_TEXTS]",
                    "struct ebph_ancestor ancestor[EBPH_ANCESTORS]",
                ],
            ),
            (
                "ebph_event",
                &[
                    "struct ebph_event_header head",
                    "struct ebph_actor actor",
                    "struct ebph_view view",
                    "struct ebph_names names",
                ],
            ),
        ];
        for (name, expected) in expected {
            assert_eq!(members(name), expected, "{name}");
        }
    }

    /// Check that each part takes as many bytes as the C header says.
    #[test]
    fn sizes() {
        let bytes = [0; CALL_EVENT_SIZE];
        let mut from = Cursor::new(&bytes);
        let mut before = bytes.len();
        let mut took = |from: &Cursor<'_>| {
            let took = before - from.0.len();
            before = from.0.len();
            took
        };
        Header::read(&mut from).unwrap();
        assert_eq!(took(&from), 24);
        Actor::read(&mut from).unwrap();
        assert_eq!(took(&from), 64);
        View::read(&mut from).unwrap();
        assert_eq!(took(&from), 112);
        Names::read(&mut from).unwrap();
        assert_eq!(took(&from), 512);
        assert_eq!(from.0.len(), CALL_EVENT_SIZE - EVENT_SIZE);
        CallView::read(&mut from).unwrap();
        assert_eq!(took(&from), 48);
        assert!(CallView::read(&mut from).is_none());

        let bytes = [0; CIRCUMSTANCES_SIZE];
        let mut from = Cursor::new(&bytes);
        Surroundings::read(&mut from).unwrap();
        assert!(from.rest().is_empty());
    }
}
