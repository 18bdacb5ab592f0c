//! The port behind which a site keeps its secrets. One implementation is in `site`.

use base::{ErrorType, Fault, Namespace, SecretName, SecretVersion, Value};
use futures::FutureExt;
use futures::future::BoxFuture;

/// A secret that an effect may read, in the version that its run was started with. `None` is
/// whatever the provider has: it counts no versions, or there was none when the run began.
pub type SecretUse = (SecretName, Option<SecretVersion>);

/// Whoever keeps secrets. Values go to performers only.
pub trait Secrets: Send + Sync + 'static {
    /// The newest versions now. A secret that is not there, or whose provider counts none, is left
    /// out: that it is missing is an error of the effect that reads it, not of the run's start.
    fn versions(
        &self,
        namespace: &Namespace,
        names: &[SecretName],
    ) -> BoxFuture<'static, Vec<(SecretName, SecretVersion)>>;

    /// The value, or an error as the workflow sees it, without any value in its text.
    fn open(
        &self,
        namespace: &Namespace,
        secret: &SecretUse,
    ) -> BoxFuture<'static, Result<Value, Fault>>;
}

/// A site without secrets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn versions(
        &self,
        _namespace: &Namespace,
        _names: &[SecretName],
    ) -> BoxFuture<'static, Vec<(SecretName, SecretVersion)>> {
        std::future::ready(Vec::new()).boxed()
    }

    fn open(
        &self,
        namespace: &Namespace,
        (name, _): &SecretUse,
    ) -> BoxFuture<'static, Result<Value, Fault>> {
        std::future::ready(Err(missing(namespace, name))).boxed()
    }
}

/// The error of a secret that is not there, as the language wants it.
#[must_use]
pub fn missing(namespace: &Namespace, name: &SecretName) -> Fault {
    let detail = format!(
        "namespace `{namespace}` has no secret `{name}`; set it with `isonomy secrets set {name} -n {namespace}` and retry the run"
    );
    Fault::new(ErrorType::Authorization, detail).with_title("No such secret")
}
