//! A model in a process of its own: what that process and its parent say to each other.
//!
//! A frame is its length (four bytes, little endian) and that many bytes; the first of them says
//! what it is, numbers are little endian. The parent sends the file and then questions; each gets one
//! answer, before which a text may come in pieces. Both are the same binary, so there is no version.
//! Neither trusts the other's lengths.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{FILE_BYTES_MAX, InferError, Metadata, Model, Stop, TensorInfo, load as read};
use crate::tensor::{AXES_MAX, DATATYPES, Data, Datatype, ELEMENTS_MAX, Tensor};
use crate::words::{Embed, Generate, Said, TEXTS_MAX, Vectors};

/// A file with the byte that says so, or 16 million numbers for a model, or of one.
pub const FRAME_BYTES_MAX: usize = FILE_BYTES_MAX + 1;

/// Inputs or outputs of one call. Models have a handful.
const TENSORS_MAX: usize = 1_000;

/// Letters of a message.
const MESSAGE_BYTES_MAX: usize = 1_000;

#[derive(Debug, PartialEq)]
pub enum Answer {
    /// The file is a model.
    Loaded {
        metadata: Metadata,
        memory_bytes: u64,
    },
    Outputs(Vec<Tensor>),
    /// The file is none, or the model does not take the inputs. Says why; holds no values.
    Refused(String),
    /// The model cannot answer, whatever it is asked. Says why; holds no values.
    Failed(String),
    /// A piece of a text. More comes.
    Piece(String),
    /// The end of a text.
    Said(Said),
    Vectors(Vectors),
}

const LOAD: u8 = 1;
const INFER: u8 = 2;
const GENERATE: u8 = 3;
const EMBED: u8 = 4;
const LOADED: u8 = 1;
const OUTPUTS: u8 = 2;
const REFUSED: u8 = 3;
const FAILED: u8 = 4;
const PIECE: u8 = 5;
const SAID: u8 = 6;
const VECTORS: u8 = 7;

/// The frame that has a child read a model.
#[must_use]
pub fn load(file: &[u8]) -> Vec<u8> {
    [&[LOAD], file].concat()
}

/// The frame that asks it.
#[must_use]
pub fn infer(inputs: &[Tensor]) -> Vec<u8> {
    let mut frame = vec![INFER];
    put_tensors(&mut frame, inputs);
    frame
}

/// The frame that asks for text.
#[must_use]
pub fn generate(ask: &Generate) -> Vec<u8> {
    put_json(GENERATE, ask)
}

/// The frame that asks for vectors.
#[must_use]
pub fn embed(ask: &Embed) -> Vec<u8> {
    put_json(EMBED, ask)
}

fn put_json(kind: u8, content: &impl Serialize) -> Vec<u8> {
    let mut frame = vec![kind];
    serde_json::to_writer(&mut frame, content).expect("our own types have JSON text");
    frame
}

fn json<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

/// What a child does: reads requests until there are none, and answers each.
pub fn serve(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut model = None;
    while let Some(request) = read_frame(from)? {
        let answer = answer(&mut model, request, to);
        write_frame(to, &answer.encode())?;
    }
    Ok(())
}

fn answer(model: &mut Option<Box<dyn Model>>, request: Vec<u8>, to: &mut impl Write) -> Answer {
    let refused = |error: InferError| {
        let why = told(&error);
        if error.is_of_the_model() { Answer::Failed(why) } else { Answer::Refused(why) }
    };
    let unread = || Answer::Refused("the request is not readable".to_owned());
    match (request.split_first(), &model) {
        (Some((&LOAD, file)), _) => match read(file) {
            Ok(loaded) => {
                // Zeros are no input of every model, so that a refusal of them says nothing. What it
                // cannot calculate whatever it is asked, it says here and not at each call.
                if let Err(error) = loaded.warm()
                    && error.is_of_the_model()
                {
                    return Answer::Refused(told(&error));
                }
                let metadata = loaded.metadata().clone();
                let memory_bytes = loaded.memory_bytes() as u64;
                *model = Some(loaded);
                Answer::Loaded { metadata, memory_bytes }
            }
            Err(error) => Answer::Refused(told(&error)),
        },
        (Some((&INFER, tensors)), Some(model)) => match read_tensors(tensors) {
            Some(inputs) => {
                drop(request);
                model.infer(inputs, &Stop::default()).map_or_else(refused, Answer::Outputs)
            }
            None => Answer::Refused("the inputs are not readable".to_owned()),
        },
        (Some((&GENERATE, ask)), Some(model)) => {
            let Some(ask) = json::<Generate>(ask) else { return unread() };
            // Whoever reads no more is gone, and this process with him.
            let mut say = |text: &str| {
                let frame = Answer::Piece(text.to_owned()).encode();
                write_frame(to, &frame).map_err(|_| InferError::Stopped)
            };
            model.generate(&ask, &mut say, &Stop::default()).map_or_else(refused, Answer::Said)
        }
        (Some((&EMBED, ask)), Some(model)) => {
            let Some(ask) = json::<Embed>(ask) else { return unread() };
            model.embed(&ask, &Stop::default()).map_or_else(refused, Answer::Vectors)
        }
        _ => Answer::Refused("there is no model, or no such request".to_owned()),
    }
}

/// The message of an error with those of its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    text
}

impl Answer {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        match self {
            Self::Loaded { metadata, memory_bytes } => {
                frame.push(LOADED);
                frame.extend(memory_bytes.to_le_bytes());
                put_infos(&mut frame, &metadata.inputs);
                put_infos(&mut frame, &metadata.outputs);
                put_opsets(&mut frame, &metadata.opsets);
                put_text(&mut frame, &serde_json::to_vec(&metadata.language).expect("JSON text"));
            }
            Self::Outputs(tensors) => {
                frame.push(OUTPUTS);
                put_tensors(&mut frame, tensors);
            }
            Self::Refused(why) => {
                frame.push(REFUSED);
                frame.extend(why.as_bytes());
            }
            Self::Failed(why) => {
                frame.push(FAILED);
                frame.extend(why.as_bytes());
            }
            Self::Piece(text) => {
                frame.push(PIECE);
                frame.extend(text.as_bytes());
            }
            Self::Said(said) => return put_json(SAID, said),
            Self::Vectors(Vectors { vectors, input_tokens }) => {
                frame.push(VECTORS);
                frame.extend(input_tokens.to_le_bytes());
                frame.extend((vectors.len() as u32).to_le_bytes());
                for vector in vectors {
                    frame.extend((vector.len() as u32).to_le_bytes());
                    vector.iter().for_each(|it| frame.extend(it.to_le_bytes()));
                }
            }
        }
        frame
    }

    /// Nothing where a child that a model has taken over says something else.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<Self> {
        let (kind, rest) = frame.split_first()?;
        match *kind {
            LOADED => {
                let mut rest = Rest(rest);
                let memory_bytes = u64::from_le_bytes(rest.array()?);
                let (inputs, outputs) = (rest.infos()?, rest.infos()?);
                let (opsets, language) = (rest.opsets()?, json(rest.text()?)?);
                let metadata = Metadata { inputs, outputs, opsets, language };
                Some(Self::Loaded { metadata, memory_bytes })
            }
            OUTPUTS => read_tensors(rest).map(Self::Outputs),
            REFUSED => Some(Self::Refused(message(rest))),
            FAILED => Some(Self::Failed(message(rest))),
            PIECE => String::from_utf8(rest.to_vec()).ok().map(Self::Piece),
            SAID => json(rest).map(Self::Said),
            VECTORS => Rest(rest).vectors().map(Self::Vectors),
            _ => None,
        }
    }
}

fn message(why: &[u8]) -> String {
    let why = why.get(..MESSAGE_BYTES_MAX).unwrap_or(why);
    String::from_utf8_lossy(why).into_owned()
}

/// Reads one frame, or nothing where the other side has closed.
pub fn read_frame(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 4];
    match from.read_exact(&mut header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame beyond its limit"));
    }
    let mut frame = Vec::new();
    from.take(length as u64).read_to_end(&mut frame)?;
    Ok((frame.len() == length).then_some(frame))
}

pub fn write_frame(to: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    let beyond = || io::Error::new(io::ErrorKind::InvalidInput, "a frame beyond its limit");
    let length = u32::try_from(frame.len()).map_err(|_| beyond())?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(frame)?;
    to.flush()
}

fn put_text(frame: &mut Vec<u8>, text: &[u8]) {
    // Texts are parts of files and frames, which are shorter than 4 GiB.
    frame.extend((text.len() as u32).to_le_bytes());
    frame.extend(text);
}

fn put_infos(frame: &mut Vec<u8>, infos: &[TensorInfo]) {
    frame.extend((infos.len() as u32).to_le_bytes());
    for info in infos {
        put_text(frame, info.name.as_bytes());
        frame.push(info.datatype as u8);
        frame.extend((info.shape.len() as u32).to_le_bytes());
        for axis in &info.shape {
            frame.extend(axis.map_or(u64::MAX, |it| it as u64).to_le_bytes());
        }
    }
}

fn put_opsets(frame: &mut Vec<u8>, opsets: &[(String, i64)]) {
    frame.extend((opsets.len() as u32).to_le_bytes());
    for (domain, version) in opsets {
        put_text(frame, domain.as_bytes());
        frame.extend(version.to_le_bytes());
    }
}

fn put_tensors(frame: &mut Vec<u8>, tensors: &[Tensor]) {
    frame.extend((tensors.len() as u32).to_le_bytes());
    for tensor in tensors {
        put_text(frame, tensor.name.as_bytes());
        frame.push(tensor.values.datatype() as u8);
        frame.extend((tensor.values.shape().len() as u32).to_le_bytes());
        for &axis in tensor.values.shape() {
            frame.extend((axis as u64).to_le_bytes());
        }
        put_data(frame, tensor.values.data());
    }
}

/// As the binary form of the Open Inference Protocol has it, too.
pub(crate) fn put_data(frame: &mut Vec<u8>, data: &Data) {
    /// Room for all, once, and the numbers.
    macro_rules! numbers {
        ($list:expr) => {{
            frame.reserve(size_of_val($list.as_slice()));
            $list.iter().for_each(|it| frame.extend(it.to_le_bytes()));
        }};
    }
    match data {
        Data::Bool(list) => frame.extend(list.iter().map(|&it| u8::from(it))),
        Data::Uint8(list) => frame.extend(list),
        Data::Uint16(list) => numbers!(list),
        Data::Uint32(list) => numbers!(list),
        Data::Uint64(list) => numbers!(list),
        Data::Int8(list) => numbers!(list),
        Data::Int16(list) => numbers!(list),
        Data::Int32(list) => numbers!(list),
        Data::Int64(list) => numbers!(list),
        Data::Fp32(list) => numbers!(list),
        Data::Fp64(list) => numbers!(list),
        Data::Bytes(list) => list.iter().for_each(|it| put_text(frame, it)),
    }
}

/// What of a frame is still to be read. Every part is checked against what is there.
struct Rest<'f>(&'f [u8]);

impl<'f> Rest<'f> {
    fn bytes(&mut self, count: usize) -> Option<&'f [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn count(&mut self, max: usize) -> Option<usize> {
        let count = u32::from_le_bytes(self.array()?) as usize;
        (count <= max).then_some(count)
    }

    fn text(&mut self) -> Option<&'f [u8]> {
        let length = self.count(FRAME_BYTES_MAX)?;
        self.bytes(length)
    }

    /// Name, number of the type, axes: how tensors and their descriptions begin.
    fn head(&mut self) -> Option<(String, u8, Vec<u64>)> {
        let name = String::from_utf8(self.text()?.to_vec()).ok()?;
        let [kind] = self.array()?;
        let axes = self.count(AXES_MAX)?;
        let axes = (0..axes).map(|_| self.array().map(u64::from_le_bytes));
        Some((name, kind, axes.collect::<Option<_>>()?))
    }

    fn infos(&mut self) -> Option<Vec<TensorInfo>> {
        let count = self.count(TENSORS_MAX)?;
        let info = |_| {
            let (name, kind, axes) = self.head()?;
            let datatype = *DATATYPES.get(usize::from(kind))?;
            let shape =
                axes.into_iter().map(|it| usize::try_from(it).ok().filter(|_| it != u64::MAX));
            Some(TensorInfo { name, datatype, shape: shape.collect() })
        };
        (0..count).map(info).collect()
    }

    fn opsets(&mut self) -> Option<Vec<(String, i64)>> {
        let count = self.count(TENSORS_MAX)?;
        let opset = |_| {
            let domain = String::from_utf8(self.text()?.to_vec()).ok()?;
            Some((domain, i64::from_le_bytes(self.array()?)))
        };
        (0..count).map(opset).collect()
    }

    fn vectors(&mut self) -> Option<Vectors> {
        let input_tokens = u64::from_le_bytes(self.array()?);
        let count = self.count(TEXTS_MAX)?;
        let vector = |_| {
            let length = self.count(ELEMENTS_MAX)?;
            let (numbers, _) = self.bytes(length * size_of::<f32>())?.as_chunks();
            Some(numbers.iter().map(|it| f32::from_le_bytes(*it)).collect())
        };
        let vectors = (0..count).map(vector).collect::<Option<_>>()?;
        self.0.is_empty().then_some(Vectors { vectors, input_tokens })
    }

    fn tensor(&mut self) -> Option<Tensor> {
        let (name, kind, axes) = self.head()?;
        let shape = axes.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>().ok()?;
        let count = crate::tensor::elements(&shape).ok()?;
        let data = self.data(kind, count)?;
        Tensor::new(name, shape, data).ok()
    }

    fn data(&mut self, kind: u8, count: usize) -> Option<Data> {
        macro_rules! numbers {
            ($kind:ident, $type:ty) => {{
                let bytes = self.bytes(count * size_of::<$type>())?;
                let (numbers, _) = bytes.as_chunks();
                Data::$kind(numbers.iter().map(|it| <$type>::from_le_bytes(*it)).collect())
            }};
        }
        Some(match kind {
            0 => Data::Bool(self.bytes(count)?.iter().map(|&it| it != 0).collect()),
            1 => Data::Uint8(self.bytes(count)?.to_vec()),
            2 => numbers!(Uint16, u16),
            3 => numbers!(Uint32, u32),
            4 => numbers!(Uint64, u64),
            5 => numbers!(Int8, i8),
            6 => numbers!(Int16, i16),
            7 => numbers!(Int32, i32),
            8 => numbers!(Int64, i64),
            9 => numbers!(Fp32, f32),
            10 => numbers!(Fp64, f64),
            11 => {
                let texts = (0..count).map(|_| self.text().map(<[u8]>::to_vec));
                Data::Bytes(texts.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

/// The same back, where it is all that there is.
pub(crate) fn read_data(datatype: Datatype, bytes: &[u8], count: usize) -> Option<Data> {
    let mut rest = Rest(bytes);
    let data = rest.data(datatype as u8, count)?;
    rest.0.is_empty().then_some(data)
}

fn read_tensors(bytes: &[u8]) -> Option<Vec<Tensor>> {
    let mut rest = Rest(bytes);
    let count = rest.count(TENSORS_MAX)?;
    let tensors = (0..count).map(|_| rest.tensor()).collect::<Option<Vec<_>>>()?;
    rest.0.is_empty().then_some(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Does, Language};
    use crate::words::{Finish, Prompt};

    fn every_type() -> Vec<Tensor> {
        let lists = [
            Data::Bool(vec![true, false]),
            Data::Uint8(vec![0, u8::MAX]),
            Data::Uint16(vec![0, u16::MAX]),
            Data::Uint32(vec![0, u32::MAX]),
            Data::Uint64(vec![0, u64::MAX]),
            Data::Int8(vec![i8::MIN, i8::MAX]),
            Data::Int16(vec![i16::MIN, i16::MAX]),
            Data::Int32(vec![i32::MIN, i32::MAX]),
            Data::Int64(vec![i64::MIN, i64::MAX]),
            Data::Fp32(vec![-1.5, f32::INFINITY]),
            Data::Fp64(vec![0.1, f64::NEG_INFINITY]),
            Data::Bytes(vec![b"".to_vec(), "ä\0".into()]),
        ];
        let named = |data: Data| Tensor::new(data.datatype().as_str(), vec![1, 2], data).unwrap();
        lists.into_iter().map(named).collect()
    }

    /// Mutation: swap two numbers in `Rest::data`.
    #[test]
    fn tensors_of_every_type_come_back_as_they_went() {
        let answer = Answer::Outputs(every_type());
        assert_eq!(Answer::decode(&answer.encode()), Some(answer));
    }

    /// Mutation: write a free axis as 0.
    #[test]
    fn a_description_comes_back_as_it_went() {
        let info = |name: &str, shape: &[Option<usize>]| {
            let datatype = crate::Datatype::Int64;
            TensorInfo { name: name.to_owned(), datatype, shape: shape.to_vec() }
        };
        let inputs = vec![info("x", &[None, Some(30)]), info("", &[])];
        let opsets = vec![("ai.onnx".to_owned(), 21), ("ai.onnx.ml".to_owned(), 3)];
        let language = Some(Language {
            does: Does::Vectors,
            architecture: "bert".to_owned(),
            parameters: 7,
            context_tokens: 512,
            quantization: "F32".to_owned(),
            template: None,
            vector_length: Some(384),
        });
        let outputs = vec![info("y", &[Some(0)])];
        let metadata = Metadata { inputs, outputs, opsets, language };
        let answer = Answer::Loaded { metadata, memory_bytes: u64::MAX };
        assert_eq!(Answer::decode(&answer.encode()), Some(answer));
    }

    /// Mutation: give two kinds of answers the same number.
    #[test]
    fn words_and_vectors_come_back_as_they_went() {
        let said = Said { finish: Finish::Length, input_tokens: 3, output_tokens: u64::MAX };
        let vectors = vec![vec![1.5, -0.0], Vec::new()];
        for answer in [
            Answer::Piece("ä\n".to_owned()),
            Answer::Said(said),
            Answer::Vectors(Vectors { vectors, input_tokens: 9 }),
            Answer::Failed("why".to_owned()),
            Answer::Refused("why".to_owned()),
        ] {
            let whole = answer.encode();
            assert_eq!(Answer::decode(&whole), Some(answer));
            for end in 0..whole.len() {
                // An answer or none; never a panic or a large allocation.
                let _ = Answer::decode(&whole[..end]);
            }
        }
    }

    /// Mutation: answer with text where there is a model of tensors.
    #[test]
    fn a_model_of_tensors_refuses_words() {
        let file = std::fs::read("../../testing/models/tumour-risk/tumour-risk.onnx").unwrap();
        let ask = Generate {
            prompt: Prompt::Text("a".to_owned()),
            output_tokens_max: None,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
            stop: Vec::new(),
        };
        let (mut requests, mut answers) = (Vec::new(), Vec::new());
        for request in [load(&file), generate(&ask), embed(&Embed { texts: Vec::new() })] {
            write_frame(&mut requests, &request).unwrap();
        }
        serve(&mut requests.as_slice(), &mut answers).unwrap();
        let mut answers = answers.as_slice();
        let mut next = || Answer::decode(&read_frame(&mut answers).unwrap().unwrap()).unwrap();
        assert!(matches!(next(), Answer::Loaded { .. }));
        assert_eq!(next(), Answer::Refused("this model is not for text".to_owned()));
        assert!(matches!(next(), Answer::Refused(why) if why.contains("vectors")));
    }

    /// Mutation: leave out a check of a length in `Rest`.
    #[test]
    fn a_frame_that_is_cut_or_changed_is_refused_or_read_but_never_more() {
        let whole = Answer::Outputs(every_type()).encode();
        for end in 0..whole.len() {
            assert_eq!(Answer::decode(&whole[..end]), None, "cut at {end}");
        }
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0xff;
            // Whatever it says, it says so without a panic or a large allocation.
            let _ = Answer::decode(&changed);
        }
    }

    /// Mutation: compare with a larger limit.
    #[test]
    fn a_frame_beyond_its_limit_is_not_read() {
        let header = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
        assert!(read_frame(&mut header.as_slice()).is_err());
        assert!(read_frame(&mut [1, 0, 0, 0].as_slice()).unwrap().is_none());
    }
}
