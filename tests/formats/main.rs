//! What events become in the formats of others, held against what was published of these; and the
//! examples in the documentation.

mod documented;
mod ecs;
mod journal;
mod layers;
mod ocsf;
mod stub;
mod syslog;
mod threats;
mod variants;
