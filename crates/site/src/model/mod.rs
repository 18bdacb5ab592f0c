//! Models at this site: which there are, who may call them, what calls cost, and what is written down of
//! them. How a call is made is the desk's, in `gateway` (ADR 18).

mod alarm;
pub(crate) mod book;
pub(crate) mod calls;
pub(crate) mod door;
pub(crate) mod secret;
pub(crate) mod shelf;
mod tail;
pub(crate) mod usage;
