//! The properties of a scheme, as the document or a secret has them: parsed once, before anything
//! is asked.

use base::value::{as_array, as_str, get, kind};
use base::{ErrorType, Fault, Value};
use spec::tree::Scheme;

/// An authentication with everything known.
pub(crate) enum Policy {
    Basic(Credentials),
    Bearer(String),
    Digest(Credentials),
    Token(Box<TokenPolicy>),
}

pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// `oauth2` and `oidc`: a token is asked for first.
pub(crate) struct TokenPolicy {
    /// Without a slash at its end.
    pub(crate) authority: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) grant: Grant,
    pub(crate) client: Client,
    pub(crate) is_json: bool,
    pub(crate) issuers: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) audiences: Vec<String>,
}

/// Where tokens are asked for.
pub(crate) enum Endpoint {
    /// Below the authority, or an address of its own.
    Path(String),
    /// What the authority's discovery document says.
    Discovered,
}

pub(crate) enum Grant {
    ClientCredentials,
    Password(Credentials),
    RefreshToken(String),
    Exchange { subject: Token, actor: Option<Token> },
}

pub(crate) struct Token {
    pub(crate) token: String,
    pub(crate) kind: String,
}

pub(crate) struct Client {
    pub(crate) id: Option<String>,
    pub(crate) method: Method,
}

/// How the client shows who it is.
pub(crate) enum Method {
    SecretBasic(String),
    SecretPost(String),
    SecretJwt(String),
    /// A signed assertion, or the key to sign one with.
    PrivateKeyJwt(String),
    None,
}

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Where tokens are, unless the document says otherwise.
const TOKEN_PATH: &str = "/oauth2/token";

impl Policy {
    pub(crate) fn parse(scheme: Scheme, value: &Value) -> Result<Self, Fault> {
        let parsed;
        let value = match (scheme, as_str(value)) {
            // A bearer's secret may be the token itself.
            (Scheme::Bearer, Some(token)) if !token.trim_start().starts_with('{') => {
                return Ok(Self::Bearer(token.trim().to_owned()));
            }
            // A provider that knows only text gives an object as its JSON.
            (_, Some(text)) => {
                parsed = base::value::parse(text.as_bytes()).unwrap_or(Value::Null);
                &parsed
            }
            (_, None) => value,
        };
        let fields = Fields { scheme, at: "", value };
        if base::value::as_object(value).is_none() {
            return Err(fields.wrong("it has no properties: a secret for it is an object"));
        }
        Ok(match scheme {
            Scheme::Basic => Self::Basic(fields.credentials()?),
            Scheme::Bearer => Self::Bearer(fields.text("token")?),
            Scheme::Digest => Self::Digest(fields.credentials()?),
            Scheme::OAuth2 | Scheme::Oidc => Self::Token(Box::new(fields.token_policy()?)),
        })
    }
}

/// Reads properties. Errors name them, and never show what they hold.
struct Fields<'a> {
    scheme: Scheme,
    at: &'static str,
    value: &'a Value,
}

impl<'a> Fields<'a> {
    fn wrong(&self, what: &str) -> Fault {
        let detail = format!("the authentication `{}`: {what}", self.scheme.name());
        Fault::new(ErrorType::Configuration, detail).with_title("Invalid authentication")
    }

    fn inner(&self, at: &'static str) -> Fields<'a> {
        let null = &Value::Null;
        Fields { scheme: self.scheme, at, value: get(self.value, at).unwrap_or(null) }
    }

    fn optional(&self, name: &str) -> Result<Option<String>, Fault> {
        match get(self.value, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match as_str(value) {
                Some(text) => Ok(Some(text.to_owned())),
                None => Err(self.wrong(&format!(
                    "`{}{name}` is {}, not a string",
                    self.at(),
                    kind(value)
                ))),
            },
        }
    }

    fn text(&self, name: &str) -> Result<String, Fault> {
        let found = self.optional(name)?.filter(|text| !text.is_empty());
        found.ok_or_else(|| self.wrong(&format!("`{}{name}` is missing", self.at())))
    }

    fn at(&self) -> String {
        if self.at.is_empty() { String::new() } else { format!("{}.", self.at) }
    }

    fn list(&self, name: &str) -> Result<Vec<String>, Fault> {
        let Some(value) = get(self.value, name).filter(|value| **value != Value::Null) else {
            return Ok(Vec::new());
        };
        let items = as_array(value).and_then(|items| {
            items.iter().map(|item| as_str(item).map(str::to_owned)).collect::<Option<_>>()
        });
        items.ok_or_else(|| self.wrong(&format!("`{name}` is not a list of strings")))
    }

    fn credentials(&self) -> Result<Credentials, Fault> {
        Ok(Credentials { username: self.text("username")?, password: self.text("password")? })
    }

    fn token(&self, name: &'static str) -> Result<Token, Fault> {
        let fields = self.inner(name);
        Ok(Token { token: fields.text("token")?, kind: fields.text("type")? })
    }

    fn token_policy(&self) -> Result<TokenPolicy, Fault> {
        let endpoint = match self.scheme {
            Scheme::Oidc => Endpoint::Discovered,
            Scheme::Basic | Scheme::Bearer | Scheme::Digest | Scheme::OAuth2 => {
                let path = self.inner("endpoints").optional("token")?;
                Endpoint::Path(path.unwrap_or_else(|| TOKEN_PATH.to_owned()))
            }
        };
        let encoding = self.inner("request").optional("encoding")?;
        let is_json = match encoding.as_deref() {
            None | Some("application/x-www-form-urlencoded") => false,
            Some("application/json") => true,
            Some(_) => return Err(self.wrong("`request.encoding` is not one of the language's")),
        };
        Ok(TokenPolicy {
            authority: self.text("authority")?.trim_end_matches('/').to_owned(),
            endpoint,
            grant: self.grant()?,
            client: self.client()?,
            is_json,
            issuers: self.list("issuers")?,
            scopes: self.list("scopes")?,
            audiences: self.list("audiences")?,
        })
    }

    fn grant(&self) -> Result<Grant, Fault> {
        Ok(match &*self.text("grant")? {
            "client_credentials" => Grant::ClientCredentials,
            "password" => Grant::Password(self.credentials()?),
            "refresh_token" => Grant::RefreshToken(self.inner("subject").text("token")?),
            EXCHANGE => {
                let has_actor = get(self.value, "actor").is_some_and(|it| *it != Value::Null);
                let actor = if has_actor { Some(self.token("actor")?) } else { None };
                Grant::Exchange { subject: self.token("subject")?, actor }
            }
            "authorization_code" => {
                return Err(self.wrong("the grant `authorization_code` needs a person at a browser; use `client_credentials` or `refresh_token`"));
            }
            _ => return Err(self.wrong("`grant` is not one of the language's")),
        })
    }

    fn client(&self) -> Result<Client, Fault> {
        let client = self.inner("client");
        let id = client.optional("id")?;
        let named = client.optional("authentication")?;
        let method = match named.as_deref() {
            None | Some("client_secret_post") => Method::SecretPost(client.text("secret")?),
            Some("client_secret_basic") => Method::SecretBasic(client.text("secret")?),
            Some("client_secret_jwt") => Method::SecretJwt(client.text("secret")?),
            Some("private_key_jwt") => Method::PrivateKeyJwt(client.text("assertion")?),
            Some("none") => Method::None,
            Some(_) => {
                return Err(self.wrong("`client.authentication` is not one of the language's"));
            }
        };
        if id.is_none() && !matches!(method, Method::None) {
            return Err(self.wrong("`client.id` is missing"));
        }
        Ok(Client { id, method })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(scheme: Scheme, json: &str) -> String {
        match Policy::parse(scheme, &base::value::parse(json.as_bytes()).expect("json")) {
            Ok(_) => "ok".to_owned(),
            Err(fault) => fault.detail.unwrap_or_default(),
        }
    }

    /// Mutation: show a value, or take a missing property for an empty one.
    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_its_value() {
        let check = |scheme, json: &str, expected: &str| {
            assert_eq!(said(scheme, json), expected, "{json}");
            assert!(!expected.contains("s3cret"));
        };
        check(Scheme::Basic, r#"{"username":"a","password":"s3cret"}"#, "ok");
        check(Scheme::Basic, r#""{\"username\":\"a\",\"password\":\"s3cret\"}""#, "ok");
        check(Scheme::Bearer, r#""s3cret""#, "ok");
        check(
            Scheme::Basic,
            r#""s3cret""#,
            "the authentication `basic`: it has no properties: a secret for it is an object",
        );
        check(
            Scheme::Digest,
            r#"{"username":"a"}"#,
            "the authentication `digest`: `password` is missing",
        );
        check(
            Scheme::Basic,
            r#"{"username":"a","password":4711}"#,
            "the authentication `basic`: `password` is a number, not a string",
        );
        let oauth = |rest: &str| {
            format!(r#"{{"authority":"http://a","grant":"client_credentials",{rest}}}"#)
        };
        check(Scheme::OAuth2, &oauth(r#""client":{"id":"i","secret":"s3cret"}"#), "ok");
        check(Scheme::Oidc, &oauth(r#""client":{"authentication":"none"}"#), "ok");
        check(
            Scheme::OAuth2,
            &oauth(r#""client":{"id":"i"}"#),
            "the authentication `oauth2`: `client.secret` is missing",
        );
        check(
            Scheme::OAuth2,
            &oauth(r#""client":{"secret":"s3cret"}"#),
            "the authentication `oauth2`: `client.id` is missing",
        );
        check(
            Scheme::OAuth2,
            &oauth(r#""scopes":"s3cret","client":{"authentication":"none"}"#),
            "the authentication `oauth2`: `scopes` is not a list of strings",
        );
        check(
            Scheme::Oidc,
            r#"{"authority":"http://a","grant":"s3cret"}"#,
            "the authentication `oidc`: `grant` is not one of the language's",
        );
    }
}
