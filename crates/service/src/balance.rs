//! Which worker a connection belongs to while it is busy. The acceptor knows only how many connections there are;
//! what they do shows later, and it changes:
//!
//! - A worker that has too much to do gives some of them to one that has time.
//! - Of two workers that together have little to do one gives all of them to the other, since to wake up costs a
//!   worker more than the request that it wakes up for. Then one sleeps.
//!
//! A connection moves between two requests, when it has just had an answer: nothing of it is in memory then that
//! could not go with it, and what its client sends meanwhile waits in the kernel. Nobody wakes up for any of this:
//! workers weigh themselves while they serve.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::acceptor::Census;
use crate::worker::Current;

/// How often a worker looks at what it and the others have to do, at most.
const PERIOD: Duration = Duration::from_millis(50);
/// Too much: so much of its time is a worker at work.
const MUCH: f64 = 2.0 / 3.0;
/// Little: so much of the time are two workers at work, both together.
const LITTLE: f64 = 1.0 / 3.0;
/// The part of the connections that it may get from others which are brought together on a worker, so that it has
/// room for what they do when they become busy.
const PART: usize = 3;

/// Goes on with a connection on the worker that it has come to.
pub(crate) type Adoption<W> = Box<dyn FnOnce(Current<W>) + Send>;

/// All workers of a process, as each of them sees the others.
pub(crate) struct Team<W> {
    census: Arc<Census>,
    mates: Vec<Mate<W>>,
}

struct Mate<W> {
    adoptions: UnboundedSender<Adoption<W>>,
    /// Set once it runs.
    runtime: OnceLock<RuntimeMetrics>,
}

/// What a worker was seen to have done.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    busy: Duration,
    /// Changes when it falls asleep, and when it wakes up: it is odd while it sleeps.
    turns: u64,
}

impl<W> Team<W> {
    /// The team, and what is to be heard by each of the workers.
    pub(crate) fn new(
        census: Arc<Census>,
        count: usize,
    ) -> (Arc<Self>, Vec<UnboundedReceiver<Adoption<W>>>) {
        let (mates, heard) = (0..count)
            .map(|_| {
                let (adoptions, heard) = unbounded_channel();
                (Mate { adoptions, runtime: OnceLock::new() }, heard)
            })
            .unzip();
        (Arc::new(Self { census, mates }), heard)
    }

    fn seen(&self) -> impl Iterator<Item = Seen> {
        self.mates.iter().map(|mate| {
            mate.runtime.get().map_or_else(Seen::default, |runtime| Seen {
                busy: runtime.worker_total_busy_duration(0),
                turns: runtime.worker_park_unpark_count(0),
            })
        })
    }
}

/// When a connection was last seen at work. Each has one of its own.
#[derive(Debug, Default)]
pub struct LastRound(Cell<u32>);

/// A worker's place among the others.
pub(crate) struct Place<W> {
    index: usize,
    team: Arc<Team<W>>,
    scales: RefCell<Scales>,
}

/// What a worker knows of itself and the others.
struct Scales {
    since: Instant,
    before: Vec<Seen>,
    /// Counts the weighings, from 1.
    round: u32,
    /// Connections that had an answer since the last one.
    active: usize,
    /// Who gets connections, and how many more.
    leaving: Option<(usize, usize)>,
}

impl<W> Place<W> {
    /// On the worker's thread: the others see it from now on.
    pub(crate) fn new(index: usize, team: Arc<Team<W>>) -> Self {
        if let Some(mate) = team.mates.get(index) {
            let _ = mate.runtime.set(Handle::current().metrics());
        }
        let before = team.seen().collect();
        let scales = Scales { since: Instant::now(), before, round: 1, active: 0, leaving: None };
        Self { index, team, scales: RefCell::new(scales) }
    }

    /// See [`Current::destination`].
    pub(crate) fn destination(&self, last: &LastRound, now: Instant) -> Option<usize> {
        if self.team.mates.len() < 2 {
            return None;
        }
        let mut scales = self.scales.borrow_mut();
        if now.saturating_duration_since(scales.since) >= PERIOD {
            scales.weigh(self.index, &self.team, now);
        }
        let before = last.0.replace(scales.round);
        if before != scales.round {
            scales.active += 1;
        }
        // One that is here for its first request may well be here for nothing else.
        let (worker, count) = scales.leaving.filter(|_| before > 0)?;
        scales.leaving = Some((worker, count - 1)).filter(|_| count > 1);
        Some(worker)
    }

    /// Gives something to a worker; it comes back if that one is gone.
    pub(crate) fn give(&self, worker: usize, adoption: Adoption<W>) -> Result<(), Adoption<W>> {
        match self.team.mates.get(worker) {
            Some(mate) => mate.adoptions.send(adoption).map_err(|error| error.0),
            None => Err(adoption),
        }
    }
}

impl<W> fmt::Debug for Place<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Place").field(&self.index).finish()
    }
}

impl Scales {
    fn weigh<W>(&mut self, index: usize, team: &Team<W>, now: Instant) {
        let time = now.saturating_duration_since(self.since);
        let seen: Vec<_> = team.seen().collect();
        let loads =
            self.before.iter().zip(&seen).map(|(before, seen)| Load::of(before, seen, time));
        let (loads, open): (Vec<_>, _) = (loads.collect(), team.census.of_each());
        let active = std::mem::take(&mut self.active);
        // After silence there is nothing to be seen of what begins now.
        let is_steady = time < 2 * PERIOD;
        let weighed =
            Weighed { index, loads: &loads, open: &open, most: team.census.most_by_moves() };
        self.leaving = is_steady.then(|| weighed.leaving(active)).flatten();
        (self.since, self.before) = (now, seen);
        self.round = self.round.checked_add(1).unwrap_or(1);
    }
}

/// The part of the time that a worker was at work; `None` if it has not come to its end with something.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Load(Option<f64>);

impl Load {
    fn of(before: &Seen, now: &Seen, time: Duration) -> Self {
        let is_stuck =
            before.turns == now.turns && now.turns.is_multiple_of(2) && before.busy == now.busy;
        let busy = now.busy.saturating_sub(before.busy);
        Self((!is_stuck).then(|| busy.div_duration_f64(time)))
    }
}

/// All workers, as one of them sees them.
struct Weighed<'a> {
    index: usize,
    loads: &'a [Load],
    /// Their open connections, those that are silent too.
    open: &'a [usize],
    /// With how many a worker gets no more from others.
    most: usize,
}

impl Weighed<'_> {
    /// Who gets connections of this worker, and how many of those that are active.
    fn leaving(&self, active: usize) -> Option<(usize, usize)> {
        let own = self.loads.get(self.index)?.0?;
        match own > MUCH {
            true => self.relief(own, active),
            false => self.company(own, active).map(|worker| (worker, active)),
        }
    }

    /// The others that have something to say of themselves, their load and their connections.
    fn others(&self) -> impl Iterator<Item = (usize, f64, usize)> {
        let others = self.loads.iter().zip(self.open).enumerate();
        others
            .filter(|(worker, _)| *worker != self.index)
            .filter_map(|(worker, (load, open))| Some((worker, load.0?, *open)))
    }

    /// Who has the most time, if that is much more, and half of what there is between the two.
    fn relief(&self, own: f64, active: usize) -> Option<(usize, usize)> {
        let others = self.others().filter(|(_, _, open)| *open < self.most);
        let (worker, load, open) = others.min_by(|(_, a, _), (_, b, _)| a.total_cmp(b))?;
        let count = (active as f64 * (own - load) / own / 2.0) as usize;
        let count = count.max(1).min(self.most - open);
        (active > 1 && load * 2.0 < own).then_some((worker, count))
    }

    /// The first of those before it with which it has little to do. Only of those: they must not change places
    /// for ever.
    fn company(&self, own: f64, active: usize) -> Option<usize> {
        self.others()
            .take_while(|(worker, ..)| *worker < self.index)
            .find(|(_, load, open)| load + own < LITTLE && open + active <= self.most / PART)
            .map(|(worker, ..)| worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaving(
        index: usize,
        loads: &[f64],
        open: &[usize],
        active: usize,
    ) -> Option<(usize, usize)> {
        let loads: Vec<_> = loads.iter().map(|load| Load(Some(*load))).collect();
        Weighed { index, loads: &loads, open, most: 75 }.leaving(active)
    }

    #[test]
    fn little_work_comes_together_on_the_first() {
        assert_eq!(leaving(1, &[0.1, 0.2], &[10, 15], 10), Some((0, 10)));
        assert_eq!(leaving(1, &[0.1, 0.2], &[10, 15], 16), None, "too many for one");
        assert_eq!(leaving(1, &[0.2, 0.2], &[10, 10], 10), None, "it would not be little");
        assert_eq!(leaving(0, &[0.1, 0.1], &[10, 10], 10), None, "the first one stays");
        assert_eq!(leaving(2, &[0.3, 0.1, 0.1], &[9, 9, 9], 9), Some((1, 9)));
    }

    #[test]
    fn a_busy_worker_gives_half_of_the_difference_away() {
        assert_eq!(leaving(0, &[1.0, 0.0], &[40, 0], 40), Some((1, 20)));
        assert_eq!(leaving(0, &[1.0, 0.4, 0.2], &[40, 0, 50], 40), Some((2, 16)));
        assert_eq!(leaving(1, &[0.0, 0.7], &[0, 2], 2), Some((0, 1)));
        assert_eq!(leaving(0, &[0.6, 0.0], &[40, 0], 40), None, "not busy enough");
        assert_eq!(leaving(0, &[1.0, 0.5], &[40, 40], 40), None, "the other one is no better off");
        assert_eq!(leaving(0, &[1.0, 0.0], &[40, 0], 1), None, "one connection cannot be halved");
        assert_eq!(leaving(0, &[1.0, 0.0], &[70, 70], 40), Some((1, 5)), "as many as it may have");
        assert_eq!(leaving(0, &[1.0, 0.0], &[70, 75], 40), None, "it may have no more");
    }

    #[test]
    fn a_worker_that_is_stuck_gets_nothing() {
        let stuck = Weighed {
            index: 1,
            loads: &[Load(None), Load(Some(0.1)), Load(None)],
            open: &[0, 10, 0],
            most: 75,
        };
        assert_eq!(stuck.leaving(10), None);
        let busy = [Load(None), Load(Some(1.0)), Load(None)];
        assert_eq!(Weighed { loads: &busy, ..stuck }.leaving(10), None);
    }

    #[test]
    fn who_does_nothing_sleeps_or_is_stuck() {
        let time = Duration::from_millis(100);
        let seen = |busy, turns| Seen { busy: Duration::from_millis(busy), turns };
        assert_eq!(Load::of(&seen(5, 7), &seen(5, 7), time), Load(Some(0.0)), "asleep");
        assert_eq!(Load::of(&seen(5, 8), &seen(5, 8), time), Load(None), "at something long");
        assert_eq!(Load::of(&seen(5, 8), &seen(55, 8), time), Load(Some(0.5)), "always awake");
        assert_eq!(Load::of(&seen(5, 7), &seen(30, 9), time), Load(Some(0.25)));
    }
}
