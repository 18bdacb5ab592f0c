//! Calls of tools in a stream of Chat: which call a piece belongs to, however a server counts them.

use serde_json::Value;

/// Calls of tools in one answer; a request can offer 128 of them.
const CALLS_MAX: usize = 1_024;

/// Arguments that wait for the name of their tool, which comes with the first word of all servers known.
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// The longest name or id of a call. Interfaces take 64 characters, some servers put more into an id.
const NAME_BYTES_MAX: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Calls {
    calls: Vec<Call>,
    /// What waits in all of them.
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Call {
    /// The number that the server counts it by.
    index: Option<u64>,
    id: Option<String>,
    /// Until its name is known: what has come of its arguments.
    waiting: Option<String>,
}

/// What one piece says of the call at this place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub at: usize,
    /// The tool's name, where the call begins with this.
    pub begins: Option<String>,
    pub arguments: String,
}

impl Calls {
    /// `None` where the piece says nothing yet.
    pub(crate) fn take(&mut self, piece: &Value) -> Result<Option<Piece>, &'static str> {
        let id = piece["id"].as_str().filter(|id| !id.is_empty());
        let function = &piece["function"];
        let name = function["name"].as_str().filter(|name| !name.is_empty());
        let index = piece["index"].as_u64();
        if [id, name].into_iter().flatten().any(|text| text.len() > NAME_BYTES_MAX) {
            return Err("the model calls a tool by too long a name");
        }
        let at = match self.find(index, id, name.is_some()) {
            Some(at) => at,
            None if self.calls.len() >= CALLS_MAX => return Err("the model calls too many tools"),
            None => {
                let (id, waiting) = (id.map(str::to_owned), Some(String::new()));
                self.calls.push(Call { index, id, waiting });
                self.calls.len() - 1
            }
        };
        let arguments = arguments(&function["arguments"]);
        let Some(waiting) = &mut self.calls[at].waiting else {
            return Ok(Some(Piece { at, begins: None, arguments }));
        };
        waiting.push_str(&arguments);
        self.waiting_bytes += arguments.len();
        if self.waiting_bytes > WAITING_BYTES_MAX {
            return Err("the model does not say which tool it calls");
        }
        let Some(name) = name else { return Ok(None) };
        let arguments = self.calls[at].waiting.take().unwrap_or_default();
        self.waiting_bytes -= arguments.len();
        Ok(Some(Piece { at, begins: Some(name.to_owned()), arguments }))
    }

    pub(crate) fn id(&self, at: usize) -> Option<&str> {
        self.calls.get(at)?.id.as_deref()
    }

    /// Some servers count all of them 0, or none of them, and tell them apart by id alone.
    fn find(&self, index: Option<u64>, id: Option<&str>, is_named: bool) -> Option<usize> {
        let is_same = |at: &usize| match (id, self.calls[*at].id.as_deref()) {
            (Some(id), Some(known)) => id == known,
            _ => true,
        };
        let found = match index {
            Some(_) => self.calls.iter().rposition(|it| it.index == index),
            // A name begins a new one; anything else goes on with the last.
            None if is_named && id.is_none() => None,
            None => self.calls.len().checked_sub(1),
        };
        let by_id =
            || id.and_then(|id| self.calls.iter().position(|it| it.id.as_deref() == Some(id)));
        found.filter(is_same).or_else(by_id)
    }
}

/// A text; some servers give the object itself.
pub(crate) fn arguments(said: &Value) -> String {
    match said {
        Value::String(text) => text.clone(),
        Value::Object(_) => said.to_string(),
        _ => String::new(),
    }
}
