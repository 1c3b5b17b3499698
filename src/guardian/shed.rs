//! Giving back what the guardian inherited and has no use for.
//!
//! A fork shares its parent's pages until either writes to them, so each page that the monitor's process
//! changes later would be there twice; and what others share with that process would seem to have one
//! more user.
#![allow(unsafe_code)]

use super::sys;
use super::view::View;

/// As much of a line of `/proc/self/maps` as says what is to be done.
const LINE: usize = 128;

/// One mapping of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    start: usize,
    end: usize,
    writable: bool,
    shared: bool,
    /// Of a file.
    file: bool,
    /// Memory without a name, or with one that the process gave it; not its first stack, nor what
    /// the kernel put there.
    plain: bool,
}

/// What becomes of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    /// Emptied.
    Drop,
    /// Taken away.
    Unmap,
}

/// Gives back all private memory but this thread's, and everything shared but what `view` shows.
///
/// Code, constants and variables of programs and libraries stay, and so does the first heap, in which
/// the dynamic linker may keep what it has yet to look up.
pub(super) fn shed(view: View<'_>) {
    let on_stack = 0_u8;
    let [reader, writers] = view.ring;
    let needed = [
        view.holds.as_ptr().addr(),
        view.profiles.as_ptr().addr(),
        std::ptr::from_ref(reader).addr(),
        std::ptr::from_ref(writers).addr(),
        view.board.as_ptr().addr(),
        std::ptr::from_ref(&on_stack).addr(),
        sys::thread_address(),
    ];
    let Ok(file) = sys::open(c"/proc/self/maps", libc::O_RDONLY) else {
        return;
    };
    let mut buffer = [0; 2048];
    let mut line = [0; LINE];
    let (mut length, mut before) = (0, None);
    loop {
        let read = sys::read(file, &mut buffer);
        if read == 0 {
            break;
        }
        for byte in buffer.iter().take(read) {
            if *byte != b'\n' {
                if let Some(place) = line.get_mut(length) {
                    *place = *byte;
                    length = length.saturating_add(1);
                }
                continue;
            }
            let region = parse(line.get(..length).unwrap_or_default());
            length = 0;
            if let Some(region) = region {
                dispose(region, fate(region, before, &needed));
            }
            before = region;
        }
    }
    sys::close(file);
}

fn dispose(region: Region, fate: Fate) {
    let bytes = region.end.saturating_sub(region.start);
    match fate {
        Fate::Keep => {}
        // SAFETY: `fate` spares the stack, the thread's own memory and variables of programs; the
        // guardian has no pointers into anything else that is private.
        Fate::Drop => unsafe { sys::drop_memory(region.start, bytes) },
        // SAFETY: `fate` spares every mapping in the guardian's view, and it knows of no other.
        Fate::Unmap => unsafe { sys::unmap(region.start, bytes) },
    }
}

/// Decides about a mapping that comes next after another one.
fn fate(region: Region, before: Option<Region>, needed: &[usize]) -> Fate {
    let range = region.start..region.end;
    if needed.iter().any(|address| range.contains(address)) {
        return Fate::Keep;
    }
    if region.shared {
        return Fate::Unmap;
    }
    // Variables that begin as zero follow upon those of the file.
    let of_file = before.is_some_and(|before| before.file && before.end == region.start);
    if region.plain && region.writable && !of_file {
        Fate::Drop
    } else {
        Fate::Keep
    }
}

/// Reads the beginning of a line of `/proc/PID/maps`.
fn parse(line: &[u8]) -> Option<Region> {
    let mut fields = line
        .split(|byte| *byte == b' ')
        .filter(|field| !field.is_empty());
    let mut range = fields.next()?.split(|byte| *byte == b'-').map(address);
    let (start, end) = (range.next()??, range.next()??);
    let rights = fields.next()?;
    let (_offset, _device, inode) = (fields.next()?, fields.next()?, fields.next()?);
    let file = inode != b"0";
    let name = fields.next().unwrap_or_default();
    Some(Region {
        start,
        end,
        writable: rights.get(1) == Some(&b'w'),
        shared: rights.get(3) == Some(&b's'),
        file,
        plain: !file && (name.is_empty() || name.starts_with(b"[anon")),
    })
}

fn address(digits: &[u8]) -> Option<usize> {
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate_of(line: &str, before: Option<&str>, needed: &[usize]) -> Fate {
        let region = |line: &str| parse(line.as_bytes()).expect("a line of maps");
        fate(region(line), before.map(region), needed)
    }

    /// Check that a line is understood, also where its end was cut off.
    #[test]
    fn lines() {
        let region = parse(b"7f01-7f02 rw-s 00001000 00:0f 4711      /dev/shm/with space (del");
        let expected = Region {
            start: 0x7f01,
            end: 0x7f02,
            writable: true,
            shared: true,
            file: true,
            plain: false,
        };
        assert_eq!(region, Some(expected));
        for line in [
            "",
            "7f01",
            "7f01-7f02",
            "x-y rw-p 0 0 0",
            "7f01-7f02 rw-p 00 00:0f",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }

    /// Check what is kept, emptied and taken away.
    #[test]
    fn fates() {
        let heap = "7f0000-7f8000 rw-p 00000000 00:00 0 ";
        assert_eq!(fate_of(heap, None, &[]), Fate::Drop);
        assert_eq!(fate_of(heap, None, &[0x7f0000]), Fate::Keep, "needed");
        assert_eq!(fate_of(heap, None, &[0x7f8000]), Fate::Drop, "beyond it");
        let variables = "7e0000-7f0000 rw-p 0001 08:01 77 /lib/x.so";
        assert_eq!(fate_of(heap, Some(variables), &[]), Fate::Keep, "zeroes");
        for kept in [
            variables,
            "7e0000-7f0000 r-xp 0001 08:01 77 /lib/x.so",
            "7e0000-7f0000 ---p 0000 00:00 0",
            "7e0000-7f0000 rw-p 0000 00:00 0 [heap]",
            "7e0000-7f0000 rw-p 0000 00:00 0 [stack]",
            "7e0000-7f0000 r-xp 0000 00:00 0 [vdso]",
        ] {
            assert_eq!(fate_of(kept, None, &[]), Fate::Keep, "{kept}");
        }
        let named = "7e0000-7f0000 rw-p 0000 00:00 0 [anon:arena]";
        assert_eq!(fate_of(named, None, &[]), Fate::Drop);
        let shared = "7e0000-7f0000 rw-s 0000 00:0e 9 anon_inode:bpf-map";
        assert_eq!(fate_of(shared, None, &[]), Fate::Unmap);
        assert_eq!(fate_of(shared, None, &[0x7e1000]), Fate::Keep);
    }
}
