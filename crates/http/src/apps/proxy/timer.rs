use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

/// A clock that is set for every request, and wakes somebody only when it was not set again for
/// long: what it has registered stays registered.
pub(in crate::apps) struct Timer {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Timer {
    pub(in crate::apps) fn new(time: Duration) -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(time)), due: Instant::now() + time }
    }

    /// Lets it run for so long from `now` on.
    pub(in crate::apps) fn set(&mut self, now: Instant, time: Duration) {
        self.due = now + time;
        if self.sleep.deadline().into_std() > self.due {
            self.sleep.as_mut().reset(self.due.into());
        }
    }

    pub(in crate::apps) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= self.due {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.due.into());
        }
        Poll::Pending
    }
}
