//! `brim-http`: serves one `[wsgi]` section with the apps that come with Brim.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    brim_http::main(brim_http::Registry::builtin())
}
