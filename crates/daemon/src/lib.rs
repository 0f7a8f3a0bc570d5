//! Background daemons.
#![forbid(unsafe_code)]
