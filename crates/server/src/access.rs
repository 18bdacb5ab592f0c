//! Who may do what: the description of an API says it for each operation, and what it says is what
//! holds.
//!
//! `security(("key" = ["operator"]))` asks for that role: in the namespace that the path names, or
//! everywhere, where it names none. `security(("key" = []))` takes any key; such an operation looks
//! itself at what it is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base::Namespace;
use base::name::WorkflowKey;
use http::Method;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use wire::{EVERYWHERE, ProblemCode, Role};

use crate::refusal::Refusal;

/// The name of the scheme in descriptions.
const SCHEME: &str = "key";

/// What one key may do where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roles {
    everywhere: Option<Role>,
    within: BTreeMap<Namespace, Role>,
    /// Not to be started, whatever else holds.
    never: BTreeSet<WorkflowKey>,
}

/// What each operation asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access(HashMap<String, HashMap<Method, Option<Role>>>);

impl Roles {
    #[must_use]
    pub const fn everywhere(role: Role) -> Self {
        Self { everywhere: Some(role), within: BTreeMap::new(), never: BTreeSet::new() }
    }

    /// In these namespaces, and without the workflows that are never to be started.
    #[must_use]
    pub fn within(
        role: Role,
        namespaces: impl IntoIterator<Item = Namespace>,
        never: BTreeSet<WorkflowKey>,
    ) -> Self {
        let within = namespaces.into_iter().map(|namespace| (namespace, role)).collect();
        Self { everywhere: None, within, never }
    }

    /// Whether this workflow may be started, also by another one.
    #[must_use]
    pub fn may_start(&self, workflow: &WorkflowKey) -> bool {
        self.need(Role::Operator, &workflow.namespace).is_ok() && !self.never.contains(workflow)
    }

    /// Refused where the role is there in no namespace at all.
    pub fn need_somewhere(&self, role: Role) -> Result<(), Refusal> {
        match self.everywhere.max(self.within.values().max().copied()) {
            Some(found) if found >= role => Ok(()),
            found => Err(refused(role, found, "in some namespace")),
        }
    }

    /// From their form on the wire; refused where a name is none.
    pub fn read(roles: &BTreeMap<String, Role>) -> Result<Self, Refusal> {
        let mut read = Self::default();
        for (name, role) in roles {
            if name == EVERYWHERE {
                read.everywhere = Some(*role);
                continue;
            }
            let name =
                Namespace::parse(name).map_err(|wrong| Refusal::parameter("roles", wrong))?;
            read.within.insert(name, *role);
        }
        Ok(read)
    }

    #[must_use]
    pub fn write(&self) -> BTreeMap<String, Role> {
        let everywhere = self.everywhere.map(|role| (EVERYWHERE.to_owned(), role));
        let within = self.within.iter().map(|(name, role)| (name.to_string(), *role));
        everywhere.into_iter().chain(within).collect()
    }

    /// Refused where this role, or a higher one, is not there in the namespace.
    pub fn need(&self, role: Role, namespace: &Namespace) -> Result<(), Refusal> {
        match self.everywhere.max(self.within.get(namespace).copied()) {
            Some(found) if found >= role => Ok(()),
            found => Err(refused(role, found, &format!("in the namespace `{namespace}`"))),
        }
    }

    /// Refused where this role, or a higher one, is not there in every namespace.
    pub fn need_everywhere(&self, role: Role) -> Result<(), Refusal> {
        match self.everywhere {
            Some(found) if found >= role => Ok(()),
            found => Err(refused(role, found, &format!("everywhere (`{EVERYWHERE}`)"))),
        }
    }

    /// Whether whoever has these may hand out `other`.
    pub(crate) fn need_admin_of(&self, other: &Self) -> Result<(), Refusal> {
        if other.everywhere.is_some() || other.within.is_empty() {
            return self.need_everywhere(Role::Admin);
        }
        other.within.keys().try_for_each(|namespace| self.need(Role::Admin, namespace))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.everywhere.is_none() && self.within.is_empty()
    }
}

fn refused(needed: Role, found: Option<Role>, place: &str) -> Refusal {
    let has = found.map_or_else(|| "none".to_owned(), |role| format!("`{role}`"));
    let detail = format!(
        "this takes the role `{needed}` {place}, and the key has {has} there; `isonomy whoami` shows what it has"
    );
    Refusal::new(ProblemCode::RoleMissing, detail)
}

impl Access {
    /// An operation that says nothing of keys is a mistake of ours, found by any test of the API.
    pub(crate) fn of(api: &OpenApi) -> Self {
        let json = serde_json::to_value(api).expect("a description is JSON");
        let mut access = Self::default();
        for (path, item) in json["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let Ok(method) = Method::from_bytes(method.to_uppercase().as_bytes()) else {
                    continue;
                };
                let scopes = operation["security"][0][SCHEME].as_array();
                let scopes = scopes.unwrap_or_else(|| panic!("{method} {path} asks for no key"));
                let role = scopes.first().and_then(|scope| scope.as_str()).map(|text| {
                    text.parse().unwrap_or_else(|_| panic!("{method} {path} asks for no role"))
                });
                access.0.entry(path.clone()).or_default().insert(method, role);
            }
        }
        access
    }

    /// Any key is enough for a path (`None`) or method that is not there: it is told so. A path that is
    /// there and not described is nobody's.
    pub(crate) fn role(&self, route: Option<&str>, method: &Method) -> Option<Role> {
        let methods = match route.map(|route| self.0.get(route)) {
            None => return None,
            Some(None) => return Some(Role::Admin),
            Some(Some(methods)) => methods,
        };
        // The framework answers the one with what answers the other.
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        methods.get(&method).copied().flatten()
    }
}

/// Says in the description how a key is sent.
pub(crate) fn describe(api: &mut OpenApi) {
    let scheme = SecurityScheme::Http(
        Http::builder().scheme(HttpAuthScheme::Bearer).bearer_format("isonomy-key-…").build(),
    );
    api.components.get_or_insert_default().add_security_scheme(SCHEME, scheme);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(text: &[(&str, Role)]) -> Roles {
        let map = text.iter().map(|(name, role)| ((*name).to_owned(), *role)).collect();
        Roles::read(&map).expect("good names")
    }

    /// Mutation: take a lower role, another namespace's, or one namespace's for all.
    #[test]
    fn a_role_holds_where_it_was_given() {
        let lab = Namespace::parse("lab").expect("a name");
        let shop = Namespace::parse("shop").expect("a name");
        let mixed = roles(&[("*", Role::Viewer), ("lab", Role::Operator)]);
        let admin = Roles::everywhere(Role::Admin);
        for (found, expected) in [
            (mixed.need(Role::Operator, &lab), true),
            (mixed.need(Role::Admin, &lab), false),
            (mixed.need(Role::Viewer, &shop), true),
            (mixed.need(Role::Operator, &shop), false),
            (mixed.need_everywhere(Role::Viewer), true),
            (mixed.need_everywhere(Role::Operator), false),
            (roles(&[("lab", Role::Admin)]).need_everywhere(Role::Viewer), false),
            (roles(&[("lab", Role::Admin)]).need(Role::Viewer, &shop), false),
            (admin.need(Role::Admin, &shop), true),
            (Roles::default().need(Role::Viewer, &lab), false),
        ] {
            assert_eq!(found.is_ok(), expected, "{found:?}");
        }
        assert_eq!(Roles::read(&mixed.write()), Ok(mixed));
    }

    /// Mutation: let the admin of one namespace give away another, or everything.
    #[test]
    fn an_admin_hands_out_what_is_his() {
        let lab = roles(&[("lab", Role::Admin)]);
        for (other, expected) in [
            (&[("lab", Role::Admin)][..], true),
            (&[("lab", Role::Viewer), ("shop", Role::Viewer)], false),
            (&[("*", Role::Viewer)], false),
            (&[], false),
        ] {
            assert_eq!(lab.need_admin_of(&roles(other)).is_ok(), expected, "{other:?}");
        }
        let operator = roles(&[("lab", Role::Operator)]);
        assert!(operator.need_admin_of(&roles(&[("lab", Role::Viewer)])).is_err());
    }
}
