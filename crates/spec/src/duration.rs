//! Lengths of time as authors and expressions write them: ISO 8601, or an object of whole numbers.

use base::{Duration, Value};

const DAY_MS: u64 = 24 * HOUR_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const SECOND_MS: u64 = 1_000;

/// The properties of a duration object, with their milliseconds.
pub const UNITS: [(&str, u64); 5] = [
    ("days", DAY_MS),
    ("hours", HOUR_MS),
    ("minutes", MINUTE_MS),
    ("seconds", SECOND_MS),
    ("milliseconds", 1),
];

const TOO_LONG: &str = "it is longer than can be counted in milliseconds";

/// Reads an ISO 8601 duration such as `PT15S` or `P1DT2H`. The error says why not.
///
/// A part of a millisecond is rounded up, so that no wait ends early.
pub fn parse_iso_duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "expected ISO 8601 such as `PT15S`, `PT1H30M` or `P2DT12H`";
    let form = || FORM.to_owned();
    let rest = text.strip_prefix('P').ok_or_else(|| match text.strip_prefix('-') {
        Some(_) => "a duration cannot be negative".to_owned(),
        None => form(),
    })?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return Err(form()),
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    if date.is_empty() && time.is_empty() {
        return Err(form());
    }
    let mut total = 0;
    read_units(date, &[('W', 7 * DAY_MS), ('D', DAY_MS)], true, &mut total)?;
    read_units(time, &[('H', HOUR_MS), ('M', MINUTE_MS), ('S', SECOND_MS)], false, &mut total)?;
    Ok(Duration::from_millis(total))
}

/// Reads `<number><unit>` until the text ends. Units come in the order of `units`, each once.
fn read_units(
    mut text: &str,
    mut units: &[(char, u64)],
    is_date: bool,
    total: &mut u64,
) -> Result<(), String> {
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ','));
        let (number, unit) = end
            .and_then(|end| Some((&text[..end], text[end..].chars().next()?)))
            .ok_or("a number without a unit")?;
        if is_date && matches!(unit, 'Y' | 'M') {
            return Err("years and months have no fixed length: say it in days".into());
        }
        let place = units.iter().position(|(name, _)| *name == unit);
        let place = place.ok_or_else(|| format!("`{unit}` is no unit there"))?;
        let millis = read_number(number, units[place].1, unit == 'S')?;
        *total = total.checked_add(millis).ok_or(TOO_LONG)?;
        units = &units[place + 1..];
        text = &text[number.len() + unit.len_utf8()..];
    }
    Ok(())
}

fn read_number(text: &str, unit_ms: u64, may_have_fraction: bool) -> Result<u64, String> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err("a unit without a whole number before it".into());
    }
    if text.len() != whole.len() && !may_have_fraction {
        return Err("only seconds may have a fraction".into());
    }
    let whole: u64 = whole.parse().map_err(|_| TOO_LONG)?;
    let below: String = fraction.chars().chain("000".chars()).take(3).collect();
    let below: u64 = below.parse().map_err(|_| TOO_LONG)?;
    let rounded = below + u64::from(fraction.bytes().skip(3).any(|b| b != b'0'));
    whole.checked_mul(unit_ms).and_then(|ms| ms.checked_add(rounded)).ok_or_else(|| TOO_LONG.into())
}

/// Reads what an expression gave for a duration: ISO 8601 text, or an object such as
/// `{"seconds": 3}`. The error says why not, and never what was there.
pub fn duration_from_value(value: &Value) -> Result<Duration, String> {
    if let Some(text) = base::value::as_str(value) {
        return parse_iso_duration(text);
    }
    let Some(fields) = base::value::as_object(value) else {
        return Err(format!(
            "expected ISO 8601 text or an object, found {}",
            base::value::kind(value)
        ));
    };
    if fields.is_empty() {
        return Err("the object is empty".into());
    }
    let mut total: u64 = 0;
    for (key, amount) in fields.iter() {
        let unit = UNITS.iter().find(|(name, _)| base::value::as_str(key) == Some(name));
        let (name, unit_ms) = unit.ok_or("the object has a property that is no unit of time")?;
        let amount = base::value::as_i64(amount).and_then(|amount| u64::try_from(amount).ok());
        let amount = amount
            .ok_or_else(|| format!("`{name}` must be a whole number that is not negative"))?;
        total =
            amount.checked_mul(*unit_ms).and_then(|ms| total.checked_add(ms)).ok_or(TOO_LONG)?;
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso(text: &str) -> String {
        parse_iso_duration(text).map_or_else(|why| why, |duration| duration.as_millis().to_string())
    }

    /// Mutation: count `M` before `T` as minutes, round a fraction down, or let the sum wrap.
    #[test]
    fn iso_8601_durations_are_read_to_the_millisecond() {
        let check = |text: &str, expected: &str| assert_eq!(iso(text), expected, "{text}");
        check("PT15S", "15000");
        check("P1DT2H", "93600000");
        check("PT1H30M0.25S", "5400250");
        check("PT0.0001S", "1");
        check("PT0.1000S", "100");
        check("PT1,5S", "1500");
        check("P1W", "604800000");
        check("PT0S", "0");
        check("P1M", "years and months have no fixed length: say it in days");
        check("P1Y2D", "years and months have no fixed length: say it in days");
        check("PT1.5H", "only seconds may have a fraction");
        check("-PT5S", "a duration cannot be negative");
        check("PT99999999999999999999S", TOO_LONG);
        check("P9999999999999999D", TOO_LONG);
        check("PT5", "a number without a unit");
        check("PTS", "a unit without a whole number before it");
        check("PT1S1H", "`H` is no unit there");
        check("PT1ä", "`ä` is no unit there");
        for text in ["", "P", "PT", "P1DT", "15s", "pt15s", " PT15S"] {
            check(text, "expected ISO 8601 such as `PT15S`, `PT1H30M` or `P2DT12H`");
        }
    }

    /// Mutation: ignore an unknown unit, or take a negative number as zero.
    #[test]
    fn a_duration_object_is_read_and_its_values_are_never_named() {
        let check = |json: &str, expected: &str| {
            let value = base::value::parse(json.as_bytes()).expect(json);
            let read = duration_from_value(&value)
                .map_or_else(|why| why, |duration| duration.as_millis().to_string());
            assert_eq!(read, expected, "{json}");
        };
        check(r#"{"days":1,"hours":1,"minutes":1,"seconds":1,"milliseconds":1}"#, "90061001");
        check(r#""PT2S""#, "2000");
        check("{}", "the object is empty");
        check("7", "expected ISO 8601 text or an object, found a number");
        check(r#"{"seconds":-1}"#, "`seconds` must be a whole number that is not negative");
        check(r#"{"seconds":1.5}"#, "`seconds` must be a whole number that is not negative");
        check(r#"{"weeks":1}"#, "the object has a property that is no unit of time");
        check(r#"{"days":9223372036854775807}"#, TOO_LONG);
    }
}
