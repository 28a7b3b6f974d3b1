//! The whole system from outside: real processes, real sockets, a real Postgres. One module a promise.
//!
//! `tests/run` brings what this needs and runs it; `tests/run --full` plays the long rounds.

#![expect(unreachable_pub, reason = "everything in a test binary is private to it")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test says by failing what went wrong")]

mod harness;

mod browser;
mod flow;
mod local;

mod contract;
mod parity;

mod addresses;
mod bodies;
mod bytes;
mod injection;
mod json_shape;
mod passwords;
mod pollution;

mod abuse;
mod access;
mod cookies;
mod csrf;
mod endings;
mod grpc;
mod grpc_abuse;
mod login_race;
mod paths;
mod slow;
mod smuggling;

mod token_claims;
mod token_forms;
mod token_keys;
mod token_places;
mod tokens;

mod fuzz;
mod fuzz_bodies;
mod fuzz_tokens;

mod command_line;
mod configuration;
mod logs;
mod outage;
mod overload;
mod poison;
mod replicas;

mod architecture;
mod catalogue;
mod errors;
mod schema;
