//! Puts tables into a document, between marks that name them.

use crate::Failure;

const BEGIN: &str = "<!-- table: ";
const CLOSE: &str = " -->";
const END: &str = "<!-- end -->";

/// What became of a document.
#[derive(Debug, PartialEq)]
pub struct Filled {
    pub text: String,
    /// Tables that have a place, and were not given: what is there stays.
    pub kept: Vec<String>,
    /// Tables that were given, and have no place.
    pub homeless: Vec<String>,
}

/// Replaces what is between the marks of each of `tables`, a name and a text that ends with a
/// newline. Everything else stays as it is.
pub fn fill(document: &str, tables: &[(String, String)]) -> Result<Filled, Failure> {
    let mut text = String::new();
    let mut kept = Vec::new();
    let mut placed = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let Some(rest) = line.strip_prefix(BEGIN) else {
            continue;
        };
        let name = rest.strip_suffix(CLOSE).ok_or("a mark is not closed")?;
        let mut before = String::new();
        loop {
            match lines.next() {
                Some(END) => break,
                Some(old) if !old.starts_with(BEGIN) => {
                    before.push_str(old);
                    before.push('\n');
                }
                _ => return Err(format!("the table {name} has no end").into()),
            }
        }
        match tables.iter().find(|(given, _)| given == name) {
            Some((_, table)) => {
                placed.push(name);
                text.push('\n');
                text.push_str(table);
                text.push('\n');
            }
            None => {
                kept.push(name.to_owned());
                text.push_str(&before);
            }
        }
        text.push_str(END);
        text.push('\n');
    }
    let names = tables.iter().map(|(name, _)| name);
    let homeless = names.filter(|name| !placed.contains(&name.as_str()));
    let homeless = homeless.cloned().collect();
    Ok(Filled {
        text,
        kept,
        homeless,
    })
}
