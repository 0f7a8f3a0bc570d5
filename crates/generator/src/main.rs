//! `brim-generator`: run by systemd at boot and at each `daemon-reload`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_generator::main(std::env::args_os().skip(1))
}
