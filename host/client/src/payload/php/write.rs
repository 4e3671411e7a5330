//! Writes values as PHP's `serialize()` does.

use std::io::Write as _;

use super::value::{Entries, Key, Value};

/// Appends the serialized `value` to `out`.
///
/// Inverse to [`parse`](super::parse) for every body PHP wrote. Recurses once per level; values that were read are within
/// [`MAX_DEPTH`](crate::payload::MAX_DEPTH), and whoever builds deeper ones needs the stack for them.
pub fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"N;"),
        Value::Bool(truth) => out.extend_from_slice(if *truth { b"b:1;" } else { b"b:0;" }),
        Value::Int(number) => write_int(*number, out),
        Value::Float(float) => {
            out.extend_from_slice(b"d:");
            out.extend_from_slice(float.spelling().as_bytes());
            out.push(b';');
        }
        Value::String(bytes) => write_string(bytes, out),
        Value::Array(entries) => {
            out.extend_from_slice(b"a:");
            write_entries(entries, out);
        }
        Value::Object(object) => {
            write_name(b'O', &object.class, out);
            out.push(b':');
            write_entries(&object.properties, out);
        }
        Value::Custom(custom) => {
            write_name(b'C', &custom.class, out);
            append(out, format_args!(":{}:{{", custom.payload.len()));
            out.extend_from_slice(&custom.payload);
            out.push(b'}');
        }
        Value::Enum(case) => {
            append(
                out,
                format_args!("E:{}:\"", case.class.len() + 1 + case.case.len()),
            );
            out.extend_from_slice(&case.class);
            out.push(b':');
            out.extend_from_slice(&case.case);
            out.extend_from_slice(b"\";");
        }
        Value::Reference(slot) => append(out, format_args!("R:{slot};")),
        Value::SameObject(slot) => append(out, format_args!("r:{slot};")),
    }
}

fn write_entries(entries: &Entries<'_>, out: &mut Vec<u8>) {
    append(out, format_args!("{}:{{", entries.len()));
    for (key, value) in entries {
        match key {
            Key::Int(number) => write_int(*number, out),
            Key::Bytes(bytes) => write_string(bytes, out),
        }
        write(value, out);
    }
    out.push(b'}');
}

fn write_int(number: i64, out: &mut Vec<u8>) {
    append(out, format_args!("i:{number};"));
}

fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    write_name(b's', bytes, out);
    out.push(b';');
}

fn write_name(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    append(out, format_args!(":{}:\"", bytes.len()));
    out.extend_from_slice(bytes);
    out.push(b'"');
}

fn append(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}
