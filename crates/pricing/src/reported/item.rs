//! Items of an answer of the Responses API: searches of the web are in no report there, and counted here.

use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// An item of an answer, or a list of them, or anything else that has this name.
#[derive(Default)]
pub(super) struct Item {
    kind: Kind,
    /// Of a search: what it did.
    action: Kind,
    pub searches: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Kind {
    #[default]
    None,
    SearchCall,
    Search,
    Other,
}

impl Item {
    /// Who opens a page that was found, or looks for a word in it, is not billed for a search.
    const fn is_search(&self) -> bool {
        matches!((self.kind, self.action), (Kind::SearchCall, Kind::None | Kind::Search))
    }
}

struct ItemRead;

impl<'de> Visitor<'de> for ItemRead {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E: Error>(self) -> Result<Item, E> {
        Ok(Item::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Item, E> {
        Ok(Item::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Item, E> {
        Ok(Item::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Item, E> {
        Ok(Item::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Item, E> {
        Ok(Item::default())
    }

    /// As the value of `type`.
    fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
        let kind = match text {
            "web_search_call" => Kind::SearchCall,
            "search" => Kind::Search,
            _ => Kind::Other,
        };
        Ok(Item { kind, ..Item::default() })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        let mut searches = 0;
        while let Some(item) = list.next_element::<Item>()? {
            searches += u64::from(item.is_search());
        }
        Ok(Item { searches, ..Item::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let mut item = Item::default();
        while let Some(name) = map.next_key::<Named>()? {
            match name {
                Named::Type => item.kind = map.next_value::<Item>()?.kind,
                Named::Action => item.action = map.next_value::<Item>()?.kind,
                Named::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(item)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Named {
    Type,
    Action,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemRead)
    }
}
