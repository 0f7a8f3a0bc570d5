//! The figures of one daemon, and what a report does to them.

use std::collections::HashMap;

use brim_config::StatType;
use brim_stats::Counter;

use crate::line::{Change, Line};

/// One daemon's cells.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) scheduled: bool,
    /// Epoch seconds.
    pub(super) start_time: Counter,
    pub(super) starts: Counter,
    /// As a shell tells it: the exit code, or 128 and the signal.
    pub(super) last_exit: Counter,
    pub(super) declared: HashMap<String, (StatType, Counter)>,
}

/// Why a line changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No stat of that name is declared.
    Unknown,
    /// Only sums are added to.
    NotASum,
}

impl Figures {
    pub(super) fn apply(&self, line: Line<'_>) -> Result<(), Refusal> {
        let (stat_type, counter) = self.declared.get(line.name).ok_or(Refusal::Unknown)?;
        match (stat_type, line.change) {
            (StatType::Sum, Change::Set(value)) => counter.set(value),
            (StatType::Sum, Change::Add(value)) => counter.add(value),
            (StatType::Max, Change::Set(value)) => counter.set(counter.get().max(value)),
            // 0 is what it is before the first report.
            (StatType::Min, Change::Set(value)) if counter.get() == 0 => counter.set(value),
            (StatType::Min, Change::Set(value)) => counter.set(counter.get().min(value)),
            (StatType::Min | StatType::Max, Change::Add(_)) => return Err(Refusal::NotASum),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use brim_stats::{Layout, Registry};

    use super::*;
    use crate::line::lines;

    #[test]
    fn a_report_does_to_a_figure_what_its_type_says() {
        let stats = Registry::new(Layout::default(), 1).worker(0);
        let cell = |stat_type| (stat_type, stats.counter("nowhere"));
        let figures = Figures {
            scheduled: false,
            start_time: stats.counter("x"),
            starts: stats.counter("x"),
            last_exit: stats.counter("x"),
            declared: HashMap::from([
                ("sum".to_owned(), cell(StatType::Sum)),
                ("min".to_owned(), cell(StatType::Min)),
                ("max".to_owned(), cell(StatType::Max)),
            ]),
        };
        let report = b"sum+=2\nsum=5\nsum+=3\nmin=7\nmin=9\nmin=4\nmax=2\nmax=8\nmax=3\n";
        for line in lines(report) {
            figures.apply(line.unwrap()).unwrap();
        }
        let value = |name: &str| figures.declared[name].1.get();
        assert_eq!((value("sum"), value("min"), value("max")), (8, 4, 8));
        let refusals: Vec<_> = lines(b"min+=1\nstarts=9\nnothing=1")
            .map(|line| figures.apply(line.unwrap()).unwrap_err())
            .collect();
        assert_eq!(refusals, [Refusal::NotASum, Refusal::Unknown, Refusal::Unknown]);
    }
}
