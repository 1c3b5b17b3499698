//! Files of bare system call numbers.

use std::ffi::OsString;
use std::io::BufRead;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::TraceError;
use super::bytes::Source;

/// Digits that a number may have.
const DIGITS: usize = 10;
/// Bytes that the name of a trace may have.
const NAME: usize = 4096;

const A_NUMBER: &str = "a system call number";

/// Reads system call numbers separated by white space: the file is one trace.
///
/// The iterator ends with the file, or with its first error.
#[derive(Debug)]
pub struct Numbers<R> {
    source: Source<R>,
    failed: bool,
}

impl<R: BufRead> Numbers<R> {
    /// Reads from `reader`; `file` is its name in messages.
    pub fn new(file: impl Into<PathBuf>, reader: R) -> Self {
        Self {
            source: Source::new(file.into(), reader),
            failed: false,
        }
    }
}

impl<R: BufRead> Iterator for Numbers<R> {
    type Item = Result<u32, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let number = number(&mut self.source, Some);
        self.failed = number.is_err();
        number.transpose()
    }
}

/// What a file of many traces holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A trace begins; this is its name.
    Trace(OsString),
    /// The next call of that trace.
    Call(u32),
}

/// Reads traces, one a line: a name, a tab, and numbers separated by spaces.
///
/// Empty lines are passed over. The iterator ends with the file, or with its first error.
///
/// # Examples
///
/// ```
/// use ebph::trace::{Entry, Traces};
///
/// let file = &b"sendmail#3740\t1 5\nsendmail#3741\t105\n"[..];
/// let entries: Vec<_> = Traces::new("sendmail.traces", file).collect::<Result<_, _>>()?;
/// assert_eq!(entries[0], Entry::Trace("sendmail#3740".into()));
/// assert_eq!(entries[1], Entry::Call(1));
/// assert_eq!(entries.len(), 5);
/// # Ok::<(), ebph::trace::TraceError>(())
/// ```
#[derive(Debug)]
pub struct Traces<R> {
    source: Source<R>,
    /// The name of this line was read.
    in_line: bool,
    failed: bool,
}

impl<R: BufRead> Traces<R> {
    /// Reads from `reader`; `file` is its name in messages.
    pub fn new(file: impl Into<PathBuf>, reader: R) -> Self {
        Self {
            source: Source::new(file.into(), reader),
            in_line: false,
            failed: false,
        }
    }

    fn entry(&mut self) -> Result<Option<Entry>, TraceError> {
        if self.in_line {
            let within = |byte| (byte != b'\n').then_some(byte);
            if let Some(number) = number(&mut self.source, within)? {
                return Ok(Some(Entry::Call(number)));
            }
            self.in_line = false;
        }
        while let Some(byte) = self.source.peek()? {
            if !matches!(byte, b'\n' | b'\r') {
                self.in_line = true;
                return self.name().map(|name| Some(Entry::Trace(name)));
            }
            self.source.pass(byte);
        }
        Ok(None)
    }

    fn name(&mut self) -> Result<OsString, TraceError> {
        const EXPECTED: &str = "a trace's name, a tab and numbers";
        let mut name = Vec::new();
        loop {
            match self.source.peek()? {
                Some(b'\t') if !name.is_empty() => {
                    self.source.pass(b'\t');
                    return Ok(OsString::from_vec(name));
                }
                None | Some(b'\n' | b'\t') => {
                    return Err(self.source.malformed(EXPECTED, &name));
                }
                Some(_) if name.len() == NAME => {
                    return Err(self.source.malformed(EXPECTED, &name));
                }
                Some(byte) => {
                    name.push(byte);
                    self.source.pass(byte);
                }
            }
        }
    }
}

impl<R: BufRead> Iterator for Traces<R> {
    type Item = Result<Entry, TraceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let entry = self.entry();
        self.failed = entry.is_err();
        entry.transpose()
    }
}

/// The next number; `None` at the end, or before a byte that `within` does not let through.
fn number<R: BufRead>(
    source: &mut Source<R>,
    within: impl Fn(u8) -> Option<u8>,
) -> Result<Option<u32>, TraceError> {
    let mut word = Vec::new();
    loop {
        let byte = source.peek()?.and_then(&within);
        match byte {
            Some(byte) if !byte.is_ascii_whitespace() => {
                if word.len() > DIGITS {
                    return Err(source.malformed(A_NUMBER, &word));
                }
                word.push(byte);
                source.pass(byte);
            }
            // The end of the word, which is in this line still.
            _ if !word.is_empty() => {
                let number = std::str::from_utf8(&word).ok().and_then(|word| {
                    let digits = word.bytes().all(|byte| byte.is_ascii_digit());
                    digits.then(|| word.parse().ok()).flatten()
                });
                return match number {
                    Some(number) => Ok(Some(number)),
                    None => Err(source.malformed(A_NUMBER, &word)),
                };
            }
            Some(byte) => source.pass(byte),
            None => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(text: &[u8]) -> Result<Vec<u32>, String> {
        let all: Result<_, _> = Numbers::new("f", text).collect();
        all.map_err(|error: TraceError| error.to_string())
    }

    fn traces(text: &[u8]) -> Result<Vec<(String, Vec<u32>)>, String> {
        let mut all: Vec<(String, Vec<u32>)> = Vec::new();
        for entry in Traces::new("f", text) {
            match entry.map_err(|error| error.to_string())? {
                Entry::Trace(name) => all.push((name.into_string().unwrap(), Vec::new())),
                Entry::Call(number) => all.last_mut().unwrap().1.push(number),
            }
        }
        Ok(all)
    }

    /// Check that any white space separates numbers.
    #[test]
    fn white_space() {
        assert_eq!(
            numbers(b" 4 2\t66\r\n\n0005 4294967295").unwrap(),
            [4, 2, 66, 5, u32::MAX]
        );
        assert!(numbers(b"").unwrap().is_empty());
        assert_eq!(numbers(b"7").unwrap(), [7]);
    }

    /// Check that what is no number is told with its line.
    #[test]
    fn no_numbers() {
        let refused = |text: &[u8]| numbers(text).unwrap_err();
        assert_eq!(
            refused(b"4 2\n66 x5"),
            "f:2: expected a system call number, found `x5`"
        );
        assert_eq!(
            refused(b"-1"),
            "f:1: expected a system call number, found `-1`"
        );
        assert_eq!(
            refused(b"4\n+5\n6"),
            "f:2: expected a system call number, found `+5`"
        );
        for text in [
            &b"4294967296"[..],
            b"00000000000000000001",
            b"1,2",
            b"\xff\xfe",
            b"1\0",
        ] {
            assert!(refused(text).contains("expected a system call number"));
        }
        let long = vec![b'9'; 1 << 20];
        assert!(refused(&long).len() < 200);
    }

    /// Check that each line is a trace, even one without calls.
    #[test]
    fn lines_are_traces() {
        let all = traces(b"a b#1\t4 2  66 \n\nc\t\r\nd\t7").unwrap();
        let expected = [("a b#1", vec![4, 2, 66]), ("c", vec![]), ("d", vec![7])];
        let expected = expected.map(|(name, calls)| (name.to_owned(), calls));
        assert_eq!(all, expected);
        assert!(traces(b"").unwrap().is_empty());
    }

    /// Check that a line of another form is told with its number.
    #[test]
    fn no_traces() {
        let refused = |text: &[u8]| traces(text).unwrap_err();
        let name = "expected a trace's name, a tab and numbers, found";
        assert_eq!(refused(b"a\t1\n4 2 66\n"), format!("f:2: {name} `4 2 66`"));
        assert_eq!(refused(b"a"), format!("f:1: {name} `a`"));
        assert_eq!(refused(b"\t1 2"), format!("f:1: {name} nothing"));
        assert_eq!(
            refused(b"a\t1 2 b\t3"),
            "f:1: expected a system call number, found `b`"
        );
        assert!(refused(&vec![b'x'; 1 << 20]).contains(name));
    }

    proptest! {
        /// Check that whatever is written is read again.
        #[test]
        fn read_as_written(all in prop::collection::vec(prop::collection::vec(0_u32.., 0..20), 0..9)) {
            let mut text = String::new();
            let mut expected = Vec::new();
            for (index, calls) in all.into_iter().enumerate() {
                let words: Vec<_> = calls.iter().map(u32::to_string).collect();
                text += &format!("trace {index}\t{}\n", words.join(" "));
                expected.push((format!("trace {index}"), calls));
            }
            prop_assert_eq!(traces(text.as_bytes()).unwrap(), expected);
        }

        /// Check that no bytes are more than an error.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = numbers(&bytes);
            let count = Traces::new("f", &bytes[..]).count();
            prop_assert!(count <= bytes.len() + 1);
        }
    }
}
