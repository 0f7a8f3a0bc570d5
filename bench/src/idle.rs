//! What a connection costs that is open and says nothing.

use std::io;
use std::time::{Duration, Instant};

use crate::client::{Client, Way};
use crate::peers::Front;
use crate::server::Server;
use crate::site::{SMALL, Site};

/// Silence before the memory is read: whatever a server does about idle connections is done by then.
const SILENCE: Duration = Duration::from_secs(5);
/// One request after the other before: what any number of them leaves behind (log buffers, say) is
/// not the connections'.
const WARM_UP: usize = 5000;

/// A table of idle connections.
#[derive(Debug)]
pub struct Idle<'a> {
    /// What all servers serve.
    pub site: &'a Site,
    /// How they are reached.
    pub front: Front,
    /// How many connections.
    pub connections: usize,
}

impl Idle<'_> {
    /// Prints the table's head.
    pub fn title(&self) {
        let over = if self.front == Front::Tls { " over TLS" } else { "" };
        println!("{} idle connections{over}, each after one request", self.connections);
        println!(
            "  {:<22}{:>12}{:>8}{:>16}{:>18}",
            "", "KiB each", "at most", "next one lost", "slowest, ms"
        );
    }

    /// Measures a server and prints its line.
    pub fn line(&self, name: &str, server: &Server, wanted: Option<f64>) -> io::Result<()> {
        let way = Way::to(server.address, self.front, self.site)?;
        let mut one = way.connect()?;
        for _ in 0..WARM_UP {
            one.get(SMALL)?;
        }
        let before = server.resident()?;
        let mut open: Vec<Client> = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            let mut client = way.connect()?;
            client.get(SMALL)?;
            open.push(client);
        }
        std::thread::sleep(SILENCE);
        let grown = server.resident()?.saturating_sub(before) as f64;
        let cost = grown / self.connections as f64 / 1024.0;
        let (lost, slowest) = ask_again(&mut open);
        let wanted = wanted.map_or(String::new(), |wanted| format!("{wanted:.0}"));
        let slowest = slowest.as_secs_f64() * 1e3;
        println!("  {name:<22}{cost:>12.2}{wanted:>8}{lost:>16}{slowest:>18.1}");
        Ok(())
    }
}

/// Still connections, and not only descriptors: how many are none, and the slowest answer.
fn ask_again(open: &mut [Client]) -> (usize, Duration) {
    let mut slowest = Duration::ZERO;
    let mut lost = 0;
    for client in open {
        let asked = Instant::now();
        match client.get(SMALL) {
            Ok(()) => slowest = slowest.max(asked.elapsed()),
            Err(_) => lost += 1,
        }
    }
    (lost, slowest)
}
