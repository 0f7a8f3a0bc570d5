use tracing::Level;

/// Longest message or field in bytes; the rest of a longer one is cut off.
const LONGEST: usize = 48 * 1024;

/// One log record: a message and fields, names in lower case.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) level: Level,
    pub(crate) message: String,
    pub(crate) fields: Vec<(&'static str, String)>,
}

impl Record {
    /// The record in the journal's native protocol.
    pub(crate) fn to_journal(&self, section: &str, identifier: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(256);
        push_field(&mut bytes, "PRIORITY", self.priority());
        push_field(&mut bytes, "SYSLOG_IDENTIFIER", identifier);
        push_field(&mut bytes, "BRIM_SECTION", section);
        push_field(&mut bytes, "MESSAGE", &self.text());
        for (name, value) in &self.fields {
            if let Some(name) = journal_name(name) {
                push_field(&mut bytes, &name, value);
            }
        }
        bytes
    }

    /// The record for people: the message, then what the fields say.
    pub(crate) fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text.truncate(cut(&text).len());
        text
    }

    /// The record for standard error, with the level in front.
    pub(crate) fn to_line(&self) -> String {
        let level = match self.level {
            Level::ERROR => "error: ",
            Level::WARN => "warning: ",
            _ => "",
        };
        format!("{level}{}\n", self.text())
    }

    fn priority(&self) -> &'static str {
        match self.level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            _ => "7",
        }
    }
}

/// The beginning of a text that may be too long, without half a letter at its end.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LONGEST)).unwrap_or(text)
}

/// A field of the native protocol: `NAME=value`, or with a length where the value has new lines.
pub fn push_field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    let value = cut(value);
    bytes.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        bytes.push(b'\n');
        bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        bytes.push(b'=');
    }
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

/// A field's name as the journal allows it, `None` where nothing is left of it.
fn journal_name(name: &str) -> Option<String> {
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .take(58)
        .collect();
    let name = name.trim_matches('_');
    (!name.is_empty()).then(|| format!("BRIM_{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> Record {
        Record {
            level: Level::WARN,
            message: message.to_owned(),
            fields: vec![("peer.address", "127.0.0.1:9".to_owned())],
        }
    }

    #[test]
    fn a_record_becomes_journal_fields() {
        let bytes = record("head timed out").to_journal("wsgi#x", "brim-http");
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            "PRIORITY=4\nSYSLOG_IDENTIFIER=brim-http\nBRIM_SECTION=wsgi#x\n\
             MESSAGE=head timed out peer.address=127.0.0.1:9\nBRIM_PEER_ADDRESS=127.0.0.1:9\n"
        );
    }

    #[test]
    fn a_value_with_new_lines_carries_its_length() {
        let mut bytes = Vec::new();
        push_field(&mut bytes, "MESSAGE", "a\nb");
        assert_eq!(bytes, b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n");
    }

    #[test]
    fn an_endless_field_is_cut_between_two_letters() {
        let mut bytes = Vec::new();
        push_field(&mut bytes, "BRIM_TARGET", &format!("x{}", "ä".repeat(LONGEST)));
        assert_eq!(bytes.len(), "BRIM_TARGET=".len() + LONGEST - 1 + "\n".len());
    }

    #[test]
    fn an_endless_message_is_cut() {
        assert_eq!(record(&"ä".repeat(LONGEST)).text().len(), LONGEST);
    }
}
