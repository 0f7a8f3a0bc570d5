//! `brim-tcp`: serves one `[tcp]` section with the apps that come with Brim.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_tcp::main(brim_tcp::Registry::builtin())
}
