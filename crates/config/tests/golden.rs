//! Every golden tree: the merged configuration, and every problem of it.

use std::process::ExitCode;

use brim_config::{Tree, check};
use libtest_mimic::Failed;

#[path = "../../../tests/golden/runner.rs"]
#[allow(dead_code, reason = "the golden test of the generator uses the rest")]
mod runner;

use runner::Golden;

fn main() -> ExitCode {
    runner::run(the_tree_reads_as_expected)
}

fn the_tree_reads_as_expected(golden: &Golden) -> Result<(), Failed> {
    let (tree, mut problems) = Tree::load(golden.root());
    problems.extend(check(&tree));
    let problems: String =
        tree.arrange(problems).iter().map(|problem| format!("{problem}\n")).collect();
    let config = golden.compare_text("config", &tree.render());
    let problems = golden.compare_text("problems", &problems);
    config.and(problems)
}
