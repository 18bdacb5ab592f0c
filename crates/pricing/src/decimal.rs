//! Decimal numbers, read into integers without ever being a binary fraction.

/// Longer texts are no number that a person or a price list writes.
const DECIMAL_BYTES_MAX: usize = 64;

/// Room for 128 bits and a point.
const WRITTEN_BYTES: usize = 48;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("not a number: expected digits like `12` or `0.25`")]
    Syntax,
    #[error("negative: amounts are zero or more")]
    Negative,
    #[error("finer than {places} decimal places, which is the finest that is kept")]
    TooFine { places: u32 },
    #[error("too large")]
    TooLarge,
}

/// Whether a number may carry an exponent, as in `1.5e-7`. Price lists do; people's amounts do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exponent {
    Refused,
    Allowed,
}

/// The number times ten to the `places`, exactly.
pub(crate) fn read(text: &str, places: u32, exponent: Exponent) -> Result<u128, DecimalError> {
    if text.starts_with('-') {
        return Err(DecimalError::Negative);
    }
    if text.len() > DECIMAL_BYTES_MAX {
        return Err(DecimalError::Syntax);
    }
    let (digits, power) = match text.split_once(['e', 'E']) {
        Some(_) if exponent == Exponent::Refused => return Err(DecimalError::Syntax),
        Some((digits, power)) => (digits, read_power(power)?),
        None => (text, 0),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return Err(DecimalError::Syntax),
        Some(parts) => parts,
        None => (digits, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return Err(DecimalError::Syntax);
    }
    let all = format!("{whole}{fraction}");
    // Trailing zeros carry nothing, and without them the rest is as short as it can be.
    let kept = all.trim_end_matches('0');
    let mantissa = kept.trim_start_matches('0');
    if mantissa.is_empty() {
        return Ok(0);
    }
    let dropped = length(&all) - length(kept);
    let shift = i64::from(places) + power - length(fraction) + dropped;
    // What is left ends in a digit that is not zero: no place below the finest can be cut off.
    let shift = u32::try_from(shift).map_err(|_| DecimalError::TooFine { places })?;
    let factor = 10_u128.checked_pow(shift).ok_or(DecimalError::TooLarge)?;
    let mantissa: u128 = mantissa.parse().map_err(|_| DecimalError::TooLarge)?;
    mantissa.checked_mul(factor).ok_or(DecimalError::TooLarge)
}

/// Of a text within the limit above.
fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

fn read_power(text: &str) -> Result<i64, DecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if !is_number {
        return Err(DecimalError::Syntax);
    }
    let power: i64 = text.parse::<i32>().map_err(|_| DecimalError::TooLarge)?.into();
    Ok(power)
}

/// The text of a number that is kept times ten to the `places`: exact, with at least `shown` places. Each call has
/// some of them, so that it is made in one piece.
pub(crate) fn write(number: u128, places: u32, shown: u32) -> String {
    let factor = u128::from(10_u64.pow(places));
    let (mut whole, rest) = (number / factor, number % factor);
    // It has as many digits as there are places.
    let mut rest = u64::try_from(rest).unwrap_or(0);
    let mut kept = places;
    while kept > shown && rest.is_multiple_of(10) {
        (kept, rest) = (kept - 1, rest / 10);
    }
    let mut text = [0; WRITTEN_BYTES];
    let mut from = text.len();
    let mut put = |byte| {
        from -= 1;
        text[from] = byte;
    };
    for _ in 0..kept {
        put(b"0123456789"[(rest % 10) as usize]);
        rest /= 10;
    }
    if kept > 0 {
        put(b'.');
    }
    loop {
        put(b"0123456789"[(whole % 10) as usize]);
        whole /= 10;
        if whole == 0 {
            break;
        }
    }
    str::from_utf8(&text[from..]).expect("digits are ASCII").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: read the text through `f64`, or forget to count the dropped zeros.
    #[test]
    fn a_number_is_read_exactly_or_refused() {
        let check =
            |text, expected| assert_eq!(read(text, 12, Exponent::Allowed), expected, "{text}");
        check("1.5e-07", Ok(150_000));
        check("1.50E-7", Ok(150_000));
        check("0.00000015", Ok(150_000));
        check("2e3", Ok(2_000_000_000_000_000));
        check("0", Ok(0));
        check("0.0e-99", Ok(0));
        check("0.1", Ok(100_000_000_000));
        check("1e-12", Ok(1));
        check("1e-13", Err(DecimalError::TooFine { places: 12 }));
        check("1.58945719e-07", Err(DecimalError::TooFine { places: 12 }));
        check("1e30", Err(DecimalError::TooLarge));
        check("1e99999999999", Err(DecimalError::TooLarge));
        check("-1", Err(DecimalError::Negative));
        for text in
            ["", ".5", "5.", "1,5", "1e", "1e+", "e5", "0x10", "1 ", "+1", "∞", "1.2.3", "1e5e5"]
        {
            check(text, Err(DecimalError::Syntax));
        }
        check(&"9".repeat(65), Err(DecimalError::Syntax));
    }

    /// Mutation: let an exponent through where people write amounts.
    #[test]
    fn people_write_no_exponents() {
        assert_eq!(read("1e2", 6, Exponent::Refused), Err(DecimalError::Syntax));
        assert_eq!(read("0.000001", 6, Exponent::Refused), Ok(1));
    }

    /// Mutation: cut trailing digits that are not zero, or pad to fewer places than asked.
    #[test]
    fn a_number_is_written_exactly() {
        assert_eq!(write(150_000, 12, 0), "0.00000015");
        assert_eq!(write(50_000_000, 6, 2), "50.00");
        assert_eq!(write(50_000_000, 6, 0), "50");
        assert_eq!(write(1, 6, 2), "0.000001");
        assert_eq!(write(0, 12, 0), "0");
        assert_eq!(write(u128::MAX, 3, 0), "340282366920938463463374607431768211.455");
        assert_eq!(write(u128::MAX, 19, 0), "34028236692093846346.3374607431768211455");
    }
}
