use std::fmt;

/// FIN, three reserved bits, and the opcode in the lower half.
///
/// Displayed as "Mongrel2's protocol" writes it: `0x81`, capital hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// A whole text message.
    pub const TEXT: Self = Self(0x81);
    /// A whole binary message.
    pub const BINARY: Self = Self(0x82);
    /// The closing handshake.
    pub const CLOSE: Self = Self(0x88);
    /// A ping.
    pub const PING: Self = Self(0x89);
    /// A pong.
    pub const PONG: Self = Self(0x8a);

    /// The kind of frame: 1 text, 2 binary, 8 close, 9 ping, 10 pong.
    pub fn opcode(self) -> u8 {
        self.0 & 0x0f
    }

    /// Reads `0x` and one or two hexadecimal digits, of either case.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(b"0x")?;
        if digits.is_empty() || digits.len() > 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok().map(Self)
    }

    /// The text of `FLAGS`.
    pub fn text(self) -> [u8; 4] {
        let digit = |half: u8| if half < 10 { b'0' + half } else { b'A' + half - 10 };
        [b'0', b'x', digit(self.0 >> 4), digit(self.0 & 0x0f)]
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:X}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_written_as_mongrel2_does() {
        let table = [
            (Flags::TEXT, "0x81", 1),
            (Flags::BINARY, "0x82", 2),
            (Flags::CLOSE, "0x88", 8),
            (Flags::PING, "0x89", 9),
            (Flags::PONG, "0x8A", 10),
            (Flags(0xc1), "0xC1", 1),
        ];
        for (flags, text, opcode) in table {
            assert_eq!((flags.to_string().as_str(), flags.opcode()), (text, opcode));
            assert_eq!(flags.text(), text.as_bytes());
            assert_eq!(Flags::parse(text.as_bytes()), Some(flags));
            assert_eq!(Flags::parse(text.to_lowercase().as_bytes()), Some(flags));
        }
        for text in ["", "0x", "81", "0x+1", "0x811", "0xg1"] {
            assert_eq!(Flags::parse(text.as_bytes()), None, "{text}");
        }
    }
}
