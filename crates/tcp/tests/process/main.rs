//! The real `brim-tcp` over real sockets.
//!
//! The test plays systemd: it opens the listening sockets, hands them over, hears `READY=1`, and ends
//! what it started. `support` is that; each other file is a subject.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod support;

mod churn;
mod drain;
mod echo;
mod exec;
mod forward;
mod hello;
mod limits;
mod section;
mod tls;
