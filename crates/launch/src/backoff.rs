//! `ExecStartPre=` of a daemon: one that ends again and again is started ever more rarely.
//!
//! systemd 252 knows one `RestartSec=` for all restarts. It has passed when this runs; what this waits comes
//! on top of it. How many ends were in a row stands in a file, since systemd counts all restarts, those of a month
//! ago too.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sd_notify::NotifyState;
use zbus::blocking::connection::Builder;
use zbus::zvariant::OwnedValue;

use crate::exit::Exit;
use crate::journal;

/// Beside the counters; no instance has that name.
const FOLDER: &str = "/run/brim-state/backoff";
/// How long systemd may take to tell.
const ASK: Duration = Duration::from_secs(5);
/// A run of so long a time, or of twice the wait before it, was no end in a row.
const STEADY: Duration = Duration::from_secs(60);
/// How often systemd hears that this goes on.
const REPORT: Duration = Duration::from_secs(10);

/// What systemd says of the daemon's unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Unit {
    /// `NRestarts`: 0 after a start by hand.
    restarts: u32,
    /// `RestartUSec`: what has passed.
    restart_sec: Duration,
}

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    /// Ends in a row.
    ends: u32,
    /// When the last start was, by the clock that goes on in a suspended machine.
    started: Duration,
}

pub(crate) fn wait(daemon: &str, max: Duration) -> Exit {
    let unit = match ask(daemon) {
        Ok(unit) => unit,
        Err(error) => {
            // Better a start too soon than none.
            journal::warning(&format!("systemd does not tell of earlier ends: {error}"));
            return Exit::Success;
        }
    };
    let path = Path::new(FOLDER).join(daemon);
    let row = next(read(&path), &unit, max, now());
    let time = total(row.ends, unit.restart_sec, max);
    let more = time.saturating_sub(unit.restart_sec);
    if row.ends > 1 {
        let ends = row.ends;
        journal::warning(&format!("ended {ends} times in a row, starts {time:?} after the end"));
        pass(more, |left| format!("ended {ends} times in a row, starts in {left:?}"));
        let status = format!("started after {ends} ends in a row");
        let _ = sd_notify::notify(&[NotifyState::Status(&status)]);
    }
    write(&path, Row { started: now(), ..row });
    Exit::Success
}

/// The row with the end that has just been.
fn next(row: Row, unit: &Unit, max: Duration, now: Duration) -> Row {
    if unit.restarts == 0 {
        return Row { ends: 0, ..row };
    }
    let ran = now.saturating_sub(row.started).saturating_sub(unit.restart_sec);
    let before = total(row.ends, unit.restart_sec, max);
    let steady = ran >= STEADY && ran >= before.saturating_mul(2);
    Row { ends: if steady { 1 } else { row.ends.saturating_add(1) }, ..row }
}

/// How long after the last of these ends the next start comes.
fn total(ends: u32, first: Duration, max: Duration) -> Duration {
    let factor = 1_u32.checked_shl(ends.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(max).max(first)
}

/// Lets the time pass, telling systemd of it.
fn pass(time: Duration, say: impl Fn(Duration) -> String) {
    let end = now() + time;
    loop {
        let left = end.saturating_sub(now());
        if left.is_zero() {
            return;
        }
        let status = say(Duration::from_secs(left.as_secs().max(1)));
        let extension = u32::try_from((REPORT * 3).as_micros()).unwrap_or(u32::MAX);
        let _ = sd_notify::notify(&[
            NotifyState::Status(&status),
            NotifyState::ExtendTimeoutUsec(extension),
        ]);
        std::thread::sleep(left.min(REPORT));
    }
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

fn read(path: &Path) -> Row {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut words = text.split_whitespace();
    let ends = words.next().and_then(|word| word.parse().ok());
    let started = words.next().and_then(|word| word.parse().ok());
    match (ends, started) {
        (Some(ends), Some(started)) => Row { ends, started: Duration::from_secs(started) },
        _ => Row::default(),
    }
}

fn write(path: &PathBuf, row: Row) {
    let written = fs::create_dir_all(FOLDER)
        .and_then(|()| fs::write(path, format!("{} {}\n", row.ends, row.started.as_secs())));
    if let Err(error) = written {
        journal::warning(&format!("{}: {error}", path.display()));
    }
}

fn ask(daemon: &str) -> zbus::Result<Unit> {
    let bus = Builder::system()?.method_timeout(ASK).build()?;
    let path = brim_config::unit_object(&brim_config::daemon_unit(daemon));
    let reply = bus.call_method(
        Some("org.freedesktop.systemd1"),
        path.as_str(),
        Some("org.freedesktop.DBus.Properties"),
        "GetAll",
        &("org.freedesktop.systemd1.Service"),
    )?;
    let body = reply.body();
    let all: HashMap<String, OwnedValue> = body.deserialize()?;
    let count = |name: &str| all.get(name).and_then(|value| u32::try_from(value).ok());
    let micros = |name: &str| all.get(name).and_then(|value| u64::try_from(value).ok());
    Ok(Unit {
        restarts: count("NRestarts").unwrap_or_default(),
        restart_sec: Duration::from_micros(micros("RestartUSec").unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn unit(restarts: u32) -> Unit {
        Unit { restarts, restart_sec: SECOND }
    }

    #[test]
    fn each_end_in_a_row_doubles_the_wait_up_to_the_longest() {
        let max = Duration::from_secs(10);
        let waits = (0..8).map(|ends| total(ends, SECOND, max).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits, [1, 1, 2, 4, 8, 10, 10, 10]);
        assert_eq!(total(u32::MAX, SECOND, max), max);
        assert_eq!(total(9, SECOND, Duration::from_millis(1)), SECOND);
    }

    #[test]
    fn ends_are_in_a_row_when_the_runs_between_them_are_short() {
        let at = |seconds: u64| Duration::from_secs(1000 + seconds);
        let next = |row, unit: &Unit, now| next(row, unit, Duration::from_secs(300), now);
        let row = Row { ends: 3, started: at(0) };
        assert_eq!(next(row, &unit(4), at(5)).ends, 4);
        assert_eq!(next(row, &unit(4), at(60)).ends, 4, "59 seconds, and one of waiting");
        assert_eq!(next(row, &unit(4), at(61)).ends, 1);
        let long = Row { ends: 8, ..row };
        assert_eq!(next(long, &unit(9), at(200)).ends, 9, "128 seconds were waited before");
        assert_eq!(next(long, &unit(9), at(257)).ends, 1);
        let longest = Row { ends: 30, ..row };
        assert_eq!(next(longest, &unit(9), at(600)).ends, 31, "300 seconds were waited before");
        assert_eq!(next(longest, &unit(9), at(601)).ends, 1);
        assert_eq!(next(long, &unit(0), at(5)).ends, 0, "started by hand");
        assert_eq!(next(Row::default(), &unit(1), at(5)).ends, 1, "no file");
    }

    #[test]
    fn a_file_that_says_nothing_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert_eq!(read(&path), Row::default());
        for text in ["", "x", "3", "3 x", "-1 5", "99999999999 5"] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path), Row::default(), "{text}");
        }
        fs::write(&path, "3 5\n").unwrap();
        assert_eq!(read(&path), Row { ends: 3, started: Duration::from_secs(5) });
    }
}
