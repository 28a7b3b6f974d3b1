//! The manifests for Kubernetes: kustomize builds them, Kubernetes' own schemas accept them, and they keep our rules,
//! each of which complains when it is broken on purpose. What a cluster makes of them, no test here can show.
//!
//! - `manifests`: how an installation is built and read; `given`: what it relies on
//! - `references`, `network`, `hardening`, `serving`, `environment`: the rules; each gives its complaints
//! - `rules`: they are kept; `controls`: each of them is seen to complain
//! - `readme`: its commands are those that the manifests need
//! - `tools`: what the checkers of others say

mod controls;
mod environment;
mod given;
mod hardening;
mod manifests;
mod network;
mod readme;
mod references;
mod rules;
mod serving;
mod tools;

/// The folders that somebody installs. `base` is not complete by itself.
const INSTALLATIONS: [&str; 3] = ["overlays/local", "overlays/production", "examples/cloudnative-pg"];
