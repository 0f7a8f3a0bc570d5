use std::process::{Command, Stdio};

/// A Python that has this module: Debian's own first, for which `make setup` has installed it, though another one may
/// stand before it in `PATH`.
///
/// # Panics
///
/// If there is none: what is not tested is not to look as if it were.
pub fn python_with(module: &str) -> &'static str {
    let import = format!("import {module}");
    let has_it = |python: &&str| {
        let mut command = Command::new(python);
        let quiet = command.args(["-c", &import]).stdin(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    };
    ["/usr/bin/python3", "python3"].into_iter().find(has_it).unwrap_or_else(|| {
        panic!("python3 has no module {module} (Debian: apt install python3-{module})")
    })
}
