//! `brim-udp`: serves one `[udp]` section with the apps that come with Brim.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_udp::main(brim_udp::Registry::builtin())
}
