//! The whole system from outside: real processes, real sockets, a real Postgres. One module a promise.
//!
//! `tests/run` brings what this needs and runs it; `tests/run --full` plays the long rounds.

#![expect(unreachable_pub, reason = "everything in a test binary is private to it")]
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test says by failing what went wrong")]

mod harness;

// The documented flow and the contract.
mod browser;
mod contract;
mod flow;
mod forward_auth;
mod local;
mod parity;
mod profile;
mod registration;

// Who may do what, and what ends when.
mod access;
mod cookies;
mod csrf;
mod endings;
mod keys;
mod login_race;
mod recovery;
mod refresh;
mod refusals;
mod sessions;
mod tokens;
mod verified;
mod verifiers;

// Bad input, over HTTP and over gRPC.
mod abuse;
mod fuzz;
mod grpc;
mod grpc_abuse;
mod input;
mod paths;
mod slow;
mod smuggling;

// What breaks.
mod durability;
mod feed;

// What an operator meets.
mod command_line;
mod configuration;
mod discovery;
mod image;
mod kubernetes;
mod load;
mod logs;
mod mail;
mod outage;
mod overload;
mod pepper;
mod poison;
mod replicas;
mod rollout;
mod trouble;

// What the code promises its readers.
mod architecture;
mod catalogue;
mod errors;
mod schema;
