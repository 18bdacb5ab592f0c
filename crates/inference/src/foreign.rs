//! Files of models that are none of ours to run, by how they begin, and what to do with them.

use crate::model::LoadError;

/// For weights of language models.
pub(crate) const SERVE: &str = "serve it with llama.cpp, Ollama or vLLM and add that server's address in place of the file, such as `http://127.0.0.1:8080/v1`";

/// For weights without what belongs to them.
const FOLDER: &str = "give the folder that it lies in, with `config.json` and `tokenizer.json`";

/// For whatever a framework has saved in its own way.
const EXPORT: &str = "export the model to ONNX from the program that has made it (skl2onnx, torch.onnx, tf2onnx, onnxmltools)";

/// Refuses what is known to be something else.
pub(crate) fn refuse(file: &[u8]) -> Result<(), LoadError> {
    let (format, hint) = match file {
        // The length of its JSON, and the JSON.
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => ("safetensors alone", FOLDER),
        [b'P', b'K', 3, 4, ..] => ("PyTorch, Keras or another archive", EXPORT),
        [0x80, 2..=5, ..] => ("pickle or joblib", EXPORT),
        [0x89, b'H', b'D', b'F', ..] => ("HDF5", EXPORT),
        _ => return Ok(()),
    };
    Err(LoadError::Foreign { format, hint })
}

#[cfg(test)]
mod tests {
    use crate::Onnx;

    /// Mutation: say of weights that they are a broken ONNX file.
    #[test]
    fn files_of_others_are_refused_with_what_to_do() {
        let mut tensors = 2_u64.to_le_bytes().to_vec();
        tensors.extend(b"{}");
        for (file, format, hint) in [
            (&tensors[..], "safetensors", "`tokenizer.json`"),
            (b"PK\x03\x04", "PyTorch", "torch.onnx"),
            (b"\x80\x05\x95", "pickle", "skl2onnx"),
            (b"no model", "no ONNX file", "export"),
        ] {
            let said = Onnx::load(file).expect_err(format).to_string();
            assert!(said.contains(format) && said.contains(hint), "{said}");
        }
    }
}
