//! The middle of samples, and how sure it is.

/// A median, and between which two samples the true one is in 95 of 100 runs: order statistics, which
/// suppose nothing of how times are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub samples: usize,
}

impl Spread {
    /// Of at least one sample.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let middle = sorted[count / 2];
        let median = if count.is_multiple_of(2) {
            f64::midpoint(sorted[count / 2 - 1], middle)
        } else {
            middle
        };
        // How many samples are below the true median is binomial; its normal approximation.
        let half = 1.96 * (count as f64).sqrt() / 2.0;
        let center = count as f64 / 2.0;
        let low = (center - half).floor().max(0.0) as usize;
        let high = ((center + half).ceil() as usize).min(count - 1);
        Self {
            median,
            low: sorted[low],
            high: sorted[high],
            samples: count,
        }
    }
}
