//! TCP servers.
#![forbid(unsafe_code)]
