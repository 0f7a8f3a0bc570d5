//! Every golden tree: the units that the generator writes for it.

use std::process::ExitCode;

use brim_config::Tree;
use brim_generator::{plan, write};
use libtest_mimic::Failed;

#[path = "../../../tests/golden/runner.rs"]
#[allow(dead_code, reason = "the golden test of the configuration uses the rest")]
mod runner;

use runner::Golden;

fn main() -> ExitCode {
    runner::run(the_units_are_as_expected)
}

fn the_units_are_as_expected(golden: &Golden) -> Result<(), Failed> {
    let (tree, _) = Tree::load(golden.root());
    let units = tempfile::tempdir()?;
    if let Some(error) = write(&plan(&tree), units.path()).first() {
        return Err(error.to_string().into());
    }
    golden.compare_directory("units", units.path())
}
