//! A value as the words of a command line.

/// A quote that is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a quote (\" or ') is not closed; to have one in a word, put the other one around it")]
pub struct BadWords;

/// Splits at white space outside quotes. What is in quotes is taken to the letter, backslashes too.
///
/// # Errors
///
/// A quote that is not closed.
pub fn words(text: &str) -> Result<Vec<String>, BadWords> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (None::<String>, None);
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c.is_whitespace() => words.extend(word.take()),
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() { Err(BadWords) } else { Ok(words) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_may_hold_anything_but_its_quote() {
        for (text, expected) in [
            ("", &[][..]),
            (" /bin/x  -a\n b ", &["/bin/x", "-a", "b"]),
            (r#"sh -c 'echo "$HOME" %d \n; x' """#, &["sh", "-c", r#"echo "$HOME" %d \n; x"#, ""]),
            (r#"--name="x y" "it's" a''b"#, &["--name=x y", "it's", "ab"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
        for text in ["'a", "'", "a \"b c", "it's"] {
            assert_eq!(words(text), Err(BadWords), "{text}");
        }
    }
}
