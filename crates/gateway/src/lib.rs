//! The gateway between front ends and handlers.
#![forbid(unsafe_code)]
