//! Files of models: bringing one to a site, what is known of it, and asking it something.

use std::path::Path;

use inference::weights::{Kind, folder};
use models::{Format, ModelName};
use serde_json::{Map, Value, json};
use wire::{ArtifactView, LanguageView, ModelTensor};

use crate::failure::{Failure, Outcome};
use crate::file;
use crate::output;

/// What a site takes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Zeros of one input that are made up where nobody says what to ask.
const ZEROS_MAX: u64 = 1024 * 1024;

/// Reads a model's file, or packs its folder.
pub fn read(path: &Path) -> Outcome<Vec<u8>> {
    if path.is_dir() {
        return read_folder(path);
    }
    read_file(path)
}

/// What a definition says that this is.
pub fn format(file: &[u8]) -> Format {
    match Kind::of(file) {
        Kind::Onnx => Format::Onnx,
        Kind::Gguf => Format::Gguf,
        Kind::Folder => Format::Safetensors,
    }
}

/// The same of a file that a site has read.
pub fn format_of(view: &ArtifactView) -> Format {
    match view.language.as_ref().map(|it| it.does.as_str()) {
        None => Format::Onnx,
        Some("vectors") => Format::Safetensors,
        Some(_) => Format::Gguf,
    }
}

/// Of a folder, what belongs to a model.
fn read_folder(path: &Path) -> Outcome<Vec<u8>> {
    let shown = path.display();
    if let Some(missing) = folder::NEEDED.into_iter().find(|name| !path.join(name).is_file()) {
        let what = format!("the folder `{shown}` is no model: it has no `{missing}`");
        return Err(Failure::usage(what).hint(
            "a folder of weights has `config.json`, `model.safetensors` and `tokenizer.json`, as the sentence-transformers library saves it",
        ));
    }
    let there = folder::FILES.into_iter().filter(|name| path.join(name).is_file());
    let files: Vec<(&str, Vec<u8>)> =
        there.map(|name| Ok((name, read_file(&path.join(name))?))).collect::<Outcome<_>>()?;
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, file)| (*name, &**file)).collect();
    Ok(folder::pack(&files))
}

fn read_file(path: &Path) -> Outcome<Vec<u8>> {
    let shown = path.display();
    let unread = |cause: std::io::Error| Failure::usage(format!("cannot read `{shown}`: {cause}"));
    let size = std::fs::metadata(path).map_err(unread)?.len();
    if size > FILE_BYTES_MAX {
        let most = FILE_BYTES_MAX >> 20;
        return Err(Failure::usage(format!("`{shown}` is larger than {most} MiB"))
            .hint("serve it with llama.cpp, Ollama or vLLM, or Triton for tensors, and add that server's address"));
    }
    // What says that it is small may go on for ever.
    file::read(path, FILE_BYTES_MAX)
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
    let made = artifact.language.as_ref().map_or(format!("operators of {opsets}"), weights);
    let mut lines = vec![
        format!("{} bytes, {made}", artifact.bytes),
        format!("{loaded}, each with {} KiB of numbers", artifact.memory_bytes.div_ceil(1024)),
    ];
    let all = [("input", &artifact.inputs), ("output", &artifact.outputs)];
    for (what, tensors) in all {
        let line = |it: &ModelTensor| format!("{what} {} {} {:?}", it.name, it.datatype, it.shape);
        lines.extend(tensors.iter().map(line));
    }
    lines.join("\n")
}

/// What weights say of themselves.
fn weights(of: &LanguageView) -> String {
    let LanguageView { architecture, parameters, quantization, context_tokens, .. } = of;
    let last = match (&of.vector_length, &of.template) {
        (Some(length), _) => format!("vectors of {length} numbers"),
        (None, Some(template)) => format!("conversations as {template}"),
        (None, None) => {
            "no form of conversations that is known: ask it by `/v1/completions`".to_owned()
        }
    };
    format!(
        "{architecture} of {parameters} numbers as {quantization}, {context_tokens} tokens of context, {last}"
    )
}

/// Where a model is asked.
pub fn path(name: &ModelName) -> String {
    format!("/v2/models/{}/infer", name.as_str().replace('/', "%2F"))
}

/// A request from what was typed: one of the protocol as it is, a list of JSON or rows of CSV for the one
/// input, a file with any of these, or zeros for all inputs.
pub fn request(inputs: &[ModelTensor], typed: Option<&str>) -> Outcome<Value> {
    let Some(typed) = typed else {
        let inputs = inputs.iter().map(zeros).collect::<Outcome<Vec<_>>>()?;
        return Ok(json!({"inputs": inputs}));
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
        let list: Value = serde_json::from_str(&text).map_err(wrong)?;
        // One row may be written without the list of rows.
        let is_row = input.shape.len() == 2 && shape(&list).len() == 1;
        if is_row { json!([list]) } else { list }
    } else {
        rows(input, &text)?
    };
    Ok(json!({"inputs": [{
        "name": input.name, "datatype": input.datatype, "shape": shape(&data), "data": data,
    }]}))
}

fn zeros(tensor: &ModelTensor) -> Outcome<Value> {
    let shape = || tensor.shape.iter().map(|axis| u64::try_from(*axis).unwrap_or(1).max(1));
    let count = shape().try_fold(1_u64, u64::checked_mul).filter(|it| *it <= ZEROS_MAX);
    let Some(count) = count.and_then(|it| usize::try_from(it).ok()) else {
        let ModelTensor { name, shape, .. } = tensor;
        return Err(Failure::usage(format!(
            "the input `{name}` of {shape:?} has more than {ZEROS_MAX} values: say what to ask"
        )));
    };
    let shape: Vec<u64> = shape().collect();
    let zero = match tensor.datatype.as_str() {
        "BOOL" => json!(false),
        "BYTES" => json!(""),
        _ => json!(0),
    };
    Ok(
        json!({"name": tensor.name, "datatype": tensor.datatype, "shape": shape, "data": vec![zero; count]}),
    )
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
            none if none.eq_ignore_ascii_case("nan") => Some(Value::Null),
            number => serde_json::from_str(number).ok(),
        };
        let is_head = at == 0 && record.iter().all(|it| cell(it).is_none_or(|it| it.is_null()));
        match record.iter().map(cell).collect::<Option<Vec<_>>>() {
            Some(row) => rows.push(Value::Array(row)),
            None if is_head => {}
            None => {
                let what = format!("row {} has a cell that is not {}", at + 1, input.datatype);
                return Err(Failure::usage(what));
            }
        }
    }
    if rows.is_empty() {
        let what = format!("`{}` is neither a file nor a row of values", output::clip(text, 100));
        return Err(Failure::usage(what));
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

    /// Mutation: take a head for a row, lose a cell that is empty, say another shape, ask nothing where a file is not there, or
    /// make up as many zeros as a file says; or want one row in two lists.
    #[test]
    fn rows_lists_and_nothing_become_a_request() {
        let asked = |typed: Option<&str>| {
            let request = request(&[input()], typed).map_err(|failure| failure.render())?;
            let input = &request["inputs"][0];
            Ok::<_, String>(format!("{} {}", input["shape"], input["data"]))
        };
        assert_eq!(asked(Some("a,b\n1,2.5\n,4\n")).as_deref(), Ok("[2,2] [[1,2.5],[null,4]]"));
        for list in ["[[1,2]]", "[1,2]"] {
            assert_eq!(asked(Some(list)).as_deref(), Ok("[1,2] [[1,2]]"));
        }
        assert_eq!(asked(None).as_deref(), Ok("[1,2] [0,0]"));
        assert_eq!(asked(Some("1,nan\nNaN,4")).as_deref(), Ok("[2,2] [[1,null],[null,4]]"));
        assert!(asked(Some("1,x\n3,4")).is_err_and(|said| said.contains("row 1")));
        assert!(asked(Some("1,2\n3,x")).is_err_and(|said| said.contains("row 2")));
        for axes in [[1 << 31, 1 << 31], [2, i64::MAX]] {
            let huge = ModelTensor { shape: axes.to_vec(), ..input() };
            let said = request(&[huge], None).map_err(|failure| failure.render());
            assert!(said.is_err_and(|it| it.contains("more than 1048576 values")));
        }
        let missing = "patients.csv";
        assert!(asked(Some(missing)).is_err_and(|said| said.contains("neither a file nor")));
        let whole = request(&[], Some(r#"{"inputs":[]}"#)).map_err(|failure| failure.render());
        assert_eq!(whole, Ok(json!({"inputs": []})));
    }
}
