//! BPF arrays seen through a mapping: reading a profile costs no system call.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::param::page_size;

use crate::skel::{Wire, types};

/// An mmap-able array map of `T`.
///
/// The kernel goes on writing to it, so a value is copied word by word: each word is whole, the
/// words of one value may be from different moments.
#[derive(Debug)]
pub(crate) struct Mapped<T> {
    memory: MmapRaw,
    len: u32,
    of: PhantomData<fn() -> T>,
}

impl<T: Wire> Mapped<T> {
    const WORDS: usize = size_of::<T>() / 8;

    /// Maps the array behind `fd`, which must have `len` values of `T`.
    pub(crate) fn new(fd: BorrowedFd<'_>, len: u32, writable: bool) -> io::Result<Self> {
        let mut options = MmapOptions::new();
        let options = options.len(len as usize * size_of::<T>());
        let memory = if writable {
            options.map_raw(fd.as_raw_fd())?
        } else {
            options.map_raw_read_only(fd.as_raw_fd())?
        };
        Ok(Self {
            memory,
            len,
            of: PhantomData,
        })
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Returns the bytes that the mapping takes.
    pub(crate) fn bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    fn words(&self, index: u32) -> Option<&[AtomicU64]> {
        if index >= self.len {
            return None;
        }
        let first = self
            .memory
            .as_ptr()
            .cast::<AtomicU64>()
            .wrapping_add(index as usize * Self::WORDS);
        // SAFETY: `index` is below `len`, and `len` values were mapped for as long as `self`
        // lives. A mapping starts at a page, and values are multiples of eight bytes, so the words
        // are aligned. Whoever else writes here (the kernel) is met by atomic loads only.
        Some(unsafe { std::slice::from_raw_parts(first, Self::WORDS) })
    }

    /// Returns all words of the array, for those who may do no more than load, store and compare.
    pub(crate) fn all(&self) -> &[AtomicU64] {
        let first = self.memory.as_ptr().cast::<AtomicU64>();
        // SAFETY: as in `words`: `len` values were mapped for as long as `self` lives.
        unsafe { std::slice::from_raw_parts(first, self.len as usize * Self::WORDS) }
    }

    /// Returns a copy of the value at `index`.
    pub(crate) fn get(&self, index: u32) -> Option<T> {
        let words = self.words(index)?;
        let mut value = T::default();
        // SAFETY: `T` is plain data of exactly `WORDS` words (see `Wire`), borrowed mutably here.
        // Words are written unaligned since `T` may be aligned to four bytes.
        unsafe {
            let to = (&raw mut value).cast::<u64>();
            for (i, word) in words.iter().enumerate() {
                to.add(i).write_unaligned(word.load(Ordering::Relaxed));
            }
        }
        Some(value)
    }

    /// Returns one word of the value at `index`: the state of a profile, say, without the rest.
    pub(crate) fn word(&self, index: u32, offset: usize) -> Option<u64> {
        let word = self.words(index)?.get(offset / 8)?;
        Some(word.load(Ordering::Acquire))
    }

    /// Writes the value at `index` of a writable mapping; false beyond its end.
    pub(crate) fn set(&mut self, index: u32, value: &T) -> bool {
        let Some(words) = self.words(index) else {
            return false;
        };
        // SAFETY: `T` is plain data of exactly `WORDS` words (see `Wire`). The mapping is
        // writable: the replay's input and the stage are, and only they call this.
        unsafe {
            let from = std::ptr::from_ref(value).cast::<u64>();
            for (i, word) in words.iter().enumerate() {
                word.store(from.add(i).read_unaligned(), Ordering::Relaxed);
            }
        }
        true
    }
}

/// How full a ring buffer is, by the positions that its two ends publish in its first two pages.
#[derive(Debug)]
pub(crate) struct RingUse {
    memory: MmapRaw,
}

impl RingUse {
    /// Maps the positions of the ring buffer behind `fd`.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let memory = MmapOptions::new()
            .len(2 * page_size())
            .map_raw_read_only(fd.as_raw_fd())?;
        Ok(Self { memory })
    }

    /// Returns the bytes that wait to be read.
    pub(crate) fn waiting(&self) -> u64 {
        let at = |offset: usize| {
            let position = self
                .memory
                .as_ptr()
                .wrapping_add(offset)
                .cast::<AtomicU64>();
            // SAFETY: both pages were mapped for as long as `self` lives, and begin with a
            // position (`consumer_pos`, `producer_pos`) of the size of a pointer, which the other
            // side changes atomically.
            unsafe { &*position }.load(Ordering::Acquire)
        };
        // The reader first: its position never passes the writers'.
        let read = at(0);
        at(page_size()).saturating_sub(read)
    }
}

/// The two ends of a ring buffer whose records nobody reads.
#[derive(Debug)]
pub(crate) struct RingEnds {
    reader: MmapRaw,
    writers: MmapRaw,
}

impl RingEnds {
    /// Maps the positions of the ring buffer behind `fd`.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let page = page_size();
        let mut options = MmapOptions::new();
        options.len(page);
        let reader = options.map_raw(fd.as_raw_fd())?;
        let writers = options
            .offset(page as u64)
            .map_raw_read_only(fd.as_raw_fd())?;
        Ok(Self { reader, writers })
    }

    /// Returns the position of the reader, which may be stored to, and that of the writers, which may
    /// not.
    pub(crate) fn positions(&self) -> [&AtomicU64; 2] {
        [&self.reader, &self.writers].map(|page| {
            // SAFETY: each page was mapped for as long as `self` lives, and begins with a position of
            // the size of a pointer, which the other side changes atomically.
            unsafe { &*page.as_ptr().cast::<AtomicU64>() }
        })
    }
}

/// Words that this process shares with those that it forks.
#[derive(Debug)]
pub(crate) struct SharedWords {
    memory: MmapRaw,
    len: usize,
}

impl SharedWords {
    /// Returns so many words, all zero.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let file = memfd_create("ebph", MemfdFlags::CLOEXEC)?;
        let bytes = len * size_of::<u64>();
        ftruncate(&file, bytes as u64)?;
        let memory = MmapOptions::new().len(bytes).map_raw(file.as_raw_fd())?;
        Ok(Self { memory, len })
    }

    pub(crate) fn all(&self) -> &[AtomicU64] {
        // SAFETY: so many words were mapped for as long as `self` lives, from the start of a page, of
        // a file of that size that nobody else can shrink.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

// SAFETY: the memory is reached through atomics only, and stays mapped until the drop.
unsafe impl Sync for RingEnds {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RingEnds {}
// SAFETY: the memory is reached through atomics only, and stays mapped until the drop.
unsafe impl Sync for SharedWords {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for SharedWords {}

// SAFETY: the memory is reached through atomics only, and stays mapped until the drop.
unsafe impl Sync for RingUse {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl Send for RingUse {}

// SAFETY: the memory is reached through atomics only, and stays mapped until the drop.
unsafe impl<T> Sync for Mapped<T> {}
// SAFETY: nothing in it belongs to a thread.
unsafe impl<T> Send for Mapped<T> {}
/// The maps that user space reads.
#[derive(Debug)]
pub(crate) struct Maps {
    pub profiles: Mapped<types::ebph_profile>,
    pub names: Mapped<types::ebph_names>,
    pub rows: Mapped<types::ebph_row>,
    pub counters: Mapped<types::ebph_counters>,
    pub globals: Mapped<types::ebph_globals>,
    pub ring: RingUse,
}

impl Maps {
    /// Returns the object's global variable.
    pub(crate) fn globals(&self) -> types::ebph_globals {
        self.globals.get(0).unwrap_or_default()
    }
}
