//! `brimctl config`: the merged configuration, and where each key comes from.

use std::fmt::Write as _;

use brim_config::has_errors;
use brim_launch::Exit;
use brim_launch::program::Source;

use crate::error::Error;
use crate::output;
use crate::source::Loaded;

pub(crate) fn config(source: &Source, named: &[String]) -> Result<Exit, Error> {
    let loaded = Loaded::new(source);
    let text = if named.is_empty() { loaded.tree.render() } else { some(&loaded, named)? };
    for problem in &loaded.problems {
        output::complain(&problem.to_string());
    }
    output::print(&text)?;
    Ok(if has_errors(&loaded.problems) { Exit::Config } else { Exit::Success })
}

fn some(loaded: &Loaded<'_>, named: &[String]) -> Result<String, Error> {
    let mut text = String::new();
    for name in named {
        let section =
            loaded.tree.section(name).ok_or_else(|| Error::NoSuchSection(name.clone()))?;
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{}]", section.name);
        for entry in &section.entries {
            let _ = writeln!(text, "{entry}");
        }
    }
    Ok(text)
}
