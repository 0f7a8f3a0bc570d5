//! `make bench`: each figure beside its peers', from the same run, as ratios. `README.md` says how to
//! read them.
//!
//! Usage: `brim-bench [--rounds N] [--seconds N] [PART...]`, all parts by default.
#![forbid(unsafe_code)]

use std::io;
use std::process::ExitCode;

use brim_bench::contest::{self, CONNECTIONS, Contestant, Measure, Rounds};
use brim_bench::handlers;
use brim_bench::idle::Idle;
use brim_bench::peers::nginx::{self, Tuning};
use brim_bench::peers::{ECHO, Front, Task, WORKERS, bare, brim, mongrel2};
use brim_bench::site::{LARGE, SMALL, Site};
use brim_bench::{datagrams, relays, slow, sockets};

/// Connections that say nothing.
const IDLE: usize = 10_000;

/// What can be measured.
type Part = fn(&Site, Rounds) -> io::Result<()>;
const PARTS: [(&str, Part); 10] = [
    ("echo", echo),
    ("small", small),
    ("large", large),
    ("proxy", proxy),
    ("tls", tls),
    ("idle", idle),
    ("slow", slow),
    ("handler", handler),
    ("tcp", relays::run),
    ("udp", datagrams::run),
];

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything could be measured. How fast anything is makes no difference.
fn run() -> io::Result<bool> {
    let (rounds, wanted) = arguments()?;
    let site = Site::new()?;
    println!(
        "{WORKERS} workers each, wrk -t2 -c{CONNECTIONS}, {} rounds of {} s in turn, medians\n",
        rounds.count, rounds.seconds
    );
    let mut whole = true;
    for (name, part) in PARTS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        // One that cannot be measured does not hide the others.
        if let Err(error) = part(&site, rounds) {
            println!("{name}: {error}\n");
            whole = false;
        }
    }
    Ok(whole)
}

fn arguments() -> io::Result<(Rounds, Vec<String>)> {
    let mut rounds = Rounds { count: 7, seconds: 3 };
    let mut parts = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse().ok());
        match argument.as_str() {
            "--rounds" => rounds.count = number().ok_or_else(|| usage(&argument))?,
            "--seconds" => rounds.seconds = number().ok_or_else(|| usage(&argument))?,
            name if PARTS.iter().any(|(part, _)| *part == name) => parts.push(argument),
            _ => return Err(usage(&argument)),
        }
    }
    Ok((rounds, parts))
}

fn usage(argument: &str) -> io::Error {
    let parts = PARTS.map(|(name, _)| name).join(" ");
    io::Error::other(format!(
        "{argument}? brim-bench [--rounds N] [--seconds N] [PART...], parts: {parts}"
    ))
}

/// The shell alone: what Brim does around a request, beside hyper without any of it.
fn echo(site: &Site, rounds: Rounds) -> io::Result<()> {
    let all = [
        Contestant::new("brim-http", brim(site, Front::Plain, Task::Echo)?, ECHO),
        Contestant::new("bare hyper, no log", bare(site, Front::Plain)?, ECHO).wanted(0.85),
    ];
    contest::run("an empty answer", Measure::Requests, &all, rounds)
}

fn small(site: &Site, rounds: Rounds) -> io::Result<()> {
    let files = |tuning| nginx::start(site, Front::Plain, Task::Files, tuning);
    let all = [
        Contestant::new("brim-http", brim(site, Front::Plain, Task::Files)?, SMALL),
        Contestant::new("nginx", files(Tuning::Debian)?, SMALL).wanted(1.5),
        Contestant::new("nginx, tuned", files(Tuning::Tuned)?, SMALL),
        Contestant::new("Mongrel2", mongrel2::start(site)?, SMALL).wanted(2.0),
        Contestant::new("bare hyper, no log", bare(site, Front::Plain)?, SMALL),
    ];
    contest::run("a file of 1 KiB", Measure::Requests, &all, rounds)
}

fn large(site: &Site, rounds: Rounds) -> io::Result<()> {
    let files = |tuning| nginx::start(site, Front::Plain, Task::Files, tuning);
    let all = [
        Contestant::new("brim-http", brim(site, Front::Plain, Task::Files)?, LARGE),
        Contestant::new("nginx", files(Tuning::Debian)?, LARGE).wanted(0.9),
        Contestant::new("nginx, tuned", files(Tuning::Tuned)?, LARGE),
    ];
    contest::run("a file of 1 MiB", Measure::Mebibytes, &all, rounds)
}

fn proxy(site: &Site, rounds: Rounds) -> io::Result<()> {
    let upstream = bare(site, Front::Plain)?;
    let task = Task::Proxy(upstream.address);
    let nginx = |tuning| nginx::start(site, Front::Plain, task, tuning);
    let all = [
        Contestant::new("brim-http", brim(site, Front::Plain, task)?, SMALL),
        Contestant::new("nginx", nginx(Tuning::Debian)?, SMALL).wanted(1.2),
        Contestant::new("nginx, tuned", nginx(Tuning::Tuned)?, SMALL),
    ];
    contest::run("1 KiB from an upstream (bare hyper)", Measure::Requests, &all, rounds)
}

fn tls(site: &Site, rounds: Rounds) -> io::Result<()> {
    let files = |tuning| nginx::start(site, Front::Tls, Task::Files, tuning);
    let all = [
        Contestant::tls("brim-http", brim(site, Front::Tls, Task::Files)?, SMALL),
        Contestant::tls("nginx", files(Tuning::Debian)?, SMALL).wanted(1.2),
        Contestant::tls("nginx, tuned", files(Tuning::Tuned)?, SMALL),
    ];
    contest::run("a file of 1 KiB over TLS 1.3", Measure::Requests, &all, rounds)
}

/// Fresh processes: memory that a load left behind is not the idle connections'.
fn idle(site: &Site, _: Rounds) -> io::Result<()> {
    for (front, wanted) in [(Front::Plain, 2.0), (Front::Tls, 12.0)] {
        let idle = Idle { site, front, connections: IDLE };
        idle.title();
        idle.line("brim-http", &brim(site, front, Task::Files)?, Some(wanted))?;
        let nginx = nginx::start(site, front, Task::Files, Tuning::Debian)?;
        idle.line("nginx", &nginx, None)?;
        drop(nginx);
        idle.line("bare hyper", &bare(site, front)?, None)?;
        println!();
    }
    Ok(())
}

/// One whose clients wait for programs behind it.
fn handler(site: &Site, rounds: Rounds) -> io::Result<()> {
    handlers::run(site, rounds)?;
    sockets::run(site, IDLE)
}

fn slow(site: &Site, _: Rounds) -> io::Result<()> {
    let nginx = nginx::start(site, Front::Plain, Task::Files, Tuning::Debian)?;
    slow::run(&brim(site, Front::Plain, Task::FilesAndEcho)?, &nginx, site)
}
