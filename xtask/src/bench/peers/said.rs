//! What the scripts print: a line of JSON behind each load, and times in words.

use anyhow::{Context, ensure};
use serde_json::Value;

/// What a script says of one load.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    pub runs: u64,
    pub steps_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

#[must_use]
pub fn is_load(line: &str) -> bool {
    line.starts_with('{') && line.contains("\"steps_s\"")
}

/// A load with errors, or without a run, says nothing of speed.
pub fn load(line: &str) -> anyhow::Result<Said> {
    let json: Value = serde_json::from_str(line).with_context(|| format!("no JSON: `{line}`"))?;
    let number = |name: &str| json[name].as_f64().with_context(|| format!("no `{name}`: `{line}`"));
    let runs = json["wf"].as_u64().with_context(|| format!("no `wf`: `{line}`"))?;
    let errors = json["err"].as_u64().unwrap_or(0);
    ensure!(runs > 0 && errors == 0, "{runs} runs ended and {errors} failed: `{line}`");
    Ok(Said {
        runs,
        steps_per_second: number("steps_s")?,
        p50_ms: number("p50_ms")?,
        p99_ms: number("p99_ms")?,
    })
}

/// The number behind these words.
pub fn number_after(line: &str, words: &str) -> anyhow::Result<f64> {
    let rest = line.split_once(words).map(|(_, rest)| rest.trim_start());
    let digits = rest.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit() && c != '.').next());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.with_context(|| format!("no number behind `{words}`: `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: take the runs per second for the steps, or a load with errors.
    #[test]
    fn a_load_is_read_or_refused() {
        let restate = r#"{"conc":64,"wf":723,"err":0,"wf_s":230.9,"steps_s":2309,"p50_ms":258.82,"p99_ms":544.06,"secs":3.13}"#;
        let expected = Said { runs: 723, steps_per_second: 2309.0, p50_ms: 258.82, p99_ms: 544.06 };
        assert!(is_load(restate));
        assert_eq!(load(restate).expect("a load"), expected);
        let langgraph = r#"{"test": "W1 c=1", "wf": 91, "wf_s": 45.3, "steps_s": 453, "p50_ms": 11.83, "p99_ms": 74.41, "cpu_total_s": 1.55}"#;
        assert_eq!(load(langgraph).expect("a load").runs, 91);
        for wrong in [
            restate.replace("\"err\":0", "\"err\":1"),
            restate.replace("723", "0"),
            "W1 c=1".to_owned(),
            "{\"wf\":1}".to_owned(),
        ] {
            assert!(load(&wrong).is_err(), "{wrong}");
        }
        assert!(!is_load("W1 c=1") && !is_load("{\"rows\":[{\"c\":1000}]}"));
    }

    /// Mutation: take the first number of the line.
    #[test]
    fn a_number_stands_behind_its_words() {
        let line = "idle RSS KiB server: 194984 service: 5560";
        assert_eq!(number_after(line, "service:").expect("a number"), 5560.0);
        let line = "W4 restart->all done ms: 4712 {\"rows\":[{\"c\":1000}]}";
        assert_eq!(number_after(line, "done ms:").expect("a number"), 4712.0);
        assert!(number_after(line, "ready ms:").is_err());
        assert!(number_after("ready ms: soon", "ready ms:").is_err());
    }
}
