#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ebph::fuzzing::records(data));
