//! Range requests, RFC 9110 section 14.

use std::ops::Range;

/// What a `Range` header comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// The whole file is to be sent: there was none, or none that is understood or reasonable.
    Whole,
    /// These parts, in the order of the request; never empty, each not empty and within the file.
    Parts(Vec<Range<u64>>),
    /// 416: nothing of what was asked for is there.
    Unsatisfiable,
}

/// One of the ranges in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// From here on, to there where that is said; both count.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
}

/// Reads a `Range` header for a file of `length` bytes. What is not well-formed, has more than
/// `limit` ranges, or ranges that overlap, is answered with the whole file (RFC 9110 14.2).
pub(super) fn ranges(header: &[u8], length: u64, limit: usize) -> Ranges {
    let Some(list) = bytes_unit(header) else { return Ranges::Whole };
    let (mut parts, mut count, mut nothing_asked) = (Vec::new(), 0, false);
    for element in list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
        // Empty elements of a list do not count (RFC 9110 5.6.1.2).
        if element.is_empty() {
            continue;
        }
        count += 1;
        let Some(spec) = spec(element).filter(|_| count <= limit) else { return Ranges::Whole };
        // The end of an empty file is all of it, and cannot be written as a range.
        nothing_asked |= length == 0 && matches!(spec, Spec::Last(1..));
        parts.extend(spec.within(length));
    }
    if count == 0 || nothing_asked || overlap(&parts) {
        Ranges::Whole
    } else if parts.is_empty() {
        Ranges::Unsatisfiable
    } else {
        Ranges::Parts(parts)
    }
}

/// What follows `bytes=`.
fn bytes_unit(header: &[u8]) -> Option<&[u8]> {
    let header = header.trim_ascii();
    let (unit, rest) = header.split_at_checked(5)?;
    rest.strip_prefix(b"=").filter(|_| unit.eq_ignore_ascii_case(b"bytes"))
}

fn spec(element: &[u8]) -> Option<Spec> {
    let dash = element.iter().position(|byte| *byte == b'-')?;
    let (first, rest) = element.split_at_checked(dash)?;
    let last = rest.strip_prefix(b"-")?;
    match (first, last) {
        (b"", last) => Some(Spec::Last(number(last)?)),
        (first, b"") => Some(Spec::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Spec::From(first, Some(last)))
        }
    }
}

/// Decimal digits; what is beyond any file's length is as good as the largest number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Some(digits.iter().fold(0, value))
}

impl Spec {
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first, None) => first..length,
            Self::From(first, Some(last)) => first..last.saturating_add(1).min(length),
            Self::Last(count) => length.saturating_sub(count)..length,
        };
        (!range.is_empty()).then_some(range)
    }
}

fn overlap(parts: &[Range<u64>]) -> bool {
    let mut sorted: Vec<_> = parts.iter().collect();
    sorted.sort_unstable_by_key(|range| range.start);
    sorted.iter().zip(sorted.iter().skip(1)).any(|(one, next)| next.start < one.end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 5;

    fn parts<const N: usize>(parts: [Range<u64>; N]) -> Ranges {
        Ranges::Parts(parts.to_vec())
    }

    fn part(part: Range<u64>) -> Ranges {
        Ranges::Parts(Vec::from_iter([part]))
    }

    fn read(header: &str) -> Ranges {
        ranges(header.as_bytes(), 100, LIMIT)
    }

    #[test]
    fn ranges_have_three_forms() {
        assert_eq!(read("bytes=0-9"), part(0..10));
        assert_eq!(read("bytes=99-99"), part(99..100));
        assert_eq!(read("bytes=90-"), part(90..100));
        assert_eq!(read("bytes=-10"), part(90..100));
        assert_eq!(read("bytes=-1000"), part(0..100));
        assert_eq!(read("bytes=50-1000"), part(50..100));
        assert_eq!(read(" Bytes=0-0 ,\t-1,, 5-6 "), parts([0..1, 99..100, 5..7]));
        assert_eq!(read("bytes=0-99999999999999999999999999"), part(0..100));
        assert_eq!(read("bytes=-99999999999999999999999999"), part(0..100));
    }

    #[test]
    fn what_is_not_there_is_left_out_or_unsatisfiable() {
        assert_eq!(read("bytes=100-"), Ranges::Unsatisfiable);
        assert_eq!(read("bytes=100-200,300-"), Ranges::Unsatisfiable);
        assert_eq!(read("bytes=-0"), Ranges::Unsatisfiable);
        assert_eq!(read("bytes=99999999999999999999999999-"), Ranges::Unsatisfiable);
        assert_eq!(read("bytes=100-,1-2"), part(1..3));
        assert_eq!(ranges(b"bytes=0-", 0, LIMIT), Ranges::Unsatisfiable);
        assert_eq!(ranges(b"bytes=-5", 0, LIMIT), Ranges::Whole);
        assert_eq!(ranges(b"bytes=-0", 0, LIMIT), Ranges::Unsatisfiable);
    }

    #[test]
    fn what_is_malformed_counts_as_not_there() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=9-5",
            "bytes 0-1",
            "bytes=0",
            "lines=0-1",
            "bytes=0-1;2-3",
            "bytes=0-1,x",
            "bytes=0 -1",
            "bytes=0--1",
            "bytes=+1-2",
            "bytes=1-2-3",
            "bytes=0x1-2",
        ] {
            assert_eq!(read(header), Ranges::Whole, "{header:?}");
        }
    }

    #[test]
    fn many_ranges_and_overlapping_ones_get_the_whole() {
        assert_eq!(
            read("bytes=0-1,4-5,8-9,12-13,16-17"),
            parts([0..2, 4..6, 8..10, 12..14, 16..18])
        );
        assert_eq!(read("bytes=0-1,4-5,8-9,12-13,16-17,20-21"), Ranges::Whole);
        assert_eq!(read("bytes=0-1,4-5,8-9,12-13,16-17,200-"), Ranges::Whole);
        assert_eq!(read("bytes=0-10,10-20"), Ranges::Whole);
        assert_eq!(read("bytes=0-,0-"), Ranges::Whole);
        assert_eq!(read("bytes=50-60,-100"), Ranges::Whole);
        assert_eq!(read("bytes=10-19,0-9"), parts([10..20, 0..10]));
    }

    /// What RFC 9110's grammar makes, and what it does not.
    fn header() -> impl Strategy<Value = String> {
        let number = prop_oneof!["[0-9]{1,2}", "[0-9]{18,22}", Just(String::new())];
        let element = prop_oneof![
            4 => (number.clone(), number).prop_map(|(first, last)| format!("{first}-{last}")),
            1 => "[ \t0-9a-z=,-]{0,6}",
        ];
        let list = proptest::collection::vec(element, 0..8);
        ("(bytes|Bytes|items)[= ]?", list).prop_map(|(unit, list)| unit + &list.join(","))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

        #[test]
        fn parts_are_few_disjoint_and_within_the_file(
            header in header(),
            length in prop_oneof![0..200_u64, any::<u64>()],
        ) {
            if let Ranges::Parts(parts) = ranges(header.as_bytes(), length, LIMIT) {
                prop_assert!(!parts.is_empty() && parts.len() <= LIMIT);
                prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
                let sum: u128 = parts.iter().map(|part| u128::from(part.end - part.start)).sum();
                prop_assert!(sum <= u128::from(length));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(header: Vec<u8>, length: u64) {
            ranges(&header, length, LIMIT);
        }

        #[test]
        fn a_range_is_what_it_says(first in 0..150_u64, count in 1..150_u64) {
            let last = first + count - 1;
            let expected = match first {
                0..100 => part(first..(last + 1).min(100)),
                _ => Ranges::Unsatisfiable,
            };
            prop_assert_eq!(read(&format!("bytes={first}-{last}")), expected);
        }
    }
}
