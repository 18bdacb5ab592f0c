//! Llama and its relatives: Mistral, Qwen 2 and 3, `SmolLM`.

use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{D, Device, Module, Result, Tensor};

use super::softmax;
use crate::model::LoadError;
use crate::weights::gguf::{Gguf, Kind};

/// What a model may keep of the tokens of one answer. Half of what a process has beside the largest file.
const KEPT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Layers of one model; one of 400 billion numbers has 126.
const LAYERS_MAX: u64 = 1_000;

/// Heads of one layer; the same one has 128.
const HEADS_MAX: u64 = 1_024;

/// How it is built, as the head of the file says.
#[derive(Debug, Clone)]
struct Plan {
    layers: usize,
    heads: usize,
    /// Of keys and values: several heads share one.
    shared: usize,
    /// Numbers of a head.
    width: usize,
    hidden: usize,
    inner: usize,
    epsilon: f64,
    /// By how much each pair of numbers is turned from one token to the next.
    turns: Vec<f64>,
    /// Which numbers are a pair: neighbours, or those half a head apart.
    is_halved: bool,
}

pub(super) struct Llama {
    plan: Plan,
    words: QTensor,
    layers: Vec<Layer>,
    norm: Tensor,
    output: QMatMul,
    pub context_tokens: u64,
}

struct Layer {
    norm: Tensor,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Qwen 3 has them.
    query_norm: Option<Tensor>,
    key_norm: Option<Tensor>,
    output: QMatMul,
    inner_norm: Tensor,
    gate: QMatMul,
    up: QMatMul,
    down: QMatMul,
}

struct Linear {
    weight: QMatMul,
    /// Qwen 2 has one.
    bias: Option<Tensor>,
}

impl Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.weight.forward(x)?;
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// What is kept of the tokens so far: keys and values of each layer.
pub(super) struct Kept {
    layers: Vec<(Tensor, Tensor)>,
    tokens: usize,
}

impl Plan {
    fn read(file: &Gguf<'_>, architecture: &str) -> std::result::Result<Self, LoadError> {
        let is_halved = match architecture {
            "llama" | "mistral" => false,
            "qwen2" | "qwen3" => true,
            other => {
                let name = other.chars().take(60).collect();
                return Err(LoadError::Architecture { name });
            }
        };
        let named = |name: &str| format!("{architecture}.{name}");
        let optional = |name: &str| file.whole(&named(name));
        let count = |name: &str, most: u64| {
            let name = named(name);
            let found = file.whole(&name).filter(|it| (1..=most).contains(it));
            found
                .map(|it| it as usize)
                .ok_or_else(|| wrong(format!("it has no `{name}`, or one that cannot be")))
        };
        if optional("expert_count").is_some_and(|it| it > 0) {
            return Err(wrong("it is a mixture of experts, which is not supported"));
        }
        let scaling = file.text(&named("rope.scaling.type")).unwrap_or("none");
        if scaling != "none" {
            return Err(wrong(format!(
                "its context is stretched by `{}`, which is not supported",
                clip(scaling)
            )));
        }
        let heads = count("attention.head_count", HEADS_MAX)?;
        let shared = match optional("attention.head_count_kv") {
            Some(_) => count("attention.head_count_kv", HEADS_MAX)?,
            None => heads,
        };
        let hidden = count("embedding_length", 1 << 20)?;
        let width = match optional("attention.key_length") {
            Some(_) => count("attention.key_length", 1 << 16)?,
            None => hidden / heads,
        };
        let turned = optional("rope.dimension_count").map_or(width, |it| it as usize);
        let values = optional("attention.value_length").map_or(width, |it| it as usize);
        if heads % shared != 0 || width == 0 || width % 2 != 0 || turned != width || values != width
        {
            return Err(wrong("its heads do not fit each other"));
        }
        let base = file.real(&named("rope.freq_base")).unwrap_or(10_000.0);
        let epsilon = file.real(&named("attention.layer_norm_rms_epsilon")).unwrap_or(1e-5);
        let turn = |at: usize| base.powf(-2.0 * at as f64 / width as f64);
        Ok(Self {
            layers: count("block_count", LAYERS_MAX)?,
            heads,
            shared,
            width,
            hidden,
            inner: count("feed_forward_length", 1 << 20)?,
            epsilon,
            turns: (0..width / 2).map(turn).collect(),
            is_halved,
        })
    }

    /// Of one token, over all layers.
    fn kept_bytes(&self) -> u64 {
        (2 * self.layers * self.shared * self.width * size_of::<f32>()) as u64
    }
}

impl Llama {
    pub(super) fn load(file: &Gguf<'_>) -> std::result::Result<Self, LoadError> {
        let architecture = file.text("general.architecture").unwrap_or_default();
        let mut plan = Plan::read(file, architecture)?;
        let tensors = Tensors(file);
        let words = tensors.words(plan.hidden)?;
        let count = words.shape().dims()[0];
        if let Some(factors) = tensors.optional("rope_freqs.weight", plan.width / 2)? {
            let factors: Vec<f32> = factors.to_vec1().map_err(broken)?;
            plan.turns.iter_mut().zip(factors).for_each(|(turn, by)| *turn /= f64::from(by));
        }
        let output =
            if file.tensors.contains_key("output.weight") { "output.weight" } else { WORDS };
        let output = tensors.matrix(output, count, plan.hidden)?;
        let layers = (0..plan.layers).map(|at| Layer::load(&tensors, &plan, at));
        let layers = layers.collect::<std::result::Result<_, _>>()?;
        let norm = tensors.vector("output_norm.weight", plan.hidden)?;
        let context_tokens = KEPT_BYTES_MAX / plan.kept_bytes();
        Ok(Self { plan, words, layers, norm, output, context_tokens })
    }

    /// How many tokens it knows.
    pub(super) fn words(&self) -> usize {
        self.words.shape().dims()[0]
    }

    /// Room for so many tokens.
    pub(super) fn keep(&self, tokens: usize) -> Result<Kept> {
        let shape = (self.plan.shared, tokens, self.plan.width);
        let zeros = || Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu);
        let layers = self.layers.iter().map(|_| Ok((zeros()?, zeros()?)));
        Ok(Kept { layers: layers.collect::<Result<_>>()?, tokens: 0 })
    }

    /// What each token is worth as the next one behind these.
    pub(super) fn forward(&self, tokens: &[u32], kept: &mut Kept) -> Result<Vec<f32>> {
        let (at, count) = (kept.tokens, tokens.len());
        let mut x = self.words.embedding(&Tensor::new(tokens, &Device::Cpu)?)?;
        let turn = Turn::of(&self.plan, at, count)?;
        let mask = mask(at, count)?;
        for (layer, kept) in self.layers.iter().zip(&kept.layers) {
            let heard = layer.attend(&self.plan, &x, at, &turn, mask.as_ref(), kept)?;
            x = (x + heard)?;
            let seen = rms(&x, &layer.inner_norm, self.plan.epsilon)?;
            let inner = (layer.gate.forward(&seen)?.silu()? * layer.up.forward(&seen)?)?;
            x = (x + layer.down.forward(&inner)?)?;
        }
        kept.tokens += count;
        let last = rms(&x.narrow(0, count - 1, 1)?, &self.norm, self.plan.epsilon)?;
        // Products of eight bits make 0 of what is no number, so that it would not be seen behind them.
        if !last.squeeze(0)?.to_vec1::<f32>()?.iter().all(|it| it.is_finite()) {
            return Ok(vec![f32::NAN]);
        }
        self.output.forward(&last)?.squeeze(0)?.to_vec1()
    }
}

impl Layer {
    fn load(
        tensors: &Tensors<'_, '_>,
        plan: &Plan,
        at: usize,
    ) -> std::result::Result<Self, LoadError> {
        let Plan { heads, shared, width, hidden, inner, .. } = *plan;
        let name = |what: &str| format!("blk.{at}.{what}");
        let matrix =
            |what: &str, to, from| tensors.matrix(&name(&format!("{what}.weight")), to, from);
        let vector = |what: &str, length| tensors.vector(&name(&format!("{what}.weight")), length);
        let norm = |what: &str| tensors.optional(&name(&format!("{what}.weight")), width);
        let linear = |what: &str, to| {
            let bias = tensors.optional(&name(&format!("{what}.bias")), to)?;
            Ok(Linear { weight: matrix(what, to, hidden)?, bias })
        };
        Ok(Self {
            norm: vector("attn_norm", hidden)?,
            query: linear("attn_q", heads * width)?,
            key: linear("attn_k", shared * width)?,
            value: linear("attn_v", shared * width)?,
            query_norm: norm("attn_q_norm")?,
            key_norm: norm("attn_k_norm")?,
            output: matrix("attn_output", hidden, heads * width)?,
            inner_norm: vector("ffn_norm", hidden)?,
            gate: matrix("ffn_gate", inner, hidden)?,
            up: matrix("ffn_up", inner, hidden)?,
            down: matrix("ffn_down", hidden, inner)?,
        })
    }

    fn attend(
        &self,
        plan: &Plan,
        x: &Tensor,
        at: usize,
        turn: &Turn,
        mask: Option<&Tensor>,
        (keys, values): &(Tensor, Tensor),
    ) -> Result<Tensor> {
        let Plan { heads, shared, width, epsilon, .. } = *plan;
        let count = x.dim(0)?;
        let x = rms(x, &self.norm, epsilon)?;
        let split = |y: Tensor, heads| y.reshape((count, heads, width));
        let normed = |y: Tensor, norm: &Option<Tensor>| match norm {
            Some(norm) => rms(&y, norm, epsilon),
            None => Ok(y),
        };
        let query = normed(split(self.query.forward(&x)?, heads)?, &self.query_norm)?;
        let key = normed(split(self.key.forward(&x)?, shared)?, &self.key_norm)?;
        let value = split(self.value.forward(&x)?, shared)?;
        let by_head = |y: Tensor| y.transpose(0, 1)?.contiguous();
        keys.slice_set(&by_head(turn.apply(&key)?)?, 1, at)?;
        values.slice_set(&by_head(value)?, 1, at)?;
        let all = at + count;
        // Heads that share keys are rows of one matrix.
        let rows = heads / shared * count;
        let query = by_head(turn.apply(&query)?)?.reshape((shared, rows, width))?;
        let keys = keys.narrow(1, 0, all)?.contiguous()?;
        let worth = (query.matmul(&keys.t()?)? / (width as f64).sqrt())?;
        let worth = match mask {
            Some(mask) => worth.reshape((heads, count, all))?.broadcast_add(mask)?,
            None => worth.reshape((heads, count, all))?,
        };
        let chances = softmax(&worth)?.reshape((shared, rows, all))?;
        let heard = chances.matmul(&values.narrow(1, 0, all)?.contiguous()?)?;
        let heard = heard.reshape((heads, count, width))?.transpose(0, 1)?.contiguous()?;
        self.output.forward(&heard.reshape((count, heads * width))?)
    }
}

/// Nobody hears what is said after him.
fn mask(at: usize, count: usize) -> Result<Option<Tensor>> {
    if count == 1 {
        return Ok(None);
    }
    let row = |own: usize| {
        (0..at + count).map(move |it| if it > at + own { f32::NEG_INFINITY } else { 0.0 })
    };
    let all: Vec<f32> = (0..count).flat_map(row).collect();
    Tensor::from_vec(all, (count, at + count), &Device::Cpu).map(Some)
}

fn rms(x: &Tensor, weight: &Tensor, epsilon: f64) -> Result<Tensor> {
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean + epsilon)?.sqrt()?)?.broadcast_mul(weight)
}

/// Where tokens stand, as angles.
struct Turn {
    cos: Tensor,
    sin: Tensor,
    is_halved: bool,
}

impl Turn {
    fn of(plan: &Plan, at: usize, count: usize) -> Result<Self> {
        let angles = |of: fn(f64) -> f64| {
            let row =
                |place: usize| plan.turns.iter().map(move |turn| of(place as f64 * turn) as f32);
            let all: Vec<f32> = (at..at + count).flat_map(row).collect();
            Tensor::from_vec(all, (count, 1, plan.width / 2), &Device::Cpu)
        };
        Ok(Self { cos: angles(f64::cos)?, sin: angles(f64::sin)?, is_halved: plan.is_halved })
    }

    /// Of (tokens, heads, width).
    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let (count, heads, width) = x.dims3()?;
        let half = width / 2;
        let (one, other) = if self.is_halved {
            (x.narrow(2, 0, half)?, x.narrow(2, half, half)?)
        } else {
            let pairs = x.reshape((count, heads, half, 2))?;
            (pairs.narrow(3, 0, 1)?.squeeze(3)?, pairs.narrow(3, 1, 1)?.squeeze(3)?)
        };
        let turned = (one.broadcast_mul(&self.cos)? - other.broadcast_mul(&self.sin)?)?;
        let across = (one.broadcast_mul(&self.sin)? + other.broadcast_mul(&self.cos)?)?;
        if self.is_halved {
            Tensor::cat(&[turned, across], 2)
        } else {
            Tensor::stack(&[turned, across], 3)?.reshape((count, heads, width))
        }
    }
}

/// Where the words stand, which are also the output where that is none of its own.
const WORDS: &str = "token_embd.weight";

/// Tensors of the file, each of the shape that it must have.
struct Tensors<'a, 'f>(&'a Gguf<'f>);

impl Tensors<'_, '_> {
    fn any(
        &self,
        name: &str,
        fits: impl Fn(&[usize]) -> bool,
    ) -> std::result::Result<QTensor, LoadError> {
        let found = self.0.tensors.get(name);
        let block = found.ok_or_else(|| wrong(format!("it has no tensor `{name}`")))?;
        let misfit = || LoadError::Tensor { name: name.to_owned() };
        if !fits(&block.shape) {
            return Err(misfit());
        }
        // The file's bytes lie anywhere; a copy lies where numbers may lie.
        let bytes = block.bytes.to_vec();
        let kind = ggml(block.kind);
        qtensor_from_ggml(kind, &bytes, block.shape.clone(), &Device::Cpu).map_err(|_| misfit())
    }

    fn words(&self, hidden: usize) -> std::result::Result<QTensor, LoadError> {
        self.any(WORDS, |shape| matches!(shape, [count, to] if *count > 0 && *to == hidden))
    }

    fn matrix(
        &self,
        name: &str,
        to: usize,
        from: usize,
    ) -> std::result::Result<QMatMul, LoadError> {
        let found = self.any(name, |shape| shape == [to, from])?;
        QMatMul::from_qtensor(found).map_err(broken)
    }

    fn vector(&self, name: &str, length: usize) -> std::result::Result<Tensor, LoadError> {
        self.any(name, |shape| shape == [length])?.dequantize(&Device::Cpu).map_err(broken)
    }

    fn optional(
        &self,
        name: &str,
        length: usize,
    ) -> std::result::Result<Option<Tensor>, LoadError> {
        let is_there = self.0.tensors.contains_key(name);
        is_there.then(|| self.vector(name, length)).transpose()
    }
}

const fn ggml(kind: Kind) -> GgmlDType {
    match kind {
        Kind::F32 => GgmlDType::F32,
        Kind::F16 => GgmlDType::F16,
        Kind::Bf16 => GgmlDType::BF16,
        Kind::Q4_0 => GgmlDType::Q4_0,
        Kind::Q4_1 => GgmlDType::Q4_1,
        Kind::Q5_0 => GgmlDType::Q5_0,
        Kind::Q5_1 => GgmlDType::Q5_1,
        Kind::Q8_0 => GgmlDType::Q8_0,
        Kind::Q2K => GgmlDType::Q2K,
        Kind::Q3K => GgmlDType::Q3K,
        Kind::Q4K => GgmlDType::Q4K,
        Kind::Q5K => GgmlDType::Q5K,
        Kind::Q6K => GgmlDType::Q6K,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(60).collect()
}

fn broken(error: candle_core::Error) -> LoadError {
    wrong(super::calculation(error).to_string())
}

fn wrong(what: impl Into<String>) -> LoadError {
    LoadError::Weights { format: "GGUF", what: what.into() }
}
