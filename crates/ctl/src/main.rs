//! `brimctl`: checks, queries and controls Brim's servers.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_ctl::run(std::env::args_os())
}
