//! Servers under clients of our own, in turn, so that what else the machine does meets all of them.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::contest::Rounds;
use crate::median;
use crate::server::Server;

/// One of the servers.
#[derive(Debug)]
pub struct Rival {
    name: &'static str,
    server: Server,
    /// How many times as fast as this one the first rival shall be.
    wanted: Option<f64>,
    /// Does only what has to be done.
    bare: bool,
}

impl Rival {
    /// A server.
    pub fn new(name: &'static str, server: Server) -> Self {
        Self { name, server, wanted: None, bare: false }
    }

    /// The first rival shall be at least this many times as fast.
    pub fn wanted(self, ratio: f64) -> Self {
        Self { wanted: Some(ratio), ..self }
    }

    /// This one does only what has to be done: how many times as fast as the others it is shows what can be
    /// had on this machine.
    pub fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }
}

/// What clients have seen in one round.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Answers, connections or bytes.
    pub count: u64,
    /// Questions without an answer.
    pub lost: u64,
    /// How long that took.
    pub time: Duration,
}

/// One round of one rival.
#[derive(Clone, Copy, Debug)]
struct Round {
    /// In units per second.
    rate: f64,
    /// Microseconds of processor time per unit.
    cost: f64,
    /// Of a hundred.
    lost: f64,
}

/// What a table shows.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its unit.
    pub unit: &'a str,
    /// How many make one of that unit.
    pub size: f64,
}

/// Lets them run and prints the table. The first one is ours.
pub fn table(
    Table { title, unit, size }: Table<'_>,
    all: &[Rival],
    rounds: Rounds,
    load: impl Fn(&Rival, Duration) -> io::Result<Seen>,
) -> io::Result<()> {
    let time = Duration::from_secs(rounds.seconds.into());
    let mut seen: Vec<Vec<Round>> = vec![Vec::new(); all.len()];
    for _ in 0..rounds.count {
        for (rival, seen) in all.iter().zip(&mut seen) {
            let before = rival.server.busy()?;
            let Seen { count, lost, time } = load(rival, time)?;
            let busy = rival.server.busy()?.saturating_sub(before);
            let units = (count as f64 / size).max(f64::MIN_POSITIVE);
            seen.push(Round {
                rate: units / time.as_secs_f64(),
                cost: busy.as_secs_f64() * 1e6 / units,
                lost: lost as f64 * 100.0 / (count + lost).max(1) as f64,
            });
        }
    }
    print_table(title, unit, all, &seen);
    Ok(())
}

fn print_table(title: &str, unit: &str, all: &[Rival], seen: &[Vec<Round>]) {
    let bare = all.iter().zip(seen).find(|(rival, _)| rival.bare).map(|(_, seen)| seen.as_slice());
    println!("{title}");
    print!("  {:<22}{unit:>14}{:>16}{:>8}", "", "us processor", "lost %");
    println!("{:>8}{:>8}{:>8}{:>10}", "speed", "wanted", bare.map_or("", |_| "bare"), "economy");
    let ours = seen.first().map(Vec::as_slice).unwrap_or_default();
    for (index, (rival, seen)) in all.iter().zip(seen).enumerate() {
        let of = |value: fn(&Round) -> f64| median(seen.iter().map(value).collect());
        print!("  {:<22}{:>14.0}", rival.name, of(|round| round.rate));
        print!("{:>16.2}{:>8.2}", of(|round| round.cost), of(|round| round.lost));
        if index > 0 {
            let wanted = rival.wanted.map_or(String::new(), |wanted| format!("{wanted:.2}"));
            let bare = bare.filter(|_| !rival.bare).map(|bare| speed(bare, seen));
            let bare = bare.map_or(String::new(), |bare| format!("{bare:.2}"));
            let pairs = ours.iter().zip(seen);
            let economy = median(pairs.map(|(ours, peer)| peer.cost / ours.cost).collect());
            print!("{:>8.2}{wanted:>8}{bare:>8}{economy:>10.2}", speed(ours, seen));
        }
        println!();
    }
    println!();
}

/// How many times as fast as the peer.
fn speed(one: &[Round], peer: &[Round]) -> f64 {
    median(one.iter().zip(peer).map(|(one, peer)| one.rate / peer.rate).collect())
}
