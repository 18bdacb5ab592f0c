//! BERT and RoBERTa: a folder of safetensors that makes vectors, as the sentence-transformers library does.

use candle_core::{D, DType, Device, Result as Calculated, Tensor as Numbers};
use tokenizers::Tokenizer;

use super::{calculation, softmax};
use crate::model::{InferError, LoadError, Metadata, Model, Stop};
use crate::tensor::Tensor;
use crate::weights::safetensors::{Block, Kind};
use crate::weights::{Folder, Pooling, of_folder};
use crate::words::{Embed, Vectors};

/// Layers of one model; the largest have 24.
const LAYERS_MAX: u64 = 200;

/// A model in memory.
pub struct Bert {
    metadata: Metadata,
    words: Numbers,
    places: Numbers,
    /// That of the first kind of text, which all are.
    kind: Numbers,
    norm: Norm,
    layers: Vec<Layer>,
    heads: usize,
    hidden: usize,
    act: Act,
    first_place: usize,
    tokens_max: u64,
    tokenizer: Tokenizer,
    pooling: Pooling,
    normalizes: bool,
    memory_bytes: usize,
}

#[derive(Clone, Copy)]
enum Act {
    Gelu,
    GeluTanh,
    Relu,
}

struct Linear {
    weight: Numbers,
    bias: Numbers,
}

struct Norm {
    weight: Numbers,
    bias: Numbers,
    epsilon: f64,
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm: Norm,
    up: Linear,
    down: Linear,
    last_norm: Norm,
}

impl std::fmt::Debug for Bert {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bert").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

impl Bert {
    /// Reads a folder that was packed.
    pub fn load(archive: &[u8]) -> Result<Self, LoadError> {
        let folder = Folder::read(archive)?;
        let config = &folder.config;
        if !matches!(config.model_type.as_str(), "bert" | "roberta" | "xlm-roberta" | "camembert") {
            let name = config.model_type.chars().take(60).collect();
            return Err(LoadError::Architecture { name });
        }
        let refuse = |what| LoadError::Part { name: "config.json", what };
        if config.position_embedding_type.as_deref().is_some_and(|it| it != "absolute") {
            return Err(refuse("its positions are not absolute"));
        }
        let act = match config.hidden_act.as_deref() {
            None | Some("gelu") => Act::Gelu,
            Some("gelu_new" | "gelu_pytorch_tanh") => Act::GeluTanh,
            Some("relu") => Act::Relu,
            Some(_) => return Err(refuse("its `hidden_act` is neither `gelu` nor `relu`")),
        };
        let (hidden, heads) = (config.hidden_size as usize, config.num_attention_heads as usize);
        let is_odd = hidden == 0 || heads == 0 || !hidden.is_multiple_of(heads);
        if is_odd || config.num_hidden_layers > LAYERS_MAX {
            return Err(refuse("its heads or layers cannot be"));
        }
        let tensors = Tensors { folder: &folder, epsilon: config.layer_norm_eps.unwrap_or(1e-12) };
        let table = |what: &str| tensors.table(&format!("embeddings.{what}.weight"), hidden);
        let (words, places) = (table("word_embeddings")?, table("position_embeddings")?);
        let kind = table("token_type_embeddings")?.narrow(0, 0, 1).map_err(broken)?;
        let layers = (0..config.num_hidden_layers).map(|at| Layer::load(&tensors, at, hidden));
        let layers = layers.collect::<Result<_, _>>()?;
        let norm = tensors.norm("embeddings.LayerNorm", hidden)?;
        let mut tokenizer = Tokenizer::from_bytes(folder.tokenizer).map_err(|_| {
            let what = "it is none that the tokenizers library reads";
            LoadError::Part { name: "tokenizer.json", what }
        })?;
        // Nothing is cut off silently, and nothing is filled up.
        tokenizer.with_padding(None);
        let uncut = tokenizer.with_truncation(None);
        uncut.map_err(|_| LoadError::Part { name: "tokenizer.json", what: "it must cut texts" })?;
        let language = of_folder(&folder)?;
        let first_place = config.first_position() as usize;
        let rows = places.dim(0).map_err(broken)?.saturating_sub(first_place);
        let tokens_max = config.tokens_max().min(rows as u64);
        let metadata = Metadata { language: Some(language), ..Metadata::default() };
        let memory_bytes = folder.tensors.values().map(|it| it.bytes.len()).sum();
        let (pooling, normalizes) = (folder.pooling, folder.normalizes);
        Ok(Self {
            metadata,
            words,
            places,
            kind,
            norm,
            layers,
            heads,
            hidden,
            act,
            first_place,
            tokens_max,
            tokenizer,
            pooling,
            normalizes,
            memory_bytes,
        })
    }

    fn vector(&self, tokens: &[u32]) -> Calculated<Vec<f32>> {
        let count = tokens.len();
        let words = self.words.index_select(&Numbers::new(tokens, &Device::Cpu)?, 0)?;
        let x = (words + self.places.narrow(0, self.first_place, count)?)?;
        let mut x = self.norm.forward(&x.broadcast_add(&self.kind)?)?;
        for layer in &self.layers {
            let heard = layer.attend(&x, self.heads, self.hidden)?;
            x = layer.norm.forward(&(x + heard)?)?;
            let inner = layer.up.forward(&x)?;
            let inner = match self.act {
                Act::Gelu => inner.gelu_erf()?,
                Act::GeluTanh => inner.gelu()?,
                Act::Relu => inner.relu()?,
            };
            x = layer.last_norm.forward(&(&x + layer.down.forward(&inner)?)?)?;
        }
        let pooled = match self.pooling {
            Pooling::Mean => x.mean(0)?,
            Pooling::Max => x.max(0)?,
            Pooling::First => x.get(0)?,
        };
        if !self.normalizes {
            return pooled.to_vec1();
        }
        let length = pooled.sqr()?.sum_all()?.sqrt()?.to_scalar::<f32>()?;
        (pooled / f64::from(length.max(1e-12)))?.to_vec1()
    }
}

impl Model for Bert {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    fn infer(&self, _: Vec<Tensor>, _: &Stop) -> Result<Vec<Tensor>, InferError> {
        Err(InferError::NotFor { what: "tensors" })
    }

    fn embed(&self, ask: &Embed, stop: &Stop) -> Result<Vectors, InferError> {
        let rows = self.words.dim(0).map_err(calculation)?;
        let mut all = Vectors::default();
        for (at, text) in ask.texts.iter().enumerate() {
            stop.check()?;
            let uncovered =
                |_| InferError::Calculation { what: "its words do not cover the text".to_owned() };
            let encoded = self.tokenizer.encode_fast(text.as_str(), true).map_err(uncovered)?;
            let tokens = encoded.get_ids();
            let (given, most) = (tokens.len() as u64, self.tokens_max);
            if given > most {
                return Err(InferError::TooLong { what: format!("text {at}"), given, most });
            }
            if tokens.is_empty() {
                return Err(InferError::Empty);
            }
            if tokens.iter().any(|it| *it as usize >= rows) {
                let what = "it has words without numbers".to_owned();
                return Err(InferError::Calculation { what });
            }
            let vector = self.vector(tokens).map_err(calculation)?;
            if !vector.iter().all(|it| it.is_finite()) {
                return Err(InferError::NotNumbers);
            }
            all.input_tokens += given;
            all.vectors.push(vector);
        }
        Ok(all)
    }

    fn warm(&self) -> Result<(), InferError> {
        self.embed(&Embed { texts: vec!["a".to_owned()] }, &Stop::default()).map(drop)
    }
}

impl Layer {
    fn load(tensors: &Tensors<'_, '_>, at: u64, hidden: usize) -> Result<Self, LoadError> {
        let name = |what: &str| format!("encoder.layer.{at}.{what}");
        let same = |what: &str| tensors.linear(&name(what), hidden, Some(hidden));
        let up = tensors.linear(&name("intermediate.dense"), hidden, None)?;
        let inner = up.weight.dim(0).map_err(broken)?;
        Ok(Self {
            query: same("attention.self.query")?,
            key: same("attention.self.key")?,
            value: same("attention.self.value")?,
            output: same("attention.output.dense")?,
            norm: tensors.norm(&name("attention.output.LayerNorm"), hidden)?,
            up,
            down: tensors.linear(&name("output.dense"), inner, Some(hidden))?,
            last_norm: tensors.norm(&name("output.LayerNorm"), hidden)?,
        })
    }

    fn attend(&self, x: &Numbers, heads: usize, hidden: usize) -> Calculated<Numbers> {
        let (count, width) = (x.dim(0)?, hidden / heads);
        let by_head = |y: Numbers| y.reshape((count, heads, width))?.transpose(0, 1)?.contiguous();
        let query = by_head(self.query.forward(x)?)?;
        let key = by_head(self.key.forward(x)?)?;
        let value = by_head(self.value.forward(x)?)?;
        let worth = (query.matmul(&key.t()?)? / (width as f64).sqrt())?;
        let heard = softmax(&worth)?.matmul(&value)?;
        let heard = heard.transpose(0, 1)?.contiguous()?.reshape((count, hidden))?;
        self.output.forward(&heard)
    }
}

impl Linear {
    fn forward(&self, x: &Numbers) -> Calculated<Numbers> {
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

impl Norm {
    fn forward(&self, x: &Numbers) -> Calculated<Numbers> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let spread = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.epsilon)?.sqrt()?;
        centred.broadcast_div(&spread)?.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}

/// Tensors of the folder, each of the shape that it must have.
struct Tensors<'a, 'f> {
    folder: &'a Folder<'f>,
    epsilon: f64,
}

impl Tensors<'_, '_> {
    /// Whole models have their parts below a name.
    fn find(&self, name: &str) -> Result<&Block<'_>, LoadError> {
        let names = ["", "bert.", "roberta."].map(|before| format!("{before}{name}"));
        let found = names.iter().find_map(|name| self.folder.tensors.get(name));
        found.ok_or_else(|| LoadError::Weights {
            format: "safetensors",
            what: format!("it has no tensor `{name}`"),
        })
    }

    fn any(&self, name: &str, fits: impl Fn(&[usize]) -> bool) -> Result<Numbers, LoadError> {
        let misfit = || LoadError::Tensor { name: name.to_owned() };
        let Block { kind, shape, bytes } = self.find(name)?;
        let kind = match kind {
            Kind::F64 => DType::F64,
            Kind::F32 => DType::F32,
            Kind::F16 => DType::F16,
            Kind::Bf16 => DType::BF16,
            Kind::I64 | Kind::I32 | Kind::I16 | Kind::I8 | Kind::U8 | Kind::Bool => {
                return Err(misfit());
            }
        };
        if !fits(shape) {
            return Err(misfit());
        }
        let read = Numbers::from_raw_buffer(bytes, kind, shape, &Device::Cpu);
        read.and_then(|it| it.to_dtype(DType::F32)).map_err(|_| misfit())
    }

    fn table(&self, name: &str, width: usize) -> Result<Numbers, LoadError> {
        self.any(name, |shape| matches!(shape, [rows, to] if *rows > 0 && *to == width))
    }

    fn vector(&self, name: &str, length: usize) -> Result<Numbers, LoadError> {
        self.any(name, |shape| shape == [length])
    }

    fn linear(&self, name: &str, from: usize, to: Option<usize>) -> Result<Linear, LoadError> {
        let fits = |shape: &[usize]| matches!(shape, [rows, of] if *of == from && to.is_none_or(|to| to == *rows));
        let weight = self.any(&format!("{name}.weight"), fits)?;
        let rows = weight.dim(0).map_err(broken)?;
        Ok(Linear { weight, bias: self.vector(&format!("{name}.bias"), rows)? })
    }

    fn norm(&self, name: &str, length: usize) -> Result<Norm, LoadError> {
        Ok(Norm {
            weight: self.vector(&format!("{name}.weight"), length)?,
            bias: self.vector(&format!("{name}.bias"), length)?,
            epsilon: self.epsilon,
        })
    }
}

fn broken(error: candle_core::Error) -> LoadError {
    let what = calculation(error).to_string();
    LoadError::Weights { format: "safetensors", what }
}
