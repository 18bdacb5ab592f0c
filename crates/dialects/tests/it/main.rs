//! Translation from the outside: what a client and a model see of each other.

mod chat_at_messages;
mod cut;
mod errors;
mod integers;
mod messages_at_chat;
mod odd;
mod responses_at_chat;
mod speak;
