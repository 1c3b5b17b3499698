//! What was done about anomalies, in the Open Cybersecurity Schema Framework.

use serde_json::{Value, json};

use super::process::file;
use crate::event::{Response, ResponseAction};

/// Adds what was done to a finding.
pub(super) fn add(response: &Response, event: &mut Value) {
    let (action, disposition) = outcome(response);
    event["action_id"] = json!(action.0);
    event["action"] = json!(action.1);
    event["disposition_id"] = json!(disposition.0);
    event["disposition"] = json!(disposition.1);
    event["finding_info"]["types"] = json!(["response", response.action.as_str()]);
    let Some(target) = &response.target else {
        return;
    };
    event["evidences"][0]["file"] = file(target, false);
    if let Some(list) = event["observables"].as_array_mut() {
        list.push(json!({
            "name": "evidences.file.path",
            "type_id": 45,
            "type": "File Path",
            "value": target.to_string_lossy(),
        }));
    }
}

type Named = (u32, &'static str);

/// What was decided, and what became of the activity.
const fn outcome(response: &Response) -> (Named, Named) {
    if response.would_have {
        return ((3, "Observed"), (17, "Logged"));
    }
    match response.action {
        ResponseAction::Delay(_) | ResponseAction::SuspendExec(_) => {
            ((4, "Modified"), (14, "Delayed"))
        }
        ResponseAction::DenyExec => ((2, "Denied"), (2, "Blocked")),
        // The schema has no disposition for it, but takes another name for "other".
        ResponseAction::Kill => ((2, "Denied"), (99, "Killed")),
    }
}
