//! Tests across Brim's programs: `tests/` beside this folder, and `system/` for a booted Debian.
#![forbid(unsafe_code)]
