//! A profile: what it is, and its pairs as a map or as a list.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::draw::line_at;
use super::draw_table;
use super::heat::{HeatMap, Planes};
use super::inspect::{Inspection, Mode};
use super::text::{cut, wrap};
use super::theme::Theme;

/// The columns that a pair takes: how many distances, a mark, and a space.
const CELL: u16 = 3;
const NAMES: u16 = 16;

/// Draws all of it.
pub fn draw(inspection: &mut Inspection, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut lines = Vec::new();
    for line in inspection.header() {
        lines.extend(wrap(&line, usize::from(area.width)));
    }
    let most = usize::from(area.height / 3).max(1);
    lines.truncate(most);
    // SANITY: no more than the area has.
    let rows = u16::try_from(lines.len()).unwrap_or(area.height);
    let [head, rest] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
    for (place, (row, line)) in head.rows().zip(&lines).enumerate() {
        let style = if place == 0 {
            theme.title()
        } else {
            Style::new()
        };
        line_at(row, buffer, line, style);
    }
    match inspection.mode {
        Mode::Map => map(&mut inspection.map, theme, rest, buffer),
        Mode::Pairs => draw_table::draw(&mut inspection.pairs, theme, rest, buffer),
        Mode::Calls => draw_table::draw(&mut inspection.calls, theme, rest, buffer),
    }
}

fn map(map: &mut HeatMap, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if map.letters().is_empty() {
        line_at(area, buffer, "no pairs", theme.faint());
        return;
    }
    let names: Vec<_> = map.letters().iter().map(ToString::to_string).collect();
    let longest = names.iter().map(String::len).max().unwrap_or(0);
    // SANITY: no more than a third of the area.
    let tall = u16::try_from(longest)
        .unwrap_or(u16::MAX)
        .min(area.height / 3)
        .max(1);
    let [titles, body, detail, legend] = Layout::vertical([
        Constraint::Length(tall),
        Constraint::Min(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(area);
    let rows = usize::from(body.height);
    let columns = usize::from(area.width.saturating_sub(NAMES) / CELL);
    let (top, left) = map.scroll(rows, columns);
    let (row, column) = map.cursor();
    corner(map, titles, theme, buffer);
    for (place, name) in names.iter().enumerate().skip(left).take(columns) {
        let x = area.x + NAMES + CELL * offset(place, left);
        let style = if place == column {
            theme.selected()
        } else {
            theme.faint()
        };
        upright(name, x, titles, style, buffer);
    }
    for (line, place) in body.rows().zip(top..names.len()) {
        let style = if place == row {
            theme.selected()
        } else {
            Style::new()
        };
        let name = cut(&names[place], usize::from(NAMES - 1));
        let name = format!("{name:>width$}", width = usize::from(NAMES - 1));
        line_at(
            Rect {
                width: NAMES,
                ..line
            },
            buffer,
            &name,
            style,
        );
        for previous in left..names.len().min(left + columns) {
            let x = area.x + NAMES + CELL * offset(previous, left);
            let (text, mut style) = match map.cell(place, previous) {
                Some(cell) => (
                    format!("{}{}", cell.heat(), cell.planes().mark()),
                    theme.cell(cell),
                ),
                None => (" \u{b7}".to_owned(), theme.faint()),
            };
            if (place, previous) == (row, column) {
                style = theme.selected();
            }
            buffer.set_stringn(x, line.y, text, 2, style);
        }
    }
    line_at(
        detail,
        buffer,
        &map.detail().unwrap_or_default(),
        theme.title(),
    );
    legend_line(theme, legend, buffer);
}

/// What the two sides are, and how much of the map is not on the screen.
fn corner(map: &HeatMap, area: Rect, theme: Theme, buffer: &mut Buffer) {
    let (row, column) = map.cursor();
    let place = format!("{},{} of {}", row + 1, column + 1, map.letters().len());
    let lines = [
        place.as_str(),
        "earlier call \u{2192}",
        "later call \u{2193}",
    ];
    let room = area.rows().count();
    for (line, text) in area.rows().skip(room.saturating_sub(3)).zip(lines) {
        line_at(
            Rect {
                width: NAMES - 1,
                ..line
            },
            buffer,
            text,
            theme.faint(),
        );
    }
}

/// Writes a name from top to bottom, so that it ends above its column.
fn upright(name: &str, x: u16, area: Rect, style: Style, buffer: &mut Buffer) {
    let name = cut(name, usize::from(area.height));
    let skip = usize::from(area.height).saturating_sub(name.chars().count());
    for (row, letter) in area.rows().skip(skip).zip(name.chars()) {
        buffer.set_stringn(x, row.y, letter.encode_utf8(&mut [0; 4]), 1, style);
    }
}

fn legend_line(theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut x = area.x;
    let mut put = |text: &str, style: Style| {
        let room = usize::from((area.x + area.width).saturating_sub(x));
        if room > 0 {
            (x, _) = buffer.set_stringn(x, area.y, text, room, style);
        }
    };
    put("1-8 distances, ", Style::new());
    for planes in [Planes::Both, Planes::Learnt, Planes::Normal] {
        let cell = match planes {
            Planes::Both => (0xff, 0xff),
            Planes::Learnt => (0xff, 0),
            Planes::Normal => (0, 0xff),
        };
        let cell = super::heat::Cell {
            train: cell.0,
            test: cell.1,
        };
        put(&format!("{}", planes.mark()), theme.cell(cell));
        let words = match planes {
            Planes::Both => " learnt and normal  ",
            Planes::Learnt => " only learnt  ",
            Planes::Normal => " only normal  ",
        };
        put(words, Style::new());
    }
    put("\u{b7} never", Style::new());
}

fn offset(place: usize, first: usize) -> u16 {
    // SANITY: only places on the screen are drawn.
    u16::try_from(place - first).unwrap_or(u16::MAX)
}
