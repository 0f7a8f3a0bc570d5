//! UDP servers.
#![forbid(unsafe_code)]
