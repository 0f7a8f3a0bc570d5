use http::{HeaderName, HeaderValue, Method};

use crate::title_case;

/// The head of a request, written line by line. What is added holds no end of line: each value was one
/// of a header before, or is made of such.
pub(super) struct Lines<'a>(&'a mut Vec<u8>);

impl<'a> Lines<'a> {
    /// Begins with the request line. The target has neither blanks nor control characters.
    pub(super) fn begin(to: &'a mut Vec<u8>, method: &Method, target: &str) -> Self {
        to.extend_from_slice(method.as_str().as_bytes());
        to.push(b' ');
        to.extend_from_slice(target.as_bytes());
        to.extend_from_slice(b" HTTP/1.1\r\n");
        Self(to)
    }

    /// Adds a line, whose name comes with its colon and the blank behind it.
    #[inline]
    pub(super) fn add(&mut self, name: &'static str, value: &(impl AsRef<[u8]> + ?Sized)) {
        self.0.extend_from_slice(name.as_bytes());
        self.value(value.as_ref());
    }

    /// Adds a line of the client's.
    pub(super) fn pass_on(&mut self, name: &HeaderName, value: &HeaderValue) {
        title_case::append(name, self.0);
        self.0.extend_from_slice(b": ");
        self.value(value.as_bytes());
    }

    #[inline]
    fn value(&mut self, value: &[u8]) {
        self.0.extend_from_slice(value);
        self.0.extend_from_slice(b"\r\n");
    }

    /// Adds the empty line.
    pub(super) fn end(self) {
        self.0.extend_from_slice(b"\r\n");
    }
}
