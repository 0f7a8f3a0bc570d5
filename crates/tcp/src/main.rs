//! Brim's TCP server with the apps that come with it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_tcp::main(brim_tcp::Registry::builtin())
}
