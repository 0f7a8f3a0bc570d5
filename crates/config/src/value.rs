//! One value, typed: a serde deserializer over a string.
//!
//! | Rust type | accepted |
//! |---|---|
//! | `bool` | `1 on t true y yes`, `0 f false n no off`, any case |
//! | integers | decimal, with an optional sign |
//! | `f32`, `f64` | decimal fractions and exponents; not `inf` or `nan` |
//! | `String` | anything, to the letter |
//! | enums of unit variants | the variants' names (`#[serde(rename_all = "kebab-case")]`) |
//! | sequences and tuples | elements separated by white space |
//! | [`Span`](crate::Span), [`Size`](crate::Size), ... | see there |

use std::fmt::Display;
use std::str::SplitWhitespace;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, IntoDeserializer, Unexpected, Visitor};

use crate::problem::Shown;

/// Why a value is not of the type that its key has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not of the type at all.
    #[error("{found} is not {expected}")]
    Unexpected {
        /// The value, quoted.
        found: String,
        /// What is accepted.
        expected: String,
    },
    /// None of the words that are accepted.
    #[error("{} is not one of {}", Shown(.found), .expected.join(", "))]
    UnknownWord {
        /// The value.
        found: String,
        /// The words.
        expected: &'static [&'static str],
    },
    /// What a type's own `Deserialize` says about it.
    #[error("{0}")]
    Custom(String),
}

impl de::Error for ValueError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Custom(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_value(found, expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            Unexpected::Str(text) => Shown(text).to_string(),
            other => other.to_string(),
        };
        Self::Unexpected { found, expected: expected.to_string() }
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::Unexpected { found: format!("a list of {length}"), expected: expected.to_string() }
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownWord { found: found.to_owned(), expected }
    }
}

/// Types one value.
///
/// # Errors
///
/// What was found and what is accepted.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ValueError> {
    T::deserialize(Value(text))
}

/// The deserializer: nothing but the text of the value.
struct Value<'a>(&'a str);

impl Value<'_> {
    fn unexpected(&self, expected: &str) -> ValueError {
        ValueError::Unexpected { found: Shown(self.0).to_string(), expected: expected.to_owned() }
    }

    fn flag(&self) -> Result<bool, ValueError> {
        match self.0.to_ascii_lowercase().as_str() {
            "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
            "0" | "off" | "f" | "false" | "n" | "no" => Ok(false),
            _ => Err(self.unexpected("yes or no (also on, true, 1, off, false, 0)")),
        }
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $int:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.0.parse::<$int>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(self.unexpected(&format!(
                    "a whole number from {} to {}", <$int>::MIN, <$int>::MAX
                ))),
            }
        }
    )*};
}

macro_rules! fractions {
    ($($method:ident $visit:ident $float:ty)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
            match self.0.parse::<$float>() {
                Ok(number) if number.is_finite() => visitor.$visit(number),
                _ => Err(self.unexpected("a number")),
            }
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Value<'_> {
    type Error = ValueError;

    integers! {
        deserialize_i8 visit_i8 i8
        deserialize_i16 visit_i16 i16
        deserialize_i32 visit_i32 i32
        deserialize_i64 visit_i64 i64
        deserialize_i128 visit_i128 i128
        deserialize_u8 visit_u8 u8
        deserialize_u16 visit_u16 u16
        deserialize_u32 visit_u32 u32
        deserialize_u64 visit_u64 u64
        deserialize_u128 visit_u128 u128
    }

    fractions! {
        deserialize_f32 visit_f32 f32
        deserialize_f64 visit_f64 f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_str(self.0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_bool(self.flag()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(Elements(self.0.split_whitespace()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        if self.0.split_whitespace().count() != length {
            return Err(self.unexpected(&format!("a list of {length}")));
        }
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let word: StrDeserializer<'_, ValueError> = self.0.into_deserializer();
        visitor.visit_enum(word)
    }

    serde::forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct tuple_struct map struct identifier
        ignored_any
    }
}

/// The elements of a list.
struct Elements<'a>(SplitWhitespace<'a>);

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = ValueError;

    fn next_element_seed<T: de::DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        self.0.next().map(|element| seed.deserialize(Value(element))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Start {
        Always,
        OnDemand,
    }

    fn refused<T: DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
        parse::<T>(text).unwrap_err().to_string()
    }

    #[test]
    fn booleans_are_brims() {
        for yes in ["1", "on", "t", "TRUE", "y", "Yes"] {
            assert_eq!(parse(yes), Ok(true));
        }
        for no in ["0", "Off", "f", "false", "N", "no"] {
            assert_eq!(parse(no), Ok(false));
        }
        assert_eq!(
            refused::<bool>("maybe"),
            r#""maybe" is not yes or no (also on, true, 1, off, false, 0)"#
        );
    }

    #[test]
    fn a_number_out_of_range_says_the_range() {
        assert_eq!(parse("65535"), Ok(65535_u16));
        assert_eq!(parse("-3"), Ok(-3_i8));
        assert_eq!(refused::<u16>("65536"), r#""65536" is not a whole number from 0 to 65535"#);
        for text in ["", "0x10", "1_0", "1.0", "-1", "99999999999999999999999999"] {
            assert!(parse::<u64>(text).is_err(), "{text}");
        }
        assert_eq!(parse("1e3"), Ok(1000.0));
        assert!(parse::<f64>("nan").is_err());
    }

    #[test]
    fn an_enum_says_what_it_accepts() {
        assert_eq!(parse("on-demand"), Ok(Start::OnDemand));
        assert_eq!(refused::<Start>("never"), r#""never" is not one of always, on-demand"#);
    }

    #[test]
    fn text_is_kept_to_the_letter() {
        assert_eq!(parse(r"/x/(.*;\.json)"), Ok(r"/x/(.*;\.json)".to_owned()));
        assert_eq!(parse("x"), Ok('x'));
        assert_eq!(parse("12"), Ok(Some(12)));
    }

    #[test]
    fn lists_are_separated_by_white_space() {
        assert_eq!(parse(" 404\n 408\t500 "), Ok(vec![404_u16, 408, 500]));
        assert_eq!(parse("1 2"), Ok((1_u8, 2_u8)));
        assert!(parse::<(u8, u8)>("1 2 3").is_err());
        assert!(parse::<Vec<u8>>("1 x").is_err());
    }

    #[test]
    fn types_that_no_value_has_are_refused() {
        assert!(parse::<std::collections::HashMap<String, String>>("a").is_err());
        assert!(parse::<()>("a").is_err());
    }
}
