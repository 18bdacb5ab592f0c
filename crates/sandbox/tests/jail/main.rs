//! The jail with real processes: as whoever runs the tests, and, where that is root, as two others.
//!
//! Only a system that allows no sandbox can skip these, and where `CI` is set not even that.

mod attack;
mod life;
mod site;
