//! Servers between clients and a handler: the same handler for Brim and for Mongrel2.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::contest::{CONNECTIONS, Rounds};
use crate::load::wrk;
use crate::median;
use crate::peers::{WORKERS, brim_with_handler, mongrel2};
use crate::rate::{self, Asked};
use crate::server::{Server, free_address, program};
use crate::site::Site;

/// Requests a second where few come together. The clients' clock has steps of 1 ms.
const FEW: u32 = 5000;
/// Clients that one message goes to.
pub const WAITING: u32 = 100;

/// What answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// `handlers/hello.py`, by libzmq.
    Python,
    /// `bin/hello-handler.rs`, by the crate `zeromq`.
    Rust,
}

/// A server, all of its programs, and its handler.
#[derive(Debug)]
pub struct Served {
    /// Where clients connect.
    pub address: SocketAddr,
    servers: Vec<Server>,
    handler: Child,
}

impl Served {
    /// Front end with so many workers, gateway and handler.
    pub fn brim(site: &Site, handler: Handler, workers: u32) -> io::Result<Self> {
        let specs = [free_address()?, free_address()?];
        let servers = brim_with_handler(site, specs, workers)?;
        Self::start(servers, specs, handler)
    }

    /// Mongrel2 and handler.
    pub fn mongrel2(site: &Site, handler: Handler) -> io::Result<Self> {
        let specs = [free_address()?, free_address()?];
        Self::start(vec![mongrel2::start_with_handler(site, specs)?], specs, handler)
    }

    /// The first of the servers is the one that clients connect to.
    fn start(servers: Vec<Server>, specs: [SocketAddr; 2], handler: Handler) -> io::Result<Self> {
        let mut command = match handler {
            Handler::Python => {
                // Debian's own: for that one `make bench` installs python3-zmq.
                let mut command = Command::new("/usr/bin/python3");
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/handlers/hello.py"));
                command
            }
            Handler::Rust => Command::new(program("hello-handler")?),
        };
        command.args(specs.map(|spec| format!("tcp://{spec}"))).arg(WAITING.to_string());
        let handler = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let address = servers.first().map(|server| server.address);
        let address = address.ok_or_else(|| io::Error::other("no server"))?;
        let served = Self { address, servers, handler };
        served.wait_for_handler()?;
        Ok(served)
    }

    /// Until a request is answered: Brim says 503 before, Mongrel2 nothing.
    fn wait_for_handler(&self) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_millis(500)))?;
            if rate::exchange(&mut stream, "/").is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(io::Error::other("the handler does not answer"))
    }

    /// Processor time of the server's programs, not of the handler.
    fn busy(&self) -> io::Result<Duration> {
        self.servers.iter().map(Server::busy).sum()
    }

    /// Resident memory of each of the server's programs, in bytes.
    pub fn resident(&self) -> io::Result<Vec<u64>> {
        self.servers.iter().map(Server::resident).collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.handler.kill();
        let _ = self.handler.wait();
    }
}

/// What a round shows.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Answers per second under full load.
    rate: f64,
    /// Milliseconds that 99 of 100 of them took at most.
    p99: f64,
    /// Microseconds of processor time per answer at each of the fixed rates.
    costs: [f64; 2],
    /// Answers per second, of one message to many.
    deliveries: f64,
}

/// The same of all of them.
#[derive(Clone, Copy, Debug)]
struct Round {
    brim: Seen,
    /// Brim with one worker: Mongrel2 has no more.
    single: Seen,
    mongrel2: Seen,
}

/// What is wanted of Brim, as parts of what Mongrel2 does.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    rate: f64,
    p99: Option<f64>,
    cost: Option<f64>,
    deliveries: Option<f64>,
}

/// All tables.
pub fn run(site: &Site, rounds: Rounds) -> io::Result<()> {
    for (handler, wanted) in [
        (
            Handler::Python,
            Wanted { rate: 1.6, p99: Some(0.6), cost: Some(0.5), deliveries: Some(2.0) },
        ),
        (Handler::Rust, Wanted { rate: 1.8, p99: None, cost: None, deliveries: None }),
    ] {
        let brim = Served::brim(site, handler, WORKERS)?;
        let single = Served::brim(site, handler, 1)?;
        let mongrel2 = Served::mongrel2(site, handler)?;
        let rates = [FEW, half_speed(&mongrel2)?];
        let mut seen = Vec::new();
        for _ in 0..rounds.count {
            seen.push(Round {
                brim: round(&brim, handler, rates, rounds)?,
                single: round(&single, handler, rates, rounds)?,
                mongrel2: round(&mongrel2, handler, rates, rounds)?,
            });
        }
        print(handler, wanted, rates, &seen);
    }
    Ok(())
}

/// Half of the requests a second that it answers under full load, in thousands: a fixed rate at which machines
/// slow and fast have as much to do.
fn half_speed(served: &Served) -> io::Result<u32> {
    let load = wrk(&format!("http://{}/", served.address), CONNECTIONS, 2)?;
    let thousands = load.requests as f64 / load.seconds / 2000.0;
    Ok((thousands.round() as u32).max(1) * 1000)
}

fn round(served: &Served, handler: Handler, rates: [u32; 2], rounds: Rounds) -> io::Result<Seen> {
    let url = format!("http://{}/", served.address);
    let load = wrk(&url, CONNECTIONS, rounds.seconds)?;
    let time = Duration::from_secs(u64::from(rounds.seconds));
    let mut costs = [0.0; 2];
    for (cost, rate) in costs.iter_mut().zip(rates) {
        let before = served.busy()?;
        let asked = rate::ask(served.address, CONNECTIONS, rate, time)?;
        *cost = served.busy()?.saturating_sub(before).as_secs_f64() * 1e6 / asked.count as f64;
    }
    let deliveries = match handler {
        Handler::Python => {
            let Asked { count, time } = rate::wait_together(served.address, WAITING, time)?;
            count as f64 / time.as_secs_f64()
        }
        Handler::Rust => f64::NAN,
    };
    let rate = load.requests as f64 / load.seconds;
    Ok(Seen { rate, p99: load.p99, costs, deliveries })
}

fn print(handler: Handler, wanted: Wanted, rates: [u32; 2], seen: &[Round]) {
    let name = match handler {
        Handler::Python => "a handler in Python (libzmq)",
        Handler::Rust => "a handler in Rust (the crate zeromq)",
    };
    println!("{name}, {CONNECTIONS} connections");
    println!(
        "  {:<34}{:>10}{:>10}{:>10}{:>9}{:>9}{:>9}",
        "", "Brim", "1 worker", "Mongrel2", "ratio", "1 worker", "wanted"
    );
    let line = |what: String, of: fn(&Seen) -> f64, wanted: String| {
        let middle =
            |side: fn(&Round) -> &Seen| median(seen.iter().map(|round| of(side(round))).collect());
        let ratio = |side: fn(&Round) -> &Seen| {
            median(seen.iter().map(|round| of(side(round)) / of(&round.mongrel2)).collect())
        };
        println!(
            "  {what:<34}{:>10.2}{:>10.2}{:>10.2}{:>9.2}{:>9.2}{wanted:>9}",
            middle(|round| &round.brim),
            middle(|round| &round.single),
            middle(|round| &round.mongrel2),
            ratio(|round| &round.brim),
            ratio(|round| &round.single),
        );
    };
    let at_most =
        |wanted: Option<f64>| wanted.map_or(String::new(), |ratio| format!("<{ratio:.1}"));
    let at_least = |wanted: f64| format!(">{wanted:.1}");
    line("requests/s".to_owned(), |seen| seen.rate, at_least(wanted.rate));
    line("p99, ms".to_owned(), |seen| seen.p99, at_most(wanted.p99));
    let [slow, fast] = rates.map(|rate| format!("us processor at {rate}/s"));
    line(slow, |seen| seen.costs[0], at_most(wanted.cost));
    line(fast, |seen| seen.costs[1], at_most(wanted.cost));
    if let Some(ratio) = wanted.deliveries {
        line(
            format!("deliveries/s, {WAITING} by one message"),
            |seen| seen.deliveries,
            at_least(ratio),
        );
    }
    println!();
}
