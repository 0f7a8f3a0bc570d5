//! The golden trees that say something about apps: what is wrong with their sections.

use std::process::{Command, ExitCode};

use brim_config::{Kind, Tree};
use libtest_mimic::Failed;

#[path = "../../../tests/golden/runner.rs"]
#[allow(dead_code, reason = "the golden tests of other crates use the rest")]
mod runner;

use runner::Golden;

fn main() -> ExitCode {
    runner::run(the_sections_of_apps_are_judged_as_expected)
}

fn the_sections_of_apps_are_judged_as_expected(golden: &Golden) -> Result<(), Failed> {
    if !golden.expects("apps") {
        return Ok(());
    }
    let (tree, _) = Tree::load(golden.root());
    let mut found = String::new();
    for section in tree.instances().filter(|section| section.kind == Kind::Wsgi) {
        let mut program = Command::new(env!("CARGO_BIN_EXE_brim-http"));
        program.arg("--check").arg("--root").arg(golden.root()).arg(section.to_string());
        found += &String::from_utf8(program.output()?.stdout)?;
    }
    golden.compare_text("apps", &found)
}
