//! The site as a client sees it: a real server, real requests, both stores.

mod dispatch;
mod documents;
mod events;
mod follow;
mod hostile;
mod keys;
mod place;
mod reference;
mod restart;
mod runs;
mod secrets;
mod server;
mod sets;
mod slow;
mod workflows;
