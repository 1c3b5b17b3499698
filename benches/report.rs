//! Makes the tables and plots of `docs/performance.md` of what benchmarks recorded.
//!
//! It measures nothing. What has no record keeps the table that it has, and is named on standard
//! error; so is what has no place in the document. The same records make the same document.

#[path = "report/document.rs"]
mod document;
#[path = "report/plot.rs"]
mod plot;
#[path = "record/mod.rs"]
#[allow(dead_code, reason = "records are only read here")]
mod record;
#[path = "report/scale.rs"]
mod scale;
#[path = "report/table.rs"]
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use table::Table;

type Failure = Box<dyn std::error::Error>;

/// The tables of all records, by the records' names.
fn tables() -> Result<Vec<Table>, Failure> {
    let folder = record::folder();
    let entries = fs::read_dir(&folder)
        .map_err(|error| format!("no records in {}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    let mut tables: Vec<Table> = Vec::new();
    for file in files {
        let named = |error: Failure| format!("{}: {error}", file.display());
        for table in table::parse(&fs::read_to_string(&file)?).map_err(named)? {
            if tables.iter().any(|other| other.name == table.name) {
                return Err(format!("two records have a table \"{}\"", table.name).into());
            }
            tables.push(table);
        }
    }
    Ok(tables)
}

fn main() -> Result<(), Failure> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let pictures = docs.join("performance");
    fs::create_dir_all(&pictures)?;
    let mut parts = Vec::new();
    for table in tables()? {
        let mut text = table.markdown();
        if let Some(picture) = plot::svg(&table)? {
            let name = format!("{}.svg", table.name.replace(' ', "-"));
            fs::write(pictures.join(&name), picture)?;
            text.push_str(&format!("\n![{}](performance/{name})\n", table.name));
        }
        parts.push((table.name, text));
    }
    let path = docs.join("performance.md");
    let filled = document::fill(&fs::read_to_string(&path)?, &parts)?;
    for name in &filled.kept {
        eprintln!("{name}: no record; what the document has stays");
    }
    for name in &filled.homeless {
        eprintln!("{name}: recorded, but the document has no place for it");
    }
    fs::write(&path, filled.text)?;
    println!(
        "{} of {} tables written to {}",
        parts.len() - filled.homeless.len(),
        parts.len() - filled.homeless.len() + filled.kept.len(),
        path.display()
    );
    Ok(())
}
