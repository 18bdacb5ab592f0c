//! `events`: what a site writes about the life of its runs.

use engine::lifecycle::Lifecycle;
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{ConfigError, Reader};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Events {
    lifecycle: Option<Spanned<String>>,
}

impl Reader<'_> {
    pub(super) fn lifecycle(&self, events: &Events) -> Result<Lifecycle, ConfigError> {
        let Some(found) = &events.lifecycle else { return Ok(Lifecycle::default()) };
        match found.value.as_str() {
            "workflows" => Ok(Lifecycle::Workflows),
            "none" => Ok(Lifecycle::None),
            _ => Err(self.wrong(found, "`lifecycle` is `workflows` or `none`")),
        }
    }
}
