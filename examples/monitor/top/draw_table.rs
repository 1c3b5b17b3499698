//! Tables: as many columns as there is width for, and no more rows than can be seen.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;

use super::detail;
use super::draw::line_at;
use super::lines::EventLine;
use super::table::{Column, Kind, Row, Table};
use super::text::{cut, cut_front, printable, width, wrap};
use super::theme::Theme;

/// The columns that there is room for, the first ones rather than others, with their widths.
fn fitting<R: Row>(room: usize) -> Vec<(usize, &'static Column<R>, usize)> {
    let mut taken = 0;
    let mut fitting: Vec<_> = R::COLUMNS
        .iter()
        .enumerate()
        .filter_map(|(place, column)| {
            let width = usize::from(column.width);
            let fits = taken + width <= room;
            taken += if fits { width + 1 } else { 0 };
            fits.then_some((place, column, width))
        })
        .collect();
    let left = (room + 1).saturating_sub(taken);
    if let Some((_, _, width)) = fitting
        .iter_mut()
        .find(|(_, column, _)| column.kind == Kind::Growing)
    {
        *width += left;
    }
    fitting
}

/// A cell as wide as its column.
fn cell<R>(text: &str, column: &Column<R>, columns: usize) -> String {
    let text = if column.kind == Kind::Growing {
        cut_front(text, columns)
    } else {
        cut(text, columns)
    };
    let space = " ".repeat(columns.saturating_sub(width(&text)));
    if column.kind == Kind::Number {
        space + &text
    } else {
        text + &space
    }
}

/// Draws a table below its titles.
pub fn draw<R: Row>(table: &mut Table<R>, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(area);
    let columns = fitting::<R>(usize::from(area.width));
    let (sort, reverse) = table.sorting();
    let titles = columns.iter().map(|(place, column, width)| {
        let arrow = if reverse { "\u{25be}" } else { "\u{25b4}" };
        let title = match *place == sort {
            true => format!("{}{arrow}", cut(column.title, width.saturating_sub(1))),
            false => column.title.to_owned(),
        };
        cell(&title, column, *width)
    });
    line_at(
        head,
        buffer,
        &titles.collect::<Vec<_>>().join(" "),
        theme.title(),
    );
    let (rows, selected) = table.visible(usize::from(body.height));
    let mut none = true;
    for ((place, row), line) in rows.enumerate().zip(body.rows()) {
        none = false;
        let cells = columns
            .iter()
            .map(|(_, column, width)| cell(&printable(&(column.text)(row)), column, *width));
        let text = cells.collect::<Vec<_>>().join(" ");
        line_at(line, buffer, &text, Style::new());
        if place == selected {
            buffer.set_style(line, theme.selected());
        }
    }
    if none {
        let why = match table.filter() {
            _ if !table.is_known() => "asking for them ...",
            "" => "none",
            _ => "none that passes the filter",
        };
        line_at(body, buffer, why, theme.faint());
    }
}

/// Draws events above what there is to say about the selected one, or that alone if it is to be
/// whole.
pub fn with_detail(
    table: &mut Table<EventLine>,
    whole: bool,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let Some(details) = table.selected().map(detail::of) else {
        return draw(table, theme, area, buffer);
    };
    let room = usize::from(area.width).saturating_sub(13);
    let mut lines = Vec::new();
    for (name, text) in details {
        for (place, line) in wrap(&text, room).into_iter().enumerate() {
            lines.push((if place == 0 { name } else { "" }, line));
        }
    }
    let above = if whole { 0 } else { (area.height / 4).max(4) };
    let most = area.height.saturating_sub(above);
    // SANITY: more lines than a screen has are cut.
    let wanted = u16::try_from(lines.len() + 1).unwrap_or(u16::MAX);
    let rows = if whole { most } else { wanted.min(most) };
    let [list, below] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(rows)]).areas(area);
    draw(table, theme, list, buffer);
    let left_out = lines
        .len()
        .saturating_sub(usize::from(rows.saturating_sub(1)));
    let hint = match (left_out, whole) {
        (0, false) => String::new(),
        (0, true) => "d: back to the list".to_owned(),
        (more, false) => format!("{more} more lines: d shows all"),
        (more, true) => format!("{more} more lines on a larger terminal; d: back to the list"),
    };
    let mut rows = below.rows();
    if let Some(row) = rows.next() {
        let rule = "\u{2500}".repeat(usize::from(row.width));
        line_at(row, buffer, &rule, theme.faint());
        let (x, width) = (row.x + 2, row.width.saturating_sub(2));
        line_at(Rect { x, width, ..row }, buffer, &hint, theme.title());
    }
    for (row, (name, text)) in rows.zip(lines) {
        line_at(row, buffer, &format!("{name:>10}"), theme.title());
        let [_, right] =
            Layout::horizontal([Constraint::Length(12), Constraint::Min(0)]).areas(row);
        let style = match name {
            "lost" if !text.starts_with("nothing") => theme.alarm(),
            _ => Style::new(),
        };
        line_at(right, buffer, &text, style);
    }
}
