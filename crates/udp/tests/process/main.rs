//! The real `brim-udp` over real sockets.
//!
//! The test plays systemd: it opens the sockets, hands them over, hears `READY=1`, and ends
//! what it started. `support` is that; each other file is a subject.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod support;

mod echo;
mod forward;
mod hello;
mod restart;
mod section;
mod turns;
