//! Keys with bounds and a default.

use std::time::Duration;

use crate::quantity::{Count, SizeWithin, Span, Timeout};
use crate::reader::Reader;

pub(crate) fn count<const MIN: u64, const MAX: u64>(
    r: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> u64 {
    r.get_or(key, Count::<MIN, MAX>(default)).0
}

pub(crate) fn size<const MIN: u64, const MAX: u64>(
    r: &mut Reader<'_>,
    key: &'static str,
    default: u64,
) -> u64 {
    r.get_or(key, SizeWithin::<MIN, MAX>(default)).0
}

pub(crate) fn timeout(r: &mut Reader<'_>, key: &'static str, default: Duration) -> Duration {
    r.get_or(key, Timeout(default)).0
}

pub(crate) fn span(r: &mut Reader<'_>, key: &'static str, seconds: u64) -> Duration {
    r.get_or(key, Span(Duration::from_secs(seconds))).0
}

/// To the field's own type, which holds every value that the key accepts.
pub(crate) fn narrow<T: TryFrom<u64> + Bounded>(number: u64) -> T {
    T::try_from(number).unwrap_or(T::MAX)
}

pub(crate) trait Bounded {
    const MAX: Self;
}

impl Bounded for u16 {
    const MAX: Self = Self::MAX;
}

impl Bounded for u32 {
    const MAX: Self = Self::MAX;
}

impl Bounded for usize {
    const MAX: Self = Self::MAX;
}
