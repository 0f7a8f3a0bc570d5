//! On a real bus, a private one.
