//! What all formats tell of a call, and of what was done at it.

use std::borrow::Cow;

use crate::event::{Anomaly, Context, Event, MissedPair};
use crate::syscall::{Letter, Symbol};

/// A call that an alert is about.
#[derive(Clone, Copy)]
pub(in crate::event) struct Call<'a> {
    pub symbol: Symbol,
    window: &'a [Letter],
    pub missed: &'a [MissedPair],
    pub lfc: u32,
    pub max_lfc: u32,
    pub suppressed: u64,
    pub context: &'a Context,
}

impl Event {
    /// The call that an anomaly or a response is about.
    pub(in crate::event) fn call(&self) -> Option<Call<'_>> {
        Some(match self {
            Self::Anomaly(event) => {
                let Anomaly {
                    context,
                    symbol,
                    window,
                    missed,
                    lfc,
                    max_lfc,
                    suppressed,
                } = &**event;
                Call {
                    symbol: *symbol,
                    window,
                    missed,
                    lfc: *lfc,
                    max_lfc: *max_lfc,
                    suppressed: *suppressed,
                    context,
                }
            }
            Self::Response(event) => Call {
                symbol: event.symbol,
                window: &event.window,
                missed: &event.missed,
                lfc: event.lfc,
                max_lfc: event.max_lfc,
                suppressed: event.suppressed,
                context: &event.context,
            },
            _ => return None,
        })
    }
}

impl Call<'_> {
    /// The names of the calls, oldest first; the call itself is the last.
    pub(crate) fn window(&self) -> Vec<Cow<'static, str>> {
        let abi = self.symbol.abi();
        let names = self.window.iter().map(|letter| letter.name_beside(abi));
        names.collect()
    }
}
