//! The kinds of scenario, and the dice they are made with.

use std::time::Duration;

use ebph::{Detector, Key, Limits, Symbol};

/// How many tasks the kernel's replay knows.
pub const TASKS: u16 = 64;

/// A small random generator (SplitMix64): the same numbers from the same seed,
/// everywhere.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.index(among.len())]
    }

    /// True `of` times in 10,000.
    pub fn chance(&mut self, of: u64) -> bool {
        self.below(10_000) < of
    }
}

/// What both sides are set up with.
#[derive(Clone, Debug)]
pub struct Setup {
    pub limits: Limits,
    pub profiles: u32,
    pub rows: u32,
}

impl Setup {
    pub fn detector(&self) -> Detector {
        let mut detector = Detector::new(self.limits).with_max_rows(self.rows as usize);
        for number in 0..self.profiles {
            let key: Key = format!("8:1:{}:0", number + 1).parse().unwrap();
            detector.add_profile(key);
        }
        detector
    }
}

/// A kind of scenario. Rates are in 10,000 steps.
#[derive(Clone, Debug)]
pub struct Preset {
    pub name: &'static str,
    pub profiles: u32,
    pub rows: u32,
    pub limits: fn(Limits, &mut Rng) -> Limits,
    /// Different symbols a program uses.
    pub symbols: u64,
    /// Loops a program consists of.
    pub loops: u64,
    /// How often a loop is repeated before another begins.
    pub repeats: u64,
    pub deviate: u64,
    pub signal: u64,
    pub fork: u64,
    pub exec: u64,
    pub exit: u64,
    pub command: u64,
    /// Most tasks alive at a time.
    pub tasks: usize,
}

const QUIET: Preset = Preset {
    name: "quiet",
    profiles: 1,
    rows: 512,
    limits: |limits, _| limits.normal_wait(Duration::ZERO),
    symbols: 12,
    loops: 4,
    repeats: 30,
    deviate: 2,
    signal: 5,
    fork: 2,
    exec: 2,
    exit: 2,
    command: 1,
    tasks: 3,
};

/// The kinds of scenario, each of which reaches what others seldom do.
pub const PRESETS: &[Preset] = &[
    QUIET,
    Preset {
        name: "few symbols, low limits",
        profiles: 2,
        limits: |limits, rng| {
            limits
                .normal_wait(some_wait(rng))
                .anomaly_limit(rng.below(6))
                .tolerize_limit(rng.below(4))
        },
        symbols: 3,
        loops: 2,
        deviate: 30,
        ..QUIET
    },
    Preset {
        name: "both limits at once",
        limits: |limits, rng| {
            let limit = rng.below(5);
            limits
                .normal_wait(some_wait(rng))
                .anomaly_limit(limit)
                .tolerize_limit(limit)
        },
        symbols: 4,
        deviate: 100,
        command: 30,
        ..QUIET
    },
    Preset {
        name: "a wait to be met",
        profiles: 3,
        limits: |limits, rng| {
            limits
                .normal_wait(Duration::from_nanos(1 + rng.below(1_000_000_000)))
                .anomaly_limit(100)
        },
        symbols: 20,
        deviate: 8,
        command: 4,
        ..QUIET
    },
    Preset {
        name: "many symbols",
        profiles: 2,
        rows: 1024,
        symbols: 420,
        loops: 160,
        repeats: 2,
        deviate: 100,
        command: 5,
        ..QUIET
    },
    Preset {
        name: "many symbols, and rows run out",
        rows: 250,
        symbols: 420,
        loops: 160,
        repeats: 2,
        deviate: 100,
        command: 20,
        ..QUIET
    },
    Preset {
        name: "rows run out",
        profiles: 4,
        rows: 40,
        symbols: 18,
        loops: 6,
        deviate: 30,
        exec: 20,
        command: 12,
        ..QUIET
    },
    Preset {
        name: "signals",
        profiles: 2,
        limits: |limits, rng| limits.normal_wait(some_wait(rng)).anomaly_limit(200),
        symbols: 8,
        deviate: 100,
        signal: 900,
        fork: 20,
        exec: 10,
        exit: 20,
        command: 4,
        tasks: 6,
        ..QUIET
    },
    Preset {
        name: "many tasks",
        profiles: 3,
        limits: |limits, rng| {
            limits
                .normal_wait(Duration::from_nanos(rng.below(20_000)))
                .anomaly_limit(40)
                .tolerize_limit(3)
        },
        symbols: 6,
        loops: 3,
        deviate: 40,
        signal: 100,
        fork: 300,
        exec: 100,
        exit: 280,
        tasks: TASKS as usize,
        ..QUIET
    },
    Preset {
        name: "commands",
        profiles: 3,
        limits: |limits, _| limits.normal_wait(Duration::from_micros(50)),
        deviate: 60,
        command: 300,
        ..QUIET
    },
    Preset {
        name: "floors and another factor",
        profiles: 2,
        limits: |limits, rng| {
            limits
                .normal_wait(Duration::from_nanos(rng.below(3)))
                .min_train_calls(500 + rng.below(2_000))
                .min_train_processes(1 + rng.below(8))
                .freeze_factor(1 + rng.below(300), 1 + rng.below(100))
        },
        deviate: 10,
        exec: 20,
        exit: 10,
        ..QUIET
    },
    Preset {
        name: "learns on while normal",
        limits: |limits, _| {
            limits
                .normal_wait(Duration::from_micros(20))
                .anomaly_limit(100_000)
                .tolerize_limit(128)
        },
        symbols: 10,
        deviate: 3,
        ..QUIET
    },
    Preset {
        name: "fits nowhere",
        profiles: 2,
        rows: 300,
        limits: |limits, rng| {
            limits
                .normal_wait(Duration::ZERO)
                .anomaly_limit(rng.below(400))
                .tolerize_limit(rng.below(129))
        },
        symbols: 300,
        deviate: 5_000,
        signal: 200,
        fork: 100,
        exec: 50,
        exit: 100,
        command: 60,
        tasks: 20,
        ..QUIET
    },
];

/// No wait, or one that a few hundred steps or many thousand fill.
fn some_wait(rng: &mut Rng) -> Duration {
    let nanoseconds = rng.pick(&[0, 30_000, 1_000_000]);
    Duration::from_nanos(nanoseconds)
}

/// Loops of calls over a few letters, with some of both ABIs.
pub fn make_program(preset: &Preset, letters: &[Symbol], rng: &mut Rng) -> Vec<Vec<Symbol>> {
    let ordinary = |rng: &mut Rng| loop {
        let symbol = rng.pick(letters);
        if !symbol.is_sigreturn() && !symbol.is_restart_syscall() {
            return symbol;
        }
    };
    let alphabet: Vec<Symbol> = (0..preset.symbols).map(|_| ordinary(rng)).collect();
    (0..preset.loops)
        .map(|_| {
            let length = 1 + rng.below(12);
            (0..length).map(|_| rng.pick(&alphabet)).collect()
        })
        .collect()
}
