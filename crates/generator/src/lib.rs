//! The systemd generator: Brim's configuration to drop-ins for the template units.
//!
//! systemd runs it at boot and at each `daemon-reload`, before it loads units. The steps, in order:
//!
//! 1. `arguments`: the directory to write to;
//! 2. [`brim_config::Tree::load`]: the configuration, and what is wrong with it;
//! 3. [`plan()`]: the configuration to unit files, pure;
//! 4. [`write()`]: the unit files into the directory;
//! 5. `log`: every problem to the journal, or to the kernel's log while there is no journal.
//!
//! Nothing that happens here may stop a boot: whatever goes wrong is logged, and the rest is written.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use brim_config::{Severity, Tree, check};

mod arguments;
mod daemons;
mod gateway;
mod log;
mod plan;
mod sandbox;
mod write;

pub use plan::{Content, UnitFile, plan};
pub use write::{WriteError, write};

use arguments::{Command, Run};
use log::Log;

/// The exit code after a wrong command line (`EX_USAGE` of sysexits.h).
const EX_USAGE: u8 = 64;

/// The whole program. `arguments` are those after the program's name.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match arguments::parse(arguments) {
        Ok(Command::Help) => println!("{}", arguments::HELP),
        Ok(Command::Version) => println!("brim-generator {}", env!("CARGO_PKG_VERSION")),
        Ok(Command::Run(run)) => generate(&run),
        Err(error) => {
            eprintln!("brim-generator: {error}");
            return ExitCode::from(EX_USAGE);
        }
    }
    ExitCode::SUCCESS
}

fn generate(run: &Run) {
    let mut log = if run.to_stderr { Log::to_stderr() } else { Log::to_system() };
    // A mistake of ours must not stop a boot either.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| steps(run, &mut log))) {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        log.note(Severity::Error, &format!("internal error: {}", text.unwrap_or("unknown")));
    }
    log.finish();
}

fn steps(run: &Run, log: &mut Log) {
    let (tree, mut problems) = Tree::load(&run.root);
    for error in write(&plan(&tree), &run.directory) {
        log.note(Severity::Error, &error.to_string());
    }
    problems.extend(check(&tree));
    for problem in tree.arrange(problems) {
        log.note(problem.severity, &problem.to_string());
    }
}
