//! What `cargo bench --bench report` makes of records, without one: text in, text out.

#[path = "../benches/report/document.rs"]
mod document;
#[path = "../benches/report/figures.rs"]
mod figures;
#[path = "../benches/report/plot.rs"]
mod plot;
#[path = "../benches/record/mod.rs"]
#[allow(dead_code, reason = "records are only read here")]
mod record;
#[path = "../benches/report/scale.rs"]
mod scale;
#[path = "../benches/report/table.rs"]
mod table;

use record::{Place, Row};
use scale::{Scale, is_wide};
use table::{Table, whole};

type Failure = Box<dyn std::error::Error>;

fn place() -> Place {
    Place {
        bench: "some".into(),
        commit: "0123abc".into(),
        kernel: "6.18.44".into(),
        processor: "Some Processor".into(),
        processors: 2,
        began: 1_795_000_000,
    }
}

fn row(table: &str, series: &str, at: &str, unit: &str, figures: [f64; 3]) -> Row {
    let [low, value, high] = figures;
    Row {
        table: table.into(),
        series: series.into(),
        at: at.into(),
        unit: unit.into(),
        value,
        low,
        high,
        samples: 9,
    }
}

fn record(rows: &[Row]) -> Vec<Table> {
    let lines = rows.iter().map(|row| serde_json::to_string(row).unwrap());
    let place = serde_json::to_string(&place()).unwrap();
    let record: Vec<String> = std::iter::once(place).chain(lines).collect();
    table::parse(&record.join("\n")).unwrap()
}

/// Check that rows become tables: a line for each place, a column for each series, in the order in
/// which they were measured, and empty where nothing was.
#[test]
fn tables_of_a_record() {
    let tables = record(&[
        row("ratio", "normal", "read", "x", [1.0, 1.0125, 1.1]),
        row("sizes", "bytes", "10", "", [2880.0, 2880.0, 2880.0]),
        row("ratio", "learning", "read", "x", [3.1, 3.25, 4.0]),
        row("ratio", "learning", "a|b", "x", [9.5, 12.34, 1500.0]),
        row("sizes", "bytes", "4000", "", [1234.5, 1234.5, 1234.5]),
    ]);
    assert_eq!(tables.len(), 2);
    assert_eq!(
        tables[0].markdown(),
        "| | normal (x) | learning (x) |\n\
         |---|---:|---:|\n\
         | read | 1.012 (1.000 to 1.100) | 3.25 (3.10 to 4.00) |\n\
         | a\\|b |  | 12.3 (9.5 to 1500.0) |\n\
         \n\
         2026-11-18, commit 0123abc, Linux 6.18.44, Some Processor, 2 processors.\n"
    );
    assert!(
        tables[1]
            .markdown()
            .starts_with("| | bytes |\n|---|---:|\n| 10 | 2,880 |\n| 4,000 | 1,230 |\n")
    );
}

/// Check that a record without a first line, or with a line that is no figure, is refused.
#[test]
fn damaged_records() {
    assert!(table::parse("").is_err());
    assert!(table::parse("{}").is_err());
    let place = serde_json::to_string(&place()).unwrap();
    assert!(table::parse(&format!("{place}\n{{\"table\":")).is_err());
    assert!(table::parse(&place).unwrap().is_empty());
}

/// Check how figures are rounded: three digits, of ratios near 1 a fourth, and what is exact whole.
#[test]
fn figures() {
    let shown = [
        (0.0, "ns", "0"),
        (0.000_123_4, "s", "0.000123"),
        (0.234_56, "s", "0.235"),
        (34.567, "ns", "34.6"),
        (345.67, "ns", "346"),
        (-12_345.6, "ns", "-12,300"),
        (12_345.0, "instructions", "12,345"),
        (1.0123, "x", "1.012"),
        (2.5678, "x", "2.57"),
    ];
    for (value, unit, wanted) in shown {
        let tables = record(&[row("one", "series", "at", unit, [value; 3])]);
        let text = tables[0].markdown();
        assert!(text.contains(&format!("| at | {wanted} |\n")), "{text}");
    }
    assert_eq!(whole(1_234_567.0), "1,234,567");
    assert_eq!(whole(0.5), "0.5");
    assert_eq!(whole(-1000.0), "-1,000");
}

/// Check that a document keeps its prose and the tables that have no record, and that both kinds of
/// mismatch are named.
#[test]
fn documents() {
    let old = "# Title\n\n<!-- table: one -->\nold one\n<!-- end -->\n\nProse.\n\
               <!-- table: two -->\nold two\n<!-- end -->\nThe end.\n";
    let given = [
        ("one".to_owned(), "new one\n".to_owned()),
        ("three".to_owned(), "new three\n".to_owned()),
    ];
    let filled = document::fill(old, &given).unwrap();
    let new = old.replace("old one\n", "\nnew one\n\n");
    assert_eq!(filled.text, new);
    assert_eq!(filled.kept, ["two"]);
    assert_eq!(filled.homeless, ["three"]);
    // Once more, and nothing changes.
    assert_eq!(document::fill(&new, &given).unwrap().text, new);
}

/// Check that marks that do not match are refused, so that no prose is lost.
#[test]
fn documents_with_broken_marks() {
    for broken in [
        "<!-- table: one -->\n",
        "<!-- table: one\n<!-- end -->\n",
        "<!-- table: one -->\n<!-- table: two -->\n<!-- end -->\n",
    ] {
        assert!(document::fill(broken, &[]).is_err(), "{broken}");
    }
}

/// Check that the document in this repository can be filled.
#[test]
fn our_document() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/performance.md");
    let ours = std::fs::read_to_string(path).unwrap();
    let filled = document::fill(&ours, &[]).unwrap();
    assert_eq!(filled.text, ours);
    assert!(filled.kept.contains(&"threads".to_owned()));
}

/// Check that axes are even or logarithmic as their values ask, and that their marks are round and
/// lie within.
#[test]
fn axes() {
    let of = |values: &[f64]| {
        let wide = is_wide(values.iter().copied(), 100.0);
        Scale::of(values.iter().copied(), wide)
    };
    let even = of(&[0.0, 7.0, 10.0]).unwrap();
    assert!(!even.log);
    assert_eq!(even.marks(), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    let wide = of(&[10.0, 4000.0]).unwrap();
    assert!(wide.log);
    assert_eq!(
        wide.marks(),
        [
            10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0
        ]
    );
    // What is not above zero has no logarithm.
    assert!(!of(&[-1.0, 4000.0]).unwrap().log);
    assert_eq!(of(&[]), None);
    for values in [[5.0, 5.0], [0.0, 0.0], [-3.0, 1e-9], [1e-9, 1e9]] {
        let scale = of(&values).unwrap();
        let (range, marks) = (scale.range(), scale.marks());
        assert!(range.start < range.end, "{values:?}");
        assert!(marks.len() <= 20, "{values:?}: {marks:?}");
        assert!(
            marks
                .iter()
                .all(|mark| (range.start..=range.end).contains(&scale.place(*mark)))
        );
    }
}

/// Check which tables have a plot, that it is the same each time, and that it shows what it should.
#[test]
fn plots() {
    let tables = record(&[
        row("threads", "normal", "1", "x", [1.0, 1.1, 1.2]),
        row("threads", "normal", "64", "x", [1.1, 1.2, 1.3]),
        row("ratio", "normal", "getppid", "x", [1.3, 1.4, 1.5]),
        row("ratio", "nothing", "getppid", "x", [0.0, 0.0, 0.0]),
        row("ratio", "thesis", "fork & exit", "x", [-3.0, 4.0, 9.0]),
        row("ratio", "strace", "getppid", "x", [299.0, 300.0, 301.0]),
        row("overhead", "normal", "getppid", "ns", [30.0, 31.0, 32.0]),
        row("instructions", "normal", "6.1", "", [230.0; 3]),
        row("instructions", "normal", "6.10", "", [231.0; 3]),
        row("mixed", "normal", "1", "ns", [30.0, 31.0, 32.0]),
        row("mixed", "other", "2", "s", [30.0, 31.0, 32.0]),
    ]);
    let pictures: Vec<Option<String>> = tables
        .iter()
        .map(|table| plot::svg(table).unwrap())
        .collect();
    let [Some(threads), Some(ratio), None, None, None] = &pictures[..] else {
        panic!("{pictures:?}");
    };
    for wanted in ["threads (x)", "normal", "\n64\n", "<polyline", "#FFFFFF"] {
        assert!(threads.contains(wanted), "{wanted} in {threads}");
    }
    for wanted in ["as a multiple", "getppid", "fork &amp; exit", "thesis"] {
        assert!(ratio.contains(wanted), "{wanted} in {ratio}");
    }
    for hidden in ["nothing", "strace"] {
        assert!(!ratio.contains(hidden), "{hidden} in {ratio}");
    }
    assert_eq!(plot::svg(&tables[0]).unwrap().as_ref(), Some(threads));
    assert!(tables[3].markdown().contains("| 6.10 | 231 |"));
}

/// Check what the README's table says of records, and that it says nothing unless it has all of them.
#[test]
fn figures_of_the_readme() {
    let mut rows = vec![row("workloads", "normal", "nginx", "x", [1.0, 1.092, 1.2])];
    rows.push(row(
        "workloads",
        "empty program",
        "nginx",
        "x",
        [1.0, 1.036, 1.2],
    ));
    for (at, value) in [
        ("getppid", 1.317),
        ("write", 1.2),
        ("read", 1.25),
        ("fstat", 1.3),
        ("no circles", 1.6),
    ] {
        for series in ["learning", "normal", "out of scope", "thesis"] {
            rows.push(row("ratio", series, at, "x", [value; 3]));
        }
    }
    for (series, ns) in [
        ("nothing", 76.6),
        ("normal", 107.0),
        ("empty program", 99.9),
    ] {
        rows.push(row("overhead", series, "getppid", "ns", [ns; 3]));
        for at in ["fork+execve", "pipe"] {
            rows.push(row("percent", series, at, "%", [4.65; 3]));
        }
    }
    rows.push(row("memory", "ebph", "45", "KB", [26.4; 3]));
    rows.push(row("memory", "the thesis's ebpH", "45", "KB", [405.0; 3]));
    rows.push(row("pools", "by default", "in all", "KB", [31_400.0; 3]));
    rows.push(row("start", "start", "10", "s", [0.219; 3]));
    rows.push(row(
        "start",
        "start with all saved",
        "1000",
        "s",
        [0.412; 3],
    ));
    let some = r#"{"calls":1000000,"anomalous":11}"#;
    let detection = format!(
        r#"{{"programs":[{{"calm":{some},"busy":{some},"before_abuse":{some},"abuses":[
            {{"visible":true,"tried":5,"detected":4}},{{"visible":false,"tried":5,"detected":0}}]}}]}}"#
    );
    let line = |kernel, passed, commit| {
        format!(r#"{{"kernel":"{kernel}","passed":{passed},"failed":1,"commit":"{commit}"}}"#)
    };
    let kernels = [
        line("6.1, amd64", 1, "a"),
        line("7.3, arm64", 8, "b"),
        line("6.1, amd64", 9, "c"),
    ];
    let others = figures::Others {
        detection,
        kernels: kernels.join("\n"),
    };
    let text = figures::markdown(&record(&rows), &others).unwrap();
    for wanted in [
        "| learning 1.20 to 1.32, normal 1.20 to 1.32, outside the scope 1.20 to 1.32 times |",
        "| 30 ns; by an empty program 23 ns |",
        "| nginx 9 (4) |",
        "| 26 KB; in the thesis 405 KB |",
        "| 31 MB |",
        "| 0.22 s; 0.41 s |",
        "| 4 of 5, in 1 programs |",
        "| 11 of a million calls (33 of 3,000,000) |",
        "| 7.3, arm64: 8 of 9 at b; 6.1, amd64: 9 of 10 at c |",
    ] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    let lacking = figures::markdown(&record(&rows[1..]), &others).unwrap_err();
    assert!(lacking.to_string().contains("nginx"), "{lacking}");
}
