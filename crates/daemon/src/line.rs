//! What a daemon reports: lines `NAME=VALUE` and `NAME+=N`.

use brim_config::is_stat_name;

/// The most bytes of one report.
pub(crate) const REPORT_MAX: usize = 8 * 1024;

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) change: Change,
}

/// What becomes of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// It is this now.
    Set(u64),
    /// It is this much more.
    Add(u64),
}

/// A line that is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadLine;

/// The lines of a report, without those that are empty.
pub(crate) fn lines(report: &[u8]) -> impl Iterator<Item = Result<Line<'_>, BadLine>> {
    report
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
        .map(line)
}

fn line(line: &[u8]) -> Result<Line<'_>, BadLine> {
    let line = str::from_utf8(line).map_err(|_| BadLine)?;
    let (name, value) = line.split_once('=').ok_or(BadLine)?;
    let (name, adds) = match name.strip_suffix('+') {
        Some(name) => (name, true),
        None => (name, false),
    };
    if !is_stat_name(name) || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadLine);
    }
    let value = value.parse().map_err(|_| BadLine)?;
    Ok(Line { name, change: if adds { Change::Add(value) } else { Change::Set(value) } })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_sets_or_adds() {
        let report = b"jobs+=1\n last_run=1795236519 \r\n\n a_B9=18446744073709551615";
        let read: Vec<_> =
            lines(report).map(|line| line.map(|line| (line.name, line.change))).collect();
        assert_eq!(
            read,
            [
                Ok(("jobs", Change::Add(1))),
                Ok(("last_run", Change::Set(1_795_236_519))),
                Ok(("a_B9", Change::Set(u64::MAX))),
            ]
        );
    }

    #[test]
    fn anything_else_is_a_bad_line() {
        let long = format!("{}=1", "x".repeat(65));
        for text in [
            "jobs",
            "jobs=",
            "=1",
            "+=1",
            "jobs=-1",
            "jobs=+1",
            "jobs=1.5",
            "jobs=1 2",
            "jobs =1",
            "a.b=1",
            "jobs==1",
            "jobs++=1",
            "jobs=18446744073709551616",
            "\u{fffd}=1",
            &long,
        ] {
            assert_eq!(lines(text.as_bytes()).collect::<Vec<_>>(), [Err(BadLine)], "{text}");
        }
        assert_eq!(lines(b"a\xff=1").collect::<Vec<_>>(), [Err(BadLine)]);
        assert_eq!(lines(b" \n\n").count(), 0);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(lines(&bytes).count() <= bytes.len());
        }
    }
}
