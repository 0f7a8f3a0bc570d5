//! `brimctl completions`: packages install what it prints.

use brim_launch::Exit;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::command_line::Cli;
use crate::error::Error;
use crate::output;

pub(crate) fn completions(shell: Shell) -> Result<Exit, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "brimctl", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
