//! The files of the example, carried in the binary, so that the demo runs in any folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::failure::{Failure, Outcome};
use crate::resource::Kind;

pub const WORKFLOW: &str = include_str!("../../../../examples/tumour-screening/workflow.yaml");
pub const CASES: &str = include_str!("../../../../examples/tumour-screening/cases.csv");
/// Not UTF-8 throughout: one of its broken rows is not.
pub const INTAKE: &[u8] = include_bytes!("../../../../examples/tumour-screening/intake.csv");
const MODEL: &str = include_str!("../../../../examples/tumour-screening/model.json");
const SITE: &str = include_str!("../../../../examples/tumour-screening/site.yaml");

/// What the owner of each of the three clinics allows.
pub const CLINIC: &str = include_str!("../../../../examples/three-clinics/site.yaml");
/// What the hub sends them.
pub const LAW: [(&str, &str); 3] = [
    ("clinics.yaml", include_str!("../../../../examples/three-clinics/law/clinics.yaml")),
    ("screening.yaml", include_str!("../../../../examples/three-clinics/law/screening.yaml")),
    (
        "screening-case.yaml",
        include_str!("../../../../examples/three-clinics/law/screening-case.yaml"),
    ),
];

/// Trained by a script beside it, which has also written down what it answers to cases that it has not seen.
pub const RISK: &[u8] = include_bytes!("../../../../testing/models/tumour-risk/tumour-risk.onnx");
pub const EXPECTED: &str = include_str!("../../../../testing/models/tumour-risk/expected.csv");

/// What the site calls it.
pub const RISK_NAME: &str = "tumour-risk@1";

/// What writes notes, and what it may ask.
pub const NOTE: &str = include_str!("../../../../examples/patient-note/workflow.yaml");
pub const NOTE_SITE: &str = include_str!("../../../../examples/patient-note/site.yaml");
pub const PATIENTS: &str = include_str!("../../../../examples/patient-note/patients.csv");
pub const WRITERS: [(Kind, &str); 3] = [
    (Kind::Model, include_str!("../../../../examples/patient-note/models/cloud.yaml")),
    (Kind::Model, include_str!("../../../../examples/patient-note/models/local.yaml")),
    (Kind::Route, include_str!("../../../../examples/patient-note/models/writer.yaml")),
];

/// Where that example expects the provider and the server beside the site.
pub const CLOUD: &str = "http://127.0.0.1:8091";
pub const LOCAL: &str = "http://127.0.0.1:8092";

/// Where `site.yaml` expects the service when the example is run by hand.
const SERVICE: &str = "http://127.0.0.1:8090";

/// The intake as the site's configuration names it.
const PATH: &str = "clinic/intake.csv";

/// Cases at this risk or above are referred.
pub const THRESHOLD: f64 = 0.5;

/// A folder of the demo's own, gone when this is dropped.
#[derive(Debug)]
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// Lays out what the site is given: its configuration, and the intake.
    pub fn lay_out(service: &str) -> Outcome<Self> {
        let failed = |cause| Failure::internal(format!("cannot write the demo's files: {cause}"));
        let folder = tempfile::Builder::new().prefix("isonomy-demo-").tempdir().map_err(failed)?;
        fs::write(folder.path().join("intake.csv"), INTAKE).map_err(failed)?;
        fs::write(folder.path().join("site.yaml"), SITE.replace(SERVICE, service))
            .map_err(failed)?;
        Ok(Self(folder))
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Removes it now, and says what is in the way.
    pub fn remove(self) -> Outcome<()> {
        let path = self.path().display().to_string();
        self.0.close().map_err(|cause| {
            Failure::internal(format!("cannot remove the demo's folder `{path}`: {cause}"))
        })
    }
}

/// The model of the three clinics, as it stands under `model` in their input.
#[must_use]
pub fn model() -> Value {
    let mut file: Value = serde_json::from_str(MODEL).expect("a test reads it");
    file["model"].take()
}

/// Names of patients, as the list has them.
pub fn patients() -> impl Iterator<Item = &'static str> {
    PATIENTS.lines().skip(1).filter_map(|line| line.split(',').next())
}

/// What the run is given.
#[must_use]
pub fn input() -> Value {
    serde_json::json!({ "path": PATH, "threshold": THRESHOLD, "model": RISK_NAME })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: move the service to another port in `site.yaml` alone.
    #[test]
    fn the_example_is_whole_and_the_configuration_names_the_demos_service() {
        assert!(model()["features"].as_array().is_some_and(|features| features.len() == 30));
        let folder = Folder::lay_out("http://127.0.0.1:1234").expect("a temporary folder");
        let config = fs::read_to_string(folder.path().join("site.yaml")).expect("it was written");
        assert!(config.contains("to: http://127.0.0.1:1234\n"), "{config}");
        assert!(NOTE_SITE.contains(CLOUD) && NOTE_SITE.contains(LOCAL));
        assert!(WRITERS[1].1.contains(LOCAL));
        let path = folder.path().to_owned();
        folder.remove().expect("nobody is in the way");
        assert!(!path.exists());
    }
}
