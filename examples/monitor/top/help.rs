//! The help.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Style;
use ratatui::widgets::{Block, Clear, Widget as _};

use super::command::OF_PROFILE;
use super::draw::line_at;
use super::theme::Theme;

const KEYS: &[(&str, &str)] = &[
    ("1 2 3 4, Tab", "processes, profiles, anomalies, counters"),
    (
        "arrows j k PgUp PgDn",
        "move; Home and End, g and G: to the ends",
    ),
    ("< >, r", "sort by the column beside; reverse"),
    ("/", "show only lines with a text; Esc shows all again"),
    ("Enter", "look into a profile; from its lists, to the map"),
    ("Tab (in a profile)", "map, pairs, calls"),
    (
        "a, d (anomalies)",
        "all events, or only those to act on; one in full",
    ),
    ("P, S", "pause or resume the monitor; save profiles"),
    ("q, Esc, Ctrl-C", "back; leave"),
    ("Ctrl-Z, Ctrl-L", "stop for a while; draw everything anew"),
];

const WORDS: &[(&str, &str)] = &[
    (
        "STATE",
        "normal*: also frozen; !: some calls were not learnt",
    ),
    (
        "SAME, NEW",
        "calls since something new; calls that were new",
    ),
    ("LFC", "anomalous calls of a thread's last 128"),
    ("MISS", "pairs of an anomaly that were never seen"),
];

/// Draws it over the rest.
pub fn draw(theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut lines: Vec<(String, &str)> = Vec::new();
    let add = |lines: &mut Vec<(String, &'static str)>, of: &[(&str, &'static str)]| {
        lines.extend(of.iter().map(|(key, text)| ((*key).to_owned(), *text)));
    };
    add(&mut lines, KEYS);
    for (key, name, effect, _) in OF_PROFILE {
        lines.push((format!("{key} {name}"), effect));
    }
    add(&mut lines, WORDS);
    // SANITY: a constant number of lines.
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let place = area.centered(
        Constraint::Length(area.width.min(100)),
        Constraint::Length(rows.min(area.height)),
    );
    Clear.render(place, buffer);
    let block = Block::bordered()
        .border_style(theme.title())
        .title(" keys; any key goes back ");
    let inner = block.inner(place);
    block.render(place, buffer);
    for (row, (key, text)) in inner.rows().zip(&lines) {
        line_at(
            Rect {
                width: inner.width.min(21),
                ..row
            },
            buffer,
            key,
            theme.title(),
        );
        let right = Rect {
            x: row.x + inner.width.min(22),
            width: inner.width.saturating_sub(22),
            ..row
        };
        line_at(right, buffer, text, Style::new());
    }
}
