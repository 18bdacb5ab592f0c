//! `emit` and `listen`: events to make, and events to wait for. `schedule.on` reads its events with
//! the same words.

use std::sync::Arc;

use base::Timestamp;

use crate::code::Code;
use crate::near;
use crate::node::{Entry, Kind};
use crate::problems::shown;
use crate::tree::{
    Correlation, Each, Emit, Filter, LIFECYCLE, Listen, Matcher, Output, Pattern, ReadAs, Strategy,
    TaskList, Template, Until,
};

use super::Reader;
use super::expression::{Around, Position, is_expression};
use super::fields::{Fields, Item, quoted};
use super::list::ListKind;
use super::task::Within;

/// Attributes that the language names itself.
const ATTRIBUTES: [&str; 8] =
    ["id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data"];

/// The version of CloudEvents that events are written in.
const SPECVERSION: &str = "1.0";

/// Regular expressions in one document. Each takes memory for as long as the revision is loaded.
const PATTERNS_MAX: u32 = 500;

/// The ways of listening.
const STRATEGIES: [&str; 3] = ["one", "any", "all"];

impl<'a> Reader<'a> {
    pub(super) fn emit(&mut self, item: Item<'a>, around: &Around) -> Option<Emit> {
        let fields = self.fields(item, &["event"])?;
        let event = self.require(&fields, "event")?;
        let event = self.fields(event, &["with"])?;
        let with = self.require(&event, "with")?;
        let entries = self.entries(with)?;
        let has = |name: &str| entries.iter().any(|entry| &*entry.key == name);
        let typed = has("type");
        if !typed {
            let message = "the property `type` is missing";
            self.report(Code::MissingProperty, with.at, message, None);
        }
        let mut emit = Emit { attributes: Vec::new(), data: None };
        let mut sound = typed;
        for entry in entries {
            match &*entry.key {
                "data" => match self.template(entry.into(), Position::Task, around) {
                    Some(data) => emit.data = Some(data),
                    None => sound = false,
                },
                name => match self.emitted(entry, around) {
                    Some(value) => emit.attributes.push((name.into(), value)),
                    None => sound = false,
                },
            }
        }
        sound.then_some(emit)
    }

    /// The value of an attribute of an event to be made.
    fn emitted(&mut self, entry: &'a Entry, around: &Around) -> Option<Template> {
        let named = self.attribute_name(entry);
        let item = Item::from(entry);
        let is_known = ATTRIBUTES.contains(&&*entry.key);
        let is_plain = match &item.node.kind {
            Kind::Str(_) => true,
            Kind::Bool(_) | Kind::Int(_) => !is_known,
            _ => false,
        };
        if !is_plain {
            let expected = if is_known { "a string" } else { "a string, whole number or boolean" };
            return self.wrong_type(item, expected);
        }
        let value = self.template(item, Position::Task, around)?;
        if let (Template::Constant(_), Some(text)) = (&value, item.node.as_str()) {
            self.attribute_value(&entry.key, item, text)?;
        }
        named.then_some(value)
    }

    /// What CloudEvents says of the names of attributes.
    fn attribute_name(&mut self, entry: &Entry) -> bool {
        let name = &*entry.key;
        let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !name.is_empty() && name.bytes().all(is_name) {
            return true;
        }
        let hint = match name {
            "data_base64" => "put the text into `data`".to_owned(),
            _ => near::hint(name, ATTRIBUTES)
                .unwrap_or_else(|| "use small letters and digits only".to_owned()),
        };
        let message = format!("`{}` cannot be the name of an event's attribute", shown(name));
        self.report(Code::EventAttribute, entry.key_at, message, Some(hint));
        false
    }

    fn attribute_value(&mut self, name: &str, item: Item<'a>, text: &str) -> Option<()> {
        let is_uri =
            || !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let wrong = match name {
            "specversion" if text != SPECVERSION => "events are written in version `1.0`",
            "id" | "type" | "subject" if text.is_empty() => "the text is empty",
            "source" | "dataschema" if !is_uri() => "not a URI",
            "type" if text.starts_with(LIFECYCLE) => {
                "only the engine tells of the life of runs and tasks; choose another one"
            }
            "time" if Timestamp::parse(text).is_none() => {
                "not a time such as `2026-07-01T12:00:00Z`"
            }
            _ if text.chars().any(char::is_control) => "the text has a control character",
            _ => return Some(()),
        };
        let message = format!("`{}` of an event: {wrong}", shown(name));
        self.report(Code::EventValue, item.node.at, message, None);
        None
    }

    pub(super) fn listen(
        &mut self,
        item: Item<'a>,
        each: Option<Item<'a>>,
        within: &Within<'_>,
    ) -> Option<Listen> {
        let fields = self.fields(item, &["to", "read"])?;
        let to = self.require(&fields, "to");
        let to = to.and_then(|item| self.strategy(item, within.around));
        let read = self.read_as(fields.get("read"));
        let each = match each {
            Some(each) => Some(self.each(each, within)?),
            None => None,
        };
        Some(Listen { to: Arc::new(to?), read: read?, each })
    }

    /// `read`, of `listen` and of `schedule`.
    pub(super) fn read_as(&mut self, item: Option<Item<'a>>) -> Option<ReadAs> {
        let Some(item) = item else { return Some(ReadAs::default()) };
        Some(match self.one_of(item, &["data", "envelope", "raw"])? {
            "envelope" => ReadAs::Envelope,
            "raw" => ReadAs::Raw,
            _ => ReadAs::Data,
        })
    }

    /// `to` of a `listen`, and `on` of a `schedule`.
    pub(super) fn strategy(&mut self, item: Item<'a>, around: &Around) -> Option<Strategy> {
        let fields = self.fields(item, &["one", "any", "all", "until"])?;
        let until = fields.get("until");
        let strategy = self.strategy_of(item, &fields, around);
        let Some(until) = until else { return strategy };
        match strategy? {
            Strategy::Any { filters, .. } => {
                let until = self.until(until, around)?;
                Some(Strategy::Any { filters, until })
            }
            Strategy::One(_) | Strategy::All(_) => {
                let hint = "write it below `any`, or leave it out";
                let message = "`until` only ends a listener to `any`";
                self.report(Code::EventStrategy, until.at, message, Some(hint.into()));
                None
            }
        }
    }

    fn strategy_of(
        &mut self,
        item: Item<'a>,
        fields: &Fields<'a>,
        around: &Around,
    ) -> Option<Strategy> {
        let found: Vec<(&str, Item<'a>)> =
            STRATEGIES.into_iter().filter_map(|name| Some((name, fields.get(name)?))).collect();
        let (name, events) = match found[..] {
            [one] => one,
            [] => {
                let hint = format!("give it one of {}", quoted(&STRATEGIES));
                let message = "nothing says which events are meant";
                self.report(Code::EventStrategy, item.at, message, Some(hint));
                return None;
            }
            [(first, _), (second, at), ..] => {
                let message = format!("both `{first}` and `{second}` say which events are meant");
                self.report(Code::EventStrategy, at.at, message, Some("keep one of them".into()));
                return None;
            }
        };
        if name == "one" {
            return self.filter(events, around).map(Strategy::One);
        }
        let Kind::Seq(nodes) = &events.node.kind else {
            return self.wrong_type(events, "a list of event filters");
        };
        if name == "all" && nodes.is_empty() {
            let hint = "name the events, or listen to every event with `any: []`";
            let message = "`all` names no event";
            self.report(Code::EventStrategy, events.at, message, Some(hint.into()));
            return None;
        }
        // Every filter is read before the first failure counts, so that all are reported.
        let filters: Vec<_> =
            nodes.iter().map(|node| self.filter(Item::of(node), around)).collect();
        let filters: Vec<Filter> = filters.into_iter().collect::<Option<_>>()?;
        Some(match name {
            "any" => Strategy::Any { filters, until: Until::First },
            _ => Strategy::All(filters),
        })
    }

    fn until(&mut self, item: Item<'a>, around: &Around) -> Option<Until> {
        if !matches!(item.node.kind, Kind::Map(_)) {
            let condition = self.condition(item, Position::Task, around)?;
            let is_never = condition.text().trim() == "false";
            return Some(if is_never { Until::Never } else { Until::Condition(condition) });
        }
        let fields = self.fields(item, &STRATEGIES)?;
        let strategy = self.strategy_of(item, &fields, around)?;
        Some(Until::Consumed(Box::new(strategy)))
    }

    fn filter(&mut self, item: Item<'a>, around: &Around) -> Option<Filter> {
        let fields = self.fields(item, &["with", "correlate"])?;
        let with = self.require(&fields, "with");
        let with = with.and_then(|item| self.filter_with(item, around));
        let correlate = match fields.get("correlate") {
            Some(item) => self.correlations(item, around),
            None => Some(Vec::new()),
        };
        Some(Filter { with: with?, correlate: correlate? })
    }

    fn filter_with(&mut self, item: Item<'a>, around: &Around) -> Option<Vec<(Arc<str>, Matcher)>> {
        let entries = self.entries(item)?;
        if entries.is_empty() {
            let hint = "name for instance the `type`, or listen to every event with `any: []`";
            let message = "the filter names nothing that an event must have";
            self.report(Code::EventFilter, item.at, message, Some(hint.into()));
            return None;
        }
        let read: Vec<_> = entries
            .iter()
            .map(|entry| {
                let named = self.attribute_name(entry);
                let matcher = self.attribute_matcher(entry, around);
                Some((entry.key.as_ref().into(), matcher.filter(|_| named)?))
            })
            .collect();
        read.into_iter().collect()
    }

    fn attribute_matcher(&mut self, entry: &'a Entry, around: &Around) -> Option<Matcher> {
        let item = Item::from(entry);
        if &*entry.key != "data"
            && matches!(item.node.kind, Kind::Map(_) | Kind::Seq(_) | Kind::Null)
        {
            return self.wrong_type(item, "a string or an expression");
        }
        self.matcher(item, around)
    }

    fn matcher(&mut self, item: Item<'a>, around: &Around) -> Option<Matcher> {
        if let Some(expression) = self.marked(item, Position::Task, around) {
            return expression.map(Matcher::Expr);
        }
        match &item.node.kind {
            Kind::Str(scalar) if Pattern::is_meant(&scalar.text) => {
                self.patterns += 1;
                if self.patterns > PATTERNS_MAX {
                    let hint = "several alternatives are one expression: `a|b`";
                    let message = format!("more than {PATTERNS_MAX} regular expressions");
                    self.report(Code::EventPattern, item.node.at, message, Some(hint.into()));
                    return None;
                }
                match Pattern::new(&scalar.text) {
                    Ok(pattern) => Some(Matcher::Pattern(pattern)),
                    Err(why) => {
                        let hint = "put `\\` before a sign that means itself";
                        let message = format!("not a regular expression: {why}");
                        self.report(Code::EventPattern, item.node.at, message, Some(hint.into()));
                        None
                    }
                }
            }
            Kind::Map(entries) => {
                let read: Vec<_> = entries
                    .iter()
                    .map(|entry| {
                        Some((entry.key.as_ref().into(), self.matcher(entry.into(), around)?))
                    })
                    .collect();
                read.into_iter().collect::<Option<_>>().map(Matcher::Object)
            }
            Kind::Seq(_) => match self.template(item, Position::Task, around)? {
                Template::Constant(value) => Some(Matcher::Equal(value)),
                Template::Expr(_) | Template::Array(_) | Template::Object(_) => {
                    let hint = "make one expression of the whole list";
                    let message =
                        "a list in a filter is compared as it stands, and holds no expression";
                    self.report(Code::EventFilter, item.at, message, Some(hint.into()));
                    None
                }
            },
            Kind::Str(_) | Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Number(_) => {
                Some(Matcher::Equal(item.node.value()))
            }
        }
    }

    fn correlations(&mut self, item: Item<'a>, around: &Around) -> Option<Vec<Correlation>> {
        let entries = self.entries(item)?;
        let read: Vec<_> = entries.iter().map(|entry| self.correlation(entry, around)).collect();
        read.into_iter().collect()
    }

    fn correlation(&mut self, entry: &'a Entry, around: &Around) -> Option<Correlation> {
        let fields = self.fields(entry.into(), &["from", "expect"])?;
        let from = self.require(&fields, "from");
        let constant = from.filter(|item| {
            item.node
                .as_str()
                .is_some_and(|text| !is_expression(text) && !text.contains(['.', '$']))
        });
        if let Some(constant) = constant {
            let hint = "write for instance `${ .data.orderId }`";
            let message = "the expression reads nothing of the event";
            self.report(Code::EventFilter, constant.node.at, message, Some(hint.into()));
            return None;
        }
        let from = self.expression_of(from, Position::Task, around);
        let expect = match fields.get("expect") {
            Some(item) => Some(self.expected(item, around)?),
            None => None,
        };
        Some(Correlation { name: entry.key.as_ref().into(), from: from?, expect })
    }

    /// What a correlation must give.
    fn expected(&mut self, item: Item<'a>, around: &Around) -> Option<Template> {
        let expected = self.template(item, Position::Task, around)?;
        if around.is_nobody() && !matches!(expected, Template::Constant(_)) {
            let hint =
                "write the value itself, or leave `expect` out: then the first event decides";
            let message = "what is expected cannot be computed: no run is there that could";
            self.report(Code::EventFilter, item.node.at, message, Some(hint.into()));
            return None;
        }
        Some(expected)
    }

    /// `foreach`: what is done with each event.
    fn each(&mut self, item: Item<'a>, within: &Within<'_>) -> Option<Each> {
        let fields = self.fields(item, &["item", "at", "do", "output", "export"])?;
        let each = self.variable_name(fields.get("item"), "item");
        let at = self.variable_name(fields.get("at"), "index");
        if let (Some(each), Some(at)) = (&each, &at)
            && each == at
        {
            let place =
                fields.get("at").or(fields.get("item")).map_or(item.at, |item| item.node.at);
            let message = format!("item and index cannot both be `{each}`");
            self.report(Code::VariableName, place, message, None);
            return None;
        }
        let names: Vec<Arc<str>> = each.iter().chain(&at).cloned().collect();
        let inner = if names.len() == 2 { within.around.with(&names) } else { Around::anything() };
        let prefix = format!("{}/foreach/do", within.location);
        let body = match fields.get("do") {
            Some(item) => self.task_list(item, &prefix, &inner, ListKind::Steps),
            None => TaskList::default(),
        };
        let output: Option<Output> = self.output(fields.get("output"), Position::Task, &inner);
        let export = self.output(fields.get("export"), Position::Export, &inner);
        Some(Each { item: each?, at: at?, body, output: output?, export: export? })
    }
}
