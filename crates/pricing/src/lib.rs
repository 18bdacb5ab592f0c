//! What a model call costs: money, usage, prices, and the most that a call may cost.
//!
//! Everything here is a plain function of its arguments. Reserving and settling are the gate's.

mod bound;
mod budget;
mod catalogue;
mod class;
mod decimal;
mod exchange;
pub mod focus;
pub mod litellm;
mod money;
mod named;
mod price;
mod reported;
mod stream;
mod usage;

pub use bound::{Bound, Prompt, bound, input_tokens_max};
pub use budget::{Budget, BudgetError, Forecast, Period, PeriodError, Window};
pub use catalogue::{
    Capability, Catalogue, CatalogueError, Kind, Model, Problem, TABLE_BYTES_MAX, rate_text,
};
pub use class::{Class, PerClass};
pub use decimal::DecimalError;
pub use exchange::{Rate, RateError};
pub use money::{Amount, Currency, Money, MoneyError};
pub use named::{OWN, PriceName};
pub use price::{CostError, Line, Offer, Price, PriceError, Sheet, Source, Span};
pub use reported::{Dialect, read};
pub use stream::{Metered, Stream};
pub use usage::{Service, Totals, UNITS_MAX, Usage, UsageError};
