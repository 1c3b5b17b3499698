#![no_main]

#[path = "../../tests/corpora/steps.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    entry::steps(data);
});
