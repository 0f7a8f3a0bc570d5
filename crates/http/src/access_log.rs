//! The access log: one line per finished exchange, made on the worker, written elsewhere.

use std::cell::RefCell;
use std::time::SystemTime;

use brim_config::{AccessLogFormat, HttpSection};
use brim_service::WorkerContext;

mod brim;
mod combined;
mod journal;
mod json;
mod line;

pub(crate) use line::Line;

use crate::per_second::PerSecond;

/// How a worker makes its access lines.
#[derive(Debug)]
pub(crate) struct AccessLog {
    format: Option<Format>,
    /// Whether the client's `X-Auth-Token` is shown.
    pub(crate) auth_tokens: bool,
    /// Whether all request headers are shown.
    pub(crate) headers: bool,
    scratch: RefCell<Scratch>,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Brim,
    Combined,
    Json,
    Journal,
}

/// Kept from line to line: the buffer, and the time stamp while the second lasts.
#[derive(Debug)]
struct Scratch {
    line: Vec<u8>,
    stamp: PerSecond,
}

impl AccessLog {
    pub(crate) fn new(section: &HttpSection) -> Self {
        let format = match (section.access_log, section.access_log_format) {
            (brim_config::AccessLog::Off, _) => None,
            (brim_config::AccessLog::Journal, _) => Some(Format::Journal),
            (_, AccessLogFormat::Brim) => Some(Format::Brim),
            (_, AccessLogFormat::Combined) => Some(Format::Combined),
            (_, AccessLogFormat::Json) => Some(Format::Json),
        };
        Self {
            format,
            auth_tokens: section.log_auth_tokens,
            headers: section.log_headers,
            scratch: RefCell::new(Scratch { line: Vec::new(), stamp: PerSecond::new() }),
        }
    }

    /// No lines are made at all.
    pub(crate) fn is_off(&self) -> bool {
        self.format.is_none()
    }

    /// Makes the line of a finished exchange and hands it on.
    pub(crate) fn write(&self, line: &Line<'_>, context: &WorkerContext) {
        let Some(format) = self.format else { return };
        let scratch = &mut *self.scratch.borrow_mut();
        scratch.line.clear();
        let stamp = scratch.stamp.at(line.now, |time| stamp(format, time));
        match format {
            Format::Brim => brim::write(line, stamp, &mut scratch.line),
            Format::Combined => combined::write(line, stamp, &mut scratch.line),
            Format::Json => json::write(line, stamp, &mut scratch.line),
            Format::Journal => journal::write(line, &context.section, &mut scratch.line),
        }
        context.lines.borrow_mut().push(&scratch.line);
    }
}

/// The time of a line: UTC, in the format's own way.
fn stamp(format: Format, time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).ok();
    let pattern = match format {
        Format::Brim | Format::Journal => "%Y%m%dT%H%M%SZ",
        Format::Combined => "%d/%b/%Y:%H:%M:%S +0000",
        Format::Json => "%Y-%m-%dT%H:%M:%SZ",
    };
    time.map_or_else(|| "-".to_owned(), |time| time.strftime(pattern).to_string())
}
