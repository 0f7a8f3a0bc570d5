//! `ExecReload=`: the running server is always asked. It refuses by itself, goes on with what it has, and
//! says why in its status and in the journal; what it cannot say, this does.

use std::collections::HashSet;

use brim_config::{Kind, SectionName, Severity};
use rustix::process::{Pid, Signal, kill_process};

use crate::bus::{self, ReloadError};
use crate::check::{Finding, Findings};
use crate::command_line::Target;
use crate::daemons;
use crate::error::{Error, NoSection};
use crate::exit::Exit;
use crate::journal;
use crate::program::Programs;
use crate::start::section_name;

pub(crate) fn reload(target: &Target) -> Exit {
    match check(target) {
        Ok((name, findings)) => hand_over(&name, &findings),
        Err(error) => {
            journal::error(&error.to_string());
            error.exit()
        }
    }
}

/// Checks the section: what is wrong with it, in order.
fn check(target: &Target) -> Result<(SectionName, Vec<Finding>), Error> {
    let (tree, problems) = target.source.load();
    let name = section_name(&target.instance, &tree, &problems)?;
    let section = name.section();
    let mut findings = Findings::default();
    findings.add_problems(problems.iter().filter(|problem| problem.concerns(&section)));
    if tree.section(&section).is_none() {
        findings.add(Severity::Error, NoSection::new(section, &tree).to_string());
    } else {
        let programs = Programs::beside_this_one().map_err(Error::Nowhere)?;
        let program = programs.of(&tree, &name);
        findings.add_program(&program, &target.source);
        if name.kind == Kind::Daemons {
            findings.add_problems(&daemons::problems(&tree, &name, &target.source));
        }
    }
    Ok((name, findings.arranged(tree.files())))
}

fn hand_over(name: &SectionName, findings: &[Finding]) -> Exit {
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    let refused = if failed { Exit::Config } else { Exit::Refused };
    match bus::reload(name) {
        Ok(()) => Exit::Success,
        Err(ReloadError::Refused(problems)) => {
            // The server wrote all of it to the journal of its unit, which is that of this program, too.
            if journal::is_journal() {
                return refused;
            }
            print(findings);
            let found: HashSet<_> = findings.iter().map(|finding| finding.text.as_str()).collect();
            for line in problems.lines().filter(|line| !found.contains(line)) {
                journal::error(line);
            }
            journal::error("reload refused, the old configuration goes on");
            refused
        }
        Err(error @ (ReloadError::NoBus(_) | ReloadError::NobodyThere(_))) => {
            print(findings);
            journal::error(&error.to_string());
            if failed {
                journal::error("reload refused, the old configuration goes on");
                return refused;
            }
            hang_up()
        }
        Err(error) => {
            print(findings);
            journal::error(&format!("reload failed: {error}"));
            match error {
                ReloadError::Denied(_) => Exit::Permission,
                _ => Exit::System,
            }
        }
    }
}

fn print<'a>(findings: impl IntoIterator<Item = &'a Finding>) {
    for finding in findings {
        journal::finding(finding.severity, &finding.text);
    }
}

/// Without a bus: the signal that means the same, whose outcome only the journal tells.
fn hang_up() -> Exit {
    let main_pid = std::env::var("MAINPID").ok();
    let pid = main_pid.as_deref().and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 1);
    let Some(pid) = pid.and_then(Pid::from_raw) else {
        journal::error("and MAINPID names no process to send SIGHUP to");
        return Exit::System;
    };
    match kill_process(pid, Signal::HUP) {
        Ok(()) => {
            let pid = pid.as_raw_nonzero();
            journal::notice(&format!(
                "SIGHUP sent to process {pid} instead; the journal tells what came of it"
            ));
            Exit::Success
        }
        Err(error) => {
            journal::error(&format!(
                "SIGHUP cannot be sent to process {}: {error}",
                pid.as_raw_nonzero()
            ));
            if error == rustix::io::Errno::PERM { Exit::Permission } else { Exit::System }
        }
    }
}
