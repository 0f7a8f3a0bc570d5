//! `brim-launch`: what `brim@.service` executes.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_launch::run(std::env::args_os().skip(1)).into()
}
