//! Files that were changed: an error or an answer, never a panic, and no more memory than a limit.

use std::panic::catch_unwind;
use std::sync::OnceLock;

use inference::{Model, Onnx, Stop};
use proptest::prelude::*;

use crate::repository;
use crate::written::{model, node};

/// What is changed: the model of the demo, one of layers, and others where a folder has them.
fn files() -> &'static [Vec<u8>] {
    static FILES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let demo = repository("testing/models/tumour-risk/tumour-risk.onnx");
        let mut files = vec![std::fs::read(demo).unwrap(), layers()];
        let Some(folder) = std::env::var_os("ISONOMY_MODELS") else { return files };
        let paths = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
        let models = paths.filter(|it| it.extension().is_some_and(|it| it == "onnx"));
        files.extend(models.map(|it| std::fs::read(it).unwrap()).filter(|it| it.len() < 500_000));
        files
    })
}

fn layers() -> Vec<u8> {
    model(
        &["x", "z"],
        2,
        &[
            node("Gemm", &["x", "z"], "a", &[]),
            node("Softmax", &["a"], "b", &[]),
            node("ReduceSum", &["b"], "c", &[]),
            node("Concat", &["a", "c"], "d", &[]),
            node("Transpose", &["d"], "e", &[]),
            node("ArgMax", &["e"], "f", &[]),
            node("Gather", &["d", "f"], "y", &[]),
        ],
    )
}

/// Reads a file and asks it, if it is a model.
fn survive(file: &[u8]) {
    let survived = catch_unwind(|| {
        if let Ok(model) = Onnx::load(file) {
            let _ = model.warm();
            let _ = model.infer(vec![], &Stop::default());
        }
    });
    assert!(survived.is_ok(), "it panics on this file");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Mutation: index a slice in `Forest::of` or `Window::times` without a check.
    #[test]
    fn a_file_with_changed_bytes_ends_in_an_error_or_an_answer(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = files()[which.index(files().len())].clone();
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if let Some(end) = end {
            file.truncate(end.index(file.len()));
        }
        survive(&file);
    }
}

/// Mutation: take a length of the file as it is in `Message::next`.
#[test]
fn every_single_byte_of_the_demos_model_may_be_anything() {
    let whole = &files()[0];
    for place in 0..whole.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff, whole[place] ^ 1, whole[place] ^ 0x80] {
            let mut file = whole.clone();
            file[place] = byte;
            survive(&file);
        }
    }
}
