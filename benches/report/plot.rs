//! Plots, as text of SVG.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Failure;
use crate::record::Row;
use crate::scale::{Scale, is_wide, label};
use crate::table::{Table, number};

/// Told apart by those who see colours otherwise as well (Okabe and Ito, and greys), on white.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
    RGBColor(160, 160, 160),
];
const GRID: RGBColor = RGBColor(225, 225, 225);
/// These have bars for names, and what they show; others with names have no plot. A series that is
/// a hundred times the others, or nothing at all, would only hide them.
const BARS: [Bars; 2] = [
    Bars {
        table: "ratio",
        title: "What is added to a call, as a multiple of what an empty program adds",
        without: &["nothing", "A/A", "perf trace", "strace"],
    },
    Bars {
        table: "workloads",
        title: "How long whole programs take, as a multiple of without",
        without: &[],
    },
];
const WIDTH: u32 = 800;
/// Of a text of 13 pixels, about what a letter takes.
const LETTER: usize = 7;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

struct Bars {
    table: &'static str,
    title: &'static str,
    without: &'static [&'static str],
}

/// An axis with marks of our own.
struct Axis {
    scale: Scale,
    marks: Vec<f64>,
}

impl Ranged for Axis {
    type ValueType = f64;
    type FormatOption = NoDefaultFormatting;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let range = self.scale.range();
        let place = self.scale.place(*value).clamp(range.start, range.end);
        let part = (place - range.start) / (range.end - range.start);
        first + (f64::from(last - first) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> Range<f64> {
        let Range { start, end } = self.scale.range();
        self.scale.value(start)..self.scale.value(end)
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        label(*value)
    }
}

/// What all values of a table are drawn by. On an axis of logarithms zero has no place, and limits
/// that go below a tenth of their value are cut off.
fn scale(rows: &[Row]) -> Option<Scale> {
    let values = rows.iter().map(|row| row.value);
    let log = is_wide(values.filter(|value| *value != 0.0), 100.0);
    let ends = rows.iter().flat_map(|row| match log {
        true => [row.low.max(row.value / 10.0), row.value, row.high],
        false => [row.low, row.value, row.high],
    });
    Scale::of(ends.filter(|end| !log || *end > 0.0), log)
}

fn colour(i: usize) -> RGBColor {
    COLOURS[i % COLOURS.len()]
}

fn text(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&BLACK)
}

/// A plot, if the table is one of those that have one.
pub fn svg(table: &Table) -> Result<Option<String>, Failure> {
    let numbers: Option<Vec<f64>> = table.ats().into_iter().map(number).collect();
    let Some(unit) = table.unit() else {
        return Ok(None);
    };
    let mut picture = String::new();
    match numbers {
        Some(numbers) if numbers.len() > 1 => lines(&mut picture, table, &numbers, unit)?,
        Some(_) => return Ok(None),
        None => match BARS.iter().find(|bars| bars.table == table.name) {
            Some(shown) => bars(&mut picture, table, shown, unit)?,
            None => return Ok(None),
        },
    }
    picture.push('\n');
    Ok(Some(picture))
}

/// Title and names of series, line by line as they fit; returns what is left.
fn head<'a>(root: &Area<'a>, title: String, series: &[&str]) -> Result<Area<'a>, Failure> {
    root.fill(&WHITE)?;
    root.draw(&Text::new(title, (14, 10), text(16)))?;
    let (mut x, mut y) = (14, 36);
    for (i, name) in series.iter().enumerate() {
        let width = (name.len() * LETTER + 34) as i32;
        if x > 14 && x + width > WIDTH as i32 {
            (x, y) = (14, y + 20);
        }
        let square = [(x, y), (x + 12, y + 12)];
        root.draw(&Rectangle::new(square, colour(i).filled()))?;
        root.draw(&Text::new((*name).to_owned(), (x + 18, y), text(13)))?;
        x += width;
    }
    Ok(root.margin(y as u32 + 26, 0, 0, 0))
}

/// A line for each series, with what its values are between.
fn lines(picture: &mut String, table: &Table, numbers: &[f64], unit: &str) -> Result<(), Failure> {
    let across = is_wide(numbers.iter().copied(), 20.0);
    let across = Scale::of(numbers.iter().copied(), across).ok_or("nothing to draw")?;
    let up = scale(&table.rows).ok_or("nothing to draw")?;
    let up = if up.log { up } else { up.including(0.0) };
    let root = SVGBackend::with_string(picture, (WIDTH, 420)).into_drawing_area();
    let title = match unit {
        "" => table.name.clone(),
        unit => format!("{} ({unit})", table.name),
    };
    let below = head(&root, title, &table.series())?;
    let marks = up.marks();
    let across = Axis {
        scale: across,
        marks: numbers.to_vec(),
    };
    let up = Axis { scale: up, marks };
    let mut chart = ChartBuilder::on(&below)
        .margin(14)
        .set_label_area_size(LabelAreaPosition::Left, 70)
        .set_label_area_size(LabelAreaPosition::Bottom, 30)
        .build_cartesian_2d(across, up)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .label_style(text(12))
        .draw()?;
    for (i, name) in table.series().into_iter().enumerate() {
        let colour = colour(i);
        let mut line = Vec::new();
        for (at, number) in table.ats().into_iter().zip(numbers) {
            let Some(row) = table.find(name, at) else {
                continue;
            };
            let (x, low, middle, high) = (*number, row.low, row.value, row.high);
            line.push((x, middle));
            chart.draw_series([PathElement::new(
                [(x, low), (x, high)],
                colour.stroke_width(1),
            )])?;
            chart.draw_series([Circle::new((x, middle), 3, colour.filled())])?;
        }
        line.sort_by(|one, other| one.0.total_cmp(&other.0));
        chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
    }
    root.present()?;
    Ok(())
}

/// A group of bars for each name, lying, so that names have room. Ratios that are all near 1 begin
/// there, others at 0.
fn bars(picture: &mut String, table: &Table, shown: &Bars, unit: &str) -> Result<(), Failure> {
    const BAR: usize = 13;

    let mut table = table.clone();
    let is_shown = |row: &Row| !shown.without.contains(&row.series.as_str());
    table.rows.retain(is_shown);
    let (series, ats) = (table.series(), table.ats());
    let along = scale(&table.rows).ok_or("nothing to draw")?;
    let mut ends = table.rows.iter().flat_map(|row| [row.low, row.high]);
    let near = unit == "x" && ends.all(|end| (0.5..2.0).contains(&end));
    let from = if near { 1.0 } else { 0.0 };
    let along = if along.log {
        along
    } else {
        along.including(from)
    };

    let group = series.len() + 1;
    let height = ats.len() * group * BAR + 130;
    let names = ats.iter().map(|at| at.len() * LETTER).max().unwrap_or(0) + 20;

    let root =
        SVGBackend::with_string(picture, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    let below = head(&root, shown.title.to_owned(), &series)?;
    let first = along.value(along.range().start);
    let base = if along.log { first } else { from };
    let marks = along.marks();
    let rows = 0.0..(ats.len() * group) as f64;
    let mut chart = ChartBuilder::on(&below)
        .margin(14)
        .set_label_area_size(LabelAreaPosition::Left, names as u32)
        .set_label_area_size(LabelAreaPosition::Bottom, 30)
        .build_cartesian_2d(
            Axis {
                scale: along,
                marks,
            },
            rows,
        )?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(0)
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .label_style(text(12))
        .draw()?;
    for (i, at) in ats.iter().enumerate() {
        // From above to below, with half a bar's room on either side.
        let top = ((ats.len() - i) * group) as f64 - 0.5;
        for (k, name) in series.iter().enumerate() {
            let Some(row) = table.find(name, at) else {
                continue;
            };
            let (upper, middle) = (top - k as f64 - 0.1, top - k as f64 - 0.5);
            let (low, value, high) = (row.low, row.value, row.high);
            let bar = [(base, upper), (value, upper - 0.8)];
            chart.draw_series([Rectangle::new(bar, colour(k).filled())])?;
            chart.draw_series([PathElement::new([(low, middle), (high, middle)], BLACK)])?;
        }
        let (_, y) = chart.backend_coord(&(base, top - series.len() as f64 / 2.0));
        let (x, _) = chart.backend_coord(&(first, 0.0));
        let right = text(13).pos(Pos::new(HPos::Right, VPos::Center));
        root.draw(&Text::new((*at).to_owned(), (x - 8, y), right))?;
    }
    root.present()?;
    Ok(())
}
