//! What opens an upstream: a secret of the model's namespace.

use std::sync::Arc;

use base::value::as_str;
use base::{Namespace, SecretName};
use engine::secret::Secrets;
use futures::future::BoxFuture;
use gateway::desk::Credentials;

pub(crate) struct SecretsOfModels(pub Arc<dyn Secrets>);

impl Credentials for SecretsOfModels {
    fn open(
        &self,
        namespace: &Namespace,
        secret: &SecretName,
    ) -> BoxFuture<'_, Result<String, String>> {
        let value = self.0.open(namespace, &(secret.clone(), None));
        Box::pin(async move {
            let value = value.await.map_err(|fault| fault.detail.unwrap_or_default())?;
            let text = as_str(&value).ok_or("it is not a text")?;
            Ok(text.to_owned())
        })
    }
}
