//! Taking a model's file: it is read whole, loaded once, and kept.

use axum::body::Body;
use base::{By, Namespace};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use inference::FILE_BYTES_MAX;
use sandbox::ModelError;
use serde::Serialize;
use server::{body_broken, change_op};
use store::Preconditions;
use wire::{ArtifactView, ProblemCode};

use super::artifact::{self, ArtifactDoc, UNNAMED_MAX};
use super::shelf::Models;
use crate::refusal::Refusal;

#[derive(Serialize)]
struct ChangeDoc<'a> {
    change: &'static str,
    namespace: &'a Namespace,
    digest: String,
}

impl Models {
    /// Takes a file that a model of this namespace is to name next. The same again is harmless.
    pub(crate) async fn artifact_take(
        &self,
        by: By,
        namespace: Namespace,
        body: Body,
    ) -> Result<ArtifactView, Refusal> {
        let _one = self.0.taking.lock().await;
        let file = Limited::new(body, FILE_BYTES_MAX).collect().await;
        let file: Bytes = file.map_err(|wrong| body_broken(&*wrong, FILE_BYTES_MAX))?.to_bytes();
        let loaded = self.0.processes.look(file.clone()).await.map_err(refused)?;
        let doc = ArtifactDoc::new(namespace, &file, loaded);
        let _alone = self.0.changing.lock().await;
        let view = doc.view(0);
        if self.kept().artifacts.contains_key(&doc.key()) {
            return Ok(view);
        }
        let displaced = {
            let kept = self.kept();
            let surplus = (kept.unnamed.len() + 1).saturating_sub(UNNAMED_MAX);
            kept.unnamed.iter().take(surplus).cloned().collect::<Vec<_>>()
        };
        let mut ops = artifact::forget(&self.kept().artifacts, &displaced);
        ops.extend(doc.put(file));
        let digest = view.digest.clone();
        let change = ChangeDoc { change: "artifact-put", namespace: &doc.namespace, digest };
        ops.push(change_op(&change, &by, self.0.clock.now()));
        self.0.store.commit(ops, Preconditions::none()).await?;
        let mut kept = self.kept();
        kept.forget(&displaced);
        kept.unnamed.push_back(doc.key());
        kept.artifacts.insert(doc.key(), doc);
        drop(kept);
        Ok(view)
    }
}

fn refused(error: ModelError) -> Refusal {
    match error {
        ModelError::NoModel(why) => Refusal::new(ProblemCode::BodyInvalid, why),
        ModelError::Died(_) | ModelError::Deadline { .. } => {
            let what = "the process that loads the model has died, or takes too long; models may use 2 GiB of memory and 30 seconds";
            Refusal::new(ProblemCode::BodyInvalid, what)
        }
        ModelError::Memory { needed, budget, .. } => {
            let what = format!(
                "the model needs {needed} MiB, and all models of the site may have {budget} MiB (`spec.models.memoryMiB`)"
            );
            Refusal::new(ProblemCode::Overloaded, what)
        }
        other => Refusal::new(ProblemCode::Internal, other.to_string()),
    }
}
