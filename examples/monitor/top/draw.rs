//! The screen: a header that is always there, a view, and a line for keys and answers.

use ebph::ResponseStats;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Sparkline, Widget as _};

use super::help;
use super::model::{Model, Prompt, View};
use super::rates::{Series, losses};
use super::text::{cut, printable, rate, short, span, width, wrap};
use super::theme::Theme;
use super::{draw_inspection, draw_table};
use crate::protocol::Request;
use crate::rows::StatusReport;

/// Less is too small for anything to be read.
pub const SMALLEST: (u16, u16) = (40, 10);

/// Draws everything.
pub fn screen(model: &mut Model, theme: Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        too_small(area, buffer);
        return;
    }
    let [top, tabs, body, bottom] = Layout::vertical([
        Constraint::Length(3),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(area);
    header(model, theme, top, buffer);
    tab_line(model, theme, tabs, buffer);
    view(model, theme, body, buffer);
    bottom_line(model, theme, bottom, buffer);
    match &model.prompt {
        Prompt::Help => help::draw(theme, area, buffer),
        Prompt::Confirm(command) => {
            let question = format!("{} {}?", command.name, command.target);
            let warning = matches!(
                command.request,
                Request::Reset { .. } | Request::Forget { .. }
            );
            ask(&question, command.effect, warning, theme, area, buffer);
        }
        Prompt::Leave => {
            let command = model.command.as_deref().unwrap_or_default();
            let question = format!("leave, and end {}?", printable(command));
            ask(
                &question,
                "It is sent SIGTERM, and waited for.",
                true,
                theme,
                area,
                buffer,
            );
        }
        Prompt::None | Prompt::Filter { .. } => (),
    }
}

fn too_small(area: Rect, buffer: &mut Buffer) {
    let (columns, rows) = SMALLEST;
    let text = format!("too small: {columns}x{rows} is needed");
    let lines = wrap(&text, usize::from(area.width));
    for (row, line) in area.rows().zip(lines) {
        line_at(row, buffer, &line, Style::new());
    }
}

/// Writes one line of printable text.
pub fn line_at(area: Rect, buffer: &mut Buffer, text: &str, style: Style) {
    if area.height > 0 && area.width > 0 {
        let columns = usize::from(area.width);
        buffer.set_stringn(area.x, area.y, cut(text, columns), columns, style);
    }
}

fn header(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let [first, second, third] = Layout::vertical([Constraint::Length(1); 3]).areas(area);
    let mut spans = vec![Span::styled("ebph", theme.title()), Span::raw("  ")];
    if let Some(status) = &model.status {
        let profiles = &status.stats.profiles;
        if !status.running {
            spans.push(Span::styled(" PAUSED ", theme.alarm()));
            spans.push(Span::raw("  "));
        }
        if let Some((text, done)) = responses(&status.stats.responses) {
            let style = if done { theme.alarm() } else { Style::new() };
            spans.push(Span::styled(format!(" {text} "), style));
            spans.push(Span::raw("  "));
        }
        spans.push(Span::raw(format!(
            "{}, {}   profiles {}/{}: {} training, {} frozen, {} normal   pid {}",
            printable(&status.scope),
            span(std::time::Duration::from_secs(status.uptime_seconds)),
            profiles.used,
            profiles.capacity,
            profiles.training,
            profiles.frozen,
            profiles.normal,
            status.pid,
        )));
    } else if model.unreachable.is_none() {
        spans.push(Span::raw("asking the monitor ..."));
    }
    Line::from(spans).render(first, buffer);
    rates(model, theme, second, buffer);
    losses_line(model, theme, third, buffer);
}

/// What was done about anomalies or would have been, if anything; and whether it was done.
fn responses(counts: &ResponseStats) -> Option<(String, bool)> {
    let sum = |parts: [u64; 4]| parts.into_iter().fold(0, u64::saturating_add);
    let would_have = sum([
        counts.would_delay,
        counts.would_suspend_exec,
        counts.would_deny_exec,
        counts.would_kill,
    ]);
    let named = [
        (counts.delays, "delayed"),
        (counts.suspended_execs, "suspended"),
        (counts.denied_execs, "denied"),
        (counts.kills, "killed"),
    ];
    let done = named.iter().any(|(count, _)| *count > 0);
    let parts: Vec<_> = named
        .into_iter()
        .chain([(would_have, "would have been")])
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{} {name}", short(count)))
        .collect();
    (!parts.is_empty()).then(|| (parts.join(", "), done))
}

fn rates(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1); 2])
        .spacing(2)
        .areas(area);
    let graph = |series: &Series, name: &str, style, area: Rect, buffer: &mut Buffer| {
        let text = format!("{name}/s {:>5} ", rate(series.now));
        let taken = u16::try_from(width(&text))
            .unwrap_or(u16::MAX)
            .min(area.width);
        line_at(area, buffer, &text, Style::new());
        let [_, rest] =
            Layout::horizontal([Constraint::Length(taken), Constraint::Min(0)]).areas(area);
        let data = series.newest(usize::from(rest.width));
        Sparkline::default()
            .data(&data)
            .style(style)
            .render(rest, buffer);
    };
    graph(&model.rates.calls, "calls", theme.graph(), left, buffer);
    let style = theme.graph_of_anomalies();
    graph(&model.rates.anomalies, "anomalies", style, right, buffer);
}

/// The line that says whether anything is missing. It is never left out.
fn losses_line(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let fill = |text: &str, style: Style, buffer: &mut Buffer| {
        buffer.set_style(area, style);
        line_at(area, buffer, text, style);
    };
    if let Some(why) = &model.unreachable {
        let what = match model.status {
            Some(_) => "CONNECTION LOST, what is shown is old",
            None => "NO CONNECTION",
        };
        fill(&format!(" {what}: {why} "), theme.alarm(), buffer);
        return;
    }
    let Some(status) = &model.status else { return };
    let mut parts: Vec<_> = losses(&status.stats)
        .iter()
        .map(|loss| format!("{} {}", loss.count, loss.what))
        .collect();
    if status.log_failures > 0 {
        parts.push(format!("{} not in the log file", status.log_failures));
    }
    if model.missed > 0 {
        parts.push(format!("{} events came too fast to be shown", model.missed));
    }
    if parts.is_empty() {
        line_at(area, buffer, "nothing lost", theme.good());
        return;
    }
    let now = if model.rates.losing { " NOW" } else { "" };
    fill(
        &format!(" LOST{now}: {} ", parts.join(", ")),
        theme.alarm(),
        buffer,
    );
}

fn tab_line(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let events = match model.all_events {
        true => "events",
        false => "anomalies",
    };
    // Lists that are not looked at are not asked for, but their lengths are known.
    let count = |of: fn(&StatusReport) -> u64| model.status.as_deref().map_or(0, of);
    let names = [
        format!("1 processes {}", count(|status| status.processes)),
        format!("2 profiles {}", count(|status| status.stats.profiles.used)),
        format!("3 {events} {}", model.events.rows().len()),
        "4 counters".to_owned(),
    ];
    let mut spans = Vec::new();
    for (view, name) in View::ALL.iter().zip(names) {
        let style = match *view == model.view {
            true => theme.selected(),
            false => Style::new(),
        };
        spans.push(Span::styled(format!(" {name} "), style));
    }
    let filter = printable(model.filter());
    if !filter.is_empty() {
        let text = format!("  {} with: {filter}", model.listed());
        spans.push(Span::styled(text, theme.title()));
    }
    Line::from(spans).render(area, buffer);
}

fn view(model: &mut Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if let Some(inspection) = &mut model.inspection {
        draw_inspection::draw(inspection, theme, area, buffer);
        return;
    }
    match model.view {
        View::Processes => draw_table::draw(&mut model.processes, theme, area, buffer),
        View::Profiles => draw_table::draw(&mut model.profiles, theme, area, buffer),
        View::Events => {
            let whole = model.whole_detail;
            draw_table::with_detail(&mut model.events, whole, theme, area, buffer);
        }
        View::Counters => draw_table::draw(&mut model.counters, theme, area, buffer),
    }
}

fn bottom_line(model: &Model, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if let Prompt::Filter { .. } = model.prompt {
        let text = format!(
            "/{}\u{2588}  Enter: keep, Esc: as before",
            printable(model.filter())
        );
        line_at(area, buffer, &text, theme.title());
        return;
    }
    if let Some(message) = &model.message {
        let style = if message.bad {
            theme.alarm()
        } else {
            theme.title()
        };
        line_at(area, buffer, &message.text, style);
        return;
    }
    let keys = match &model.inspection {
        Some(_) => "arrows move  Tab map/pairs/calls  Esc back  nstfwRF commands  ? help  q leave",
        None if model.view == View::Events => {
            "Enter inspect  d detail  a all events  / filter  <> sort  ? help  q leave"
        }
        None => "Enter inspect  / filter  <> sort  r reverse  nstfwRF commands  ? help  q leave",
    };
    line_at(area, buffer, keys, theme.faint());
}

/// A box with a question that waits for y or n.
fn ask(question: &str, effect: &str, warning: bool, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns = area.width.saturating_sub(4).min(76);
    let room = usize::from(columns.saturating_sub(4));
    let mut lines = wrap(question, room);
    lines.extend(wrap(effect, room));
    lines.push("y: do it    n: do not".to_owned());
    // SANITY: more lines than a terminal has are cut.
    let rows = u16::try_from(lines.len() + 2)
        .unwrap_or(u16::MAX)
        .min(area.height);
    // The answer is the last line, and must be seen.
    while lines.len() > usize::from(rows.saturating_sub(2)).max(1) {
        lines.remove(lines.len() - 2);
    }
    let place = area.centered(Constraint::Length(columns), Constraint::Length(rows));
    Clear.render(place, buffer);
    let style = if warning {
        theme.alarm()
    } else {
        theme.title()
    };
    let lines: Vec<_> = lines
        .iter()
        .map(|line| Line::raw(format!(" {line}")))
        .collect();
    let block = Block::bordered().border_style(style).title(" sure? ");
    Paragraph::new(lines).block(block).render(place, buffer);
}
