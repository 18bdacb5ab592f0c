//! Files of models: bringing one to a site, what is known of it, and asking it something.

use std::path::Path;

use models::ModelName;
use serde_json::{Map, Value, json};
use wire::{ArtifactView, ModelTensor};

use crate::failure::{Failure, Outcome};
use crate::output;

/// What a site takes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Endings of files that other programs serve.
const SERVED: [&str; 2] = [".gguf", ".safetensors"];

/// Reads a model's file.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    let shown = path.display();
    refuse_served(&path.to_string_lossy())?;
    let unread = |cause: std::io::Error| Failure::usage(format!("cannot read `{shown}`: {cause}"));
    let size = std::fs::metadata(path).map_err(unread)?.len();
    if size > FILE_BYTES_MAX {
        let most = FILE_BYTES_MAX >> 20;
        return Err(Failure::usage(format!("`{shown}` is larger than {most} MiB"))
            .hint("serve it with Triton or another server of the Open Inference Protocol, and add its address with `--dialect open-inference`"));
    }
    std::fs::read(path).map_err(unread)
}

/// Refuses what other programs serve.
pub fn refuse_served(name: &str) -> Outcome<()> {
    if !SERVED.iter().any(|ending| name.ends_with(ending)) {
        return Ok(());
    }
    let what = format!("`{name}` is no file that a site runs: it runs ONNX");
    Err(Failure::usage(what).hint(
        "serve it with llama.cpp, Ollama or vLLM and add that server's address, such as `http://127.0.0.1:8080/v1`",
    ))
}

/// Above the document of a model.
pub fn head(artifact: &ArtifactView) -> String {
    let opsets = artifact.opsets.iter().map(|(domain, version)| format!("{domain} {version}"));
    let opsets = opsets.collect::<Vec<_>>().join(", ");
    let loaded = match artifact.processes {
        0 => "not loaded".to_owned(),
        1 => "loaded in 1 process".to_owned(),
        many => format!("loaded in {many} processes"),
    };
    let mut lines = vec![
        format!("{} bytes, operators of {opsets}", artifact.bytes),
        format!("{loaded}, each with {} KiB of numbers", artifact.memory_bytes.div_ceil(1024)),
    ];
    let all = [("input", &artifact.inputs), ("output", &artifact.outputs)];
    for (what, tensors) in all {
        let line = |it: &ModelTensor| format!("{what} {} {} {:?}", it.name, it.datatype, it.shape);
        lines.extend(tensors.iter().map(line));
    }
    lines.join("\n")
}

/// Where a model is asked.
pub fn path(name: &ModelName) -> String {
    format!("/v2/models/{}/infer", name.as_str().replace('/', "%2F"))
}

/// A request from what was typed: one of the protocol as it is, a list of JSON or rows of CSV for the one
/// input, a file with any of these, or zeros for all inputs.
pub fn request(inputs: &[ModelTensor], typed: Option<&str>) -> Outcome<Value> {
    let Some(typed) = typed else {
        return Ok(json!({"inputs": inputs.iter().map(zeros).collect::<Vec<_>>()}));
    };
    let file = Path::new(typed);
    let text = if file.is_file() {
        String::from_utf8(read(file)?).map_err(|_| Failure::usage("the file is no text"))?
    } else {
        typed.to_owned()
    };
    if text.trim_start().starts_with('{') {
        let wrong = |error| Failure::usage(format!("this is no JSON: {error}"));
        return serde_json::from_str(&text).map_err(wrong);
    }
    let [input] = inputs else {
        return Err(Failure::usage("rows are for a model with one input whose definition can be seen")
            .hint("write the request as JSON: `{\"inputs\": [{\"name\": …, \"shape\": …, \"datatype\": …, \"data\": …}]}`"));
    };
    let data = if text.trim_start().starts_with('[') {
        let wrong = |error| Failure::usage(format!("this is no JSON: {error}"));
        serde_json::from_str(&text).map_err(wrong)?
    } else {
        rows(input, &text)?
    };
    Ok(json!({"inputs": [{
        "name": input.name, "datatype": input.datatype, "shape": shape(&data), "data": data,
    }]}))
}

fn zeros(tensor: &ModelTensor) -> Value {
    let shape: Vec<i64> = tensor.shape.iter().map(|axis| (*axis).max(1)).collect();
    let count = usize::try_from(shape.iter().product::<i64>()).unwrap_or(0);
    let zero = match tensor.datatype.as_str() {
        "BOOL" => json!(false),
        "BYTES" => json!(""),
        _ => json!(0),
    };
    json!({"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": vec![zero; count]})
}

/// A first row without a number in it is a head. What is empty is missing.
fn rows(input: &ModelTensor, text: &str) -> Outcome<Value> {
    let is_text = input.datatype == "BYTES";
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let record =
            record.map_err(|error| Failure::usage(format!("these are no rows: {error}")))?;
        let cell = |cell: &str| match cell.trim() {
            text if is_text => Some(json!(text)),
            "" => Some(Value::Null),
            number => serde_json::from_str(number).ok(),
        };
        match record.iter().map(cell).collect::<Option<Vec<_>>>() {
            Some(row) => rows.push(Value::Array(row)),
            None if at == 0 => {}
            None => {
                let what = format!("row {} has a cell that is not {}", at + 1, input.datatype);
                return Err(Failure::usage(what));
            }
        }
    }
    Ok(Value::Array(rows))
}

fn shape(data: &Value) -> Vec<usize> {
    match data {
        Value::Array(list) => {
            let inside = list.first().map(shape).unwrap_or_default();
            [vec![list.len()], inside].concat()
        }
        _ => Vec::new(),
    }
}

/// The outputs of an answer, one in a line.
pub fn said(answer: &Value) -> String {
    let empty = Map::new();
    let line = |output: &Value| {
        let output = output.as_object().unwrap_or(&empty);
        let text = |name: &str| output.get(name).map(Value::to_string).unwrap_or_default();
        let name = output.get("name").and_then(Value::as_str).unwrap_or_default();
        format!("{name} {} = {}", text("shape"), output::clip(&text("data"), 2_000))
    };
    let outputs = answer["outputs"].as_array().into_iter().flatten();
    outputs.map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> ModelTensor {
        ModelTensor { name: "x".to_owned(), datatype: "FP32".to_owned(), shape: vec![-1, 2] }
    }

    /// Mutation: take a head for a row, lose a cell that is empty, or say another shape.
    #[test]
    fn rows_lists_and_nothing_become_a_request() {
        let asked = |typed: Option<&str>| {
            let request = request(&[input()], typed).map_err(|failure| failure.render())?;
            let input = &request["inputs"][0];
            Ok::<_, String>(format!("{} {}", input["shape"], input["data"]))
        };
        assert_eq!(asked(Some("a,b\n1,2.5\n,4\n")).as_deref(), Ok("[2,2] [[1,2.5],[null,4]]"));
        assert_eq!(asked(Some("[[1,2]]")).as_deref(), Ok("[1,2] [[1,2]]"));
        assert_eq!(asked(None).as_deref(), Ok("[1,2] [0,0]"));
        assert!(asked(Some("1,2\n3,x")).is_err_and(|said| said.contains("row 2")));
        let whole = request(&[], Some(r#"{"inputs":[]}"#)).map_err(|failure| failure.render());
        assert_eq!(whole, Ok(json!({"inputs": []})));
    }
}
