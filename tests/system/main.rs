//! The system test: Brim's package in a Debian 12 that is booted whole, driven from outside.
//!
//! The way of a run, in order:
//!
//! 1. `host.rs` checks that this machine has what is needed, and makes the root file system once
//!    (`mmdebstrap`, cached below the target directory);
//! 2. the program executes itself again inside namespaces of its own (network, mounts, processes):
//!    ports and processes of a run meet nobody else's, and end with it whatever happens;
//! 3. each trial boots a [`machine::Machine`] or borrows the shared one, and looks at what Brim does.
//!
//! Nothing is skipped: what the machine lacks is a failure that names what to install.
//!
//! To add scenarios: a file beside this one with `pub(crate) fn trials() -> Vec<Trial>`, and its line
//! in [`trials`].
#![forbid(unsafe_code)]

mod bus;
mod certificate;
mod client;
mod configure;
mod control;
mod daemons;
mod daemons_faults;
mod endure;
mod front;
mod gateway;
mod generate;
mod host;
mod limits;
mod load;
mod machine;
mod mixed;
mod package;
mod python;
mod serve;
mod tcp;
mod udp;
mod upstream;
mod wait;

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Arguments, Failed, Trial};

fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    trials.extend(package::trials());
    trials.extend(serve::trials());
    trials.extend(bus::trials());
    trials.extend(configure::trials());
    trials.extend(generate::trials());
    trials.extend(control::trials());
    trials.extend(limits::trials());
    trials.extend(endure::trials());
    trials.extend(front::trials());
    trials.extend(tcp::trials());
    trials.extend(udp::trials());
    trials.extend(daemons::trials());
    trials.extend(daemons_faults::trials());
    trials.extend(gateway::trials());
    trials
}

/// A trial that fails when it panics: at every attempt, where `BRIM_RETRIES` allows for more than one.
fn trial(name: impl Into<String>, test: fn()) -> Trial {
    let name = name.into();
    Trial::test(name.clone(), move || -> Result<(), Failed> {
        let retries = std::env::var("BRIM_RETRIES").ok().and_then(|count| count.parse().ok());
        for _ in 0..retries.unwrap_or(0_u32) {
            if catch_unwind(test).is_ok() {
                return Ok(());
            }
            // Told of again at the end, where it is seen.
            FLAKY.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
            machine::end_shared();
        }
        test();
        Ok(())
    })
}

/// The trials that had to be tried again, by each attempt that failed.
static FLAKY: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One after another: the scenarios measure, and share one machine.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    if !host::inside() {
        let trouble = host::prepare().err().unwrap_or_else(host::enter);
        eprintln!("system test: {trouble}");
        return ExitCode::FAILURE;
    }
    if let Err(trouble) = host::settle() {
        eprintln!("system test: {trouble}");
        return ExitCode::FAILURE;
    }
    let conclusion = libtest_mimic::run(&arguments, trials());
    machine::end_shared();
    for name in FLAKY.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        println!("FLAKY: {name} has failed and was tried again");
    }
    conclusion.exit_code()
}
