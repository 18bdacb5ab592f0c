//! Variables that expressions see: those of the language, and those of loops and handlers.

use std::sync::Arc;

use base::value::{int, object, string};
use base::{Timestamp, Value};

/// Loop items, indexes and caught errors, innermost first. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Variables(Option<Arc<Link>>);

#[derive(Debug)]
struct Link {
    name: Arc<str>,
    value: Value,
    outer: Variables,
}

impl Variables {
    #[must_use]
    pub fn with(&self, name: &Arc<str>, value: Value) -> Self {
        Self(Some(Arc::new(Link { name: name.clone(), value, outer: self.clone() })))
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(found, _)| &***found == name).map(|(_, value)| value)
    }

    /// Innermost first.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Value)> {
        let mut next = self.0.as_deref();
        std::iter::from_fn(move || {
            let link = next?;
            next = link.outer.0.as_deref();
            Some((&link.name, &link.value))
        })
    }
}

/// Two chains are equal when they hold the same, however they are shared.
impl PartialEq for Variables {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// The language's date-time descriptor.
#[must_use]
pub fn moment(at: Timestamp) -> Value {
    let epoch = object([
        ("seconds", int(at.as_millis().div_euclid(1000))),
        ("milliseconds", int(at.as_millis())),
    ]);
    object([("iso8601", string(&at.to_string())), ("epoch", epoch)])
}
