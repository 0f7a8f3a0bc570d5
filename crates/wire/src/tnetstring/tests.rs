use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { bytes: 1_000_000, depth: 8 };

fn only(bytes: &[u8]) -> Value<'_> {
    let (value, rest) = parse(bytes, LIMITS).expect("a value");
    assert_eq!(rest, b"");
    value
}

fn refusal(bytes: &[u8]) -> String {
    parse(bytes, LIMITS).expect_err("a refusal").to_string()
}

#[test]
fn every_type_is_read_and_written_alike() {
    type Append = fn(&mut Vec<u8>);
    let table: [(&[u8], Value<'_>, Append); 10] = [
        (b"5:a\0\xff},,", Value::String(b"a\0\xff},"), |out| append_string(out, b"a\0\xff},")),
        (b"0:,", Value::String(b""), |out| append_string(out, b"")),
        (b"2:42#", Value::Integer(42), |out| append_integer(out, 42)),
        (b"20:-9223372036854775808#", Value::Integer(i64::MIN), |out| {
            append_integer(out, i64::MIN);
        }),
        (b"4:-1.5^", Value::Float(-1.5), |out| append_float(out, -1.5)),
        (b"5:1e300^", Value::Float(1e300), |out| append_float(out, 1e300)),
        (b"4:true!", Value::Boolean(true), |out| append_boolean(out, true)),
        (b"5:false!", Value::Boolean(false), |out| append_boolean(out, false)),
        (b"0:~", Value::Null, append_null),
        (b"0:~", Value::Null, |out| append_float(out, f64::NAN)),
    ];
    for (bytes, value, append) in table {
        assert_eq!(only(bytes), value);
        let mut out = Vec::new();
        append(&mut out);
        assert_eq!(out, bytes);
    }
}

#[test]
fn lists_and_dictionaries_give_their_parts_in_order() {
    let Value::List(mut items) = only(b"31:3:ctl,21:10:keep-alive,4:true!}]") else { panic!() };
    assert_eq!(items.next(), Some(Value::String(b"ctl")));
    let Some(Value::Dictionary(mut entries)) = items.next() else { panic!() };
    assert_eq!(items.next(), None);
    assert_eq!(entries.get(b"keep-alive"), Some(Value::Boolean(true)));
    assert_eq!(entries.get(b"credits"), None);
    assert_eq!(entries.next(), Some((&b"keep-alive"[..], Value::Boolean(true))));
    assert_eq!(entries.next(), None);

    let mut out = Vec::new();
    append_list(&mut out, |out| {
        append_string(out, b"ctl");
        append_dictionary(out, |out| {
            append_string(out, b"keep-alive");
            append_boolean(out, true);
        });
    });
    assert_eq!(out, b"31:3:ctl,21:10:keep-alive,4:true!}]");
    assert!(matches!(only(b"0:]"), Value::List(_)));
    assert!(matches!(only(b"0:}"), Value::Dictionary(_)));
    assert!(matches!(only(b"10:2:\xff\0,2:\0\xff,}"), Value::Dictionary(entries)
        if entries.get(b"\xff\0") == Some(Value::String(b"\0\xff"))));
}

#[test]
fn what_is_no_tnetstring_says_where_and_what_was_expected() {
    let refusals: [(&[u8], &str); 14] = [
        (b"1:x", "byte 3: found the end, expected a type, one of ,#^!~]}"),
        (b"1:x?", "byte 3: found '?', expected a type, one of ,#^!~]}"),
        (b"4:True!", "byte 2: found 4 bytes, expected true or false"),
        (b"1:x~", "byte 2: found 1 byte, expected no bytes for a null"),
        (b"0:#", "byte 2: found 0 bytes, expected an integer of 64 bits"),
        (b"19:9223372036854775808#", "byte 3: found 19 bytes, expected an integer of 64 bits"),
        (b"3:1 2#", "byte 2: found 3 bytes, expected an integer of 64 bits"),
        (b"3:inf^", "byte 2: found 3 bytes, expected a finite number"),
        (b"3:NaN^", "byte 2: found 3 bytes, expected a finite number"),
        (b"5:1e999^", "byte 2: found 5 bytes, expected a finite number"),
        (b"4:1:k,}", "byte 6: found the end, expected a value for the last key"),
        (b"8:1:1#1:v,}", "byte 5: found '#', expected ',' after a key, which is a string"),
        (b"4:9:x,]", "byte 4: 9 bytes announced, 2 left"),
        (b"3:1:x]", "byte 5: found the end, expected a type, one of ,#^!~]}"),
    ];
    for (bytes, message) in refusals {
        assert_eq!(refusal(bytes), message, "{:?}", String::from_utf8_lossy(bytes));
    }
    let long = [b"401:".as_slice(), &[b'1'; 401], b"^"].concat();
    assert_eq!(refusal(&long), "byte 4: found 401 bytes, expected a finite number");
}

fn nested(depth: usize) -> Vec<u8> {
    // Built from the outside in, for what is inside would be copied at every level.
    let mut sizes = vec![0_usize];
    for level in 1..depth {
        let inner = sizes[level - 1];
        sizes.push(inner.to_string().len() + 1 + inner + 1);
    }
    let mut out: Vec<u8> = Vec::new();
    sizes.iter().rev().for_each(|size| netstring::append_length(&mut out, *size));
    out.extend(std::iter::repeat_n(b']', depth));
    out
}

#[test]
fn one_level_more_than_allowed_is_refused_and_a_hundred_thousand_do_no_harm() {
    assert!(matches!(only(&nested(8)), Value::List(_)));
    let refusal = parse(&nested(9), LIMITS).expect_err("a refusal");
    assert!(matches!(refusal, MessageError::TooDeep { limit: 8, .. }), "{refusal}");
    let limits = Limits { bytes: usize::MAX, depth: 8 };
    let refusal = parse(&nested(100_000), limits).expect_err("a refusal");
    assert!(matches!(refusal, MessageError::TooDeep { limit: 8, .. }), "{refusal}");
    let deep = nested(100_000);
    assert!(parse(&deep, Limits { bytes: usize::MAX, depth: 100_000 }).is_ok());
    let none = Limits { bytes: 10, depth: 0 };
    assert_eq!(parse(b"0:]", none), Err(MessageError::TooDeep { at: 2, limit: 0 }));
    assert!(parse(b"0:,", none).is_ok());
}

#[test]
fn a_byte_more_than_allowed_is_refused_at_its_announcement() {
    let limits = Limits { bytes: 9, depth: 1 };
    assert!(parse(b"9:123456789,", limits).is_ok());
    let refusal = MessageError::TooLong { at: 0, length: 10, limit: 9 };
    assert_eq!(parse(b"10:", limits), Err(refusal));
}

/// Bytes that are often nearly a tnetstring.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop_oneof![
        vec(any::<u8>(), 0..4),
        prop::sample::select(vec!["0:~", "1:1#", "3:abc,", "4:true!", "0:]", "9:", ":", "}", "]"])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let whole = prop::sample::select(vec![b']', b'}', b',', b'#', b'^']);
    (vec(scrap, 0..12), whole, any::<bool>()).prop_map(|(scraps, kind, wrap)| {
        let inner = scraps.concat();
        let mut out = Vec::new();
        if wrap {
            netstring::append_counted(&mut out, &inner, kind);
            out
        } else {
            inner
        }
    })
}

/// Walks through a value breadth first and writes its leaves; the count of values.
fn walk(value: Value<'_>) -> usize {
    let mut open = vec![value];
    let mut count = 0;
    while let Some(value) = open.pop() {
        count += 1;
        match value {
            Value::List(items) => open.extend(items),
            Value::Dictionary(entries) => open.extend(entries.map(|(_, value)| value)),
            _ => {}
        }
    }
    count
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic_and_a_value_is_within_its_bytes(bytes in scraps()) {
        if let Ok((value, rest)) = parse(&bytes, LIMITS) {
            prop_assert!(rest.len() < bytes.len());
            prop_assert!(walk(value) <= bytes.len());
        }
    }

    #[test]
    fn dictionaries_of_any_bytes_go_round(
        entries in vec((vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..300)), 0..12),
        floats in vec(any::<f64>(), 0..8),
        integers in vec(any::<i64>(), 0..8),
    ) {
        let mut out = Vec::new();
        append_list(&mut out, |out| {
            append_dictionary(out, |out| {
                for (key, value) in &entries {
                    append_string(out, key);
                    append_string(out, value);
                }
            });
            append_list(out, |out| floats.iter().for_each(|float| append_float(out, *float)));
            append_list(out, |out| integers.iter().for_each(|int| append_integer(out, *int)));
        });
        let Value::List(mut parts) = only(&out) else { panic!() };
        let Some(Value::Dictionary(read)) = parts.next() else { panic!() };
        let read: Vec<_> = read.map(|(key, value)| (key.to_vec(), value)).collect();
        let expected: Vec<_> =
            entries.iter().map(|(key, value)| (key.clone(), Value::String(value))).collect();
        prop_assert_eq!(read, expected);
        let Some(Value::List(read)) = parts.next() else { panic!() };
        let finite = |float: &f64| if float.is_finite() { Value::Float(*float) } else { Value::Null };
        prop_assert_eq!(read.collect::<Vec<_>>(), floats.iter().map(finite).collect::<Vec<_>>());
        let Some(Value::List(read)) = parts.next() else { panic!() };
        let expected: Vec<_> = integers.iter().copied().map(Value::Integer).collect();
        prop_assert_eq!(read.collect::<Vec<_>>(), expected);
    }
}
