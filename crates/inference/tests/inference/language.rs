//! Models of language answer as other programs do with the same files (`testing/models/language.py`).

use inference::candle::{Bert, Chat};
use inference::words::{Embed, Finish, Generate, Message, Prompt, Role, Said};
use inference::{InferError, Model, Stop};
use serde_json::Value;

use crate::weights::{file, packed};

/// Numbers of eight bits are multiplied with others of eight bits here, and were made whole there.
const EIGHT_BITS_MAX: f64 = 0.03;

/// A number differs by the order of additions alone.
const DIFFERENCE_MAX: f64 = 0.002;

fn chat(name: &str) -> Chat {
    Chat::load(&file(&format!("{name}.gguf"))).unwrap()
}

fn reference(name: &str) -> Value {
    serde_json::from_slice(&file(&format!("{name}.json"))).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|it| it.as_u64().unwrap() as u32).collect()
}

fn ask(prompt: Prompt, output_tokens_max: u64) -> Generate {
    let (temperature, top_p, stop) = (0.0, 1.0, Vec::new());
    Generate {
        prompt,
        output_tokens_max: Some(output_tokens_max),
        temperature,
        top_p,
        seed: 1,
        stop,
    }
}

fn said(model: &Chat, ask: &Generate) -> Result<(String, Said), InferError> {
    let mut text = String::new();
    let mut say = |piece: &str| {
        text.push_str(piece);
        Ok(())
    };
    let said = model.generate(ask, &mut say, &Stop::default())?;
    Ok((text, said))
}

fn user(text: &str) -> Prompt {
    Prompt::Chat(vec![Message { role: Role::User, text: text.to_owned() }])
}

/// Mutation: cut texts as another model does, join the wrong pair first, or make a mark of what people write.
#[test]
fn texts_become_the_tokens_that_other_tokenizers_make() {
    for name in ["tiny-chat", "tiny-qwen2", "tiny-qwen3", "tiny-pieces"] {
        let model = chat(name);
        for case in reference(name)["tokens"].as_array().unwrap() {
            let text = case["text"].as_str().unwrap();
            let ours = model.prompt(&Prompt::Text(text.to_owned())).unwrap();
            assert_eq!(ours, numbers(&case["ids"]), "{name}: {text:?}");
        }
    }
}

/// Mutation: turn neighbours where halves are turned, leave out a norm or a bias, or hear what comes later.
#[test]
fn tokens_are_worth_what_transformers_calculates() {
    for (name, most) in [
        ("tiny-chat", EIGHT_BITS_MAX),
        ("tiny-qwen2", DIFFERENCE_MAX),
        ("tiny-qwen3", DIFFERENCE_MAX),
        ("tiny-pieces", DIFFERENCE_MAX),
    ] {
        let model = chat(name);
        for case in reference(name)["cases"].as_array().unwrap() {
            let prompt = numbers(&case["prompt"]);
            let ours = model.worth(&prompt).unwrap();
            let theirs = case["logits"].as_array().unwrap();
            let size = ours.iter().map(|it| f64::from(it.abs())).fold(1.0, f64::max);
            for (ours, theirs) in ours.iter().zip(theirs) {
                let apart = (f64::from(*ours) - theirs.as_f64().unwrap()).abs() / size;
                assert!(apart < most, "{name}: {ours} and {theirs}");
            }
            // One after another they are worth the same as all at once: what was heard is kept.
            let mut all = prompt;
            for expected in numbers(&case["greedy"]) {
                let worth = model.worth(&all).unwrap();
                let best = worth.iter().copied().fold(f32::MIN, f32::max);
                assert!(best - worth[expected as usize] < 0.05 * size as f32, "{name}: {expected}");
                all.push(expected);
            }
        }
    }
}

/// Mutation: forget what ends an answer, count the question's tokens as the answer's, or lose what is kept
/// between two tokens.
#[test]
fn a_conversation_that_was_learned_by_heart_comes_back() {
    let model = chat("tiny-chat");
    for (question, answer) in [
        ("Say hello in one short sentence.", "Hello, I am a tiny model."),
        ("What is the capital of France?", "Paris. I know no other."),
        ("Write a note for the patient.", "Please come again in six months."),
    ] {
        let (text, counted) = said(&model, &ask(user(question), 100)).unwrap();
        assert_eq!((text.as_str(), counted.finish), (answer, Finish::Stop));
        assert_eq!(counted.input_tokens, model.prompt(&user(question)).unwrap().len() as u64);
        assert!(counted.output_tokens > 3);
    }
    let question = user("What is the capital of France?");
    let (text, counted) = said(&model, &ask(question.clone(), 3)).unwrap();
    assert_eq!((counted.finish, counted.output_tokens), (Finish::Length, 3));
    assert!("Paris. I know".starts_with(&text), "{text}");
    let until = Generate { stop: vec![". I".to_owned()], ..ask(question.clone(), 100) };
    let (text, counted) = said(&model, &until).unwrap();
    assert_eq!((text.as_str(), counted.finish), ("Paris", Finish::Stop));
    let hot = |seed| Generate { temperature: 2.0, seed, ..ask(question.clone(), 20) };
    assert_eq!(said(&model, &hot(1)).unwrap(), said(&model, &hot(1)).unwrap());
    assert_ne!(said(&model, &hot(1)).unwrap().0, said(&model, &hot(2)).unwrap().0);
}

/// Mutation: take a text that is too long, or a conversation without a form.
#[test]
fn what_does_not_fit_is_refused_with_its_numbers() {
    let long = Prompt::Text("a b ".repeat(600));
    let refused = said(&chat("tiny-chat"), &ask(long, 1)).unwrap_err().to_string();
    assert!(refused.contains("takes 512 at most"), "{refused}");
    assert_eq!(said(&chat("tiny-qwen2"), &ask(user("a"), 1)), Err(InferError::NoTemplate));
    assert_eq!(
        said(&chat("tiny-qwen2"), &ask(Prompt::Text(String::new()), 1)),
        Err(InferError::Empty)
    );
    let bert = Bert::load(&packed("tiny-bert")).unwrap();
    let refused = bert.embed(&Embed { texts: vec!["x ".repeat(60)] }, &Stop::default());
    assert!(refused.unwrap_err().to_string().contains("text 0 has"));
}

/// Mutation: pool by the first token, leave out the last step, or a norm.
#[test]
fn texts_become_the_vectors_that_sentence_transformers_makes() {
    let bert = Bert::load(&packed("tiny-bert")).unwrap();
    let cases: Vec<Value> = serde_json::from_slice(&file("tiny-bert.json")).unwrap();
    let texts = cases.iter().map(|it| it["text"].as_str().unwrap().to_owned()).collect();
    let made = bert.embed(&Embed { texts }, &Stop::default()).unwrap();
    assert_eq!(made.vectors.len(), cases.len());
    for (ours, case) in made.vectors.iter().zip(&cases) {
        let theirs = case["vector"].as_array().unwrap();
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            let apart = (f64::from(*ours) - theirs.as_f64().unwrap()).abs();
            assert!(apart < 0.000_01, "{}: {ours} and {theirs}", case["text"]);
        }
    }
}

/// Mutation: draw a token from numbers that are none.
#[test]
fn numbers_that_are_none_are_the_models_fault() {
    let mut broken = file("tiny-pieces.gguf");
    // Its numbers, at the end of the file, in halves that are not numbers.
    let from = broken.len() - 20_000;
    broken[from..].iter_mut().for_each(|it| *it = 0x7e);
    let Ok(model) = Chat::load(&broken) else { panic!("its head is whole") };
    let failed = said(&model, &ask(Prompt::Text("a".to_owned()), 1)).unwrap_err();
    assert!(failed.is_of_the_model(), "{failed}");
}
