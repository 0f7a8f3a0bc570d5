//! One thread accepts for all workers and gives each connection to the one that has the fewest.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use brim_config::Address;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::sync::mpsc::UnboundedSender;

use crate::client::ClientKey;
use crate::log::LogLimit;
use crate::program::Program;
use crate::sockets::{Held, ListeningSocket, PeerAddress};
use crate::worker::{Accepted, Command, Worker};

mod clients;

use clients::Clients;
pub use clients::RefusalTurn;

/// The first pause after the kernel had no descriptor or memory for us; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Connections taken at one door before the others have their turn.
const AT_ONCE: usize = 64;

/// The connections of all workers, counted where everybody can read them.
#[derive(Debug)]
pub(crate) struct Census {
    workers: Vec<AtomicUsize>,
    /// The same by the worker to which the acceptor gave them, wherever they are now: were the acceptor to fill up
    /// what others leave, it would undo what they do.
    accepted: Vec<AtomicUsize>,
    limit: AtomicUsize,
    /// With how many connections a worker is no company for those of others.
    company: AtomicUsize,
    /// Open connections from before and from after the drain began.
    generations: [AtomicUsize; 2],
    /// The same by client.
    pub(crate) clients: Clients,
    draining: AtomicBool,
    /// A connection ended, says this to the drain.
    closed: Notify,
    /// The acceptor waits for room.
    waiting: AtomicBool,
    /// Wakes the acceptor.
    wake: OwnedFd,
}

impl Census {
    pub(crate) fn new(workers: usize, limit: usize, company: usize) -> io::Result<Arc<Self>> {
        let zeros = || (0..workers).map(|_| AtomicUsize::new(0)).collect();
        Ok(Arc::new(Self {
            workers: zeros(),
            accepted: zeros(),
            limit: AtomicUsize::new(limit),
            company: AtomicUsize::new(company),
            generations: Default::default(),
            clients: Clients::default(),
            draining: AtomicBool::new(false),
            closed: Notify::new(),
            waiting: AtomicBool::new(false),
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        }))
    }

    pub(crate) fn set_limits(&self, limit: usize, company: usize) {
        self.limit.store(limit, Ordering::Relaxed);
        self.company.store(company, Ordering::Relaxed);
        self.wake();
    }

    /// With how many connections a worker gets no more from others.
    pub(crate) fn most_by_moves(&self) -> usize {
        self.limit.load(Ordering::Relaxed) / 4 * 3
    }

    /// With how many connections a worker is no company for those of others.
    pub(crate) fn company(&self) -> usize {
        self.company.load(Ordering::Relaxed)
    }

    /// The open connections of each worker.
    pub(crate) fn of_each(&self) -> Vec<usize> {
        self.workers.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    fn wake(&self) {
        // An eventfd that is full is one that wakes.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Connections accepted from now on are counted apart.
    pub(crate) fn begin_drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Open connections from before the drain.
    pub(crate) fn old(&self) -> usize {
        self.generations[0].load(Ordering::SeqCst)
    }

    /// All open connections.
    pub(crate) fn open(&self) -> usize {
        self.generations.iter().map(|count| count.load(Ordering::SeqCst)).sum()
    }

    /// Waits for a connection to end, from the moment of this call on.
    pub(crate) fn one_closes(&self) -> Notified<'_> {
        self.closed.notified()
    }

    pub(crate) fn enter(self: &Arc<Self>, worker: usize, client: Option<ClientKey>) -> Open {
        let generation = u8::from(self.draining.load(Ordering::SeqCst));
        for counts in [&self.workers, &self.accepted] {
            if let Some(count) = counts.get(worker) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.generations[usize::from(generation)].fetch_add(1, Ordering::SeqCst);
        let worker = u32::try_from(worker).unwrap_or(u32::MAX);
        let (census, now) = (self.clone(), Cell::new(worker));
        Open { census, worker: now, accepted_by: worker, generation, client }
    }

    /// The worker that was given the fewest of the connections, starting the search at `turn` so that equals take
    /// turns; `None` when all are full.
    fn least(&self, turn: usize) -> Option<usize> {
        let limit = self.limit.load(Ordering::Relaxed);
        let count = self.workers.len();
        (0..count)
            .map(|step| (turn + step) % count)
            .filter(|index| self.workers[*index].load(Ordering::SeqCst) < limit)
            .min_by_key(|index| self.accepted[*index].load(Ordering::SeqCst))
    }
}

/// A connection counts as open as long as this lives.
#[derive(Debug)]
pub struct Open {
    census: Arc<Census>,
    // Narrow: each parked connection keeps one of these.
    worker: Cell<u32>,
    accepted_by: u32,
    generation: u8,
    /// Whose limit it counts for.
    client: Option<ClientKey>,
}

impl Open {
    /// From now on it counts for this worker, unless that one has three quarters of what it may have: the rest is
    /// the acceptor's to give.
    pub fn move_to(&self, worker: usize) -> bool {
        let Some(count) = self.census.workers.get(worker) else { return false };
        let most = self.census.most_by_moves();
        let one_more = |open: usize| (open < most).then_some(open + 1);
        if count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).is_err() {
            return false;
        }
        self.leave_worker();
        self.worker.set(u32::try_from(worker).unwrap_or(u32::MAX));
        true
    }

    /// The acceptor hears of the room.
    fn leave_worker(&self) {
        let census = &self.census;
        if let Some(count) = census.workers.get(self.worker.get() as usize) {
            count.fetch_sub(1, Ordering::SeqCst);
        }
        if census.waiting.load(Ordering::SeqCst) {
            census.wake();
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let census = &self.census;
        if let Some(client) = self.client {
            census.clients.leave(client);
        }
        census.generations[usize::from(self.generation)].fetch_sub(1, Ordering::SeqCst);
        if let Some(count) = census.accepted.get(self.accepted_by as usize) {
            count.fetch_sub(1, Ordering::SeqCst);
        }
        self.leave_worker();
        census.closed.notify_waiters();
    }
}

/// The acceptor, as the others see it.
pub(crate) struct Acceptor {
    stop: Arc<AtomicBool>,
    census: Arc<Census>,
    thread: std::thread::JoinHandle<()>,
}

impl Acceptor {
    /// Starts accepting on all sockets.
    pub(crate) fn start<P: Program>(
        sockets: Vec<Held>,
        workers: &[Worker<P>],
        census: Arc<Census>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let hand_out = HandOut::<P> {
            doors: sockets.into_iter().map(Door::new).collect(),
            commands: workers.iter().map(|worker| worker.commands.clone()).collect(),
            census: census.clone(),
            turn: 0,
            stop: stop.clone(),
            log_limit: LogLimit::new(),
        };
        let thread = std::thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn(move || hand_out.run())?;
        Ok(Self { stop, census, thread })
    }

    /// Stops accepting and closes the sockets. What waits in the kernel's queue stays there, for
    /// systemd holds the sockets too.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.census.wake();
        let _ = self.thread.join();
    }
}

/// A listening socket, and until when it rests after the kernel had nothing left for us.
struct Door {
    socket: ListeningSocket,
    local: Arc<Address>,
    pause: Duration,
    rests_until: Option<Instant>,
}

/// What came of one turn at a door.
enum Turn {
    /// Nobody waits any more, or others shall have their turn.
    Done,
    /// The socket is of no use any more.
    Broken,
}

impl Door {
    fn new(held: Held) -> Self {
        let (socket, local) = (held.socket, Arc::new(held.address));
        Self { socket, local, pause: FIRST_PAUSE, rests_until: None }
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// The kernel has no descriptor or memory for us: doing nothing for a while beats spinning.
    fn rest(&mut self, error: Errno) {
        tracing::warn!(address = %self.local, %error, pause = ?self.pause, "cannot accept for now");
        self.rests_until = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// The acceptor's thread: a plain loop over poll(2), since it does nothing else.
struct HandOut<P: Program> {
    doors: Vec<Door>,
    commands: Vec<UnboundedSender<Command<P>>>,
    census: Arc<Census>,
    turn: usize,
    stop: Arc<AtomicBool>,
    log_limit: LogLimit,
}

impl<P: Program> HandOut<P> {
    fn run(mut self) {
        while !self.stop.load(Ordering::SeqCst) {
            match self.wait() {
                Ok(ready) => {
                    let broken: Vec<_> = ready
                        .into_iter()
                        .filter(|door| matches!(self.accept(*door), Turn::Broken))
                        .collect();
                    for door in broken.into_iter().rev() {
                        self.doors.remove(door);
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot wait for connections");
                    std::thread::sleep(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Waits for clients at the doors that are open to them; returns those with somebody at them.
    /// While all workers are full no door is open: clients then wait in the kernel's queue instead
    /// of being accepted and sent away.
    fn wait(&self) -> Result<Vec<usize>, Errno> {
        let now = Instant::now();
        // Announced first, looked at second: whoever makes room in between wakes us.
        self.census.waiting.store(true, Ordering::SeqCst);
        let room = self.census.least(self.turn).is_some();
        self.census.waiting.store(!room, Ordering::SeqCst);
        let open: Vec<_> =
            (0..self.doors.len()).filter(|door| room && !self.doors[*door].rests(now)).collect();
        let mut fds = vec![PollFd::new(&self.census.wake, PollFlags::IN)];
        fds.extend(open.iter().map(|door| PollFd::new(&self.doors[*door].socket, PollFlags::IN)));
        let rests = self.doors.iter().filter_map(|door| door.rests_until);
        let rest = rests.filter(|until| *until > now).min();
        let rest = rest.map(|until| until.saturating_duration_since(now).max(FIRST_PAUSE));
        let timeout = rest.and_then(|rest| Timespec::try_from(rest).ok());
        rustix::event::poll(&mut fds, timeout.as_ref())?;
        let mut woken = fds.iter().map(|fd| !fd.revents().is_empty());
        if woken.next() == Some(true) {
            let _ = rustix::io::read(&self.census.wake, &mut [0; 8]);
        }
        Ok(open.into_iter().zip(woken).filter_map(|(door, woken)| woken.then_some(door)).collect())
    }

    /// Accepts some of those who wait at a door.
    fn accept(&mut self, index: usize) -> Turn {
        for _ in 0..AT_ONCE {
            let Some(worker) = self.census.least(self.turn) else { return Turn::Done };
            let door = &mut self.doors[index];
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            match acceptfrom_with(&door.socket, flags) {
                Ok((socket, peer)) => {
                    door.pause = FIRST_PAUSE;
                    door.rests_until = None;
                    let peer = peer.and_then(|peer| peer.try_into().ok());
                    let local = door.local.clone();
                    self.give(worker, socket, peer, local);
                }
                Err(Errno::AGAIN) => return Turn::Done,
                Err(error @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    door.rest(error);
                    return Turn::Done;
                }
                Err(error @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP)) => {
                    tracing::error!(address = %door.local, %error, "can no longer accept");
                    return Turn::Broken;
                }
                // The client left while it waited, or the network had a word: the next one counts.
                Err(_) => {}
            }
        }
        Turn::Done
    }

    fn give(&mut self, worker: usize, socket: OwnedFd, peer: PeerAddress, local: Arc<Address>) {
        let client = match self.census.clients.enter(peer) {
            Ok(client) => client,
            Err(turn) => return self.refuse(worker, socket, peer, turn),
        };
        self.turn = worker + 1;
        let open = self.census.enter(worker, client);
        if let Some(commands) = self.commands.get(worker) {
            let _ = commands.send(Command::Serve(Accepted { socket, peer, local, open }));
        }
    }
}

impl<P: Program> HandOut<P> {
    /// Has somebody told that there are too many of his connections, or just closes this one where
    /// many are being told already.
    fn refuse(
        &mut self,
        worker: usize,
        socket: OwnedFd,
        peer: PeerAddress,
        turn: Option<RefusalTurn>,
    ) {
        if let Some(held_back) = self.log_limit.pass(Instant::now()) {
            let client = peer.map(|peer| peer.ip().to_canonical().to_string());
            tracing::warn!(client, held_back, "a client is at its connections_per_client");
        }
        if let (Some(commands), Some(turn)) = (self.commands.get(worker), turn) {
            let _ = commands.send(Command::Refuse { socket, peer, turn });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_to_the_worker_with_the_fewest_and_equals_take_turns() {
        let census = Census::new(3, 10, 1).unwrap();
        let first = census.enter(0, None);
        assert_eq!(census.least(0), Some(1));
        assert_eq!(census.least(2), Some(2));
        let _second = census.enter(1, None);
        let _third = census.enter(2, None);
        assert_eq!(census.least(1), Some(1));
        drop(first);
        assert_eq!(census.least(1), Some(0));
    }

    #[test]
    fn nobody_is_asked_when_all_are_full() {
        let census = Census::new(2, 1, 1).unwrap();
        let _first = census.enter(0, None);
        let second = census.enter(1, None);
        assert_eq!(census.least(0), None);
        drop(second);
        assert_eq!(census.least(0), Some(1));
    }

    #[test]
    fn a_moved_connection_counts_where_it_is() {
        let census = Census::new(2, 8, 1).unwrap();
        let all: Vec<_> = (0..7).map(|_| census.enter(0, None)).collect();
        assert_eq!(all.iter().filter(|open| open.move_to(1)).count(), 6, "one too many");
        assert_eq!(census.of_each(), [1, 6]);
        assert!(!all[0].move_to(2), "there is no such worker");
        assert_eq!(census.least(0), Some(1), "it was given none");
        drop(all);
        assert_eq!((census.of_each(), census.open()), (vec![0, 0], 0));
    }

    #[test]
    fn connections_of_the_drain_are_counted_apart() {
        let census = Census::new(1, 10, 1).unwrap();
        let before = census.enter(0, None);
        census.begin_drain();
        let _after = census.enter(0, None);
        assert_eq!((census.old(), census.open()), (1, 2));
        drop(before);
        assert_eq!((census.old(), census.open()), (0, 1));
    }
}
