//! An application server behind the proxy.

use crate::python::Script;

/// Its port.
pub(crate) const PORT: u16 = 9001;

/// A running upstream; dropping it kills it.
pub(crate) struct Upstream {
    _script: Script,
}

impl Upstream {
    /// Starts it and waits until it listens.
    pub(crate) fn start() -> Self {
        let source = include_str!("upstream.py");
        Self { _script: Script::start(source, &[&PORT.to_string()]) }
    }
}
