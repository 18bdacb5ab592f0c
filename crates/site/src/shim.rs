//! Until `expr` says it itself.
pub(crate) trait IsParsed { fn is_parsed(&self) -> bool { true } }
impl IsParsed for expr::Expr {}
