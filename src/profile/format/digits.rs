//! Distances as digits.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::profile::distances;

/// The distances at which a pair was seen, as their digits, nearest first: `"138"`.
#[derive(Clone, Copy)]
pub(super) struct Digits(pub(super) u8);

impl Serialize for Digits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(8);
        text.extend(distances(self.0).map(|distance| char::from(b'0' + distance)));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DigitsVisitor)
    }
}

struct DigitsVisitor;

impl de::Visitor<'_> for DigitsVisitor {
    type Value = Digits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("distances: digits from 1 to 8, each once, in rising order")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Digits, E> {
        bits(text)
            .map(Digits)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

fn bits(text: &str) -> Option<u8> {
    let mut bits: u8 = 0;
    for digit in text.bytes() {
        let bit = match digit {
            b'1'..=b'8' => 1u8 << (digit - b'1'),
            _ => return None,
        };
        // A lower digit, or the same, after a higher one.
        if bits >= bit {
            return None;
        }
        bits |= bit;
    }
    (bits != 0).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that every set of distances has one spelling, and that no other text is read.
    #[test]
    fn one_spelling() {
        for value in 1..=u8::MAX {
            let text = serde_json::to_string(&Digits(value)).unwrap();
            let Digits(read) = serde_json::from_str(&text).unwrap();
            assert_eq!(read, value, "{text}");
        }
        for text in [
            "",
            "0",
            "9",
            "11",
            "21",
            "1 2",
            "1,2",
            "a",
            "12345678 ",
            "\u{661}",
        ] {
            assert_eq!(bits(text), None, "{text:?}");
        }
        assert_eq!(bits("138"), Some(0b1000_0101));
    }
}
