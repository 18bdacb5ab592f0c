//! What crosses the HTTP API: requests, views, pages, problems; and what site and hub say to each other.
//! The contract of every client, and of the other end.
//!
//! Domain types live in their own rooms; the conversions are where the two worlds may differ next
//! year. Every field here is stable: it may be added to, not changed.

pub mod authority;
pub mod compact;
pub mod dataset;
pub mod desired;
pub mod dispatch;
pub mod edition;
pub mod event;
pub mod exchange;
pub mod explain;
pub mod fleet;
pub mod hub;
pub mod join;
pub mod key;
pub mod lease;
pub mod link;
pub mod log;
mod model;
pub mod order;
pub mod page;
mod price;
pub mod problem;
mod question;
pub mod recovery;
pub mod run;
pub mod secret;
pub mod site;
pub mod store;
pub mod usage;
pub mod watch;
pub mod workflow;

pub use authority::{
    AuthoritiesView, AuthorityForget, AuthorityNext, AuthorityRotate, AuthorityState, AuthorityView,
};
pub use compact::StoreCompacted;
pub use dataset::{DatasetState, DatasetView, SiteDataset};
pub use desired::{
    DesiredApplied, DesiredApply, DesiredChange, DesiredKind, PlacementSites, PlacementView,
    SitePlan,
};
pub use dispatch::{DispatchSiteView, DispatchView};
pub use event::{EventAccepted, EventView, EventsAccepted};
pub use exchange::{ExchangeDown, ExchangeUp, SiteCarried};
pub use explain::{
    LeftField, LeftOut, LeftOutSite, LeftOutView, LeftView, OrderExplained, RequestView,
    RunExplained, StartedHow, StartedView, WaitView, WaitsFor,
};
pub use fleet::{
    DesiredFailed, DesiredState, OrderCreate, OrderState, OrderView, OutcomeView, SiteAdopt,
    SiteCordon, SiteDesired, SiteRevoke, SiteState, SiteTag, SiteTurnedAway, SiteView, TokenCreate,
    TokenCreated,
};
pub use hub::{HubHealth, HubVersion};
pub use key::{
    ApiKey, ApiKeyError, EVERYWHERE, KeyCreate, KeyCreated, KeyRevoke, KeyScope, KeyScopeError,
    KeyState, KeyView, ModelTerms, Role, RoleError, Whoami,
};
pub use log::LogView;
pub use model::{
    ArtifactFetch, ArtifactView, BudgetList, BudgetSet, BudgetView, CallSettle, CallView,
    FleetBudgetList, FleetBudgetSet, FleetBudgetView, FleetLeaseView, LanguageView, LeaseView,
    ModelPut, ModelState, ModelTensor, ModelView, RouteStandingView, RouteView, UsageList,
    UsageRow,
};
pub use page::Page;
pub use price::{PriceSheetView, PriceSourceView, PriceView, PricedModelView};
pub use problem::{Finding, Problem, ProblemCode};
pub use question::{QuestionAnswer, QuestionState, QuestionView};
pub use recovery::{RecoveryEnd, RecoveryView, RecoveryWaive};
pub use run::{
    AttemptView, By, ChildView, CrossingView, FollowEvent, ParentView, RunCommand, RunDetail,
    RunEventView, RunResult, RunStart, RunUsage, RunView, TaskView,
};
pub use secret::{SecretChanged, SecretSet, SecretView};
pub use site::{DayLeft, Health, HubLine, LeftTo, SiteLeave, SiteLeft, SiteStatus, Version};
pub use store::{
    BackupDone, BackupFile, BackupLine, BackupStore, StoreCheckLine, StoreFailure, StoreFinding,
    StoreTotals,
};
pub use watch::{LocalPart, LocalShare, LocalShareRow, WatchView};
pub use workflow::{
    RevisionView, ScheduleView, WorkflowApplied, WorkflowApply, WorkflowChange, WorkflowDetail,
    WorkflowDocument, WorkflowSetApply, WorkflowView,
};

/// Header in which whoever has the key of a folder says who acts. A claim, not a proof; a key with a
/// name speaks for itself.
pub const ACTOR_HEADER: &str = "isonomy-actor";
