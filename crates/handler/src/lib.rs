//! Handlers in Rust.
#![forbid(unsafe_code)]
