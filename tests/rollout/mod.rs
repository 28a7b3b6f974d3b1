//! Updates that cost users nothing: how a process goes, how the schema changes under those that serve, and both together,
//! with processes in the place of pods.

mod drain;
mod expand;
mod migrations;
mod migrators;
mod older;
mod rotation;
mod update;
mod visitors;
