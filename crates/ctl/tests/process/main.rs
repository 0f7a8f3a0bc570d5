//! `brimctl` as people call it, with the real servers and a real message bus.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

mod bench;
mod check;
mod examples;
mod routes;
mod run;
mod servers;
