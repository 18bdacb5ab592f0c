//! The detectors, by what their anchors are. Each adds what it finds to the scan.

pub mod code;
pub mod date;
pub mod link;
pub mod net;
pub mod number;
pub mod phone;
pub mod secret;
