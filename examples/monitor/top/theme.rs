//! How things look, with colours and without.

use ratatui::style::{Color, Modifier, Style};

use super::heat::{Cell, Planes};

/// Styles; without colours everything is told by weight, reversal and words.
#[derive(Clone, Copy)]
pub struct Theme {
    colours: bool,
}

impl Theme {
    /// Colours unless `NO_COLOR` is set to anything (no-color.org).
    pub fn from_environment() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self::new(!refused)
    }

    pub const fn new(colours: bool) -> Self {
        Self { colours }
    }

    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colours {
            style.fg(colour)
        } else {
            style
        }
    }

    pub fn title(self) -> Style {
        self.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Cyan)
    }

    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub fn good(self) -> Style {
        self.coloured(Style::new(), Color::Green)
    }

    /// What must not be missed.
    pub fn alarm(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if self.colours {
            style.fg(Color::White).bg(Color::Red)
        } else {
            style.add_modifier(Modifier::REVERSED)
        }
    }

    pub fn graph(self) -> Style {
        self.coloured(Style::new(), Color::Blue)
    }

    pub fn graph_of_anomalies(self) -> Style {
        self.coloured(Style::new(), Color::Red)
    }

    /// The more distances, the stronger; the hue says which planes know the pair.
    pub fn cell(self, cell: Cell) -> Style {
        // SANITY: at most 8 bits.
        let heat = u8::try_from(cell.heat()).unwrap_or(8);
        if !self.colours {
            return match heat {
                0..=2 => Style::new().add_modifier(Modifier::DIM),
                3..=5 => Style::new(),
                _ => Style::new().add_modifier(Modifier::BOLD),
            };
        }
        // Rows of the 256 colours' cube, from dark to light.
        let ramp: [u8; 4] = match cell.planes() {
            Planes::Both => [22, 28, 34, 40],
            Planes::Learnt => [94, 136, 178, 220],
            Planes::Normal => [53, 90, 127, 164],
        };
        let step = usize::from((heat.max(1) - 1) / 2);
        let style = Style::new().bg(Color::Indexed(ramp[step.min(3)]));
        style.fg(if step > 1 { Color::Black } else { Color::White })
    }
}
