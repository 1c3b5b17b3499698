//! Text that programs choose, made fit for a terminal, and numbers made short.

use std::fmt::Write as _;
use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Returns a name with everything escaped that a terminal could take for a command, that has no
/// width of its own, or that turns the direction of what stands beside it.
pub fn printable(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        let plain = matches!(c, '\'' | '"') || c.escape_debug().len() == 1;
        if plain && !turns_direction(c) && c.width() != Some(0) {
            text.push(c);
        } else if plain {
            // SANITY: writing to a string does not fail.
            let _ = write!(text, "{}", c.escape_unicode());
        } else {
            text.extend(c.escape_debug());
        }
    }
    text
}

/// Letters that are written from right to left: some terminals would exchange the columns around
/// them.
fn turns_direction(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Returns how many columns of a terminal a printable text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a printable text to so many columns, at its end.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        short.push(c);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// Cuts a printable text to so many columns, at its beginning: of a path the end says more.
pub fn cut_front(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = Vec::new();
    let mut used = 1;
    for c in text.chars().rev() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept.iter().rev().collect()
}

/// Breaks a printable text into lines of at most so many columns, between words where it can.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let wide = width(word);
        if used > 0 && used + 1 + wide > columns {
            lines.push(String::new());
            used = 0;
        }
        if used > 0 {
            used += 1;
            append(&mut lines, " ");
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > columns {
                lines.push(String::new());
                used = 0;
            }
            used += wide;
            append(&mut lines, c.encode_utf8(&mut [0; 4]));
        }
    }
    lines
}

fn append(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

/// A number with a unit when it is large, in at most five columns: `9999`, `12k`, `3.4M`.
pub fn short(number: u64) -> String {
    if number < 10_000 {
        return number.to_string();
    }
    let mut value = number as f64;
    let mut units = "kMGTPE".chars();
    let mut unit = ' ';
    while value >= 999.5 {
        value /= 1000.0;
        unit = units.next().unwrap_or(unit);
    }
    if value < 9.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

/// A rate, to one digit behind the point while it is small.
pub fn rate(per_second: f64) -> String {
    if per_second <= 0.0 {
        "0".to_owned()
    } else if per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        short(per_second.round() as u64)
    }
}

/// A time span in its two largest units: `3d 4h`, `12m 5s`, `7s`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    if days > 0 {
        format!("{days}d {hours}h")
    } else if hours > 0 {
        format!("{hours}h {minutes}m")
    } else if minutes > 0 {
        format!("{minutes}m {seconds}s")
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that nothing of a hostile name reaches the terminal as it is.
    #[test]
    fn hostile_names() {
        let name = "a\u{1b}[2J\n\r\t\u{7}\u{9b}1m\u{202e}x\u{200f}\u{301}\u{5d0}\u{0}'é\u{4e2d}";
        let text = printable(name);
        assert_eq!(
            text,
            "a\\u{1b}[2J\\n\\r\\t\\u{7}\\u{9b}1m\\u{202e}x\\u{200f}\\u{301}\\u{5d0}\\0'é\u{4e2d}"
        );
        assert_eq!(printable("\\n"), "\\\\n", "not to be taken for a newline");
    }

    /// Check that a cut text never takes more columns than it may, wide characters included.
    #[test]
    fn cuts() {
        for text in [
            "",
            "abcdef",
            "\u{4e2d}\u{6587}\u{5b57}",
            "a\u{4e2d}b\u{6587}c",
        ] {
            for columns in 0..10 {
                for short in [cut(text, columns), cut_front(text, columns)] {
                    assert!(width(&short) <= columns, "{text} to {columns}: {short}");
                    assert!(short == text || columns == 0 || short.contains('…'));
                }
            }
        }
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut_front("/usr/bin/sort", 6), "…/sort");
    }

    /// Check that wrapped lines hold every word and none is too wide.
    #[test]
    fn wraps() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh i", 3), ["abc", "def", "gh", "i"]);
        assert_eq!(wrap("", 5), [""]);
        for columns in 0..12 {
            for line in wrap("a \u{4e2d}\u{6587}\u{5b57} bcdefg", columns) {
                assert!(width(&line) <= columns.max(2), "{columns}: {line}");
            }
        }
    }

    /// Check that numbers stay short and right.
    #[test]
    fn numbers() {
        for (number, text) in [
            (0, "0"),
            (9_999, "9999"),
            (10_000, "10k"),
            (999_499, "999k"),
            (999_500, "1.0M"),
            (3_440_000, "3.4M"),
            (u64::MAX, "18E"),
        ] {
            assert_eq!(short(number), text);
        }
        assert_eq!(
            (rate(0.0), rate(0.25), rate(12_400.0)),
            ("0".into(), "0.2".into(), "12k".into())
        );
        assert_eq!(span(Duration::from_secs(7)), "7s");
        assert_eq!(span(Duration::from_secs(3 * 86_400 + 4 * 3_600)), "3d 4h");
    }
}
