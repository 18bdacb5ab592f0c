//! The most that a call may cost, and the most tokens that a prompt may be.
//!
//! Both say nothing where nothing can be proved: a hard cap then refuses the call. What the proof
//! stands on is in decision 21.

use crate::catalogue::Model;
use crate::class::Class;
use crate::money::{Amount, Money};
use crate::price::Price;
use crate::usage::Service;

/// What templates write around one message: its role and two or three marks, each a few tokens.
const MESSAGE_TOKENS: u64 = 16;

/// What templates write before all messages: dates, a default instruction.
const REQUEST_TOKENS: u64 = 256;

/// What providers write before tools. The longest that one tells of is under a thousand.
const TOOLS_TOKENS: u64 = 2_048;

/// What templates write around one tool.
const TOOL_TOKENS: u64 = 64;

/// What a call may use at most. `None` is a limit that nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    pub input_tokens_max: Option<u64>,
    pub output_tokens_max: Option<u64>,
    pub images_max: Option<u64>,
    pub searches_max: Option<u64>,
    pub milliseconds_max: Option<u64>,
    pub requests_max: u64,
    /// Whether audio or images go in. Without them their prices are out of question.
    pub has_audio: bool,
    pub has_images: bool,
    /// Whether audio is to come out.
    pub speaks: bool,
    /// What was asked for. `None` where the provider may choose any.
    pub service: Option<Service>,
}

impl Default for Bound {
    /// One request of text that allows itself no images, searches or time of a device.
    fn default() -> Self {
        Self {
            input_tokens_max: None,
            output_tokens_max: None,
            images_max: Some(0),
            searches_max: Some(0),
            milliseconds_max: Some(0),
            requests_max: 1,
            has_audio: false,
            has_images: false,
            speaks: false,
            service: Some(Service::Standard),
        }
    }
}

/// The most that a call within the bound can cost. None where no limit is known for something priced.
#[must_use]
pub fn bound(price: &Price, bound: &Bound) -> Option<Money> {
    let rates = price.dearest(bound.service, bound.input_tokens_max.unwrap_or(u64::MAX));
    let dearest = |classes: &[Class]| {
        let possible = classes.iter().filter(|class| bound.allows(**class));
        possible.map(|class| rates[*class]).max().unwrap_or(0)
    };
    let parts = [
        (bound.input_tokens_max, dearest(&Class::INPUT)),
        (bound.output_tokens_max, dearest(&Class::OUTPUT)),
        (bound.images_max, rates[Class::Image]),
        (bound.searches_max, rates[Class::Search]),
        (bound.milliseconds_max, rates[Class::Millisecond]),
        (Some(bound.requests_max), rates[Class::Request]),
    ];
    let mut sum = 0_u128;
    for (limit, each) in parts {
        if each > 0 {
            sum = sum.checked_add(u128::from(limit?) * u128::from(each))?;
        }
    }
    Some(Amount::from_pico(sum).of(price.offer.currency))
}

impl Bound {
    const fn allows(&self, class: Class) -> bool {
        match class {
            Class::AudioIn => self.has_audio,
            Class::AudioOut => self.speaks,
            Class::ImageIn => self.has_images,
            Class::CacheRead
            | Class::CacheWrite5m
            | Class::CacheWrite1h
            | Class::Input
            | Class::Output
            | Class::Reasoning
            // A model that makes images may do so unasked.
            | Class::ImageOut
            | Class::Image
            | Class::Search
            | Class::Request
            | Class::Millisecond => true,
        }
    }
}

/// What goes to a model, as far as it can become tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Prompt {
    /// Of all text: messages, names, instructions, schemas of tools. The bytes of the request's body
    /// without its media will do, since no text is shorter in JSON.
    pub text_bytes: u64,
    pub messages: u64,
    pub tools: u64,
    pub images: u64,
    /// Audio, video, documents: nothing is known of how many tokens these become.
    pub has_other_media: bool,
    /// Questions in one request: the context is that of each. None is one.
    pub questions: u64,
}

/// No prompt becomes more tokens than this. A token stands for a byte of text at least, and no question goes
/// beyond the model's context. None where neither says anything.
#[must_use]
pub fn input_tokens_max(prompt: &Prompt, model: &Model) -> Option<u64> {
    let counted = counted(prompt, model);
    let contexts = model.context_tokens.and_then(|it| it.checked_mul(prompt.questions.max(1)));
    match (counted, contexts) {
        (Some(counted), Some(context)) => Some(counted.min(context)),
        (known, other) => known.or(other),
    }
}

fn counted(prompt: &Prompt, model: &Model) -> Option<u64> {
    if prompt.has_other_media {
        return None;
    }
    let images = match prompt.images {
        0 => 0,
        images => images.checked_mul(model.image_tokens_max?)?,
    };
    let tools = match prompt.tools {
        0 => 0,
        tools => tools.checked_mul(TOOL_TOKENS)?.checked_add(TOOLS_TOKENS)?,
    };
    let messages = prompt.messages.checked_mul(MESSAGE_TOKENS)?;
    let parts = [prompt.text_bytes, messages, tools, images, REQUEST_TOKENS];
    parts.into_iter().try_fold(0_u64, u64::checked_add)
}
