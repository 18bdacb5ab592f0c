//! The file that the clinic takes in: every real case, and before some of them a spoiled copy.

use anyhow::{Context as _, Result};

/// What happened to a copy.
#[derive(Clone, Copy)]
enum Spoiled {
    /// The line breaks off.
    CutOff,
    /// The radius is written with a decimal comma.
    DecimalComma,
    /// The head of another file, pasted into this one.
    SecondHead,
    /// A quote that is never closed.
    OpenQuote,
    /// Text behind a closed quote.
    AfterQuote,
    /// A byte of an older encoding.
    NotUtf8,
    Letters,
    Negative,
    NotANumber,
    NoClass,
    UnknownClass,
    /// The decimal point of the radius is lost.
    LostPoint,
}

use Spoiled::{
    AfterQuote, CutOff, DecimalComma, Letters, LostPoint, Negative, NoClass, NotANumber, NotUtf8,
    OpenQuote, SecondHead, UnknownClass,
};

/// Before which case (the first is 1) a spoiled copy of it stands. The first six kinds are no rows
/// of a table; the others are, and only a schema tells that they are wrong.
const PLACES: [(usize, Spoiled); 12] = [
    (9, CutOff),
    (41, Negative),
    (88, DecimalComma),
    (130, Letters),
    (177, NotUtf8),
    (178, NotANumber),
    (240, SecondHead),
    (301, NoClass),
    (355, AfterQuote),
    (412, LostPoint),
    (480, OpenQuote),
    (569, UnknownClass),
];

pub fn with_spoiled_rows(cases: &str) -> Result<Vec<u8>> {
    let head = cases.lines().next().context("the cases have no first line")?;
    let mut intake = line(head);
    for (at, case) in cases.lines().skip(1).enumerate() {
        if let Some((_, how)) = PLACES.iter().find(|(place, _)| *place == at + 1) {
            intake.extend(
                spoil(case, *how, head)
                    .with_context(|| format!("case {} cannot be spoiled", at + 1))?,
            );
        }
        intake.extend(line(case));
    }
    Ok(intake)
}

fn spoil(case: &str, how: Spoiled, head: &str) -> Option<Vec<u8>> {
    let (radius, rest) = case.split_once(',')?;
    let (features, class) = case.rsplit_once(',')?;
    Some(match how {
        CutOff => line(&case[..case.len() / 2]),
        DecimalComma => line(&format!("{},{rest}", radius.replace('.', ","))),
        SecondHead => line(head),
        OpenQuote => line(&format!("\"{case}")),
        AfterQuote => line(&format!("\"{radius}\"mm,{rest}")),
        NotUtf8 => {
            let mut bytes = radius.as_bytes().to_vec();
            bytes.push(0xb5);
            bytes.extend(line(&format!(",{rest}")));
            bytes
        }
        Letters => line(&format!("{radius}mm,{rest}")),
        Negative => line(&format!("-{case}")),
        NotANumber => line(&format!("NaN,{rest}")),
        NoClass => line(&format!("{features},")),
        UnknownClass => line(&format!("{features},{class}2")),
        LostPoint => line(&format!("{},{rest}", radius.replace('.', ""))),
    })
}

fn line(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}
