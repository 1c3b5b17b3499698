//! Makes the tables and plots of `docs/performance.md`, and the table of the README, of what
//! benchmarks and tests recorded.
//!
//! It measures nothing. What has no record keeps the table that it has, and is named on standard
//! error; so is what has no place in the document. The same records make the same document.

#[path = "report/document.rs"]
mod document;
#[path = "report/figures.rs"]
mod figures;
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

use figures::Others;
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

/// What tests left below cargo's target folder.
fn others(target: &Path) -> Result<Others, Failure> {
    let read = |name: &str| {
        let path = target.join(name);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    Ok(Others {
        detection: read("detection.json")?,
        kernels: read("kernels/whole.jsonl")?,
    })
}

/// The README keeps its table unless all that it is made of was recorded.
fn write_figures(root: &Path, tables: &[Table]) -> Result<(), Failure> {
    let target = record::folder();
    let target = target.parent().ok_or("no target folder")?;
    let text = match others(target).and_then(|others| figures::markdown(tables, &others)) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("README.md keeps its table: {error}");
            return Ok(());
        }
    };
    let path = root.join("README.md");
    let parts = [("figures".to_owned(), text)];
    let filled = document::fill(&fs::read_to_string(&path)?, &parts)?;
    if !filled.homeless.is_empty() {
        return Err("README.md has no place for its table".into());
    }
    Ok(fs::write(&path, filled.text)?)
}

fn main() -> Result<(), Failure> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = root.join("docs");
    let pictures = docs.join("performance");
    fs::create_dir_all(&pictures)?;
    let mut parts = Vec::new();
    let tables = tables()?;
    write_figures(root, &tables)?;
    for table in tables {
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
