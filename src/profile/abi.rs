//! A profile of one machine on another.

use crate::syscall::{Abi, Symbol};

use super::planes::Planes;
use super::{Profile, ProfileParts};

/// From this number on a call has the same number on every architecture.
const FIRST_COMMON: u32 = 424;

impl Profile {
    /// Translates it for the machine whose 64-bit interface is `native`, and names the calls that
    /// had to be left out because that machine has none of their name.
    ///
    /// A profile without calls of another machine comes back as it is. One with any comes back
    /// training, with all it learnt or held as normal in its training plane: what is normal on one
    /// machine need not be all that is normal on another.
    ///
    /// io_uring operations and bare numbers are the same everywhere.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use ebph::{Abi, Profile};
    ///
    /// let profile = Profile::read_from("nginx-of-the-arm-box.json")?;
    /// let (profile, left_out) = profile.for_abi(Abi::NATIVE);
    /// eprintln!("{} calls have no counterpart here", left_out.len());
    /// # Ok::<(), ebph::Error>(())
    /// ```
    #[must_use]
    pub fn for_abi(&self, native: Abi) -> (Self, Vec<Symbol>) {
        let native = native.unprefixed().unwrap_or(native);
        let foreign = |symbol: Symbol| translation(symbol.abi(), native) != Some(symbol.abi());
        if !self.symbols().any(foreign) {
            return (self.clone(), Vec::new());
        }
        let translate = |symbol| translated(symbol, native);
        let learning = self.clone().into_training();
        let mut planes = Planes::default();
        planes.absorb([&learning], translate, |bits| bits);
        let left_out = self.symbols().filter(|s| translate(*s).is_none()).collect();
        let profile = Self::from_parts(ProfileParts {
            rows_held: planes.rows_held(),
            ids: planes.ids,
            rows: planes.rows,
            ..learning.parts
        });
        (profile, left_out)
    }
}

/// The interface beside `native` that stands for `abi`.
fn translation(abi: Abi, native: Abi) -> Option<Abi> {
    match (abi, native) {
        (Abi::IoUring | Abi::Raw, _) => Some(abi),
        (Abi::X86_64 | Abi::Aarch64, Abi::X86_64 | Abi::Aarch64) => Some(native),
        (Abi::I386 | Abi::Arm, Abi::X86_64) => Some(Abi::I386),
        (Abi::I386 | Abi::Arm, Abi::Aarch64) => Some(Abi::Arm),
        (Abi::X32, Abi::X86_64) => Some(Abi::X32),
        _ => None,
    }
}

fn translated(symbol: Symbol, native: Abi) -> Option<Symbol> {
    let abi = translation(symbol.abi(), native)?;
    if abi == symbol.abi() {
        return Some(symbol);
    }
    // One letter for whatever is not told apart: who knows which calls those were.
    if symbol.is_unknown() {
        return None;
    }
    let name = symbol.name();
    if name.starts_with("call_") {
        return (symbol.number() >= FIRST_COMMON).then(|| Symbol::new(abi, symbol.number()));
    }
    Symbol::from_name(abi, &name)
}
