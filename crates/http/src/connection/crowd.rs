//! How long a silent connection keeps the room of its conversation: less where there are many.

use std::cell::Cell;
use std::time::Duration;

/// Silence after which a connection is parked: its buffers are freed, and only its socket is kept.
const PARK_AFTER: Duration = Duration::from_millis(200);
/// The same where conversations hold much room: it adds up, and in glibc's heap its peak stays.
const PARK_AFTER_CROWDED: Duration = Duration::from_millis(20);
/// More room than this is much, in KiB for each worker.
const MUCH: usize = 320;

thread_local! {
    /// What the conversations of this worker hold, in KiB.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Who speaks with the client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room {
    /// The shell itself.
    Direct = 2,
    /// hyper, with its buffers.
    Hyper = 10,
}

/// A connection that is not parked; it holds its room as long as this lives.
#[derive(Debug)]
pub(super) struct Conversation(Room);

impl Conversation {
    pub(super) fn begin(room: Room) -> Self {
        HELD.set(HELD.get() + room as usize);
        Self(room)
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        HELD.set(HELD.get() - self.0 as usize);
    }
}

/// The silence after which a connection is parked now.
pub(super) fn park_after() -> Duration {
    match HELD.get() > MUCH {
        true => PARK_AFTER_CROWDED,
        false => PARK_AFTER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_conversation_too_many_shortens_the_silence_of_all() {
        for (room, most) in [(Room::Direct, 160), (Room::Hyper, 32)] {
            let mut begun: Vec<_> = (0..most).map(|_| Conversation::begin(room)).collect();
            assert_eq!(park_after(), PARK_AFTER, "{room:?}");
            begun.push(Conversation::begin(room));
            assert_eq!(park_after(), PARK_AFTER_CROWDED, "{room:?}");
            begun.pop();
            assert_eq!(park_after(), PARK_AFTER, "{room:?}");
        }
    }
}
