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
use std::sync::atomic::{AtomicU64, Ordering};
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
/// So many weighings long a connection that has come stays where it is. One that is most of the work would go to
/// and fro.
const STAY: u32 = 20;

/// Goes on with a connection on the worker that it has come to.
pub(crate) type Adoption<W> = Box<dyn FnOnce(Current<W>) + Send>;

/// All workers of a process, as each of them sees the others.
pub(crate) struct Team<W> {
    census: Arc<Census>,
    mates: Vec<Mate<W>>,
    start: Instant,
}

struct Mate<W> {
    adoptions: UnboundedSender<Adoption<W>>,
    /// Set once it runs.
    runtime: OnceLock<RuntimeMetrics>,
    /// Until when it gets connections from one only, in milliseconds since the start: the others have not seen yet
    /// what that made of it.
    taken: AtomicU64,
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
                let taken = AtomicU64::new(0);
                (Mate { adoptions, runtime: OnceLock::new(), taken }, heard)
            })
            .unzip();
        (Arc::new(Self { census, mates, start: Instant::now() }), heard)
    }

    /// Whether a worker gets nothing from others for the moment; if so, it gets nothing from anybody else now.
    fn take(&self, worker: usize, now: Instant) -> bool {
        let milliseconds =
            |time: Instant| u64::try_from((time - self.start).as_millis()).unwrap_or(u64::MAX);
        let (now, until) = (milliseconds(now), milliseconds(now + 2 * PERIOD));
        let free = |taken: u64| (taken <= now).then_some(until);
        let taken = self.mates.get(worker).map(|mate| &mate.taken);
        taken.is_some_and(|taken| {
            taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).is_ok()
        })
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

/// When a connection was last seen at work, and until when it stays. Each has one of its own.
#[derive(Debug, Default)]
pub struct Rounds {
    last: Cell<u32>,
    stays_until: Cell<u32>,
}

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
    pub(crate) fn destination(
        &self,
        rounds: &Rounds,
        now: Instant,
        goes: impl FnOnce(usize) -> bool,
    ) -> Option<usize> {
        if self.team.mates.len() < 2 {
            return None;
        }
        let mut scales = self.scales.borrow_mut();
        if now.saturating_duration_since(scales.since) >= PERIOD {
            scales.weigh(self.index, &self.team, now);
        }
        let last = rounds.last.replace(scales.round);
        if last != scales.round {
            scales.active += 1;
        }
        let (worker, count) = scales.leaving?;
        // One that is here for its first request may well be here for nothing else.
        let stays = last == 0 || rounds.stays_until.get() > scales.round;
        if stays || !goes(worker) {
            return None;
        }
        scales.leaving = count.checked_sub(1).filter(|left| *left > 0).map(|left| (worker, left));
        Some(worker)
    }

    /// For a connection that has just come from another worker.
    pub(crate) fn rounds_from_now(&self) -> Rounds {
        let round = self.scales.borrow().round;
        Rounds { last: Cell::new(0), stays_until: Cell::new(round.saturating_add(STAY)) }
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
        let weighed = Weighed {
            index,
            loads: &loads,
            open: &open,
            company: team.census.company(),
            most: team.census.most_by_moves(),
            // After silence there is nothing to be seen of what begins now.
            is_steady: time < 2 * PERIOD,
        };
        let leaving = weighed.leaving(std::mem::take(&mut self.active));
        self.leaving = leaving.filter(|(worker, _)| team.take(*worker, now));
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
        // What was done at once counts when it is over, all of it.
        Self((!is_stuck).then(|| busy.div_duration_f64(time).min(1.0)))
    }
}

/// All workers, as one of them sees them.
struct Weighed<'a> {
    index: usize,
    loads: &'a [Load],
    /// Their open connections, those that are silent too.
    open: &'a [usize],
    /// With how many a worker is no company for those of others.
    company: usize,
    /// With how many it gets no more from others at all.
    most: usize,
    /// Whether what was seen lies so little behind that it tells of what comes.
    is_steady: bool,
}

impl Weighed<'_> {
    /// Who gets connections of this worker, and how many of those that are active.
    fn leaving(&self, active: usize) -> Option<(usize, usize)> {
        // Of oneself it means that there was no end to the work.
        let own = self.loads.get(self.index)?.0.unwrap_or(1.0);
        if active == 0 {
            return None;
        }
        match own > MUCH {
            true => self.relief(own, active),
            false if self.is_steady => self.company(own, active).map(|worker| (worker, active)),
            false => None,
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
        // Others may be at it whose answers take longer than this was looked at.
        let is_alone = self.open.get(self.index).is_none_or(|open| *open < 2);
        (!is_alone && load * 2.0 < own).then_some((worker, count))
    }

    /// The first of those before it with which it has little to do. Only of those: they must not change places
    /// for ever.
    fn company(&self, own: f64, active: usize) -> Option<usize> {
        self.others()
            .take_while(|(worker, ..)| *worker < self.index)
            .find(|(_, load, open)| load + own < LITTLE && open + active <= self.company)
            .map(|(worker, ..)| worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed<'a>(index: usize, loads: &'a [Load], open: &'a [usize]) -> Weighed<'a> {
        Weighed { index, loads, open, company: 25, most: 75, is_steady: true }
    }

    fn leaving(
        index: usize,
        loads: &[f64],
        open: &[usize],
        active: usize,
    ) -> Option<(usize, usize)> {
        let loads: Vec<_> = loads.iter().map(|load| Load(Some(*load))).collect();
        weighed(index, &loads, open).leaving(active)
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
        assert_eq!(leaving(0, &[1.0, 0.0], &[40, 0], 1), Some((1, 1)), "others are at it too");
        assert_eq!(leaving(0, &[1.0, 0.0], &[1, 0], 1), None, "one connection cannot be halved");
        assert_eq!(leaving(0, &[1.0, 0.0], &[70, 70], 40), Some((1, 5)), "as many as it may have");
        assert_eq!(leaving(0, &[1.0, 0.0], &[70, 75], 40), None, "it may have no more");
    }

    #[test]
    fn a_worker_that_is_stuck_gets_nothing() {
        let loads = [Load(None), Load(Some(0.1)), Load(None)];
        assert_eq!(weighed(1, &loads, &[0, 10, 0]).leaving(10), None);
        let loads = [Load(None), Load(Some(1.0)), Load(None)];
        assert_eq!(weighed(1, &loads, &[0, 10, 0]).leaving(10), None);
        let loads = [Load(Some(0.0)), Load(None)];
        assert_eq!(weighed(1, &loads, &[0, 10]).leaving(10), Some((0, 5)), "it is busy itself");
    }

    #[test]
    fn after_silence_only_what_is_much_counts() {
        let leaving = |load| {
            let loads = [Load(Some(0.0)), Load(Some(load))];
            Weighed { is_steady: false, ..weighed(1, &loads, &[0, 10]) }.leaving(10)
        };
        assert_eq!(leaving(0.1), None);
        assert_eq!(leaving(1.0), Some((0, 5)));
    }

    #[test]
    fn nothing_leaves_where_nothing_was_seen() {
        assert_eq!(leaving(1, &[0.0, 0.0], &[0, 1], 0), None);
        assert_eq!(leaving(1, &[0.0, 1.0], &[0, 1], 0), None);
    }

    #[test]
    fn a_worker_gets_from_one_at_a_time() {
        let (team, _) = Team::<()>::new(Census::new(2, 8, 2).unwrap(), 2);
        let now = Instant::now();
        assert!(team.take(1, now));
        assert!(!team.take(1, now + PERIOD), "too soon");
        assert!(team.take(0, now), "another one");
        assert!(team.take(1, now + 3 * PERIOD));
        assert!(!team.take(2, now), "there is none");
    }

    #[test]
    fn who_does_nothing_sleeps_or_is_stuck() {
        let time = Duration::from_millis(100);
        let seen = |busy, turns| Seen { busy: Duration::from_millis(busy), turns };
        assert_eq!(Load::of(&seen(5, 7), &seen(5, 7), time), Load(Some(0.0)), "asleep");
        assert_eq!(Load::of(&seen(5, 8), &seen(5, 8), time), Load(None), "at something long");
        assert_eq!(Load::of(&seen(5, 8), &seen(55, 8), time), Load(Some(0.5)), "always awake");
        assert_eq!(Load::of(&seen(5, 7), &seen(30, 9), time), Load(Some(0.25)));
        assert_eq!(Load::of(&seen(5, 8), &seen(305, 8), time), Load(Some(1.0)), "long, and over");
    }
}
