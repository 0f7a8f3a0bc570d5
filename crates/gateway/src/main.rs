//! `brim-gateway`: serves one `[gateway]` section.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_gateway::main()
}
