//! `brim-daemon`: governs a `[daemons]` section, and runs the daemons that come with Brim.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_daemon::main(brim_daemon::Registry::builtin())
}
