//! Writes the shipped catalogue anew: reads LiteLLM's price file and keeps the models of
//! `catalogue/chosen.csv`. `cargo run -p isonomy-pricing --example curate -- FILE VERSION DAY`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use pricing::litellm::{self, Imported, LIST};
use pricing::{Catalogue, Model, Price, Source};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, version, day] = arguments.as_slice() else {
        return Err("which FILE of LiteLLM, of which VERSION, read on which DAY?".into());
    };
    let via = Some(format!("litellm {version}"));
    let source = Source { url: LIST.into(), via, dated: day.clone() };
    let imported = litellm::import(&std::fs::read(file)?, &source)?;
    let (read, same) = (imported.prices.len(), imported.same.len());
    let (noted, refused) = (imported.notes.len(), imported.refused.len());
    eprintln!("{read} rows read ({noted} notes), {same} twice, {refused} refused");
    let mut reasons = BTreeMap::<String, usize>::new();
    for told in &imported.refused {
        *reasons.entry(told.reason.to_string()).or_default() += 1;
    }
    for (reason, count) in reasons {
        eprintln!("{count:>6} {reason}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    let made = chosen(&std::fs::read_to_string(folder.join("chosen.csv"))?, &imported)?;
    std::fs::write(folder.join("models.csv"), made.models_table())?;
    std::fs::write(folder.join("prices.csv"), made.prices_table())?;
    eprintln!("{} models, {}", made.models().count(), made.version());
    Ok(())
}

/// The rows of the list, under our names.
fn chosen(list: &str, imported: &Imported) -> Result<Catalogue, Box<dyn Error>> {
    let rows: BTreeMap<&str, (&Model, &Price)> = (imported.names.iter().map(String::as_str))
        .zip(imported.models.iter().zip(&imported.prices))
        .collect();
    let (mut models, mut prices) = (Vec::new(), Vec::new());
    for line in list.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [from, provider, name, aliases] = fields.as_slice() else {
            return Err(format!("not four fields: {line}").into());
        };
        let Some((model, price)) = rows.get(from) else {
            let told = imported.refused.iter().find(|told| told.name == *from);
            eprintln!(
                "{from}: {}",
                told.map_or("not there".into(), |told| told.reason.to_string())
            );
            continue;
        };
        let mut model = (*model).clone();
        (model.provider, model.name) = (provider.to_string(), name.to_string());
        model.aliases = aliases.split_whitespace().map(str::to_owned).collect();
        let mut offer = price.offer.clone();
        (offer.provider, offer.model) = (provider.to_string(), name.to_string());
        prices.push(Price::new(offer, price.sheets().to_vec())?);
        models.push(model);
    }
    Ok(Catalogue::of(models, prices)?)
}
