//! What one line of strace's output says, on its own.

/// A line taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The thread, where the line names it.
    pub(super) pid: Option<u32>,
    /// The call's number, where the line has it (`strace -n`).
    pub(super) number: Option<u32>,
    pub(super) what: What<'a>,
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// A call was entered, and left if there is an outcome.
    Call {
        name: &'a str,
        arguments: &'a [u8],
        outcome: Option<Outcome>,
    },
    /// A call was entered, and goes on as a call of another thread's id.
    CallChangesPid {
        name: &'a str,
        arguments: &'a [u8],
        to: u32,
    },
    /// A call that was entered before was left, if there is an outcome.
    Resumed {
        name: &'a str,
        outcome: Option<Outcome>,
    },
    Signal(&'a [u8]),
    /// The thread ended.
    Ended,
    /// The thread ended because another one of its process, which takes its id, makes an exec.
    Superseded {
        by: u32,
    },
    /// The process changed the interface it calls through.
    Mode {
        pid: u32,
        mode: Mode,
    },
    /// strace follows another thread.
    Attached {
        pid: u32,
    },
    /// Nothing of interest.
    Nothing,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It gave this.
    Number(i64),
    /// It gave the id of a thread that strace knows by this one.
    Pid(u32),
    /// It was interrupted, and may be issued again.
    Restart(Restart),
    /// Nothing is known.
    Unknown,
}

/// What a call that was interrupted asks the kernel for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// To be issued again, unless a handler without `SA_RESTART` runs.
    Sys,
    /// To be issued again.
    NoIntr,
    /// To be issued again, unless a handler runs.
    NoHand,
    /// To be gone on with by `restart_syscall`, unless a handler runs.
    Block,
}

/// The interface of a process, as strace names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Bits64,
    Bits32,
    X32,
}

/// Why a line cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble<'a> {
    /// It is a call whose end is not there.
    NoOutcome(Line<'a>),
    /// It is none of strace's.
    Foreign,
}

/// Takes a line apart.
pub(super) fn parse(text: &[u8]) -> Result<Line<'_>, Trouble<'_>> {
    let mut rest = text.trim_ascii();
    let nothing = |pid| Line {
        pid,
        number: None,
        what: What::Nothing,
    };
    if rest.is_empty() {
        return Ok(nothing(None));
    }
    if let Some(notice) = rest.strip_prefix(b"strace: ") {
        return Ok(Line {
            what: attached(notice).map_or(What::Nothing, |pid| What::Attached { pid }),
            ..nothing(None)
        });
    }
    let pid = take_pid(&mut rest);
    let mut number = None;
    while take_time(&mut rest) || take_brackets(&mut rest, &mut number) {}
    let line = |what| Line { pid, number, what };

    if let Some(end) = rest.strip_prefix(b"+++ ") {
        let superseded = end.strip_prefix(b"superseded by execve in pid ");
        return if let Some(by) = superseded.and_then(leading_number) {
            Ok(line(What::Superseded { by }))
        } else if end.starts_with(b"exited with ") || end.starts_with(b"killed by ") {
            Ok(line(What::Ended))
        } else {
            Err(Trouble::Foreign)
        };
    }
    if let Some(signal) = rest.strip_prefix(b"--- ") {
        let name = word(signal);
        return match name {
            b"stopped" => Ok(nothing(pid)),
            _ if name.starts_with(b"SIG") => Ok(line(What::Signal(name))),
            _ => Err(Trouble::Foreign),
        };
    }
    if let Some(mode) = rest.strip_prefix(b"[ Process PID=") {
        let (pid, mode) = take_mode(mode).ok_or(Trouble::Foreign)?;
        return Ok(line(What::Mode { pid, mode }));
    }
    // A frame of a stack trace, as `strace -k` prints them.
    if rest.starts_with(b"> ") && pid.is_none() {
        return Ok(nothing(None));
    }
    if let Some(resumed) = rest.strip_prefix(b"<... ") {
        return take_resumed(resumed).map_or(Err(Trouble::Foreign), |what| Ok(line(what)));
    }
    let (name, arguments) = take_call(rest).ok_or(Trouble::Foreign)?;
    if let Some(to) = changed_pid(arguments) {
        return Ok(line(What::CallChangesPid {
            name,
            arguments,
            to,
        }));
    }
    let found = outcome(arguments);
    let call = line(What::Call {
        name,
        arguments,
        outcome: found,
    });
    if found.is_some() || is_unfinished(arguments) {
        Ok(call)
    } else {
        Err(Trouble::NoOutcome(call))
    }
}

/// The id in `Process N attached`.
fn attached(notice: &[u8]) -> Option<u32> {
    let (pid, rest) = split_number(notice.strip_prefix(b"Process ")?)?;
    (rest.trim_ascii() == b"attached").then_some(pid)
}

/// Where in a line strace breaks in to say that it follows another thread, and which.
pub(super) fn broken_by_notice(text: &[u8]) -> Option<(usize, u32)> {
    const NOTICE: &[u8] = b"strace: Process ";
    let at = rfind(text, NOTICE).filter(|at| *at > 0)?;
    Some((at, attached(&text[at + b"strace: ".len()..])?))
}

/// `1234 `, `1234<comm> ` or `[pid  1234<comm>] ` at the beginning.
fn take_pid(rest: &mut &[u8]) -> Option<u32> {
    let bracket = rest.strip_prefix(b"[pid ");
    let (pid, mut after) = split_number(bracket.unwrap_or(rest).trim_ascii_start())?;
    if let Some(name) = after.strip_prefix(b"<") {
        // A name may hold `>`, but nothing ends it and is followed by what ends the whole.
        let end: &[u8] = if bracket.is_some() { b">]" } else { b"> " };
        let at = name.windows(2).position(|pair| pair == end)?;
        after = &name[at + 1..];
    }
    if bracket.is_some() {
        after = after.strip_prefix(b"]")?;
    }
    if !after.starts_with(b" ") {
        return None;
    }
    *rest = after.trim_ascii_start();
    Some(pid)
}

/// A time of day, or a time since the last line: `12:00:01.5 `, `0.000012 `, `(+     0.0001) `.
fn take_time(rest: &mut &[u8]) -> bool {
    let end = if rest.starts_with(b"(+") {
        rest.iter().position(|byte| *byte == b')').map(|at| at + 1)
    } else {
        let time = word(rest);
        let is_time = time
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b':' | b'.'));
        let is_split = time.iter().any(|byte| matches!(byte, b':' | b'.'));
        (is_time && is_split).then_some(time.len())
    };
    match end.filter(|end| *end > 0) {
        Some(end) => {
            *rest = rest[end..].trim_ascii_start();
            true
        }
        None => false,
    }
}

/// The call's number or the address it is made from: `[  59] `, `[00007fb1a9f4fad7] `.
fn take_brackets(rest: &mut &[u8], number: &mut Option<u32>) -> bool {
    let Some(inner) = rest.strip_prefix(b"[") else {
        return false;
    };
    let Some(end) = inner.iter().position(|byte| *byte == b']') else {
        return false;
    };
    let inside = &inner[..end];
    let hexadecimal = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b' ' | b'?');
    if inside.is_empty() || !inside.iter().all(hexadecimal) {
        return false;
    }
    // Addresses have eight or sixteen digits.
    if inside.len() < 8 {
        *number = leading_number(inside.trim_ascii());
    }
    *rest = inner[end + 1..].trim_ascii_start();
    true
}

fn take_mode(text: &[u8]) -> Option<(u32, Mode)> {
    let (pid, rest) = split_number(text)?;
    let mode = match rest {
        b" runs in 32 bit mode. ]" => Mode::Bits32,
        b" runs in 64 bit mode. ]" => Mode::Bits64,
        b" runs in x32 mode. ]" => Mode::X32,
        _ => return None,
    };
    Some((pid, mode))
}

/// `read resumed>"...", 5) = 5`, after `<... `.
fn take_resumed(text: &[u8]) -> Option<What<'_>> {
    let at = text.iter().position(|byte| *byte == b' ')?;
    let name = call_name(&text[..at])?;
    let rest = text[at..].strip_prefix(b" resumed>")?;
    let outcome = outcome(rest);
    (outcome.is_some() || is_unfinished(rest)).then_some(What::Resumed { name, outcome })
}

/// `read(3, ...`: the name, and what follows the parenthesis.
fn take_call(text: &[u8]) -> Option<(&str, &[u8])> {
    let at = text.iter().position(|byte| *byte == b'(')?;
    Some((call_name(&text[..at])?, &text[at + 1..]))
}

fn call_name(text: &[u8]) -> Option<&str> {
    let fits = text
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        && (1..=64).contains(&text.len())
        && !text[0].is_ascii_digit();
    // SANITY: ASCII is UTF-8.
    fits.then(|| std::str::from_utf8(text).ok()).flatten()
}

fn is_unfinished(text: &[u8]) -> bool {
    let text = text.trim_ascii_end();
    text.ends_with(b"<unfinished ...>") || text.ends_with(b"<detached ...>")
}

/// The other id in `<pid changed to N ...>`.
fn changed_pid(text: &[u8]) -> Option<u32> {
    const CHANGED: &[u8] = b"<pid changed to ";
    let at = rfind(text, CHANGED)?;
    let (pid, rest) = split_number(&text[at + CHANGED.len()..])?;
    (rest == b" ...>").then_some(pid)
}

/// The outcome after the last parenthesis that closes a call.
///
/// Looked for from the end, since what stands in a call's arguments may look like anything.
fn outcome(text: &[u8]) -> Option<Outcome> {
    let mut end = text.len();
    while let Some(at) = rfind(&text[..end], b"= ") {
        let before = text[..at].trim_ascii_end();
        // A call that its thread did not live to see the end of has no parenthesis.
        if before.ends_with(b")") || before.ends_with(b"<unfinished ...>") {
            let result = &text[at + 2..];
            if let Some(outcome) = result_of(result) {
                return Some(outcome);
            }
        }
        end = at;
    }
    None
}

fn result_of(text: &[u8]) -> Option<Outcome> {
    let value = text
        .split(|byte| matches!(byte, b' ' | b'<'))
        .next()
        .unwrap_or_default();
    let after = text[value.len()..].trim_ascii_start();
    if value == b"?" {
        return Some(match word(after) {
            b"ERESTARTSYS" => Outcome::Restart(Restart::Sys),
            b"ERESTARTNOINTR" => Outcome::Restart(Restart::NoIntr),
            b"ERESTARTNOHAND" => Outcome::Restart(Restart::NoHand),
            b"ERESTART_RESTARTBLOCK" => Outcome::Restart(Restart::Block),
            _ => Outcome::Unknown,
        });
    }
    let number = std::str::from_utf8(value).ok()?;
    if let Some(digits) = number.strip_prefix("0x") {
        // Pointers do not matter, and need not fit.
        let digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit()) && !digits.is_empty();
        return digits.then_some(Outcome::Unknown);
    }
    let digits = number.strip_prefix('-').unwrap_or(number);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Thread ids of another namespace, with `--decode-pids=pidns`.
    let note = rfind(after, b" in strace's PID NS */");
    let translated = note.and_then(|end| {
        let begin = rfind(&after[..end], b"/* ")?;
        leading_number(&after[begin + 3..end])
    });
    match translated {
        Some(pid) => Some(Outcome::Pid(pid)),
        None => Some(number.parse().map_or(Outcome::Unknown, Outcome::Number)),
    }
}

/// What stands before the first space.
fn word(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == b' ').next().unwrap_or_default()
}

pub(super) fn leading_number(text: &[u8]) -> Option<u32> {
    split_number(text).map(|(number, _)| number)
}

fn split_number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((number, &text[digits..]))
}

fn rfind(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).rposition(|part| part == wanted)
}
