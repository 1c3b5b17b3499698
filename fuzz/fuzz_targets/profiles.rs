#![no_main]

#[path = "../../tests/corpora/profiles.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    entry::profiles(data);
});
