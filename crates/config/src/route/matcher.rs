//! Runs a pattern over a path: all its alternatives at once, one byte after the other.
//!
//! A state is the number of items that are done with. As no state is visited twice for a byte, a path
//! of n bytes takes at most n times the items of the pattern. `\bxy` fits in: who begins one at an
//! opening byte is put on a stack, and goes on behind the closing byte that takes it off. So an opening
//! and its closing byte cost one step each, however they are nested.

use super::pattern::{Item, Pattern, Repeat};

/// States, of which there are at most 256: one for each item, and the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct States([u64; 4]);

impl States {
    fn add(&mut self, state: usize) {
        if let Some(word) = self.0.get_mut(state >> 6) {
            *word |= 1 << (state & 63);
        }
    }

    fn has(&self, state: usize) -> bool {
        self.0.get(state >> 6).is_some_and(|word| word >> (state & 63) & 1 == 1)
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }

    /// The first one that is not below `state`.
    fn from(&self, state: usize) -> Option<usize> {
        let mut index = state >> 6;
        let mut word = self.0.get(index)? & (u64::MAX << (state & 63));
        while word == 0 {
            index += 1;
            word = *self.0.get(index)?;
        }
        Some((index << 6) + usize::try_from(word.trailing_zeros()).ok()?)
    }

    fn each(&self, steps: &mut usize, mut visit: impl FnMut(usize)) {
        let mut state = 0;
        while let Some(active) = self.from(state) {
            *steps += 1;
            visit(active);
            state = active + 1;
        }
    }
}

/// What is open of one pair: who waits for which closing byte. Equal neighbours are kept as one.
#[derive(Clone, Debug, Default)]
struct Open {
    stack: Vec<(States, usize)>,
    /// How many of them somebody waits for.
    waiting: usize,
}

impl Open {
    fn push(&mut self, states: States) {
        self.waiting += usize::from(!states.is_empty());
        match self.stack.last_mut() {
            Some((last, count)) if *last == states => *count += 1,
            _ => self.stack.push((states, 1)),
        }
    }

    fn pop(&mut self) -> States {
        let Some((states, count)) = self.stack.last_mut() else { return States::default() };
        let states = *states;
        *count -= 1;
        if *count == 0 {
            self.stack.pop();
        }
        self.waiting -= usize::from(!states.is_empty());
        states
    }
}

impl Pattern {
    /// Whether the pattern matches from the beginning of a text on, and to its end if it is anchored.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.run(text, &mut 0)
    }

    /// The same; counts states and pairs that are looked at.
    pub(super) fn run(&self, text: &[u8], steps: &mut usize) -> bool {
        let end = self.items.len();
        let mut now = States::default();
        now.add(0);
        let mut open = vec![Open::default(); self.pairs.len()];
        let mut before = 0;
        for byte in text.iter().map(|byte| Some(*byte)).chain([None]) {
            self.skip(&mut now, (before, byte.unwrap_or(0)), steps);
            if now.has(end) && (!self.anchored || byte.is_none()) {
                return true;
            }
            let Some(byte) = byte else { break };
            let mut next = States::default();
            self.step(&now, byte, &mut next, steps);
            for (pair, open) in open.iter_mut().enumerate() {
                self.nest((pair, open), (&now, byte), &mut next, steps);
            }
            if next.is_empty() && open.iter().all(|open| open.waiting == 0) {
                break;
            }
            (now, before) = (next, byte);
        }
        false
    }

    /// Adds what is reached without a byte. Only the next item is ever reached so, hence one pass.
    fn skip(&self, now: &mut States, (before, after): (u8, u8), steps: &mut usize) {
        let mut state = 0;
        while let Some(active) = now.from(state) {
            *steps += 1;
            let skips = match self.items.get(active) {
                Some(Item::Byte(_, Repeat::Any | Repeat::Maybe)) => true,
                Some(Item::Frontier(set)) => !set.has(before) && set.has(after),
                _ => false,
            };
            if skips {
                now.add(active + 1);
            }
            state = active + 1;
        }
    }

    fn step(&self, now: &States, byte: u8, next: &mut States, steps: &mut usize) {
        now.each(steps, |active| match self.items.get(active) {
            Some(Item::Byte(set, repeat)) if set.has(byte) => {
                if matches!(repeat, Repeat::Any | Repeat::Some) {
                    next.add(active);
                }
                if *repeat != Repeat::Any {
                    next.add(active + 1);
                }
            }
            _ => {}
        });
    }

    /// One byte from the point of view of one pair.
    fn nest(
        &self,
        (pair, open): (usize, &mut Open),
        (now, byte): (&States, u8),
        next: &mut States,
        steps: &mut usize,
    ) {
        *steps += 1;
        let Some((opening, closing)) = self.pairs.get(pair) else { return };
        if byte == *closing {
            open.pop().each(steps, |done| next.add(done + 1));
        }
        if byte == *opening {
            let mut begun = States::default();
            now.each(steps, |active| {
                if self.items.get(active) == Some(&Item::Balanced(pair)) {
                    begun.add(active);
                }
            });
            open.push(begun);
        }
    }
}
