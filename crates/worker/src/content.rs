//! Bodies: from a value to bytes, and from bytes to a value by what the server says they are.

use base::Value;
use base::value::{ValueError, as_str, check, parse, string, to_json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// A request's body and the content type that it has unless the author says otherwise.
pub(crate) fn encode(body: &Value) -> Result<(Bytes, &'static str), ValueError> {
    if let Some(text) = as_str(body) {
        return Ok((Bytes::copy_from_slice(text.as_bytes()), "text/plain; charset=utf-8"));
    }
    check(body)?;
    Ok((to_json(body).into(), "application/json"))
}

/// The content of an answer. Nothing is `null`; what is no text is base64.
pub(crate) fn decode(body: &[u8], content_type: Option<&str>) -> Result<Value, ValueError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    Ok(match Media::of(content_type) {
        Media::Json => {
            let value = parse(body)?;
            base::value::check(&value)?;
            value
        }
        Media::Text { latin1: true } => {
            string(&body.iter().map(|byte| char::from(*byte)).collect::<String>())
        }
        Media::Text { latin1: false } => {
            std::str::from_utf8(body).map_or_else(|_| base64(body), string)
        }
        Media::Binary => base64(body),
    })
}

/// As the language's `output: raw` wants it.
pub(crate) fn raw(body: &[u8]) -> Value {
    if body.is_empty() { Value::Null } else { base64(body) }
}

fn base64(body: &[u8]) -> Value {
    string(&STANDARD.encode(body))
}

#[derive(Debug, PartialEq, Eq)]
enum Media {
    Json,
    Text { latin1: bool },
    Binary,
}

impl Media {
    fn of(content_type: Option<&str>) -> Self {
        // A server that says nothing has usually written text.
        let Some(content_type) = content_type else { return Self::Text { latin1: false } };
        let content_type = content_type.to_ascii_lowercase();
        let mut parts = content_type.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if matches!(media, "application/json" | "text/json") || media.ends_with("+json") {
            return Self::Json;
        }
        let textual = media.starts_with("text/")
            || media.ends_with("+xml")
            || media.ends_with("+yaml")
            || matches!(
                media,
                "application/xml"
                    | "application/yaml"
                    | "application/x-yaml"
                    | "application/javascript"
                    | "application/x-www-form-urlencoded"
                    | "application/x-ndjson"
            );
        if !textual {
            return Self::Binary;
        }
        let charset = parts.find_map(|part| part.strip_prefix("charset="));
        match charset.map(|name| name.trim_matches('"')) {
            None | Some("utf-8" | "utf8" | "us-ascii") => Self::Text { latin1: false },
            Some("iso-8859-1" | "latin1") => Self::Text { latin1: true },
            Some(_) => Self::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, body: &[u8], expected: &str) {
        let content_type = Some(content_type).filter(|text| !text.is_empty());
        let said = decode(body, content_type)
            .map_or_else(|error| error.to_string(), |v| base::value::to_json_string(&v));
        assert_eq!(said, expected, "{content_type:?}");
    }

    /// Mutation: read JSON whatever the type, give bytes as lossy text, or ignore the charset.
    #[test]
    fn content_is_what_its_type_says() {
        check("application/json", b"{\"a\":1}", r#"{"a":1}"#);
        check("Application/Problem+JSON; charset=utf-8", b"[1]", "[1]");
        check("application/json", b"", "null");
        check(
            "application/json",
            b"{\"a\"",
            "not valid JSON at line 1, column 4: EOF while parsing an object",
        );
        check("text/plain", b"{\"a\":1}", r#""{\"a\":1}""#);
        check("text/html; charset=\"ISO-8859-1\"", b"\xe4", r#""ä""#);
        check("text/plain", b"\xe4", r#""5A==""#);
        check("text/plain; charset=shift_jis", b"a", r#""YQ==""#);
        check("", b"plain", r#""plain""#);
        check("", b"\xff", r#""/w==""#);
        check("application/octet-stream", b"text", r#""dGV4dA==""#);
        check("image/svg+xml", b"<svg/>", r#""<svg/>""#);
    }

    /// Mutation: encode a string as JSON, or let a byte string through.
    #[test]
    fn a_string_is_sent_as_it_is_and_all_else_as_json() {
        let encoded = |value: &Value| {
            encode(value)
                .map(|(bytes, media)| (String::from_utf8_lossy(&bytes).into_owned(), media))
        };
        assert_eq!(encoded(&string("a\"b")), Ok(("a\"b".into(), "text/plain; charset=utf-8")));
        assert_eq!(encoded(&Value::Null), Ok(("null".into(), "application/json")));
        let list = base::value::array(vec![string("x")]);
        assert_eq!(encoded(&list), Ok(("[\"x\"]".into(), "application/json")));
        assert_eq!(
            encoded(&base::value::array(vec![Value::byte_str(vec![255])])),
            Err(ValueError::Bytes)
        );
    }

    /// Mutation: give an empty string for nothing.
    #[test]
    fn raw_content_is_base64() {
        assert_eq!(raw(b"text"), string("dGV4dA=="));
        assert_eq!(raw(b""), Value::Null);
    }
}
