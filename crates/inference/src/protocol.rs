//! Version 2 of the Open Inference Protocol: requests and answers of tensors as JSON, and the bytes that may
//! follow the JSON in place of its lists.
//!
//! What comes is anybody's: counts are checked, and messages name tensors, never what is in them. JSON has no
//! word for what is no number: `null` stands for NaN both ways, and infinity goes as bytes only.

mod list;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{Metadata, TensorInfo};
use crate::tensor::{Data, Datatype, Tensor, elements};

/// Inputs or outputs of one request. Models have a handful.
const TENSORS_MAX: usize = 1_000;

/// What is asked, and how the answer is to be written.
#[derive(Debug, PartialEq)]
pub struct Request {
    pub inputs: Vec<Tensor>,
    wants: Wants,
}

/// How an answer is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wants {
    id: Option<String>,
    /// All of them, where none is named.
    outputs: Option<Vec<(String, Option<bool>)>>,
    /// As bytes, where an output does not say.
    binary: bool,
}

/// An answer: JSON, and where `head` says how long that is, bytes behind it.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    pub body: Vec<u8>,
    pub head: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("the request is not one of the Open Inference Protocol: line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("there are more than {TENSORS_MAX} tensors in the request")]
    TooMany,
    #[error(
        "the datatype of `{name}` is none of BOOL, INT8 to INT64, UINT8 to UINT64, FP32, FP64 and BYTES"
    )]
    Datatype { name: String },
    #[error("the tensor `{name}`: {what}")]
    Tensor { name: String, what: String },
    #[error("the model has no output `{0}`")]
    Output(String),
    #[error("{0} bytes follow the tensors of the request")]
    Rest(usize),
    #[error(
        "the output `{0}` has infinite numbers, or texts that are not UTF-8, which JSON cannot say; ask for it with `\"parameters\": {{\"binary_data\": true}}`"
    )]
    NotJson(String),
    #[error("`{0}` is not supported; leave it out")]
    Unsupported(&'static str),
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default, borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    #[serde(default)]
    outputs: Option<Vec<Output>>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize)]
struct Input<'a> {
    name: String,
    shape: Vec<usize>,
    #[serde(borrow)]
    datatype: Cow<'a, str>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// Those that mean something here; others are hints for other servers.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: bool,
    classification: Option<serde::de::IgnoredAny>,
    shared_memory_region: Option<serde::de::IgnoredAny>,
}

impl Request {
    /// `head` says how long the JSON is, where bytes follow it.
    pub fn read(body: &[u8], head: Option<usize>) -> Result<Self, ProtocolError> {
        let (json, mut rest) = body.split_at(head.unwrap_or(body.len()).min(body.len()));
        let read: Body<'_> = serde_json::from_slice(json)
            .map_err(|wrong| ProtocolError::Json { line: wrong.line(), column: wrong.column() })?;
        let outputs = read.outputs.unwrap_or_default();
        if read.inputs.len() > TENSORS_MAX || outputs.len() > TENSORS_MAX {
            return Err(ProtocolError::TooMany);
        }
        let of_outputs = outputs.iter().map(|output| &output.parameters);
        let of_inputs = read.inputs.iter().map(|input| &input.parameters);
        of_inputs.chain(of_outputs).try_for_each(Parameters::check)?;
        let inputs = read.inputs.into_iter().map(|input| input.tensor(&mut rest));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        if !rest.is_empty() {
            return Err(ProtocolError::Rest(rest.len()));
        }
        let named = outputs.into_iter().map(|it| (it.name, it.parameters.binary_data));
        let named: Vec<_> = named.collect();
        let wants = Wants {
            id: read.id.map(Cow::into_owned),
            outputs: (!named.is_empty()).then_some(named),
            binary: read.parameters.binary_data_output,
        };
        Ok(Self { inputs, wants })
    }

    #[must_use]
    pub fn apart(self) -> (Vec<Tensor>, Wants) {
        (self.inputs, self.wants)
    }
}

impl Parameters {
    const fn check(&self) -> Result<(), ProtocolError> {
        if self.classification.is_some() {
            return Err(ProtocolError::Unsupported("classification"));
        }
        if self.shared_memory_region.is_some() {
            return Err(ProtocolError::Unsupported("shared_memory_region"));
        }
        Ok(())
    }
}

impl Input<'_> {
    fn tensor(self, rest: &mut &[u8]) -> Result<Tensor, ProtocolError> {
        let Self { name, shape, datatype, parameters, data } = self;
        let wrong = |what: String| ProtocolError::Tensor { name: name.clone(), what };
        let Some(datatype) = Datatype::parse(&datatype) else {
            return Err(ProtocolError::Datatype { name });
        };
        let count = elements(&shape).map_err(|error| wrong(error.to_string()))?;
        let list = match (data, parameters.binary_data_size) {
            (Some(json), None) => list::of_json(datatype, json, count).map_err(wrong)?,
            (None, Some(size)) => {
                let said = || wrong(format!("fewer than its {size} bytes follow the JSON"));
                let (bytes, behind) = rest.split_at_checked(size).ok_or_else(said)?;
                *rest = behind;
                let said = || format!("its bytes are not {count} of {datatype}");
                list::of_bytes(datatype, bytes, count).ok_or_else(|| wrong(said()))?
            }
            _ => {
                return Err(wrong("it has either `data` or `binary_data_size`".to_owned()));
            }
        };
        Tensor::new(name.clone(), shape, list).map_err(|error| wrong(error.to_string()))
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    model_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Answered<'a>>,
}

#[derive(Serialize)]
struct Answered<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "list::write_json")]
    data: Option<&'a Data>,
}

#[derive(Serialize)]
struct Size {
    binary_data_size: usize,
}

/// What a model has answered, as it was asked for.
pub fn write(
    wants: &Wants,
    (model_name, model_version): (&str, Option<&str>),
    outputs: &[Tensor],
) -> Result<Written, ProtocolError> {
    let mut chosen = Vec::new();
    match &wants.outputs {
        None => chosen.extend(outputs.iter().map(|it| (it, wants.binary))),
        Some(named) => {
            for (name, is_binary) in named {
                let found = outputs.iter().find(|it| it.name == *name);
                let found = found.ok_or_else(|| ProtocolError::Output(name.clone()))?;
                chosen.push((found, is_binary.unwrap_or(wants.binary)));
            }
        }
    }
    let mut bytes = Vec::new();
    let mut answered = Vec::with_capacity(chosen.len());
    for (tensor, is_binary) in &chosen {
        let (start, data) = (bytes.len(), tensor.values.data());
        if *is_binary {
            list::write_bytes(&mut bytes, data);
        } else if !list::is_json(data) {
            return Err(ProtocolError::NotJson(tensor.name.clone()));
        }
        let size = Size { binary_data_size: bytes.len() - start };
        answered.push(Answered {
            name: &tensor.name,
            datatype: data.datatype().as_str(),
            shape: tensor.values.shape(),
            parameters: is_binary.then_some(size),
            data: (!is_binary).then_some(data),
        });
    }
    let id = wants.id.as_deref();
    let answer = Answer { model_name, model_version, id, outputs: answered };
    let mut body = serde_json::to_vec(&answer).expect("our own types have JSON text");
    let has_bytes = chosen.iter().any(|(_, is_binary)| *is_binary);
    let head = has_bytes.then_some(body.len());
    body.append(&mut bytes);
    Ok(Written { body, head })
}

#[derive(Serialize)]
struct Described<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: Vec<i64>,
}

/// What a model takes and gives, as the protocol describes it: an axis that is the caller's to choose is -1.
#[must_use]
pub fn describe(metadata: &Metadata) -> (serde_json::Value, serde_json::Value) {
    let one = |info: &TensorInfo| {
        let axis = |axis: &Option<usize>| axis.and_then(|it| i64::try_from(it).ok()).unwrap_or(-1);
        let shape = info.shape.iter().map(axis).collect();
        let described = Described { name: &info.name, datatype: info.datatype.as_str(), shape };
        serde_json::to_value(described).expect("our own types have JSON text")
    };
    let all = |infos: &[TensorInfo]| infos.iter().map(one).collect();
    (all(&metadata.inputs), all(&metadata.outputs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Vec<Tensor>, String> {
        Request::read(json.as_bytes(), None).map(|it| it.inputs).map_err(|it| it.to_string())
    }

    fn input(shape: &str, datatype: &str, data: &str) -> String {
        format!(
            r#"{{"inputs":[{{"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}}}]}}"#
        )
    }

    fn tensor(name: &str, shape: Vec<usize>, data: Data) -> Tensor {
        Tensor::new(name, shape, data).expect("it fits")
    }

    /// Mutation: read one type as another, lose the order of nested lists, or take `null` for zero.
    #[test]
    fn lists_of_every_type_are_read_flat_or_nested() {
        for (shape, datatype, json, expected) in [
            ("[2]", "BOOL", "[true,false]", Data::Bool(vec![true, false])),
            ("[2]", "UINT8", "[0,255]", Data::Uint8(vec![0, 255])),
            ("[1]", "UINT64", "[18446744073709551615]", Data::Uint64(vec![u64::MAX])),
            ("[1]", "INT64", "[-9223372036854775808]", Data::Int64(vec![i64::MIN])),
            ("[2,2]", "INT32", "[[1,2],[3,4]]", Data::Int32(vec![1, 2, 3, 4])),
            ("[2]", "FP32", "[1,0.1]", Data::Fp32(vec![1.0, 0.1])),
            ("[2]", "FP64", "[-1e300,7]", Data::Fp64(vec![-1e300, 7.0])),
            ("[1,1]", "BYTES", r#"[["\u00e4"]]"#, Data::Bytes(vec!["ä".into()])),
            ("[0]", "FP32", "[]", Data::Fp32(vec![])),
        ] {
            let found = read(&input(shape, datatype, json)).expect(json);
            assert_eq!(*found[0].values.data(), expected, "{json}");
        }
        let missing = read(&input("[1]", "FP32", "[null]")).expect("NaN");
        assert!(matches!(missing[0].values.data(), Data::Fp32(list) if list[0].is_nan()));
    }

    /// Mutation: take any of these, or say what stands there.
    #[test]
    fn what_is_no_tensor_is_refused_with_its_place_and_without_its_values() {
        let deep = format!("{}7{}", "[".repeat(100), "]".repeat(100));
        for (json, expected) in [
            (input("[1]", "FP16", "[1]"), "the datatype of `x`"),
            (input("[2]", "INT8", "[1]"), "does not fit"),
            (input("[1]", "INT8", "[1,2]"), "more than 1"),
            (input("[2]", "INT8", "[1,4711]"), "element 1 is not INT8"),
            (input("[1]", "INT8", "[1.5]"), "element 0 is not INT8"),
            (input("[1]", "FP32", "[1e39]"), "element 0 is not FP32"),
            (input("[1]", "FP32", r#"["secret"]"#), "element 0 is not FP32"),
            (input("[1]", "INT8", "[null]"), "element 0 is not INT8"),
            (input("[1]", "INT8", "7"), "is not a list"),
            (input("[1]", "INT8", &deep), "more than 16"),
            (input("[99999999999]", "INT8", "[]"), "more than"),
            (r#"{"inputs":[{"name":"x","shape":[1],"datatype":"INT8"}]}"#.to_owned(), "either"),
            (r#"{"inputs":7}"#.to_owned(), "line 1"),
            (
                r#"{"inputs":[],"outputs":[{"name":"y","parameters":{"classification":3}}]}"#
                    .to_owned(),
                "`classification`",
            ),
        ] {
            let said = read(&json).expect_err(&json);
            assert!(said.contains(expected), "{json}: {said}");
            assert!(!said.contains("secret") && !said.contains("4711"), "{said}");
        }
    }

    /// Mutation: count the bytes of a text without its length, or begin the second tensor elsewhere.
    #[test]
    fn bytes_behind_the_json_come_back_as_they_went() {
        let lists = [
            Data::Bool(vec![true, false]),
            Data::Uint16(vec![1, 65_535]),
            Data::Int64(vec![-1, 7]),
            Data::Fp32(vec![f32::INFINITY, -1.5]),
            Data::Bytes(vec![b"".to_vec(), vec![0xff, 0]]),
        ];
        let named = |(at, data): (usize, Data)| tensor(&format!("t{at}"), vec![2], data);
        let tensors: Vec<Tensor> = lists.into_iter().enumerate().map(named).collect();
        let wants = Wants { id: Some("7".to_owned()), outputs: None, binary: true };
        let written = write(&wants, ("m", Some("1")), &tensors).expect("written");
        let head = written.head.expect("bytes follow");
        let said: serde_json::Value = serde_json::from_slice(&written.body[..head]).expect("JSON");
        assert_eq!((&said["id"], &said["model_version"]), (&"7".into(), &"1".into()));
        let json = serde_json::json!({"inputs": said["outputs"]}).to_string();
        let body = [json.as_bytes(), &written.body[head..]].concat();
        assert_eq!(Request::read(&body, Some(json.len())).expect("read").inputs, tensors);
        for end in json.len()..body.len() {
            assert!(Request::read(&body[..end], Some(json.len())).is_err(), "cut at {end}");
        }
        let more = [&body, &[0][..]].concat();
        assert_eq!(Request::read(&more, Some(json.len())), Err(ProtocolError::Rest(1)));
    }

    /// Mutation: write every output, or infinity as `null`.
    #[test]
    fn an_answer_has_the_outputs_that_were_asked_for() {
        let outputs = [
            tensor("label", vec![1], Data::Bytes(vec![b"benign".to_vec()])),
            tensor("p", vec![1, 2], Data::Fp32(vec![0.1, f32::NAN])),
            tensor("inf", vec![1], Data::Fp64(vec![f64::INFINITY])),
        ];
        let asked = |names: &str| {
            let body = format!(r#"{{"inputs":[],"outputs":[{names}]}}"#);
            let (_, wants) = Request::read(body.as_bytes(), None).expect("a request").apart();
            write(&wants, ("m", None), &outputs)
        };
        let written = asked(r#"{"name":"p"},{"name":"label"}"#).expect("written");
        assert_eq!(
            String::from_utf8_lossy(&written.body),
            r#"{"model_name":"m","outputs":[{"name":"p","datatype":"FP32","shape":[1,2],"data":[0.1,null]},{"name":"label","datatype":"BYTES","shape":[1],"data":["benign"]}]}"#
        );
        assert_eq!(asked(r#"{"name":"q"}"#), Err(ProtocolError::Output("q".to_owned())));
        assert_eq!(asked(r#"{"name":"inf"}"#), Err(ProtocolError::NotJson("inf".to_owned())));
        let binary = asked(r#"{"name":"inf","parameters":{"binary_data":true}}"#).expect("bytes");
        assert_eq!(binary.body[binary.head.expect("bytes")..], f64::INFINITY.to_le_bytes());
    }
}
