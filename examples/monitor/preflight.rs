//! `monitor preflight`: what this kernel and these privileges allow.

use ebph::Monitor;

use crate::{FAILED, output};

/// Prints the report, for people or as one line of JSON. Fails if no monitor can start here.
pub fn run(json: bool) -> Result<u8, String> {
    let report = Monitor::preflight();
    if json {
        output::print(&output::json(&report))?;
    } else {
        output::print(&report)?;
    }
    Ok(if report.ready() { 0 } else { FAILED })
}
