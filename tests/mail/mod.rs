//! Mails: how they leave, and that what is in the outbox is sent, whatever happens, or given up visibly.

mod outbox;
mod transport;
