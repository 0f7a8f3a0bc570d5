/// Checks text that comes in pieces, and fails at the first byte that no continuation could mend.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    /// The beginning of a character whose rest has not come.
    open: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Whether the text is good so far.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while self.length > 0 {
            let Some((first, rest)) = bytes.split_first() else { return true };
            let Some(place) = self.open.get_mut(self.length) else { return false };
            *place = *first;
            self.length += 1;
            bytes = rest;
            match std::str::from_utf8(self.open.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return false,
            }
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                let rest = bytes.get(error.valid_up_to()..).unwrap_or_default();
                self.length = rest.len();
                self.open.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
                true
            }
        }
    }

    /// Whether no character is left half.
    pub(super) fn is_whole(&self) -> bool {
        self.length == 0
    }
}
