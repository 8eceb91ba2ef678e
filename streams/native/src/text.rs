//! JSON written as msgspec writes it, to the byte.

use memchr::memchr2;

/// Append a string with its quotes. `plain`: nothing in it wants escaping. No control character may stand in it.
pub fn string(out: &mut Vec<u8>, text: impl AsRef<[u8]>, plain: bool) {
    out.push(b'"');
    inner(out, text, plain);
    out.push(b'"');
}

/// Append the inside of a string.
pub fn inner(out: &mut Vec<u8>, text: impl AsRef<[u8]>, plain: bool) {
    let bytes = text.as_ref();
    if plain || memchr2(b'"', b'\\', bytes).is_none() {
        out.extend_from_slice(bytes);
        return;
    }
    for &byte in bytes {
        if byte == b'"' || byte == b'\\' {
            out.push(b'\\');
        }
        out.push(byte);
    }
}

/// Append an integer.
pub fn integer<I: itoa::Integer>(out: &mut Vec<u8>, value: I) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}
