//! The real `brim-gateway`, with real handlers on libzmq (pyzmq) on one side, and front ends made of the link's
//! codec on the other. Skipped where `python3` has no `zmq` (Debian: python3-zmq).
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test itself does")]

mod bounds;
mod connections;
mod counts;
mod credits;
mod failures;
mod hostile;
mod http;
mod life;
mod links;
mod sockets;
mod support;
mod uploads;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A subject's tests.
type Trials = &'static [(&'static str, fn())];

fn main() -> ExitCode {
    let subjects: [(&str, Trials); 11] = [
        ("bounds", bounds::TRIALS),
        ("connections", connections::TRIALS),
        ("counts", counts::TRIALS),
        ("credits", credits::TRIALS),
        ("failures", failures::TRIALS),
        ("hostile", hostile::TRIALS),
        ("http", http::TRIALS),
        ("life", life::TRIALS),
        ("links", links::TRIALS),
        ("sockets", sockets::TRIALS),
        ("uploads", uploads::TRIALS),
    ];
    let trials = subjects.into_iter().flat_map(|(subject, trials)| {
        trials.iter().map(move |(name, run)| {
            Trial::test(format!("{subject}::{name}"), move || {
                run();
                Ok(())
            })
        })
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// Names functions as they are called.
macro_rules! trials {
    ($($name:ident)*) => {
        pub(crate) const TRIALS: crate::Trials = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use trials;
