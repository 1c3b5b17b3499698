//! The names that values have in JSON.

use std::borrow::Cow;

use super::{Capacity, LossPlace, Marks, StopCause, WarningKind};

/// Names values in JSON.
macro_rules! names {
    ($type:ident { $($value:ident = $name:literal,)* }) => {
        impl $type {
            pub(super) const ALL: [Self; [$($name),*].len()] = [$(Self::$value),*];

            /// Returns the name that JSON uses.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)*
                }
            }
        }
    };
}

names!(StopCause {
    AnomalyLimit = "anomaly_limit",
    Command = "command",
    ExecutableChanged = "executable_changed",
});

names!(Capacity {
    Profiles = "profiles",
    Rows = "rows",
});

names!(LossPlace {
    Ring = "ring",
    Channel = "channel",
});

names!(WarningKind {
    MissedCalls = "missed_calls",
    MissedHooks = "missed_hooks",
    ThreadState = "thread_state",
    ProfileIndex = "profile_index",
    KernelRead = "kernel_read",
    Contention = "contention",
    Undecodable = "undecodable",
    HandlerPanic = "handler_panic",
    Store = "store",
    Guardian = "guardian",
});

/// Names marks in JSON.
macro_rules! marks {
    ($($mark:ident),*) => {
        impl Marks {
            pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
                [$((stringify!($mark), self.$mark)),*]
                    .into_iter()
                    .filter_map(|(name, set)| set.then_some(name))
            }

            pub(super) fn from_names(names: &[Cow<'_, str>]) -> Self {
                let has = |name: &str| names.iter().any(|mark| mark == name);
                Self { $($mark: has(stringify!($mark)),)* }
            }
        }
    };
}

marks!(
    exe_truncated,
    exe_lossy,
    script_truncated,
    script_lossy,
    script_unnamed,
    no_path,
    incomplete
);
