//! The closed list: every function that is evaluated in this process, by name and number of
//! arguments. `docs/reference/expressions.md` shows the same list, and a test compares the two.

use crate::function::{math, text, value};
use crate::term::{Form, Keep, PlainFn, UnaryFn};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Function {
    Plain(PlainFn),
    /// The argument is a value: with several outputs it is called once for each.
    Unary(UnaryFn),
    Power,
    Recurse,
    /// `del(place)`.
    Delete,
    /// `.[] |= filter`.
    MapValues,
    Form(Form),
}

use Function::{Form as F, Plain, Unary};

pub(crate) const CLOSED: &[(&str, usize, Function)] = &[
    ("abs", 0, Plain(math::abs)),
    ("add", 0, Plain(value::add)),
    ("add", 1, F(Form::Add)),
    ("all", 0, Plain(value::all)),
    ("all", 1, F(Form::All)),
    ("all", 2, F(Form::AllOf)),
    ("any", 0, Plain(value::any)),
    ("any", 1, F(Form::Any)),
    ("any", 2, F(Form::AnyOf)),
    ("arrays", 0, F(Form::Keep(Keep::Arrays))),
    ("ascii_downcase", 0, Plain(text::ascii_downcase)),
    ("ascii_upcase", 0, Plain(text::ascii_upcase)),
    ("booleans", 0, F(Form::Keep(Keep::Booleans))),
    ("ceil", 0, Plain(math::ceil)),
    ("contains", 1, Unary(value::contains)),
    ("del", 1, Function::Delete),
    ("empty", 0, F(Form::Empty)),
    ("endswith", 1, Unary(text::endswith)),
    ("error", 0, F(Form::Error)),
    ("error", 1, F(Form::ErrorOf)),
    ("exp", 0, Plain(math::exp)),
    ("exp10", 0, Plain(math::exp10)),
    ("exp2", 0, Plain(math::exp2)),
    ("fabs", 0, Plain(math::fabs)),
    ("false", 0, Plain(value::r#false)),
    ("first", 0, Plain(value::first)),
    ("first", 1, F(Form::First)),
    ("flatten", 0, Plain(value::flatten)),
    ("flatten", 1, Unary(value::flatten_to)),
    ("floor", 0, Plain(math::floor)),
    ("from_entries", 0, Plain(value::from_entries)),
    ("getpath", 1, Unary(value::getpath)),
    ("group_by", 1, F(Form::GroupBy)),
    ("has", 1, Unary(value::has)),
    ("in", 1, Unary(value::r#in)),
    ("index", 1, Unary(value::index_of)),
    ("indices", 1, Unary(value::indices)),
    ("infinite", 0, Plain(math::infinite)),
    ("inside", 1, Unary(value::inside)),
    ("isarray", 0, Plain(value::is_array)),
    ("isboolean", 0, Plain(value::is_boolean)),
    ("isempty", 1, F(Form::IsEmpty)),
    ("isfinite", 0, Plain(math::is_finite)),
    ("isinfinite", 0, Plain(math::is_infinite)),
    ("isnan", 0, Plain(math::is_nan)),
    ("isnormal", 0, Plain(math::is_normal)),
    ("isnumber", 0, Plain(value::is_number)),
    ("isobject", 0, Plain(value::is_object)),
    ("isstring", 0, Plain(value::is_string)),
    ("iterables", 0, F(Form::Keep(Keep::Iterables))),
    ("join", 1, Unary(text::join)),
    ("keys", 0, Plain(value::keys)),
    ("keys_unsorted", 0, Plain(value::keys_unsorted)),
    ("last", 0, Plain(value::last)),
    ("last", 1, F(Form::Last)),
    ("length", 0, Plain(value::length)),
    ("limit", 2, F(Form::Limit)),
    ("log", 0, Plain(math::log)),
    ("log10", 0, Plain(math::log10)),
    ("log2", 0, Plain(math::log2)),
    ("ltrim", 0, Plain(text::ltrim)),
    ("ltrimstr", 1, Unary(text::ltrimstr)),
    ("map", 1, F(Form::Map)),
    ("map_values", 1, Function::MapValues),
    ("max", 0, Plain(value::max)),
    ("max_by", 1, F(Form::MaxBy)),
    ("min", 0, Plain(value::min)),
    ("min_by", 1, F(Form::MinBy)),
    ("nan", 0, Plain(math::nan)),
    ("not", 0, Plain(value::not)),
    ("nth", 1, Unary(value::nth)),
    ("nth", 2, F(Form::NthOf)),
    ("null", 0, Plain(value::null)),
    ("nulls", 0, F(Form::Keep(Keep::Nulls))),
    ("numbers", 0, F(Form::Keep(Keep::Numbers))),
    ("objects", 0, F(Form::Keep(Keep::Objects))),
    ("pow", 2, Function::Power),
    ("range", 1, F(Form::Range1)),
    ("range", 2, F(Form::Range2)),
    ("range", 3, F(Form::Range3)),
    ("recurse", 0, Function::Recurse),
    ("reverse", 0, Plain(value::reverse)),
    ("rindex", 1, Unary(value::rindex_of)),
    ("round", 0, Plain(math::round)),
    ("rtrim", 0, Plain(text::rtrim)),
    ("rtrimstr", 1, Unary(text::rtrimstr)),
    ("scalars", 0, F(Form::Keep(Keep::Scalars))),
    ("select", 1, F(Form::Select)),
    ("skip", 2, F(Form::Skip)),
    ("sort", 0, Plain(value::sort)),
    ("sort_by", 1, F(Form::SortBy)),
    ("split", 1, Unary(text::split)),
    ("sqrt", 0, Plain(math::sqrt)),
    ("startswith", 1, Unary(text::startswith)),
    ("strings", 0, F(Form::Keep(Keep::Strings))),
    ("to_entries", 0, Plain(value::to_entries)),
    ("tojson", 0, Plain(text::tojson)),
    ("tonumber", 0, Plain(text::tonumber)),
    ("tostring", 0, Plain(text::tostring)),
    ("trim", 0, Plain(text::trim)),
    ("true", 0, Plain(value::r#true)),
    ("trunc", 0, Plain(math::trunc)),
    ("type", 0, Plain(value::type_name)),
    ("unique", 0, Plain(value::unique)),
    ("unique_by", 1, F(Form::UniqueBy)),
    ("values", 0, F(Form::Keep(Keep::Values))),
    ("with_entries", 1, F(Form::WithEntries)),
];

pub(crate) fn function(name: &str, arguments: usize) -> Option<Function> {
    let at = CLOSED
        .binary_search_by(|(known, arity, _)| (*known, *arity).cmp(&(name, arguments)))
        .ok()?;
    Some(CLOSED[at].2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: put an entry out of order, so that the search misses it.
    #[test]
    fn every_function_of_the_list_is_found_by_name() {
        for (name, arguments, _) in CLOSED {
            assert!(function(name, *arguments).is_some(), "{name}/{arguments}");
        }
        assert!(function("exp", 0).is_some());
        assert!(function("exp", 1).is_none());
    }

    /// Mutation: leave a function out of the reference, or one of the reference out of the list.
    #[test]
    fn the_reference_lists_exactly_what_is_closed() {
        let page = include_str!("../../../docs/reference/expressions.md");
        let (_, table) = page.split_once("<!-- closed list -->").expect("a mark before the table");
        let (table, _) = table.split_once("<!-- end -->").expect("a mark after the table");
        let mut listed: Vec<&str> =
            table.split('`').skip(1).step_by(2).filter(|name| !name.starts_with('@')).collect();
        listed.sort_unstable();
        let closed: Vec<String> =
            CLOSED.iter().map(|(name, arguments, _)| format!("{name}/{arguments}")).collect();
        assert_eq!(listed, closed);
    }
}
