//! What systemd is told. Without systemd nobody listens, and that is no error.

use std::time::Duration;

use sd_notify::NotifyState;

/// Serving (again), with a line for `systemctl status`.
pub(crate) fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
}

/// Whether there is a systemd that hears any of this.
pub(crate) fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// A line for `systemctl status`.
pub(crate) fn status(status: &str) {
    send(&[NotifyState::Status(&one_line(status))]);
}

/// A reload began; [`ready`] ends it, whatever came of it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, now]),
        Err(_) => send(&[NotifyState::Reloading]),
    }
}

/// The drain began.
pub(crate) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(&one_line(status))]);
}

/// The drain goes on: do not kill us for another `time`.
pub(crate) fn extend(time: Duration) {
    let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    send(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// Every worker's loop has turned.
pub(crate) fn watchdog() {
    send(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear of us, if it does.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}

/// `STATUS=` is one line; several problems are told apart by semicolons.
fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}
