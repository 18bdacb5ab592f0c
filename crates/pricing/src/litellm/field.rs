//! What the names of the fields of LiteLLM's price file mean.
//!
//! A name is a price, then perhaps `_above_200k_tokens`, then perhaps a service.

use crate::catalogue::Kind;
use crate::class::Class;
use crate::usage::Service;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// It says nothing of prices.
    NoPrice,
    Rate {
        class: Class,
        service: Service,
        above: u64,
    },
    /// Prices of a search, by how much is searched.
    Search,
    /// Prices by ranges of input.
    Ranges,
    /// A price of something that happens only to who asks for it, or one that lowers the bill: without
    /// it the bill of other calls is right, and none is too low.
    OnDemand,
    /// A price that cannot be expressed.
    Unknown,
}

/// Starts and ends of names of what has to be asked for: services, places and tools of providers, and
/// of what is billed here as something dearer.
const ON_DEMAND: [&str; 15] = [
    "regional_",
    "provider_specific_entry",
    "google_maps_grounding",
    "code_interpreter",
    "computer_use",
    "file_search",
    "vector_store",
    "off_peak_pricing",
    "search_free_requests",
    "web_search_billing_unit",
    "input_cost_per_video",
    "citation_cost",
    "ocr_cost",
    "annotation_cost",
    "guardrail_cost",
];

const OTHER_SERVICES: [&str; 4] = ["_ultrafast", "_balanced", "_decisions", "_above_12hr"];

/// Cached audio and images are billed as audio and images, which is dearer; a second currency of one
/// provider says the same again; a cache hit is the cached price by another name.
const SAID_OTHERWISE: [&str; 7] = [
    "cache_read_input_audio_token_cost",
    "cache_read_input_image_token_cost",
    "cache_creation_input_audio_token_cost",
    "explicit_cache_read_input_token_cost",
    "input_dbu_cost_per_token",
    "output_dbu_cost_per_token",
    "input_cost_per_token_cache_hit",
];

pub(super) fn read(name: &str, kind: Kind) -> Field {
    if SAID_OTHERWISE.iter().any(|start| name.starts_with(start)) {
        return Field::NoPrice;
    }
    let is_on_demand = ON_DEMAND.iter().any(|start| name.starts_with(start))
        || OTHER_SERVICES.iter().any(|part| name.contains(part));
    if is_on_demand {
        return Field::OnDemand;
    }
    match name {
        "search_context_cost_per_query" => Field::Search,
        "tiered_pricing" => Field::Ranges,
        _ if name.contains("_cost") || name.contains("cost_per") => rate(name, kind),
        _ => Field::NoPrice,
    }
}

fn rate(name: &str, kind: Kind) -> Field {
    let services =
        [("_batches", Service::Batch), ("_flex", Service::Flex), ("_priority", Service::Priority)];
    let named = services.into_iter().find_map(|(end, it)| Some((name.strip_suffix(end)?, it)));
    let (name, service) = named.unwrap_or((name, Service::Standard));
    let Some((name, above)) = tier(name) else { return Field::Unknown };
    match class(name, kind) {
        Some(class) => Field::Rate { class, service, above },
        None => Field::Unknown,
    }
}

/// Splits `…_above_200k_tokens` off.
fn tier(name: &str) -> Option<(&str, u64)> {
    let Some(start) = name.strip_suffix("k_tokens") else { return Some((name, 0)) };
    let (name, thousands) = start.rsplit_once("_above_")?;
    let thousands: u64 = thousands.parse().ok()?;
    Some((name, thousands.checked_mul(1_000)?))
}

fn class(name: &str, kind: Kind) -> Option<Class> {
    Some(match name {
        "input_cost_per_token" => Class::Input,
        "output_cost_per_token" => Class::Output,
        "cache_read_input_token_cost" => Class::CacheRead,
        "cache_creation_input_token_cost" => Class::CacheWrite5m,
        "cache_creation_input_token_cost_above_1hr" => Class::CacheWrite1h,
        "output_cost_per_reasoning_token" => Class::Reasoning,
        "input_cost_per_audio_token" => Class::AudioIn,
        "output_cost_per_audio_token" => Class::AudioOut,
        "input_cost_per_image_token" => Class::ImageIn,
        "output_cost_per_image_token" => Class::ImageOut,
        "output_cost_per_image" if kind == Kind::Image => Class::Image,
        "input_cost_per_request" | "input_cost_per_query" => Class::Request,
        "input_cost_per_second" if kind == Kind::Transcription => Class::Millisecond,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: forget a service, read `200k` as 200, or take the hour of a cache for a tier.
    #[test]
    fn a_name_says_what_is_priced_and_when() {
        let rate = |class, service, above| Field::Rate { class, service, above };
        let check = |name, expected| assert_eq!(read(name, Kind::Chat), expected, "{name}");
        check("input_cost_per_token", rate(Class::Input, Service::Standard, 0));
        check(
            "output_cost_per_token_above_272k_tokens_batches",
            rate(Class::Output, Service::Batch, 272_000),
        );
        check(
            "cache_creation_input_token_cost_above_1hr",
            rate(Class::CacheWrite1h, Service::Standard, 0),
        );
        check(
            "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
            rate(Class::CacheWrite1h, Service::Standard, 200_000),
        );
        check("cache_read_input_token_cost_priority", rate(Class::CacheRead, Service::Priority, 0));
        check("input_cost_per_token_ultrafast", Field::OnDemand);
        check("cache_creation_input_token_cost_above_12hr_flex", Field::OnDemand);
        check("input_cost_per_pixel", Field::Unknown);
        check("input_cost_per_token_above_many_tokens", Field::Unknown);
        check("cost_per_second", Field::Unknown);
        check("supports_vision", Field::NoPrice);
        check("max_input_tokens", Field::NoPrice);
    }
}
