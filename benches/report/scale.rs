//! The axes of plots.

/// From where to where values lie, evenly or by their logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    pub log: bool,
    low: f64,
    high: f64,
}

/// Whether the largest of values is more than `ratio` times the smallest, and all have a logarithm.
pub fn is_wide(values: impl Iterator<Item = f64> + Clone, ratio: f64) -> bool {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    low > 0.0 && values.fold(0.0, f64::max) / low > ratio
}

impl Scale {
    /// Of all `values`, with room at both ends.
    pub fn of(values: impl Iterator<Item = f64>, log: bool) -> Option<Self> {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let low = values.iter().copied().reduce(f64::min)?;
        let high = values.iter().copied().reduce(f64::max)?;
        Some(Self { log, low, high })
    }

    /// The same with `value` within.
    pub fn including(self, value: f64) -> Self {
        Self {
            low: self.low.min(value),
            high: self.high.max(value),
            ..self
        }
    }

    /// Where a value is.
    pub fn place(&self, value: f64) -> f64 {
        if self.log {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        }
    }

    /// What is there.
    pub fn value(&self, place: f64) -> f64 {
        if self.log { 10_f64.powf(place) } else { place }
    }

    /// From where to where places are. Nothing is left below zero where nothing is there.
    pub fn range(&self) -> std::ops::Range<f64> {
        let (low, high) = (self.place(self.low), self.place(self.high));
        let room = if high > low {
            (high - low) * 0.05
        } else {
            high.abs().max(1.0) * 0.05
        };
        let start = if low == 0.0 && !self.log {
            0.0
        } else {
            low - room
        };
        start..high + room
    }

    /// Round values within, about ten at most.
    pub fn marks(&self) -> Vec<f64> {
        let range = self.range();
        let within = |value: &f64| range.contains(&self.place(*value));
        if self.log {
            let powers = range.start.floor() as i32..=range.end.ceil() as i32;
            let steps: &[f64] = if range.end - range.start < 3.0 {
                &[1.0, 2.0, 5.0]
            } else {
                &[1.0]
            };
            let marks =
                powers.flat_map(|power| steps.iter().map(move |step| step * 10_f64.powi(power)));
            return marks.filter(within).collect();
        }
        let rough = (range.end - range.start) / 8.0;
        let power = 10_f64.powf(rough.log10().floor());
        let factors = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
        let step = factors
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let first = (range.start / step).ceil() as i64;
        let last = (range.end / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// A mark in as few digits as it needs.
pub fn label(value: f64) -> String {
    // What a multiplication left behind the sixth place is not meant.
    crate::table::whole((value * 1e6).round() / 1e6)
}
