//! Who a request says it is: the language's five schemes.
//!
//! `policy` is what the author wrote, `digest` and `jwt` compute, `token` asks for tokens. Here it is
//! put together: [`Session`] gives the first authorization, and an answer to a server that refuses
//! it; [`send`] does the round trips. Any performer that sends requests can use both.

mod digest;
mod jwt;
mod policy;
mod token;

use base::value::{object, string};
use base::{Clock, Fault, Namespace, Random, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gateway::{Answer, Caller, Gate, OutError, OutRequest, OutResponse, Ruling};
use http::StatusCode;
use http::header::AUTHORIZATION;
use spec::tree::Scheme;

use self::policy::Policy;
use self::token::TokenKey;
pub(crate) use self::token::Tokens;

/// With what tokens are asked for.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) caller: Caller<'a>,
    pub(crate) tokens: &'a Tokens,
    pub(crate) traceparent: &'a str,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) random: &'a dyn Random,
}

impl Asking<'_> {
    /// 128 random bits.
    fn nonce(&self) -> String {
        format!("{:016x}{:016x}", self.random.u64(), self.random.u64())
    }
}

/// The value of an `Authorization` header: `$authorization` in the language.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    pub(crate) scheme: String,
    pub(crate) parameter: String,
}

impl Authorization {
    pub(crate) fn as_value(&self) -> Value {
        object([("scheme", string(&self.scheme)), ("parameter", string(&self.parameter))])
    }

    fn header(&self) -> String {
        format!("{} {}", self.scheme, self.parameter)
    }
}

/// Why there is no authorization, and what the gate said last.
#[derive(Debug)]
pub(crate) struct Unauthenticated {
    pub(crate) fault: Fault,
    pub(crate) ruling: Option<Box<Ruling>>,
}

impl From<Fault> for Unauthenticated {
    fn from(fault: Fault) -> Self {
        Self { fault, ruling: None }
    }
}

/// One request's authentication.
pub(crate) struct Session<'a> {
    asking: Asking<'a>,
    policy: Policy,
    key: TokenKey,
    /// A token that was there already may have been revoked: then a new one is tried, once.
    kept: Option<String>,
    /// All that was said, so that it can be masked where it comes back.
    said: Vec<String>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        asking: Asking<'a>,
        namespace: &Namespace,
        scheme: Scheme,
        properties: &Value,
    ) -> Result<Self, Fault> {
        let policy = Policy::parse(scheme, properties)?;
        let key = TokenKey::new(namespace, scheme.name(), properties);
        Ok(Self { asking, policy, key, kept: None, said: Vec::new() })
    }

    /// What was sent as authorization so far.
    pub(crate) fn said(&self) -> impl Iterator<Item = &str> {
        self.said.iter().map(String::as_str)
    }

    /// What can be said before the server has asked.
    pub(crate) async fn first(&mut self) -> Result<Option<Authorization>, Unauthenticated> {
        let first = self.initial().await?;
        self.said.extend(first.iter().map(|first| first.parameter.clone()));
        Ok(first)
    }

    async fn initial(&mut self) -> Result<Option<Authorization>, Unauthenticated> {
        Ok(match &self.policy {
            Policy::Basic(credentials) => {
                let pair = format!("{}:{}", credentials.username, credentials.password);
                Some(authorization("Basic", &STANDARD.encode(pair)))
            }
            Policy::Bearer(token) => Some(authorization("Bearer", token)),
            Policy::Digest(_) => None,
            Policy::Token(policy) => {
                let (issued, was_kept) =
                    self.asking.tokens.get(&self.key, policy, &self.asking).await?;
                self.kept = was_kept.then(|| issued.token.clone());
                Some(authorization(&issued.scheme, &issued.token))
            }
        })
    }

    /// What can be said to a server that was not satisfied; nothing where it is no use.
    pub(crate) async fn again(
        &mut self,
        refused: &OutResponse,
    ) -> Result<Option<Authorization>, Unauthenticated> {
        match &self.policy {
            Policy::Basic(_) | Policy::Bearer(_) => Ok(None),
            Policy::Digest(credentials) => {
                let Some(challenge) = digest::challenge(&refused.headers) else { return Ok(None) };
                let request = &refused.request;
                let (method, target) = (request.method(), request.target());
                let nonce = self.asking.nonce();
                let answer = digest::answer(&challenge, credentials, method, &target, &nonce);
                Ok(Some(authorization("Digest", &answer)))
            }
            Policy::Token(_) => match self.kept.take() {
                None => Ok(None),
                Some(token) => {
                    self.asking.tokens.forget(&self.key, &token).await;
                    self.first().await
                }
            },
        }
    }
}

fn authorization(scheme: &str, parameter: &str) -> Authorization {
    Authorization { scheme: scheme.to_owned(), parameter: parameter.to_owned() }
}

/// Sends a request with `first`, and once more if the server asks for another authorization. The
/// author's own `Authorization` header wins over both.
pub(crate) async fn send(
    session: &mut Session<'_>,
    first: Option<&Authorization>,
    request: OutRequest,
) -> Result<Answer, Unauthenticated> {
    let Asking { gate, caller, .. } = session.asking;
    if request.headers().contains_key(AUTHORIZATION) {
        return Ok(gate.request(caller, request).await);
    }
    let destination = request.destination().clone();
    let mut request = request;
    if let Some(first) = first {
        request.authorize(&first.header()).map_err(|error| invalid(&error))?;
    }
    let answer = gate.request(caller, request).await;
    let Ok(response) = &answer.result else { return Ok(answer) };
    // Whoever we were redirected to is not the one who may ask for our credentials.
    let is_asked = response.status == StatusCode::UNAUTHORIZED
        && *response.request.destination() == destination;
    if !is_asked {
        return Ok(answer);
    }
    let Some(next) = session.again(response).await? else { return Ok(answer) };
    let mut request = response.request.clone();
    request.authorize(&next.header()).map_err(|error| invalid(&error))?;
    Ok(gate.request(caller, request).await)
}

fn invalid(error: &OutError) -> Unauthenticated {
    crate::http::fault_of(error).into()
}
