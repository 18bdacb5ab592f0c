//! All findings of texts, line by line: `{"id","text","context"}` in, `{"id","spans":[…]}` out, with
//! offsets in code points. Overlaps are told, too. What the types are called elsewhere stands in
//! `tests/presidio-types.json`.

use std::io::{self, BufRead, Write};

use serde_json::{Value, json};

fn main() -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for line in io::stdin().lock().lines() {
        let case: Value = serde_json::from_str(&line?)?;
        let answer = json!({ "id": case["id"], "spans": spans(&case) });
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}

fn spans(case: &Value) -> Vec<Value> {
    let text = case["text"].as_str().unwrap_or_default();
    let context = match &case["context"] {
        Value::String(word) => word.clone(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => String::new(),
    };
    let mut found = privacy::candidates(text, &context, None);
    found.sort_by_key(|finding| (finding.range.start, finding.range.end, finding.class));
    found.dedup_by_key(|finding| (finding.range.clone(), finding.class));
    let ranges: Vec<_> = found.iter().map(|finding| finding.range.clone()).collect();
    let points = privacy::code_points(text, &ranges);
    let span = |(points, finding): (&std::ops::Range<usize>, &privacy::Finding)| json!({ "start": points.start, "end": points.end, "type": finding.class.name() });
    points.iter().zip(&found).map(span).collect()
}
