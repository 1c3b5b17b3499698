//! What surrounds an alert: the bytes behind its record.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::circumstances::{Ancestor, Capabilities, Circumstances, Fact, Namespaces};
use super::container::Container;
use super::wire::{self, Cursor, Surroundings, comm};

/// Reads them, and what was to be executed, if that is told; `None` if the bytes are not what their own
/// lengths say.
pub(super) fn read(from: &mut Cursor<'_>) -> Option<(Circumstances, Option<PathBuf>)> {
    let head = Surroundings::read(from)?;
    let texts = from.rest();
    if texts.len() != usize::try_from(head.texts).ok()? {
        return None;
    }
    let of = Of { head: &head, texts };
    let cgroup = of.path(wire::TEXT_CGROUP)?;
    let ancestors = of.ancestors()?;
    let redacted = of.knows(wire::KNOWN_REDACTED);
    let target = of.path(wire::TEXT_TARGET)?.value;
    let circumstances = Circumstances {
        exe: of.path(wire::TEXT_EXE)?,
        exe_deleted: of.knows(wire::KNOWN_DELETED),
        args: if redacted {
            Fact::redacted()
        } else {
            of.fact(wire::TEXT_ARGS, arguments)?
        },
        cwd: of.path(wire::TEXT_CWD)?,
        ancestors,
        container: match &cgroup.value {
            Some(path) => Fact::at_call(Container::of_cgroup(path)),
            None => Fact::default(),
        },
        cgroup,
        namespaces: of.namespaces(),
        pid_inside: (head.pid_inside != 0).then_some(head.pid_inside),
        login_uid: of.login(head.login_uid),
        audit_session: of.login(head.session),
        capabilities: if of.knows(wire::KNOWN_CAPABILITIES) {
            Fact::at_call(Capabilities::from_bits(head.capabilities))
        } else {
            Fact::default()
        },
    };
    Some((circumstances, target))
}

struct Of<'a> {
    head: &'a Surroundings<'a>,
    texts: &'a [u8],
}

impl<'a> Of<'a> {
    fn knows(&self, bit: u32) -> bool {
        self.head.known & bit != 0
    }

    /// A text, if there is one; the outer `None` is for one that lies elsewhere than it says.
    fn text(&self, which: usize) -> Option<Option<&'a [u8]>> {
        if !self.knows(1 << which) {
            return Some(None);
        }
        let (at, length) = *self.head.text.get(which)?;
        let start = usize::from(at);
        let bytes = self.texts.get(start..start + usize::from(length))?;
        Some(Some(bytes))
    }

    fn fact<T>(&self, which: usize, value: impl FnOnce(&[u8]) -> Option<T>) -> Option<Fact<T>> {
        let cut = self.head.cut & (1 << which) != 0;
        Some(match self.text(which)? {
            Some(bytes) => Fact::at_call(value(bytes)).cut(cut),
            None => Fact::default(),
        })
    }

    fn path(&self, which: usize) -> Option<Fact<PathBuf>> {
        self.fact(which, |bytes| {
            (!bytes.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(bytes)))
        })
    }

    fn ancestors(&self) -> Option<Fact<Vec<Ancestor>>> {
        if !self.knows(wire::KNOWN_ANCESTORS) {
            return Some(Fact::default());
        }
        let count = usize::try_from(self.head.ancestors).ok()?;
        let ancestors = self.head.ancestor.get(..count)?;
        let ancestors = ancestors
            .iter()
            .enumerate()
            .map(|(at, ancestor)| {
                let (comm, comm_lossy) = comm(ancestor.comm);
                Some(Ancestor {
                    pid: (ancestor.pid != 0).then_some(ancestor.pid),
                    start: Duration::from_nanos(ancestor.start),
                    comm,
                    comm_lossy,
                    uid: ancestor.uid,
                    exe: self.path(wire::TEXT_ANCESTOR + at)?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let cut = self.head.cut & wire::KNOWN_ANCESTORS != 0;
        Some(Fact::at_call(ancestors).cut(cut))
    }

    fn namespaces(&self) -> Namespaces {
        let there = |number: u32| (number != 0).then_some(number);
        let [pid, mnt, net, user, uts, ipc, cgroup] = self.head.namespaces.map(there);
        Namespaces {
            pid,
            mnt,
            net,
            user,
            uts,
            ipc,
            cgroup,
        }
    }

    fn login(&self, number: u32) -> Fact<u32> {
        if self.knows(wire::KNOWN_LOGIN) {
            Fact::at_call((number != u32::MAX).then_some(number))
        } else {
            Fact::default()
        }
    }
}

/// Splits what the kernel keeps of a command line: each argument ends with a zero byte.
pub(crate) fn arguments(bytes: &[u8]) -> Option<Vec<OsString>> {
    let whole = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    let arguments = whole.split(|byte| *byte == 0);
    (!bytes.is_empty()).then(|| arguments.map(|one| OsStr::from_bytes(one).into()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::event::{Runtime, Source};

    /// What the kernel's part would write, in the order of its texts.
    #[derive(Default)]
    struct Written {
        known: u32,
        cut: u32,
        login: u32,
        ancestors: Vec<(u32, &'static [u8])>,
        texts: Vec<(usize, Vec<u8>)>,
    }

    impl Written {
        fn bytes(&self) -> Vec<u8> {
            let mut places = [[0u16; 2]; wire::TEXTS];
            let mut texts: Vec<u8> = Vec::new();
            let mut known = self.known;
            for (which, text) in &self.texts {
                let at = u16::try_from(texts.len()).unwrap();
                places[*which] = [at, u16::try_from(text.len()).unwrap()];
                texts.extend(text);
                known |= 1 << which;
            }
            let mut out = Vec::new();
            let mut words = |words: &[u32]| {
                let bytes: Vec<_> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
                out.extend(bytes);
            };
            words(&[known, self.cut, 1 << 21, 0, self.login, 9, 7]);
            words(&[1, 2, 3, 4, 5, 6, 0]);
            let count = u32::try_from(self.ancestors.len()).unwrap();
            words(&[count, u32::try_from(texts.len()).unwrap()]);
            out.extend(places.as_flattened().iter().flat_map(|at| at.to_ne_bytes()));
            for at in 0..wire::ANCESTORS {
                let (pid, comm) = self.ancestors.get(at).copied().unwrap_or_default();
                let mut name = comm.to_vec();
                name.resize(wire::COMM, 0);
                out.extend(u64::from(pid).to_ne_bytes());
                out.extend([pid, 1000].map(u32::to_ne_bytes).as_flattened());
                out.extend(name);
            }
            out.extend(texts);
            out
        }

        fn read(&self) -> Circumstances {
            let (circumstances, _) = read(&mut Cursor::new(&self.bytes())).expect("it is whole");
            circumstances
        }
    }

    /// Check that each part comes from its place, with its marks.
    #[test]
    fn parts() {
        let id = "ab".repeat(32);
        let written = Written {
            known: wire::KNOWN_ANCESTORS | wire::KNOWN_LOGIN | wire::KNOWN_CAPABILITIES,
            cut: 1 << wire::TEXT_ARGS | wire::KNOWN_ANCESTORS,
            login: 1000,
            ancestors: vec![(5, b"sh"), (0, b"\xff"), (2, b"kthreadd")],
            texts: vec![
                (wire::TEXT_CWD, b"/".into()),
                (wire::TEXT_EXE, b"/bin/a".into()),
                (wire::TEXT_ARGS, b"a\0\0b c\0".into()),
                (wire::TEXT_CGROUP, format!("/docker/{id}").into()),
                (wire::TEXT_ANCESTOR, b"/bin/sh".into()),
                (wire::TEXT_ANCESTOR + 2, Vec::new()),
            ],
        };
        let read = written.read();
        assert_eq!(read.exe, Fact::at_call(PathBuf::from("/bin/a")));
        assert_eq!(read.cwd, Fact::at_call(PathBuf::from("/")));
        let arguments = ["a", "", "b c"].map(OsString::from).to_vec();
        assert_eq!(read.args, Fact::at_call(arguments).cut(true));
        assert_eq!(read.container.value.unwrap().runtime, Some(Runtime::Docker));
        assert_eq!(
            read.capabilities,
            Fact::at_call(Capabilities::from_bits(1 << 21))
        );
        assert_eq!(
            (read.login_uid, read.audit_session),
            (Fact::at_call(1000), Fact::at_call(9))
        );
        let numbers = read.namespaces;
        assert_eq!(
            (numbers.pid, numbers.ipc, numbers.cgroup),
            (Some(1), Some(6), None)
        );
        assert_eq!(read.pid_inside, Some(7));
        assert!(read.ancestors.truncated);
        let ancestors = read.ancestors.value.unwrap();
        assert_eq!(ancestors[0].exe, Fact::at_call(PathBuf::from("/bin/sh")));
        assert_eq!((ancestors[0].pid, ancestors[0].uid), (Some(5), 1000));
        assert_eq!((ancestors[1].pid, ancestors[1].comm_lossy), (None, true));
        assert!(ancestors[1].exe.is_unknown());
        // A thread of the kernel is known to run no file.
        assert_eq!(ancestors[2].exe, Fact::at_call(None));
    }

    /// Check that what was not found out is unknown, and what was withheld is said to be.
    #[test]
    fn nothing() {
        assert_eq!(
            Written::default().read(),
            Circumstances {
                namespaces: Written::default().read().namespaces,
                pid_inside: Some(7),
                ..Circumstances::default()
            }
        );
        let withheld = Written {
            known: wire::KNOWN_REDACTED,
            login: u32::MAX,
            ..Written::default()
        };
        assert_eq!(withheld.read().args.source, Source::Redacted);
        let nobody = Written {
            known: wire::KNOWN_LOGIN,
            login: u32::MAX,
            ..Written::default()
        };
        assert_eq!(nobody.read().login_uid, Fact::at_call(None));
    }

    /// Check that a program without arguments, which the kernel gives an empty one, differs from
    /// one without a command line.
    #[test]
    fn empty_arguments() {
        assert_eq!(arguments(b""), None);
        assert_eq!(arguments(b"\0"), Some(vec![OsString::new()]));
        assert_eq!(arguments(b"\0\0"), Some(vec![OsString::new(); 2]));
        assert_eq!(arguments(b"a"), Some(vec![OsString::from("a")]));
    }

    proptest! {
        /// Check that no bytes make it panic, and that texts outside the record are refused.
        #[test]
        fn damaged(damage in vec((0..wire::CIRCUMSTANCES_SIZE, any::<u8>()), 0..20)) {
            let written = Written {
                known: wire::KNOWN_ANCESTORS,
                ancestors: vec![(1, b"a")],
                texts: vec![(wire::TEXT_EXE, b"/a".into()), (wire::TEXT_ANCESTOR, b"/b".into())],
                ..Written::default()
            };
            let mut bytes = written.bytes();
            for (place, byte) in damage {
                bytes[place] = byte;
            }
            if let Some(circumstances) = read(&mut Cursor::new(&bytes)) {
                let shown = format!("{circumstances:?}");
                prop_assert!(shown.len() < 10_000);
            }
            bytes.pop();
            prop_assert!(read(&mut Cursor::new(&bytes)).is_none());
        }
    }
}
