//! The elements of a tensor, as a list of JSON and as bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::{Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::tensor::{AXES_MAX, Data, Datatype};

/// What JSON can say of an element.
trait Element: Sized {
    fn whole(_: i128) -> Option<Self> {
        None
    }
    fn real(_: f64) -> Option<Self> {
        None
    }
    fn truth(_: bool) -> Option<Self> {
        None
    }
    fn text(_: &str) -> Option<Self> {
        None
    }
    /// What is missing.
    fn none() -> Option<Self> {
        None
    }
}

macro_rules! whole {
    ($($type:ty)*) => {$(
        impl Element for $type {
            fn whole(number: i128) -> Option<Self> {
                number.try_into().ok()
            }
        }
    )*};
}
whole!(u8 u16 u32 u64 i8 i16 i32 i64);

macro_rules! real {
    ($($type:ty)*) => {$(
        impl Element for $type {
            fn whole(number: i128) -> Option<Self> {
                Some(number as $type)
            }
            fn real(number: f64) -> Option<Self> {
                let fits = number as $type;
                fits.is_finite().then_some(fits)
            }
            fn none() -> Option<Self> {
                Some(<$type>::NAN)
            }
        }
    )*};
}
real!(f32 f64);

impl Element for bool {
    fn truth(value: bool) -> Option<Self> {
        Some(value)
    }
}

impl Element for Vec<u8> {
    fn text(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

/// Reads one element, or a list of them, into the same flat list.
struct Flat<'l, T> {
    list: &'l mut Vec<T>,
    count: usize,
    depth: usize,
    datatype: Datatype,
}

impl<T: Element> Flat<'_, T> {
    fn put<E: serde::de::Error>(self, element: Option<T>) -> Result<(), E> {
        let at = self.list.len();
        if self.depth == 0 {
            return Err(E::custom("its `data` is not a list"));
        }
        if at >= self.count {
            return Err(E::custom(format!("there are more than {} elements", self.count)));
        }
        let wrong = || E::custom(format!("element {at} is not {}", self.datatype));
        self.list.push(element.ok_or_else(wrong)?);
        Ok(())
    }
}

impl<'de, T: Element> DeserializeSeed<'de> for Flat<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Element> Visitor<'de> for Flat<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Self { list, count, depth, datatype } = self;
        if depth == AXES_MAX {
            let what = format!("its lists are more than {AXES_MAX} deep");
            return Err(A::Error::custom(what));
        }
        let depth = depth + 1;
        while seq.next_element_seed(Flat { list: &mut *list, count, depth, datatype })?.is_some() {}
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.put(T::whole(number.into()))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.put(T::whole(number.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        self.put(T::real(number))
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.put(T::truth(value))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        self.put(T::text(text))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.put(T::none())
    }

    fn visit_map<A>(self, _: A) -> Result<(), A::Error>
    where
        A: serde::de::MapAccess<'de>,
    {
        self.put(None)
    }
}

fn flat<T: Element>(datatype: Datatype, json: &RawValue, count: usize) -> Result<Vec<T>, String> {
    let mut list = Vec::new();
    let flat = Flat { list: &mut list, count, depth: 0, datatype };
    let mut reader = serde_json::Deserializer::from_str(json.get());
    flat.deserialize(&mut reader).map_err(|error| told(&error))?;
    Ok(list)
}

/// Without the place, which is one in the list and not in the request.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

pub(super) fn of_json(datatype: Datatype, json: &RawValue, count: usize) -> Result<Data, String> {
    Ok(match datatype {
        Datatype::Bool => Data::Bool(flat(datatype, json, count)?),
        Datatype::Uint8 => Data::Uint8(flat(datatype, json, count)?),
        Datatype::Uint16 => Data::Uint16(flat(datatype, json, count)?),
        Datatype::Uint32 => Data::Uint32(flat(datatype, json, count)?),
        Datatype::Uint64 => Data::Uint64(flat(datatype, json, count)?),
        Datatype::Int8 => Data::Int8(flat(datatype, json, count)?),
        Datatype::Int16 => Data::Int16(flat(datatype, json, count)?),
        Datatype::Int32 => Data::Int32(flat(datatype, json, count)?),
        Datatype::Int64 => Data::Int64(flat(datatype, json, count)?),
        Datatype::Fp32 => Data::Fp32(flat(datatype, json, count)?),
        Datatype::Fp64 => Data::Fp64(flat(datatype, json, count)?),
        Datatype::Bytes => Data::Bytes(flat(datatype, json, count)?),
    })
}

/// Whether JSON can say all of it. What is no number is `null`, infinity is nothing.
pub(super) fn is_json(data: &Data) -> bool {
    match data {
        Data::Fp32(list) => !list.iter().any(|it| it.is_infinite()),
        Data::Fp64(list) => !list.iter().any(|it| it.is_infinite()),
        Data::Bytes(list) => list.iter().all(|it| std::str::from_utf8(it).is_ok()),
        _ => true,
    }
}

pub(super) fn write_json<S: Serializer>(data: &Option<&Data>, to: S) -> Result<S::Ok, S::Error> {
    match data {
        None => to.serialize_none(),
        Some(Data::Bool(list)) => list.serialize(to),
        Some(Data::Uint8(list)) => list.serialize(to),
        Some(Data::Uint16(list)) => list.serialize(to),
        Some(Data::Uint32(list)) => list.serialize(to),
        Some(Data::Uint64(list)) => list.serialize(to),
        Some(Data::Int8(list)) => list.serialize(to),
        Some(Data::Int16(list)) => list.serialize(to),
        Some(Data::Int32(list)) => list.serialize(to),
        Some(Data::Int64(list)) => list.serialize(to),
        Some(Data::Fp32(list)) => list.serialize(to),
        Some(Data::Fp64(list)) => list.serialize(to),
        Some(Data::Bytes(list)) => {
            to.collect_seq(list.iter().map(|text| String::from_utf8_lossy(text)))
        }
    }
}

/// Little endian; a text is its length in four bytes, and its bytes.
pub(super) fn write_bytes(to: &mut Vec<u8>, data: &Data) {
    crate::frame::put_data(to, data);
}

/// Nothing where there are more or fewer than so many.
pub(super) fn of_bytes(datatype: Datatype, bytes: &[u8], count: usize) -> Option<Data> {
    crate::frame::read_data(datatype, bytes, count)
}
