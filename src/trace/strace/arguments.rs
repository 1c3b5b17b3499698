//! The few arguments of calls that decide what becomes of a thread.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::line::leading_number;

const CLONE_VM: u64 = 0x100;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_SIGHAND: u64 = 0x800;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const SA_RESTART: u64 = 0x1000_0000;
const SA_RESETHAND: u64 = 0x8000_0000;

/// How a thread is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Clone {
    /// On a stack of its own.
    pub(super) new_stack: bool,
    /// As a thread of the same process.
    pub(super) thread: bool,
    /// Signal handlers are in common.
    pub(super) shares_handlers: bool,
    /// Signal handlers are gone.
    pub(super) clears_handlers: bool,
}

impl Clone {
    /// Reads the arguments of `clone` or `clone3`; `fork` and `vfork` have none.
    pub(super) fn read(arguments: &[u8]) -> Self {
        let stack = field(arguments, b"child_stack=").or_else(|| field(arguments, b"stack="));
        let flags = field(arguments, b"flags=").unwrap_or_default();
        let has = |name, bit| has_flag(flags, name, bit);
        let thread = has(b"CLONE_THREAD", CLONE_THREAD);
        Self {
            new_stack: stack.is_some_and(|stack| stack != b"NULL" && stack != b"0"),
            thread,
            shares_handlers: thread
                || (has(b"CLONE_SIGHAND", CLONE_SIGHAND) && has(b"CLONE_VM", CLONE_VM)),
            clears_handlers: has(b"CLONE_CLEAR_SIGHAND", CLONE_CLEAR_SIGHAND),
        }
    }
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// A function of the program runs.
    pub(super) handled: bool,
    /// Calls that it interrupts are issued again.
    pub(super) restarts: bool,
    /// Once only.
    pub(super) resets: bool,
}

impl Action {
    /// Reads the arguments of `rt_sigaction`, `sigaction` or `signal`: for which signal, and what
    /// it does from now on. `None` when nothing is set.
    pub(super) fn read(name: &str, arguments: &[u8]) -> Option<(Vec<u8>, Self)> {
        let signal = signal_name(arguments)?;
        if name == "signal" {
            let handler = arguments.split(|byte| *byte == b',').nth(1)?.trim_ascii();
            let action = Self {
                handled: is_function(handler),
                // As the kernel's own call has it.
                restarts: false,
                resets: true,
            };
            return Some((signal, action));
        }
        // What the call gives back has the same form, and comes after what it sets.
        let brace = arguments.iter().position(|byte| *byte == b'{')?;
        let (before, set) = arguments.split_at(brace);
        let set = set.split(|byte| *byte == b'}').next().unwrap_or(set);
        let sets = !before
            .split(|byte| *byte == b',')
            .any(|argument| argument.trim_ascii() == b"NULL");
        // Versions before 5 leave the names of the fields out.
        let mut fields = set[1..].split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let unnamed = (fields.next(), fields.nth(1));
        let named = field(set, b"sa_handler=").or_else(|| field(set, b"sa_sigaction="));
        let handler = named.or(unnamed.0)?;
        let flags = field(set, b"sa_flags=").or(unnamed.1).unwrap_or_default();
        sets.then_some((
            signal,
            Self {
                handled: is_function(handler),
                restarts: has_flag(flags, b"SA_RESTART", SA_RESTART),
                resets: has_flag(flags, b"SA_RESETHAND", SA_RESETHAND),
            },
        ))
    }
}

fn is_function(handler: &[u8]) -> bool {
    handler.starts_with(b"0x") && !matches!(handler, b"0x0" | b"0x1")
}

/// The name of a signal at the beginning of arguments, `10 /* SIGUSR1 */` included.
fn signal_name(arguments: &[u8]) -> Option<Vec<u8>> {
    let first = arguments.split(|byte| *byte == b',').next()?;
    let begin = first.windows(3).position(|part| part == b"SIG");
    let name = match begin {
        Some(begin) => &first[begin..],
        None => first.trim_ascii(),
    };
    let end = name
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    let name = &name[..end.unwrap_or(name.len())];
    (!name.is_empty() && name.len() < 16).then(|| name.to_vec())
}

/// The path that an exec names, with what strace escaped in its place.
pub(super) fn exec_path(arguments: &[u8]) -> Option<PathBuf> {
    let begin = arguments.iter().position(|byte| *byte == b'"')?;
    let mut rest = &arguments[begin + 1..];
    let mut path = Vec::new();
    loop {
        let (first, after) = rest.split_first()?;
        rest = after;
        match first {
            b'"' => return Some(OsString::from_vec(path).into()),
            b'\\' => path.push(escaped(&mut rest)?),
            byte => path.push(*byte),
        }
    }
}

/// One escape sequence, after its backslash.
fn escaped(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    let (byte, length) = match first {
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b'r' => (b'\r', 1),
        b'v' => (0x0b, 1),
        b'f' => (0x0c, 1),
        b'x' => {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            (u8::from_str_radix(digits, 16).ok()?, 3)
        }
        b'0'..=b'7' => {
            let octal = |byte: &&u8| matches!(byte, b'0'..=b'7');
            let length = rest.iter().take(3).take_while(octal).count();
            let digits = std::str::from_utf8(&rest[..length]).ok()?;
            (u8::from_str_radix(digits, 8).ok()?, length)
        }
        other => (*other, 1),
    };
    *rest = &rest[length..];
    Some(byte)
}

/// What follows `name=`, up to what ends it. The name stands on its own: `stack=` is not found
/// in `child_stack=`.
fn field<'a>(arguments: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let at = arguments
        .windows(name.len())
        .enumerate()
        .position(|(at, part)| {
            let begins = at == 0 || matches!(arguments[at - 1], b' ' | b'{' | b',' | b'(');
            begins && part == name
        })?;
    let value = &arguments[at + name.len()..];
    let end = value
        .iter()
        .position(|byte| matches!(byte, b',' | b'}' | b' ' | b')'));
    // Flags may be explained: `0x100 /* CLONE_VM */` begins with all that is needed.
    Some(&value[..end.unwrap_or(value.len())])
}

/// Whether a flag is among `A|B|0x10`.
fn has_flag(flags: &[u8], name: &[u8], bit: u64) -> bool {
    flags.split(|byte| *byte == b'|').any(|flag| {
        flag == name
            || std::str::from_utf8(flag)
                .ok()
                .and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok())
                .is_some_and(|bits| bits & bit != 0)
    })
}

/// The number in `syscall_0x1bf`, the name of a call that strace does not know.
pub(super) fn nameless(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("syscall_0x")?, 16).ok()
}

/// The process id that the name of a file written by `strace -ff` ends in, and what is before it.
pub(super) fn family(file: &[u8]) -> Option<(&[u8], u32)> {
    let at = file.iter().rposition(|byte| *byte == b'.')?;
    let digits = &file[at + 1..];
    let fits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    Some((&file[..at], fits.then(|| leading_number(digits)).flatten()?))
}
