#![no_main]

#[path = "../../tests/corpora/strace.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    entry::strace(data);
});
