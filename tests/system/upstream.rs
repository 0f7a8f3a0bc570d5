//! An application server behind the proxy: a process of its own, which can be killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Its port.
pub(crate) const PORT: u16 = 9001;

/// A running upstream; dropping it kills it.
pub(crate) struct Upstream(Child);

impl Upstream {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Self {
        let mut child = Command::new("/usr/bin/python3")
            .args(["-c", include_str!("upstream.py"), &PORT.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 starts");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its standard output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "the upstream did not start");
        Self(child)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
