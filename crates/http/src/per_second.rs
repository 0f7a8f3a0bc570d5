use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A text about the time, made once for each second.
#[derive(Debug)]
pub(crate) struct PerSecond {
    text: String,
    until: Option<Instant>,
}

impl PerSecond {
    pub(crate) const fn new() -> Self {
        Self { text: String::new(), until: None }
    }

    /// The text at `now`; `make` gets the time of the clock on the wall.
    pub(crate) fn at(&mut self, now: Instant, make: impl FnOnce(SystemTime) -> String) -> &str {
        if self.until.is_none_or(|until| now >= until) {
            let time = SystemTime::now();
            let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
            let left = Duration::from_secs(1) - Duration::from_nanos(since.subsec_nanos().into());
            self.text = make(time);
            self.until = Some(now + left);
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_made_once_a_second() {
        let (mut text, now) = (PerSecond::new(), Instant::now());
        assert_eq!(text.at(now, |_| "first".to_owned()), "first");
        assert_eq!(text.at(now, |_| "again".to_owned()), "first");
        assert_eq!(text.at(now + Duration::from_secs(1), |_| "next".to_owned()), "next");
    }
}
