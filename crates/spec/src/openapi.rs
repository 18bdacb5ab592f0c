//! What an OpenAPI document (3.0, 3.1, or Swagger 2.0) says about one operation: where it is, what it
//! takes, and in which form. What a workflow gives it is read in `read/openapi`.

use base::Value;
use base::value::{as_array, as_object, as_str, get, to_json_string};

use crate::node::escape;
use crate::tree::{ListStyle, Place};

/// References that lead to references. More is a loop.
const REFERENCES_MAX: usize = 16;

/// Operations of one document. The largest public ones have two thousand.
const OPERATIONS_MAX: usize = 20_000;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// One operation, in the words of HTTP.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeclaredOperation {
    /// Upper case.
    pub(crate) method: String,
    /// Absolute, with `{name}` places for parameters in the path.
    pub(crate) address: String,
    pub(crate) parameters: Vec<Declared>,
    pub(crate) body: Option<DeclaredBody>,
}

/// A parameter as it is declared.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Declared {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) required: bool,
    pub(crate) list: ListStyle,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeclaredBody {
    pub(crate) content_type: String,
    pub(crate) required: bool,
    /// Swagger 2.0 gives the body the name of a parameter.
    pub(crate) name: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenApiError {
    #[error(
        "it is no OpenAPI document: there is neither `openapi: 3.…` nor `swagger: '2.0'` in it"
    )]
    NotOpenApi,
    #[error("there is no operation `{id}` in it")]
    NoOperation { id: String, known: Vec<String> },
    #[error("{place}: {what}")]
    Invalid { place: String, what: String },
}

fn invalid(place: &str, what: impl Into<String>) -> OpenApiError {
    OpenApiError::Invalid { place: place.to_owned(), what: what.into() }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Swagger,
    OpenApi,
}

/// Finds an operation. `at` is the document's own address, which relative servers refer to.
pub(crate) fn operation(
    document: &Value,
    at: &str,
    id: &str,
) -> Result<DeclaredOperation, OpenApiError> {
    let dialect = dialect(document).ok_or(OpenApiError::NotOpenApi)?;
    let mut known = Vec::new();
    let paths = get(document, "paths").and_then(as_object);
    for (path, item) in paths.into_iter().flatten() {
        let path = as_str(path).unwrap_or_default();
        let place = format!("/paths/{}", escape(path));
        let item = resolve(document, item, &place)?;
        for method in METHODS {
            let Some(operation) = get(item, method) else { continue };
            let Some(found) = get(operation, "operationId").and_then(as_str) else { continue };
            if found == id {
                let place = format!("{place}/{method}");
                let reading = Reading { document, dialect, at, place: &place };
                return reading.operation(method, path, item, operation);
            }
            if known.len() < OPERATIONS_MAX {
                known.push(found.to_owned());
            }
        }
    }
    Err(OpenApiError::NoOperation { id: id.to_owned(), known })
}

fn dialect(document: &Value) -> Option<Dialect> {
    let version = |field: &str| match get(document, field)? {
        // `swagger: 2.0` without quotes is a number to YAML.
        number @ Value::Num(_) => Some(to_json_string(number)),
        text => as_str(text).map(str::to_owned),
    };
    if version("openapi").is_some_and(|version| version.starts_with("3.")) {
        return Some(Dialect::OpenApi);
    }
    version("swagger").filter(|version| version.starts_with('2')).map(|_| Dialect::Swagger)
}

/// Follows `$ref` within the document.
fn resolve<'v>(
    document: &'v Value,
    value: &'v Value,
    place: &str,
) -> Result<&'v Value, OpenApiError> {
    let mut value = value;
    for _ in 0..REFERENCES_MAX {
        let Some(reference) = get(value, "$ref").and_then(as_str) else { return Ok(value) };
        let pointer = reference
            .strip_prefix("#/")
            .ok_or_else(|| invalid(place, "a `$ref` leads out of the document"))?;
        let mut target = document;
        for step in pointer.split('/') {
            let step = step.replace("~1", "/").replace("~0", "~");
            target =
                get(target, &step).ok_or_else(|| invalid(place, "a `$ref` leads to nothing"))?;
        }
        value = target;
    }
    Err(invalid(place, "its `$ref`s go round in a circle"))
}

struct Reading<'v> {
    document: &'v Value,
    dialect: Dialect,
    at: &'v str,
    place: &'v str,
}

impl<'v> Reading<'v> {
    fn operation(
        &self,
        method: &str,
        path: &str,
        item: &'v Value,
        operation: &'v Value,
    ) -> Result<DeclaredOperation, OpenApiError> {
        let server = match self.dialect {
            Dialect::OpenApi => self.server(item, operation)?,
            Dialect::Swagger => self.swagger_server(operation)?,
        };
        let mut parameters: Vec<Declared> = Vec::new();
        let mut body = None;
        let mut form = false;
        // What the operation says of a parameter goes before what its path says.
        for holder in [operation, item] {
            for declared in get(holder, "parameters").and_then(as_array).unwrap_or_default() {
                let declared = resolve(self.document, declared, self.place)?;
                let text = |field| get(declared, field).and_then(as_str);
                let (Some(name), Some(place)) = (text("name"), text("in")) else {
                    return Err(invalid(self.place, "a parameter has no `name` or no `in`"));
                };
                let required = get(declared, "required") == Some(&Value::Bool(true));
                let place = match place {
                    "path" => Place::Path,
                    "query" => Place::Query,
                    "header" => Place::Header,
                    "cookie" => Place::Cookie,
                    "body" => {
                        let content_type = self.consumes(operation);
                        let name = Some(name.to_owned());
                        body.get_or_insert(DeclaredBody { content_type, required, name });
                        continue;
                    }
                    "formData" => {
                        form = true;
                        continue;
                    }
                    other => {
                        return Err(invalid(self.place, format!("a parameter is in `{other}`")));
                    }
                };
                if !parameters.iter().any(|it| it.name == name && it.place == place) {
                    let list = self.list_style(declared, place);
                    parameters.push(Declared { name: name.to_owned(), place, required, list });
                }
            }
        }
        if form {
            let content_type = FORM.to_owned();
            body.get_or_insert(DeclaredBody { content_type, required: false, name: None });
        }
        if self.dialect == Dialect::OpenApi {
            body = self.request_body(operation)?;
        }
        let address = format!("{}{path}", server.trim_end_matches('/'));
        Ok(DeclaredOperation { method: method.to_ascii_uppercase(), address, parameters, body })
    }

    /// How a list of values is written.
    fn list_style(&self, declared: &Value, place: Place) -> ListStyle {
        let text = |field| get(declared, field).and_then(as_str);
        let exploded = get(declared, "explode");
        match (self.dialect, text("collectionFormat"), text("style")) {
            (Dialect::Swagger, Some("multi"), _) => ListStyle::Repeated,
            (Dialect::Swagger, Some("ssv"), _) => ListStyle::Joined(' '),
            (Dialect::Swagger, Some("pipes"), _) => ListStyle::Joined('|'),
            (Dialect::Swagger, Some("tsv"), _) => ListStyle::Joined('\t'),
            (Dialect::Swagger, ..) => ListStyle::Joined(','),
            (Dialect::OpenApi, _, Some("spaceDelimited")) => ListStyle::Joined(' '),
            (Dialect::OpenApi, _, Some("pipeDelimited")) => ListStyle::Joined('|'),
            (Dialect::OpenApi, ..) if matches!(place, Place::Path | Place::Header) => {
                ListStyle::Joined(',')
            }
            (Dialect::OpenApi, ..) if exploded == Some(&Value::Bool(false)) => {
                ListStyle::Joined(',')
            }
            (Dialect::OpenApi, ..) => ListStyle::Repeated,
        }
    }

    fn request_body(&self, operation: &'v Value) -> Result<Option<DeclaredBody>, OpenApiError> {
        let Some(body) = get(operation, "requestBody") else { return Ok(None) };
        let body = resolve(self.document, body, self.place)?;
        let required = get(body, "required") == Some(&Value::Bool(true));
        let types: Vec<&str> = get(body, "content")
            .and_then(as_object)
            .into_iter()
            .flatten()
            .filter_map(|(name, _)| as_str(name))
            .collect();
        let Some(content_type) = best(&types) else {
            let what = format!(
                "its body is {}, and only JSON, forms and text can be sent",
                if types.is_empty() { "of no type".to_owned() } else { types.join(", ") }
            );
            return Err(invalid(self.place, what));
        };
        Ok(Some(DeclaredBody { content_type: content_type.to_owned(), required, name: None }))
    }

    /// What a Swagger 2.0 operation takes.
    fn consumes(&self, operation: &Value) -> String {
        let listed = get(operation, "consumes").or_else(|| get(self.document, "consumes"));
        let types: Vec<&str> =
            listed.and_then(as_array).into_iter().flatten().filter_map(as_str).collect();
        best(&types).unwrap_or(JSON).to_owned()
    }

    fn server(&self, item: &Value, operation: &Value) -> Result<String, OpenApiError> {
        let servers = [operation, item, self.document]
            .into_iter()
            .filter_map(|holder| get(holder, "servers").and_then(as_array))
            .find(|servers| !servers.is_empty());
        let Some(server) = servers.and_then(<[Value]>::first) else {
            return join(self.at, "/").ok_or_else(|| invalid("/servers", "there is no server"));
        };
        let url = get(server, "url")
            .and_then(as_str)
            .ok_or_else(|| invalid("/servers/0", "the server has no `url`"))?;
        let url = filled(url, get(server, "variables"))?;
        join(self.at, &url).ok_or_else(|| invalid("/servers/0/url", "it is no address"))
    }

    fn swagger_server(&self, operation: &Value) -> Result<String, OpenApiError> {
        let own = self.at.split_once("://").unwrap_or(("https", ""));
        let schemes = [operation, self.document]
            .into_iter()
            .filter_map(|holder| get(holder, "schemes").and_then(as_array))
            .find(|schemes| !schemes.is_empty())
            .unwrap_or_default();
        let schemes: Vec<&str> = schemes.iter().filter_map(as_str).collect();
        let scheme = match schemes.as_slice() {
            [] => own.0,
            some if some.contains(&"https") => "https",
            [first, ..] => first,
        };
        let host = get(self.document, "host").and_then(as_str);
        let host = host.unwrap_or_else(|| own.1.split('/').next().unwrap_or_default());
        let path = get(self.document, "basePath").and_then(as_str).unwrap_or_default();
        if host.is_empty() || !["http", "https"].contains(&scheme) {
            return Err(invalid("/host", "the document names no HTTP server"));
        }
        Ok(format!("{scheme}://{host}{path}"))
    }
}

pub(crate) const JSON: &str = "application/json";
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// Of the types that a body may have, the one that we write.
fn best<'t>(types: &[&'t str]) -> Option<&'t str> {
    let bare = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let find = |is: &dyn Fn(&str) -> bool| types.iter().copied().find(|it| is(&bare(it)));
    find(&|it| it == JSON)
        .or_else(|| find(&|it| it.ends_with("+json")))
        .or_else(|| find(&|it| it == FORM))
        .or_else(|| find(&|it| it.starts_with("text/")))
        .or_else(|| find(&|it| it == "*/*").map(|_| JSON))
}

/// A server's address with its variables at their defaults.
fn filled(url: &str, variables: Option<&Value>) -> Result<String, OpenApiError> {
    let mut out = String::new();
    let mut left = url;
    while let Some((before, rest)) = left.split_once('{') {
        let place = "/servers/0/variables";
        let (name, behind) =
            rest.split_once('}').ok_or_else(|| invalid(place, "a `{` without its `}`"))?;
        let default = variables
            .and_then(|all| get(all, name))
            .and_then(|one| get(one, "default"))
            .and_then(as_str)
            .ok_or_else(|| invalid(place, format!("`{name}` has no default")))?;
        out.push_str(before);
        out.push_str(default);
        left = behind;
    }
    out.push_str(left);
    Ok(out)
}

/// A reference relative to an absolute address (RFC 3986, without dot segments).
pub(crate) fn join(base: &str, reference: &str) -> Option<String> {
    if reference.starts_with("http://") || reference.starts_with("https://") {
        return Some(reference.to_owned());
    }
    let (scheme, rest) = base.split_once("://")?;
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    if let Some(authority) = reference.strip_prefix("//") {
        return Some(format!("{scheme}://{authority}"));
    }
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if host.is_empty() {
        return None;
    }
    if reference.starts_with('/') {
        return Some(format!("{scheme}://{host}{reference}"));
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Some(format!("{scheme}://{host}{folder}/{reference}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        base::value::parse(json.as_bytes()).expect("JSON")
    }

    fn told(document: &str, id: &str) -> String {
        match operation(&value(document), "https://h.example/api/doc.json", id) {
            Ok(found) => {
                let parameters: Vec<String> = found
                    .parameters
                    .iter()
                    .map(|it| format!("{}:{:?}:{}:{:?}", it.name, it.place, it.required, it.list))
                    .collect();
                let body = found.body.map(|it| it.content_type).unwrap_or_default();
                format!("{} {} [{}] {body}", found.method, found.address, parameters.join(" "))
            }
            Err(wrong) => wrong.to_string(),
        }
    }

    /// Mutation: take the path's parameter for the operation's, ignore a server, or a default.
    #[test]
    fn an_operation_of_openapi_3_is_found() {
        let document = r##"{
          "openapi": "3.1.0",
          "servers": [{"url": "{base}/v1", "variables": {"base": {"default": "https://s.example"}}}],
          "paths": {
            "/pets/{id}": {
              "parameters": [{"name": "id", "in": "path", "required": true}, {"name": "q", "in": "query"}],
              "get": {"operationId": "get", "parameters": [{"$ref": "#/components/parameters/tags"}]},
              "put": {"operationId": "put", "servers": [{"url": "/other"}],
                      "requestBody": {"required": true, "content": {"text/plain": {}, "application/json": {}}}}
            },
            "/up": {"post": {"operationId": "up", "requestBody": {"content": {"image/png": {}}}}}
          },
          "components": {"parameters": {
            "tags": {"name": "tags", "in": "query", "explode": false},
            "loop": {"$ref": "#/components/parameters/loop"}}}
        }"##;
        assert_eq!(
            told(document, "get"),
            "GET https://s.example/v1/pets/{id} [tags:Query:false:Joined(',') id:Path:true:Joined(',') q:Query:false:Repeated] "
        );
        assert_eq!(
            told(document, "put"),
            "PUT https://h.example/other/pets/{id} [id:Path:true:Joined(',') q:Query:false:Repeated] application/json"
        );
        assert_eq!(
            told(document, "up"),
            "/paths/~1up/post: its body is image/png, and only JSON, forms and text can be sent"
        );
        assert_eq!(told(document, "gone"), "there is no operation `gone` in it");
    }

    /// Mutation: forget `basePath`, prefer http, or read lists as in OpenAPI 3.
    #[test]
    fn an_operation_of_swagger_2_is_found() {
        let document = r#"{
          "swagger": "2.0", "host": "petstore.example", "basePath": "/v2", "schemes": ["http", "https"],
          "paths": {
            "/pet/findByStatus": {"get": {"operationId": "find", "parameters": [
              {"name": "status", "in": "query", "required": true, "type": "array", "collectionFormat": "multi"},
              {"name": "tags", "in": "query", "type": "array"}]}},
            "/pet": {"post": {"operationId": "add", "consumes": ["application/xml", "application/json"],
              "parameters": [{"name": "pet", "in": "body", "required": true}]}},
            "/form": {"post": {"operationId": "form", "parameters": [{"name": "a", "in": "formData"}]}}
          }}"#;
        assert_eq!(
            told(document, "find"),
            "GET https://petstore.example/v2/pet/findByStatus [status:Query:true:Repeated tags:Query:false:Joined(',')] "
        );
        assert_eq!(
            told(document, "add"),
            "POST https://petstore.example/v2/pet [] application/json"
        );
        assert!(told(document, "form").ends_with(FORM));
        assert!(told(r#"{"swagger": 3, "paths": {}}"#, "x").starts_with("it is no OpenAPI"));
    }

    /// Mutation: follow references for ever, or out of the document.
    #[test]
    fn references_stay_within_bounds() {
        let document = |reference: &str| {
            format!(
                r##"{{"openapi": "3.0.0", "paths": {{"/a": {{"get": {{"operationId": "a",
                "parameters": [{{"$ref": "{reference}"}}]}}}}}},
                "components": {{"loop": {{"$ref": "#/components/loop"}}}}}}"##
            )
        };
        assert!(told(&document("#/components/loop"), "a").contains("circle"));
        assert!(told(&document("#/components/none"), "a").contains("leads to nothing"));
        assert!(told(&document("https://x/y"), "a").contains("leads out"));
    }

    /// Mutation: join to the wrong folder.
    #[test]
    fn a_relative_server_is_relative_to_the_document() {
        for (reference, expected) in [
            ("https://o.example/x", "https://o.example/x"),
            ("/v1", "https://h.example/v1"),
            ("v1", "https://h.example/api/v1"),
            ("//o.example/x", "https://o.example/x"),
        ] {
            let joined = join("https://h.example/api/doc.json?x", reference);
            assert_eq!(joined.as_deref(), Some(expected));
        }
    }
}
