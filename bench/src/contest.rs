//! Servers under the same load, in turn, so that what else the machine does meets all of them.

use std::io;

use crate::load::wrk;
use crate::median;
use crate::server::Server;

/// Connections that wrk keeps open.
pub const CONNECTIONS: u32 = 50;

/// How often and how long each server is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Rounds, of which the median counts.
    pub count: u32,
    /// Seconds per round and server.
    pub seconds: u32,
}

/// One of the servers.
#[derive(Debug)]
pub struct Contestant {
    name: &'static str,
    server: Server,
    url: String,
    /// How many times as fast as this one the first contestant shall be.
    wanted: Option<f64>,
}

impl Contestant {
    /// A server that is asked for this URL's path over plain TCP.
    pub fn new(name: &'static str, server: Server, path: &str) -> Self {
        let url = format!("http://{}{path}", server.address);
        Self { name, server, url, wanted: None }
    }

    /// The same over TLS.
    pub fn tls(name: &'static str, server: Server, path: &str) -> Self {
        let url = format!("https://{}{path}", server.address);
        Self { name, server, url, wanted: None }
    }

    /// The first contestant shall be at least this many times as fast.
    pub fn wanted(self, ratio: f64) -> Self {
        Self { wanted: Some(ratio), ..self }
    }
}

/// What a table shows in its first column.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// Answers per second.
    Requests,
    /// MiB per second, from answers of one MiB.
    Mebibytes,
}

/// One round of one contestant.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Answers per second.
    rate: f64,
    /// Microseconds of processor time per answer.
    cost: f64,
}

/// Lets them run and prints the table. The first one is ours.
pub fn run(title: &str, measure: Measure, all: &[Contestant], rounds: Rounds) -> io::Result<()> {
    let mut seen: Vec<Vec<Seen>> = vec![Vec::new(); all.len()];
    for _ in 0..rounds.count {
        for (contestant, seen) in all.iter().zip(&mut seen) {
            seen.push(round(contestant, rounds.seconds)?);
        }
    }
    let unit = match measure {
        Measure::Requests => "requests/s",
        Measure::Mebibytes => "MiB/s",
    };
    println!("{title}");
    println!(
        "  {:<22}{unit:>12}{:>16}{:>10}{:>8}{:>12}",
        "", "us processor", "speed", "wanted", "economy"
    );
    let ours = seen.first().map(Vec::as_slice).unwrap_or_default();
    for (index, (contestant, seen)) in all.iter().zip(&seen).enumerate() {
        let (rate, cost) = (of(seen, |seen| seen.rate), of(seen, |seen| seen.cost));
        print!("  {:<22}{rate:>12.0}{cost:>16.2}", contestant.name);
        if index > 0 {
            let pairs = || ours.iter().zip(seen);
            let speed = median(pairs().map(|(ours, peer)| ours.rate / peer.rate).collect());
            let economy = median(pairs().map(|(ours, peer)| peer.cost / ours.cost).collect());
            let wanted = contestant.wanted.map_or(String::new(), |wanted| format!("{wanted:.2}"));
            print!("{speed:>10.2}{wanted:>8}{economy:>12.2}");
        }
        println!();
    }
    println!();
    Ok(())
}

fn round(contestant: &Contestant, seconds: u32) -> io::Result<Seen> {
    let before = contestant.server.busy()?;
    let load = wrk(&contestant.url, CONNECTIONS, seconds)?;
    let busy = contestant.server.busy()?.saturating_sub(before);
    let requests = load.requests as f64;
    Ok(Seen { rate: requests / load.seconds, cost: busy.as_secs_f64() * 1e6 / requests })
}

fn of(seen: &[Seen], value: impl Fn(&Seen) -> f64) -> f64 {
    median(seen.iter().map(value).collect())
}
