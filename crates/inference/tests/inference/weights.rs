//! Weights of models of language: what their files say, in every build, and that none of them hurts.

use std::panic::catch_unwind;

use inference::Stop;
use inference::weights::{Does, describe, folder};
use proptest::prelude::*;

use crate::repository;

pub fn file(name: &str) -> Vec<u8> {
    std::fs::read(repository(&format!("testing/models/{name}"))).unwrap()
}

/// The folder of a model that makes vectors, as it is brought to a site.
pub fn packed(name: &str) -> Vec<u8> {
    let there = folder::FILES.map(|part| (part, file(&format!("{name}/{part}"))));
    let files: Vec<(&str, &[u8])> = there.iter().map(|(part, file)| (*part, &**file)).collect();
    folder::pack(&files)
}

/// Mutation: count a tensor twice, or read the context of another architecture.
#[test]
fn a_file_says_what_it_is_in_every_build() {
    let chat = describe(&file("tiny-chat.gguf")).unwrap().unwrap();
    assert_eq!(chat.to_string(), "llama, 27808 parameters, Q8_0, 512 tokens of context");
    assert_eq!((chat.does, chat.template.as_deref()), (Does::Text, Some("chatml")));
    let qwen = describe(&file("tiny-qwen3.gguf")).unwrap().unwrap();
    assert_eq!((qwen.architecture.as_str(), qwen.template), ("qwen3", None));
    let bert = describe(&packed("tiny-bert")).unwrap().unwrap();
    assert_eq!((bert.does, bert.vector_length, bert.context_tokens), (Does::Vectors, Some(16), 48));
    assert_eq!(describe(&file("tumour-risk/tumour-risk.onnx")).unwrap(), None);
}

/// Mutation: take weights for a broken ONNX file, or load them without what calculates them.
#[test]
fn a_build_without_candle_says_what_the_file_is_and_what_to_do() {
    for (file, what) in [(file("tiny-chat.gguf"), "llama, 27808"), (packed("tiny-bert"), "bert, ")]
    {
        match inference::load(&file) {
            Ok(model) => assert!(inference::HAS_CANDLE && model.metadata().language.is_some()),
            Err(error) => {
                let said = error.to_string();
                let is_told =
                    ["--features candle", "llama.cpp", what].iter().all(|it| said.contains(it));
                assert!(!inference::HAS_CANDLE && is_told, "{said}");
            }
        }
    }
}

/// Reads a file and asks it, if it is a model.
fn survive(file: &[u8]) {
    let survived = catch_unwind(|| {
        let _ = describe(file);
        if let Ok(model) = inference::load(file) {
            let _ = model.warm();
            let _ = model.infer(vec![], &Stop::default());
        }
    });
    assert!(survived.is_ok(), "it panics on this file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if inference::HAS_CANDLE { 300 } else { 2_000 }))]

    /// Mutation: leave out the sum of the tensors' lengths, or the check of a shape.
    #[test]
    fn weights_with_changed_bytes_end_in_an_error_or_a_model(
        is_chat in any::<bool>(),
        is_head in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = if is_chat { file("tiny-chat.gguf") } else { packed("tiny-bert") };
        // Most of a file is numbers, which may be anything.
        let most = if is_head { 4_096 } else { file.len() };
        for (place, byte) in changes {
            let place = place.index(most);
            file[place] = byte;
        }
        if let Some(end) = end {
            file.truncate(end.index(file.len()));
        }
        survive(&file);
    }
}
