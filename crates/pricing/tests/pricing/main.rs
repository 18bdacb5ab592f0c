//! The room as its callers use it.

mod bounds;
mod catalogue;
mod focus;
mod litellm;
mod prices;
mod replay;
mod reported;
mod streams;

use pricing::{Amount, Class, Currency, Offer, PerClass, Price, Service, Sheet, Source, Span};

fn source() -> Source {
    Source { url: "https://example.com/prices".into(), via: None, dated: "2026-11-22".into() }
}

fn offer() -> Offer {
    Offer {
        provider: "test".into(),
        model: "m".into(),
        region: None,
        currency: Currency::USD,
        from: None,
        to: None,
        source: source(),
    }
}

/// A sheet with rates in pico-units for one.
fn sheet(service: Service, above: u64, span: Span, rates: &[(Class, u64)]) -> Sheet {
    let mut all = PerClass::default();
    for (class, pico) in rates {
        all[*class] = Some(Amount::from_pico((*pico).into()));
    }
    Sheet { service, above, span, rates: all }
}

fn standard(rates: &[(Class, u64)]) -> Sheet {
    sheet(Service::Standard, 0, Span::Whole, rates)
}

fn price(sheets: Vec<Sheet>) -> Price {
    Price::new(offer(), sheets).expect("a price")
}
