//! Permits: proof that the gate was asked. Only this room can make one, and none can be copied.

use base::name::FunctionRef;

use crate::decide::{Grant, Route, Ruling};
use crate::destination::Destination;

/// The right to do one thing. Dropped when it is done.
#[derive(Debug)]
pub struct Permit<K> {
    kind: K,
}

/// To send one HTTP request to one destination. A redirect needs another.
#[derive(Debug)]
pub struct Egress {
    pub(crate) destination: Destination,
    pub(crate) grant: Grant,
}

/// To hold connections to one upstream of models.
#[derive(Debug)]
pub struct Upstream {
    pub(crate) destination: Destination,
    pub(crate) grant: Grant,
}

/// To run one function of the catalog in this process.
#[derive(Debug)]
pub struct Function {
    function: FunctionRef,
    ruling: Ruling,
}

/// For a site: to hold a line to its hub.
#[derive(Debug)]
pub struct Hub {
    pub(crate) destination: Destination,
}

/// For the command line: to talk to the API of its own site.
#[derive(Debug)]
pub struct Operator {
    pub(crate) destination: Destination,
}

impl Permit<crate::process::Process> {
    /// For the record of a process that is only begun, and keeps its permit.
    #[must_use]
    pub fn ruling(&self) -> Ruling {
        self.kind.ruling().clone()
    }

    /// Uses the permit up; what stays is the record.
    #[must_use]
    pub fn into_ruling(self) -> Ruling {
        self.kind.into_ruling()
    }
}

impl<K> Permit<K> {
    pub(crate) fn new(kind: K) -> Self {
        Self { kind }
    }

    pub(crate) fn kind(&self) -> &K {
        &self.kind
    }
}

impl Egress {
    pub(crate) fn route(&self) -> &Route {
        &self.grant.route
    }
}

impl Function {
    pub(crate) fn new(function: FunctionRef, ruling: Ruling) -> Self {
        Self { function, ruling }
    }
}

impl Permit<Function> {
    #[must_use]
    pub fn function(&self) -> &FunctionRef {
        &self.kind.function
    }

    /// Uses the permit up; what stays is the record.
    #[must_use]
    pub fn into_ruling(self) -> Ruling {
        self.kind.ruling
    }
}
