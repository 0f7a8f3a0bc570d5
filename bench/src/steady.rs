//! An honest client: so many requests per second, whatever the server does about the last ones.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, Way};

/// Threads, each with one request at a time.
const THREADS: u32 = 8;
/// The time between two requests of a thread.
const PERIOD: Duration = Duration::from_millis(8);

/// What the clients waited, each time from when the request was due: one that has to wait for the
/// one before it waits too.
#[derive(Debug)]
pub struct Waits {
    sorted: Vec<Duration>,
    /// Requests without an answer.
    pub lost: usize,
}

impl Waits {
    /// The wait that this part of the requests does not exceed.
    pub fn quantile(&self, part: f64) -> Duration {
        let index = (self.sorted.len() as f64 * part) as usize;
        self.sorted.get(index.min(self.sorted.len().saturating_sub(1))).copied().unwrap_or_default()
    }
}

/// Half of the clients keep their connections, the other half makes one for each request.
pub fn ask(way: &Way, path: &'static str, time: Duration) -> io::Result<Waits> {
    let begin = Instant::now();
    let threads: Vec<_> = (0..THREADS)
        .map(|number| {
            let way = way.clone();
            thread::spawn(move || {
                ask_one(&way, path, begin + PERIOD * number / THREADS, time, number % 2 == 0)
            })
        })
        .collect();
    let mut waits = Waits { sorted: Vec::new(), lost: 0 };
    for thread in threads {
        let (waited, lost) = thread.join().map_err(|_| io::Error::other("a client panicked"))?;
        waits.sorted.extend(waited);
        waits.lost += lost;
    }
    waits.sorted.sort();
    Ok(waits)
}

fn ask_one(
    way: &Way,
    path: &str,
    begin: Instant,
    time: Duration,
    keep: bool,
) -> (Vec<Duration>, usize) {
    let (mut waited, mut lost) = (Vec::new(), 0);
    let mut kept: Option<Client> = None;
    let mut due = begin;
    while due < begin + time {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let client = kept.take().map_or_else(|| way.connect(), Ok);
        let asked = client.and_then(|mut client| client.get(path).map(|()| client));
        match asked {
            Ok(client) => {
                waited.push(due.elapsed());
                kept = Some(client).filter(|_| keep);
            }
            Err(_) => lost += 1,
        }
        due += PERIOD;
    }
    (waited, lost)
}
