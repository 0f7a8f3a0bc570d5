use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::layout::RollUp;

/// One name's values, a worker each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) roll_up: RollUp,
    pub(crate) values: Vec<u64>,
}

/// What an instance's cells said at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    series: Vec<Series>,
}

impl Snapshot {
    pub(crate) fn new(series: Vec<Series>) -> Self {
        Self { series }
    }

    /// The series of one part, whose names begin with its name and a dot, without these.
    #[must_use]
    pub fn part(&self, part: &str) -> Self {
        let series = self.series.iter().filter_map(|series| {
            let name = of_part(&series.name, part)?.to_owned();
            Some(Series { name, ..series.clone() })
        });
        Self::new(series.collect())
    }

    /// All series but those of one part.
    #[must_use]
    pub fn without_part(mut self, part: &str) -> Self {
        self.series.retain(|series| of_part(&series.name, part).is_none());
        self
    }

    pub(crate) fn series(&self) -> &[Series] {
        &self.series
    }

    /// The total of a name, or `None` for one that does not exist or has no total.
    pub fn get(&self, name: &str) -> Option<u64> {
        let series = self.series.iter().find(|series| series.name == name)?;
        series.roll_up.total(series.values.iter().copied())
    }

    /// Every name that has a total, zeros too.
    pub fn totals(&self) -> BTreeMap<String, u64> {
        let totals = self.series.iter().filter_map(|series| {
            Some((series.name.clone(), series.roll_up.total(series.values.iter().copied())?))
        });
        totals.collect()
    }

    /// Every worker by its name ("0", "1", ...), with its values by theirs, zeros too.
    pub fn workers(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut workers: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for series in &self.series {
            for (index, value) in series.values.iter().enumerate() {
                workers.entry(index.to_string()).or_default().insert(series.name.clone(), *value);
            }
        }
        workers
    }

    /// One section of Brim's JSON: totals, and an object per worker named "0", "1", ...
    ///
    /// Zeros are left out, and so are workers that have nothing else: a reader takes what is
    /// missing for 0.
    pub fn to_json(&self) -> Map<String, Value> {
        let mut section = Map::new();
        let count = self.series.first().map_or(0, |series| series.values.len());
        for index in 0..count {
            let values = self.series.iter().filter_map(|series| {
                let value = *series.values.get(index)?;
                (value != 0).then(|| (series.name.clone(), json!(value)))
            });
            let worker: Map<_, _> = values.collect();
            if !worker.is_empty() {
                section.insert(index.to_string(), Value::Object(worker));
            }
        }
        let totals = self.totals().into_iter().filter(|(_, value)| *value != 0);
        section.extend(totals.map(|(name, value)| (name, json!(value))));
        section
    }
}

/// What stands behind the name of a part and a dot. Names of parts may have dots, what follows has none.
fn of_part<'a>(name: &'a str, part: &str) -> Option<&'a str> {
    name.strip_prefix(part)?.strip_prefix('.').filter(|rest| !rest.contains('.'))
}

/// Brim's stats document: `start_time` (epoch seconds) and every section, without a new line.
pub fn report(start_time: u64, sections: BTreeMap<String, Map<String, Value>>) -> String {
    let mut document: Map<_, _> =
        sections.into_iter().map(|(name, section)| (name, Value::Object(section))).collect();
    document.insert("start_time".to_owned(), json!(start_time));
    Value::Object(document).to_string()
}
