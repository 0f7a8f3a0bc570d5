//! `brimctl check`: everything that is wrong, in one run.

use brim_config::SectionName;
use brim_launch::Exit;
use brim_launch::program::Source;

use crate::error::Error;
use crate::output::{self, count};
use crate::source::Loaded;

pub(crate) fn check(source: &Source, named: &[SectionName]) -> Result<Exit, Error> {
    let loaded = Loaded::new(source);
    let findings = loaded.check(named)?;
    let (failed, warnings) = (findings.failed(), findings.len());
    output::findings(findings, &loaded.tree);
    if failed {
        return Ok(Exit::Config);
    }
    let sections = count(loaded.meant(named)?.len(), "section");
    let warnings = match warnings {
        0 => String::new(),
        warnings => format!(", {}", count(warnings, "warning")),
    };
    output::print(&format!("configuration is fine: {sections}{warnings}\n"))?;
    Ok(Exit::Success)
}
