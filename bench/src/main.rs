//! `make bench`: each figure beside its peer's, from the same run, as a ratio.
#![forbid(unsafe_code)]

use std::io;
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::Duration;

use brim_bench::{Server, ask, free_address, median, program, wrk};

/// Rounds per figure, of which the median counts: the machine has other things to do too.
const ROUNDS: usize = 7;
/// Seconds per round and server.
const SECONDS: u32 = 4;
const CONNECTIONS: u32 = 50;
const IDLE: usize = 5000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let (brim, bare) = (start_brim(folder.path())?, start_bare()?);
    echo(&brim, &bare)?;
    drop((brim, bare));
    // Fresh processes: memory that the load left behind is not the idle connections'.
    let (brim, bare) = (start_brim(folder.path())?, start_bare()?);
    idle(&brim, &bare)
}

/// `brim-http` as it is installed: access log to a file, every limit at its default.
fn start_brim(folder: &std::path::Path) -> io::Result<Server> {
    let address = free_address()?;
    let config = folder.join("brim.conf");
    std::fs::write(&config, format!("[wsgi]\nlisten = {address}\nworkers = 2\napps = echo\n"))?;
    let mut command = Command::new(program("brim-http")?);
    command.arg("--config").arg(config).arg("wsgi").env("LOGS_DIRECTORY", folder);
    Server::start(&mut command, address)
}

fn start_bare() -> io::Result<Server> {
    let address = free_address()?;
    let mut command = Command::new(program("bare-hyper")?);
    Server::start(command.args([&address.to_string(), "2"]), address)
}

fn echo(brim: &Server, bare: &Server) -> io::Result<()> {
    println!(
        "echo, wrk with 2 threads and {CONNECTIONS} connections, 2 workers each, {ROUNDS} rounds of {SECONDS} s in turn"
    );
    let mut seen: [Vec<(f64, f64)>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (server, seen) in [brim, bare].into_iter().zip(&mut seen) {
            let before = server.ticks()?;
            let (requests, time) = wrk(server.address, CONNECTIONS, SECONDS)?;
            let micros = (server.ticks()? - before) as f64 * 1e4 / requests as f64;
            seen.push((requests as f64 / time, micros));
        }
    }
    let ratios = seen[0].iter().zip(&seen[1]).map(|(brim, bare)| brim.0 / bare.0).collect();
    for (name, seen) in ["brim-http", "bare hyper"].into_iter().zip(&seen) {
        let rates = seen.iter().map(|(rate, _)| *rate).collect();
        let micros = seen.iter().map(|(_, micros)| *micros).collect();
        println!(
            "  {name:<12}{:>9.0} requests/s{:>8.2} us of processor each",
            median(rates),
            median(micros)
        );
    }
    println!("  ratio       {:>9.2} (median of the rounds; wanted: at least 0.85)", median(ratios));
    Ok(())
}

fn idle(brim: &Server, bare: &Server) -> io::Result<()> {
    println!("{IDLE} idle keep-alive connections, each after one request");
    let mut costs = Vec::new();
    for (name, server) in [("brim-http", brim), ("bare hyper", bare)] {
        // What any number of requests leaves behind (log buffers, say) is not the connections'.
        let mut one = TcpStream::connect(server.address);
        for _ in 0..IDLE {
            ask(&mut one)?;
        }
        let before = server.resident()?;
        let mut open: Vec<io::Result<TcpStream>> = Vec::new();
        for _ in 0..IDLE {
            let mut stream = TcpStream::connect(server.address);
            ask(&mut stream)?;
            open.push(stream);
        }
        std::thread::sleep(Duration::from_secs(5));
        let cost = server.resident()?.saturating_sub(before) as f64 / IDLE as f64 / 1024.0;
        println!("  {name:<12}{cost:>9.2} KiB of resident memory each");
        // Still connections, and not only descriptors.
        ask(open.last_mut().ok_or_else(|| io::Error::other("no connection"))?)?;
        costs.push(cost);
    }
    println!("  ratio       {:>9.2} (wanted: brim-http at most 2 KiB each)", costs[0] / costs[1]);
    Ok(())
}
