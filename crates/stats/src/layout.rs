use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the workers' values of one name become a total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RollUp {
    /// No total: only the workers' own values mean something.
    Worker,
    /// The total is the sum.
    Sum,
    /// The total is the smallest value; a worker that never wrote counts as 0.
    Min,
    /// The total is the largest value.
    Max,
}

impl RollUp {
    /// The total of `values`; `None` for [`RollUp::Worker`] and for no workers at all.
    pub fn total(self, values: impl Iterator<Item = u64>) -> Option<u64> {
        match self {
            Self::Worker => None,
            Self::Sum => Some(values.fold(0, u64::wrapping_add)),
            Self::Min => values.min(),
            Self::Max => values.max(),
        }
    }
}

impl fmt::Display for RollUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "worker",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        })
    }
}

/// A roll-up type that nobody knows.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown roll-up type \"{0}\", expected worker, sum, min or max")]
pub struct UnknownRollUp(String);

impl FromStr for RollUp {
    type Err = UnknownRollUp;

    fn from_str(text: &str) -> Result<Self, UnknownRollUp> {
        match text {
            "worker" => Ok(Self::Worker),
            "sum" => Ok(Self::Sum),
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            _ => Err(UnknownRollUp(text.to_owned())),
        }
    }
}

/// One name and its roll-up type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The name, as on the bus and in JSON; apps prefix theirs with `APP.`.
    pub name: String,
    /// How workers' values become a total.
    pub roll_up: RollUp,
}

impl Stat {
    /// A stat of this name and type.
    pub fn new(name: impl Into<String>, roll_up: RollUp) -> Self {
        Self { name: name.into(), roll_up }
    }

    /// A stat whose total is the sum, which is what most are.
    pub fn sum(name: impl Into<String>) -> Self {
        Self::new(name, RollUp::Sum)
    }
}

/// One name was declared with two roll-up types.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("stat \"{name}\" is declared as {second}, but it is {first} already")]
pub struct RollUpConflict {
    /// The name.
    pub name: String,
    /// The type it had.
    pub first: RollUp,
    /// The type it was to get.
    pub second: RollUp,
}

/// The names of an instance's stats. Declaring a name again shares it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    stats: BTreeMap<String, RollUp>,
}

impl Layout {
    /// Adds a name, or shares the one that is there.
    pub fn declare(&mut self, stat: Stat) -> Result<(), RollUpConflict> {
        match self.stats.get(&stat.name) {
            Some(&first) if first != stat.roll_up => {
                Err(RollUpConflict { name: stat.name, first, second: stat.roll_up })
            }
            _ => {
                self.stats.insert(stat.name, stat.roll_up);
                Ok(())
            }
        }
    }

    /// All names with their types, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, RollUp)> {
        self.stats.iter().map(|(name, roll_up)| (name.as_str(), *roll_up))
    }
}
