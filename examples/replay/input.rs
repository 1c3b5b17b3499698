//! The files that are read, what they are, and how far that has come.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ebph::trace::TraceError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::{Format, Traces};
use crate::output::{Failure, Outcome, note};

/// What takes less is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);
const BUFFER: usize = 64 << 10;

/// A file, or standard input, as it is read.
pub type Input = BufReader<Watched>;

/// Reads all files. One that is not what it should be is told, and the others go on.
///
/// `take` is given the file's name, what it is, and the file.
pub fn each(
    traces: &Traces,
    mut take: impl FnMut(&Path, Format, Input) -> Result<(), Trouble>,
) -> Result<Outcome, Failure> {
    let progress = Progress::new(&traces.files);
    let bad = each_of(traces, &progress, &mut take);
    progress.bar.finish_and_clear();
    match bad? {
        0 => Ok(Outcome::Complete),
        bad if bad == traces.files.len() => Err(Failure::Said),
        _ => Ok(Outcome::Incomplete),
    }
}

/// Reads all files, and counts the bad ones.
fn each_of(
    traces: &Traces,
    progress: &Progress,
    take: &mut impl FnMut(&Path, Format, Input) -> Result<(), Trouble>,
) -> Result<usize, Failure> {
    let mut bad = 0;
    for file in &traces.files {
        let result = open(file, progress).and_then(|mut input| {
            let format = match traces.format {
                Some(format) => format,
                None => guess(file, &mut input)?,
            };
            take(file, format, input)
        });
        match result {
            Ok(()) => (),
            Err(Trouble::Output(failure)) => return Err(failure),
            Err(Trouble::File(message)) => {
                progress.aside(|| note(&message));
                bad += 1;
            }
        }
    }
    Ok(bad)
}

/// Why a file could not be gone through.
pub enum Trouble {
    /// It is the file's fault.
    File(String),
    /// The results cannot be written, so there is no use in going on.
    Output(Failure),
}

impl From<TraceError> for Trouble {
    fn from(error: TraceError) -> Self {
        Self::File(error.to_string())
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Output(failure)
    }
}

pub fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == OsStr::new("-")
}

fn open(file: &Path, progress: &Progress) -> Result<Input, Trouble> {
    let reader: Box<dyn Read> = if is_standard_input(file) {
        Box::new(io::stdin().lock())
    } else {
        let opened = File::open(file);
        Box::new(opened.map_err(|error| Trouble::File(format!("{}: {error}", file.display())))?)
    };
    let watched = Watched {
        reader,
        progress: progress.clone(),
    };
    Ok(BufReader::with_capacity(BUFFER, watched))
}

/// Tells what a file is from its beginning.
fn guess(file: &Path, input: &mut Input) -> Result<Format, Trouble> {
    let unsure = |why: &str| {
        let file = file.display();
        Trouble::File(format!("{file}:1: {why}: say what it is with --format"))
    };
    let beginning = input
        .fill_buf()
        .map_err(|error| Trouble::File(format!("{}: {error}", file.display())))?;
    let line = beginning
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty())
        .ok_or_else(|| unsure("there is nothing to tell the format from"))?;
    let number = |word: &[u8]| word.iter().all(u8::is_ascii_digit);
    let numbers = |text: &[u8]| text.split(u8::is_ascii_whitespace).all(number);
    let tab = line.iter().position(|byte| *byte == b'\t');
    // The end of a long line may not be in the buffer; what is in it says enough.
    match tab.map(|tab| (&line[..tab], &line[tab + 1..])) {
        _ if numbers(line) && tab.is_none() => Ok(Format::Numbers),
        Some((name, rest)) if numbers(rest) && !numbers(name) => Ok(Format::Traces),
        Some((_, rest)) if numbers(rest) => {
            Err(unsure("the number before the tab may be a call or a name"))
        }
        _ => Ok(Format::Strace),
    }
}

/// How much has been read, shown on a terminal once it takes a while.
#[derive(Clone)]
struct Progress {
    bar: ProgressBar,
    begun: Instant,
}

impl Progress {
    fn new(files: &[PathBuf]) -> Self {
        let length = |file: &PathBuf| {
            let metadata = fs::metadata(file).ok()?;
            metadata.is_file().then_some(metadata.len())
        };
        let total: Option<u64> = files.iter().map(length).sum();
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let style = match total {
            Some(_) => "{wide_bar} {bytes} of {total_bytes}, {eta} left",
            None => "{spinner} {bytes}, {elapsed}",
        };
        // SANITY: the templates are right, or the usual style does.
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_draw_target(ProgressDrawTarget::hidden());
        Self {
            bar,
            begun: Instant::now(),
        }
    }

    fn read(&self, bytes: usize) {
        self.bar.inc(bytes as u64);
        if self.bar.is_hidden() && self.begun.elapsed() > PATIENCE {
            // Stays hidden where standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Says something that the bar must not run over.
    fn aside(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }
}

/// A reader that tells how much was read.
pub struct Watched {
    reader: Box<dyn Read>,
    progress: Progress,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.reader.read(buffer)?;
        self.progress.read(bytes);
        Ok(bytes)
    }
}
