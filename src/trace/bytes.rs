//! Bytes and lines of a file, with the place where they stand, in bounded memory.

use std::fmt::Write as _;
use std::io::{self, BufRead, ErrorKind};
use std::path::PathBuf;

use super::TraceError;

/// How much of what was found a message quotes.
const QUOTED: usize = 60;
/// How much of a line is kept from its beginning.
const HEAD: usize = 32 << 10;
/// How much of a longer line is kept from its end.
const TAIL: usize = 4 << 10;

/// A reader that knows its file's name and the line it is in.
#[derive(Debug)]
pub(super) struct Source<R> {
    reader: R,
    file: PathBuf,
    /// The line of the next byte, counted from 1.
    line: u64,
}

/// A line without its end.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The text; the middle of a very long one is left out.
    pub(super) text: Vec<u8>,
    /// Where it stands, counted from 1.
    pub(super) number: u64,
    /// Whether its end was there; only the last line of a file can lack it.
    pub(super) whole: bool,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(file: PathBuf, reader: R) -> Self {
        Self {
            reader,
            file,
            line: 1,
        }
    }

    /// The next byte, which stays where it is; `None` at the end of the file.
    pub(super) fn peek(&mut self) -> Result<Option<u8>, TraceError> {
        let buffer = fill(&mut self.reader).map_err(|cause| TraceError::Io {
            file: self.file.clone(),
            cause,
        })?;
        Ok(buffer.first().copied())
    }

    /// Passes the byte that was peeked at.
    pub(super) fn pass(&mut self, byte: u8) {
        self.reader.consume(1);
        self.line += u64::from(byte == b'\n');
    }

    /// Says that something else should stand here. `found` is quoted as far as it is short.
    pub(super) fn malformed(&self, expected: &'static str, found: &[u8]) -> TraceError {
        malformed(self.file.clone(), self.line, expected, found)
    }

    /// Reads a line into `line`; false at the end of the file.
    pub(super) fn read_line(&mut self, line: &mut Line) -> Result<bool, TraceError> {
        let fail = |cause| TraceError::Io {
            file: self.file.clone(),
            cause,
        };
        line.text.clear();
        line.number = self.line;
        line.whole = false;
        let mut tail = Vec::new();
        let mut any = false;
        loop {
            let buffer = fill(&mut self.reader).map_err(fail)?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let (head, rest) = part.split_at(part.len().min(HEAD - line.text.len()));
            line.text.extend_from_slice(head);
            tail.extend_from_slice(&rest[rest.len().saturating_sub(TAIL)..]);
            tail.drain(..tail.len().saturating_sub(TAIL));
            let passed = part.len() + usize::from(end.is_some());
            self.reader.consume(passed);
            if end.is_some() {
                self.line += 1;
                line.whole = true;
                break;
            }
        }
        line.text.append(&mut tail);
        Ok(any)
    }

    pub(super) fn file(&self) -> &PathBuf {
        &self.file
    }
}

/// The bytes at hand; none at the end of the file.
fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    // Asked twice, because a slice that is handed out cannot be asked for again in a loop.
    loop {
        match reader.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    reader.fill_buf()
}

pub(super) fn malformed(
    file: PathBuf,
    line: u64,
    expected: &'static str,
    found: &[u8],
) -> TraceError {
    TraceError::Malformed {
        file,
        line,
        expected,
        found: quote(found),
    }
}

/// What was found, as one short printable line.
fn quote(found: &[u8]) -> String {
    if found.is_empty() {
        return "nothing".to_owned();
    }
    let cut = &found[..found.len().min(QUOTED)];
    let mut text = format!("`{}`", cut.escape_ascii());
    if found.len() > QUOTED {
        let _ = write!(text, " and {} bytes more", found.len() - QUOTED);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &[u8]) -> Vec<Line> {
        // A buffer of odd size, so that lines and buffers end at different places.
        let mut source = Source::new("t".into(), BufReader::with_capacity(7, text));
        let mut all = Vec::new();
        loop {
            let mut line = Line::default();
            if !source.read_line(&mut line).unwrap() {
                return all;
            }
            all.push(line);
        }
    }

    /// Check that lines come with their numbers, and that a last one without an end is marked.
    #[test]
    fn lines_are_counted() {
        let all = lines(b"first\n\nthird line\nfourth");
        let texts: Vec<_> = all.iter().map(|line| &line.text[..]).collect();
        assert_eq!(texts, [&b"first"[..], b"", b"third line", b"fourth"]);
        assert_eq!(all[3].number, 4);
        assert!(all[2].whole && !all[3].whole);
        assert!(lines(b"").is_empty());
    }

    /// Check that of a line too long to keep the beginning and the end are kept.
    #[test]
    fn long_lines_lose_their_middle() {
        let mut text = vec![b'a'; HEAD];
        text.extend(vec![b'b'; 1 << 20]);
        text.extend(vec![b'c'; TAIL]);
        text.extend(b"\nnext\n");
        let all = lines(&text);
        assert_eq!(all[0].text.len(), HEAD + TAIL);
        assert!(all[0].text[..HEAD].iter().all(|byte| *byte == b'a'));
        assert!(all[0].text[HEAD..].iter().all(|byte| *byte == b'c'));
        assert_eq!((&all[1].text[..], all[1].number), (&b"next"[..], 2));
    }

    /// Check that messages quote a little of what they found, and nothing unprintable.
    #[test]
    fn quotes_are_short() {
        assert_eq!(quote(b""), "nothing");
        assert_eq!(quote(b"a\x00b\n"), r"`a\x00b\n`");
        assert!(quote(&[b'x'; 1000]).ends_with("and 940 bytes more"));
    }
}
