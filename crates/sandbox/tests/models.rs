//! Models in real processes: what one of them does, the others do not feel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use inference::{Data, Datatype, Tensor};
use isonomy_sandbox::{Answered, ModelError, ModelFile, Models, ModelsConfig, Share};

/// Longer than any test: with it, nothing ends by the deadline.
const NEVER: Duration = Duration::from_secs(3_600);

/// Shorter than what `endless` does by hours, longer than any answer of the others.
const SOON: Duration = Duration::from_millis(300);

const SHARE: Share = Share { processes: 2, queue: 1_000 };

fn config() -> ModelsConfig {
    ModelsConfig::new(env!("CARGO_BIN_EXE_isonomy-jail"))
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/models/tumour-risk/tumour-risk.onnx")
}

fn row() -> Vec<Tensor> {
    vec![Tensor::new("features", vec![1, 30], Data::Fp32(vec![1.0; 30])).unwrap()]
}

async fn answers(models: &Models, name: &str) {
    let outputs = models.infer(name, &row(), NEVER).await.outputs.unwrap();
    assert_eq!(outputs[1].values.shape(), [1, 2]);
}

/// A field of a protocol buffer.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut length = content.len();
    let mut bytes = vec![number << 3 | 2];
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    [&bytes, content].concat()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|it| field(1, it.as_bytes())).collect();
    [inputs, field(2, output.as_bytes()), field(4, operator.as_bytes())].concat()
}

/// A file of a model from a table `x` to a table `y`.
fn model(path: PathBuf, nodes: &[Vec<u8>]) -> PathBuf {
    let info = [vec![8, 1], field(2, &field(1, b"").repeat(2))].concat();
    let value = |name: &str| [field(1, name.as_bytes()), field(2, &field(1, &info))].concat();
    let mut graph: Vec<u8> = nodes.iter().flat_map(|it| field(1, it)).collect();
    graph.extend([field(11, &value("x")), field(12, &value("y"))].concat());
    let opset = [field(1, b""), vec![16, 17]].concat();
    std::fs::write(&path, [field(7, &graph), field(8, &opset)].concat()).unwrap();
    path
}

/// Multiplies a square with itself a thousand times over.
fn endless(folder: &Path) -> PathBuf {
    let name = |at: u32| if at == 0 { "x".to_owned() } else { format!("v{at}") };
    let mut nodes: Vec<_> =
        (0..1_000).map(|at| node("MatMul", &[&name(at), "x"], &name(at + 1))).collect();
    nodes.push(node("Identity", &[&name(1_000)], "y"));
    model(folder.join("endless.onnx"), &nodes)
}

/// Makes a square of a column, and five more of that, all kept to the end.
fn greedy(folder: &Path) -> PathBuf {
    let names = ["a", "b", "c", "d", "e"];
    let mut nodes = vec![node("Transpose", &["x"], "t"), node("Add", &["x", "t"], "s")];
    nodes.extend(names.map(|name| node("Identity", &["s"], name)));
    nodes.push(node("Max", &names, "y"));
    model(folder.join("greedy.onnx"), &nodes)
}

fn column(length: usize) -> Vec<Tensor> {
    vec![Tensor::new("x", vec![length, 1], Data::Fp32(vec![0.5; length])).unwrap()]
}

fn square(side: usize) -> Vec<Tensor> {
    let data = Data::Fp32(vec![0.5; side * side]);
    vec![Tensor::new("x", vec![side, side], data).unwrap()]
}

/// Mutation: leave out the outputs in `Answer::encode`, or start a process for each call.
#[tokio::test]
async fn a_model_says_what_it_takes_and_answers_from_one_process() {
    let models = Models::new(config());
    models.add("risk", demo(), SHARE).unwrap();
    let metadata = models.load("risk").await.unwrap().metadata;
    assert!(metadata.opsets.contains(&("ai.onnx".to_owned(), 21)), "{:?}", metadata.opsets);
    assert_eq!(models.processes("risk"), 1);
    assert_eq!(metadata.inputs[0].shape_text(), "[-1, 30]");
    assert_eq!(metadata.outputs[0].datatype, Datatype::Bytes);
    for _ in 0..3 {
        answers(&models, "risk").await;
    }
    assert_eq!(models.stats().started, 1);
    let refused = models.infer("risk", &[], NEVER).await.outputs.unwrap_err();
    assert_eq!(refused.to_string(), "the input `features` is missing");
    assert!(matches!(models.infer("other", &[], NEVER).await.outputs, Err(ModelError::Unknown(_))));
}

/// Mutation: wait for the answer instead of killing, or kill every process.
#[tokio::test]
async fn a_model_that_hangs_is_killed_at_its_deadline_and_others_answer_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::new(config());
    models.add("risk", demo(), SHARE).unwrap();
    models.add("endless", endless(folder.path()), SHARE).unwrap();
    answers(&models, "risk").await;
    models.load("endless").await.unwrap();
    let (inputs, other) = (square(2_000), models.clone());
    let hangs = tokio::spawn(async move { other.infer("endless", &inputs, SOON).await });
    answers(&models, "risk").await;
    let late = hangs.await.unwrap();
    assert!(late.busy >= SOON / 2, "what it has worked is told: {late:?}");
    let late = late.outputs.unwrap_err();
    assert_eq!(late.to_string(), "the model `endless` did not answer within 300ms");
    answers(&models, "risk").await;
    assert_eq!((models.stats().started, models.stats().died), (2, 1));
    // It works again, with what it can do.
    assert!(models.infer("endless", &square(2), NEVER).await.outputs.is_ok());
    assert_eq!(models.stats().started, 3);
}

/// Mutation: leave out `confine`, or count a death as a refusal.
#[tokio::test]
async fn a_model_that_takes_too_much_memory_dies_alone_and_rests_if_it_does_so_again() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::new(ModelsConfig { memory_bytes: 200 * 1024 * 1024, ..config() });
    models.add("risk", demo(), SHARE).unwrap();
    models.add("greedy", greedy(folder.path()), SHARE).unwrap();
    answers(&models, "risk").await;
    let large = column(4_000);
    for _ in 0..2 {
        let died = models.infer("greedy", &large, NEVER).await.outputs.unwrap_err();
        assert!(matches!(died, ModelError::Died(_)), "{died}");
    }
    let rests = models.infer("greedy", &large, NEVER).await.outputs.unwrap_err();
    assert!(matches!(rests, ModelError::Resting { deaths: 2, .. }), "{rests}");
    answers(&models, "risk").await;
    assert_eq!((models.stats().started, models.stats().died), (3, 2));
}

/// Mutation: evict the model asked last, or do not give a charge back.
#[tokio::test]
async fn the_model_asked_longest_ago_goes_when_the_budget_is_spent() {
    // Two of the demo's model fit, three do not.
    let models = Models::new(ModelsConfig { budget_bytes: 17 * 1024 * 1024, ..config() });
    for name in ["a", "b", "c"] {
        models.add(name, demo(), SHARE).unwrap();
    }
    answers(&models, "a").await;
    answers(&models, "b").await;
    answers(&models, "a").await;
    assert_eq!((models.stats().started, models.stats().evicted), (2, 0));
    answers(&models, "c").await;
    assert_eq!((models.stats().started, models.stats().evicted), (3, 1));
    answers(&models, "a").await;
    assert_eq!(models.stats().started, 3, "`b` was asked longer ago than `a`");
    models.unload("a").unwrap();
    assert!(models.remove("c"));
    assert_eq!(models.stats().held_bytes, 0);
    let none = Models::new(ModelsConfig { budget_bytes: 1024, ..config() });
    none.add("a", demo(), SHARE).unwrap();
    let refused = none.infer("a", &row(), NEVER).await.outputs.unwrap_err();
    assert!(matches!(refused, ModelError::Memory { needed: 8, .. }), "{refused}");
}

/// Reads a demo's file as slowly as somebody says.
struct Slow(std::sync::Arc<tokio::sync::Semaphore>);

impl ModelFile for Slow {
    fn bytes(&self) -> Answered<'_, u64> {
        Box::pin(async { Ok(4_096) })
    }

    fn read(&self) -> Answered<'_, bytes::Bytes> {
        Box::pin(async {
            let _may = self.0.acquire().await.expect("the semaphore is not closed");
            Ok(tokio::fs::read(demo()).await?.into())
        })
    }
}

/// Mutation: wait for a start without the deadline, or end the start with its call.
#[tokio::test]
async fn a_start_counts_and_goes_on_for_later_calls() {
    let models = Models::new(config());
    let may = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let share = Share { processes: 1, queue: 10 };
    models.add("slow", Slow(std::sync::Arc::clone(&may)), share).unwrap();
    let late = models.infer("slow", &row(), SOON).await.outputs.unwrap_err();
    assert_eq!(late.to_string(), "the model `slow` did not answer within 300ms");
    let later = models.clone();
    let later = tokio::spawn(async move { answers(&later, "slow").await });
    may.add_permits(1);
    later.await.unwrap();
    assert_eq!((models.stats().started, models.stats().died), (1, 0));
}

/// Mutation: refuse at once where all processes work, or let nobody know that one rests.
#[tokio::test]
async fn calls_wait_for_the_memory_that_others_work_with() {
    let folder = tempfile::tempdir().unwrap();
    // Two fit, and twenty calls ask for five.
    let models = Models::new(ModelsConfig { budget_bytes: 17 * 1024 * 1024, ..config() });
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        models.add(name, demo(), SHARE).unwrap();
    }
    let calls: Vec<_> = (0..20)
        .map(|at| {
            let models = models.clone();
            tokio::spawn(async move { answers(&models, names[at % names.len()]).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert!(models.stats().held_bytes <= 17 * 1024 * 1024);
    // Two that work without an end leave no room; whoever waits in vain is told what for.
    for name in ["long", "longer"] {
        models.add(name, endless(folder.path()), SHARE).unwrap();
        models.load(name).await.unwrap();
    }
    let (inputs, one) = (square(300), row());
    let waited = tokio::select! {
        biased;
        ended = models.infer("long", &inputs, NEVER) => panic!("{ended:?}"),
        ended = models.infer("longer", &inputs, NEVER) => panic!("{ended:?}"),
        waited = models.infer("a", &one, SOON) => waited.outputs.map(drop),
    };
    assert!(matches!(waited, Err(ModelError::Memory { .. })), "{waited:?}");
    answers(&models, "a").await;
}

/// Mutation: let every call wait, or count those at work as waiting.
#[tokio::test]
async fn calls_beyond_the_queue_of_a_model_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let models = Models::new(config());
    let share = Share { processes: 1, queue: 1 };
    models.add("endless", endless(folder.path()), share).unwrap();
    models.load("endless").await.unwrap();
    let ask = |deadline| {
        let models = models.clone();
        async move { models.infer("endless", &square(2_000), deadline).await.outputs.map(drop) }
    };
    let (first, second, third) = tokio::join!(ask(4 * SOON), ask(SOON), ask(NEVER));
    assert!(matches!(first, Err(ModelError::Deadline { .. })), "{first:?}");
    assert!(matches!(second, Err(ModelError::Deadline { .. })), "{second:?}");
    assert!(matches!(third, Err(ModelError::Overloaded(_))), "{third:?}");
    assert_eq!(models.stats().died, 1, "the one that waited was not worked on");
}

/// Mutation: take any answer of a child as a model.
#[tokio::test]
async fn a_file_that_is_no_model_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("note.txt");
    std::fs::write(&path, "no model").unwrap();
    let models = Models::new(config());
    models.add("note", path, SHARE).unwrap();
    let refused = models.load("note").await.unwrap_err();
    assert_eq!(refused.to_string(), "this is no ONNX file; export the model again");
    models.add("none", folder.path().join("none.onnx"), SHARE).unwrap();
    assert!(matches!(models.load("none").await, Err(ModelError::File { .. })));
    assert_eq!(models.stats().held_bytes, 0);
}

#[cfg(feature = "candle")]
mod language {
    use inference::words::{Embed, Finish, Generate, Message, Prompt, Role, Said};
    use isonomy_sandbox::Part;

    use super::*;

    fn file(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/models").join(name)
    }

    fn ask(text: &str, output_tokens_max: u64) -> Generate {
        let messages = vec![Message { role: Role::User, text: text.to_owned() }];
        Generate {
            prompt: Prompt::Chat(messages),
            output_tokens_max: Some(output_tokens_max),
            temperature: 0.0,
            top_p: 1.0,
            seed: 1,
            stop: Vec::new(),
        }
    }

    /// All pieces, and the end.
    async fn heard(models: &Models, name: &str, ask: &Generate) -> (Vec<String>, Said) {
        let mut speech = models.generate(name, ask, NEVER).await.speech.unwrap();
        let mut pieces = Vec::new();
        loop {
            match speech.next().await.unwrap().unwrap() {
                Part::Text(text) => pieces.push(text),
                Part::End(said) => {
                    assert!(speech.next().await.is_none());
                    assert!(speech.busy() > Duration::ZERO);
                    return (pieces, said);
                }
            }
        }
    }

    /// Mutation: answer whole, lose a piece, or start a process for each answer.
    #[tokio::test]
    async fn a_model_of_language_answers_piece_by_piece_from_one_process() {
        let models = Models::new(config());
        models.add("chat", file("tiny-chat.gguf"), SHARE).unwrap();
        let language = models.load("chat").await.unwrap().metadata.language.unwrap();
        assert_eq!(language.architecture, "llama");
        for _ in 0..2 {
            let (pieces, said) = heard(&models, "chat", &ask("Who are you?", 100)).await;
            assert_eq!(pieces.concat(), "A model that fits into a letter.");
            assert!(pieces.len() > 3, "{pieces:?}");
            assert_eq!(said.finish, Finish::Stop);
        }
        let refused =
            models.embed("chat", &Embed { texts: vec![] }, NEVER).await.vectors.unwrap_err();
        assert_eq!(refused.to_string(), "this model is not for vectors of texts");
        let long = ask(&"a ".repeat(1_000), 1);
        let refused = models.generate("chat", &long, NEVER).await.speech.unwrap_err();
        assert!(refused.to_string().contains("takes 512 at most"), "{refused}");
        assert_eq!((models.stats().started, models.stats().died), (1, 0));
    }

    /// Mutation: let the process go on that nobody hears, or give its place to nobody.
    #[tokio::test]
    async fn whoever_hears_no_more_ends_the_process_and_the_next_call_has_one() {
        let models = Models::new(config());
        models.add("chat", file("tiny-chat.gguf"), Share { processes: 1, queue: 1 }).unwrap();
        let long = Generate { temperature: 2.0, ..ask("Who are you?", 400) };
        let mut speech = models.generate("chat", &long, NEVER).await.speech.unwrap();
        assert!(matches!(speech.next().await, Some(Ok(Part::Text(_)))));
        drop(speech);
        let (pieces, _) = heard(&models, "chat", &ask("Who are you?", 100)).await;
        assert!(!pieces.is_empty());
        assert_eq!(models.stats().started, 2);
    }

    /// Mutation: take what a broken model says for an answer, or blame whoever has asked.
    #[tokio::test]
    async fn a_model_of_numbers_that_are_none_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut broken = std::fs::read(file("tiny-chat.gguf")).unwrap();
        let from = broken.len() - 20_000;
        broken[from..].iter_mut().for_each(|it| *it = 0x7e);
        let path = folder.path().join("broken.gguf");
        std::fs::write(&path, broken).unwrap();
        let models = Models::new(config());
        models.add("broken", path, SHARE).unwrap();
        models.add("chat", file("tiny-chat.gguf"), SHARE).unwrap();
        let failed = models.generate("broken", &ask("a", 5), NEVER).await.speech.unwrap_err();
        assert!(matches!(failed, ModelError::Failed { .. }), "{failed}");
        let (pieces, _) = heard(&models, "chat", &ask("Who are you?", 100)).await;
        assert!(!pieces.is_empty());
    }

    /// Mutation: count nothing for weights, or evict the model asked last.
    #[tokio::test]
    async fn weights_fall_under_the_same_budget_of_memory() {
        let models = Models::new(ModelsConfig { budget_bytes: 17 * 1024 * 1024, ..config() });
        models.add("risk", demo(), SHARE).unwrap();
        models.add("chat", file("tiny-chat.gguf"), SHARE).unwrap();
        models.add("other", file("tiny-qwen2.gguf"), SHARE).unwrap();
        answers(&models, "risk").await;
        heard(&models, "chat", &ask("Who are you?", 5)).await;
        models.load("other").await.unwrap();
        assert_eq!((models.stats().evicted, models.processes("risk")), (1, 0));
        assert_eq!((models.processes("chat"), models.processes("other")), (1, 1));
    }
}
