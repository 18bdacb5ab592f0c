//! `isonomy hub backup`, `isonomy site backup` and back: a whole hub or site in one file.

use std::path::Path;
use std::sync::Arc;

use base::SystemClock;
use site::Custodian;
use site::uplink::IDENTITY_FILE;
use store_sqlite::{OpenError, SqliteStore};

use super::store::{Pieces, begun, not_opened};
use crate::address::{self, Address, Whom};
use crate::api::Api;
use crate::args::Global;
use crate::args::hub::{HubBackup, HubRestore};
use crate::args::site::{SiteBackup, SiteRestore};
use crate::backup::{self, Kind};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::serve::fleet::CONFIG_FILE;
use crate::{output, serve};

/// In the data folder of one that is stopped, while its tables are copied.
const SCRATCH: &str = "scratch";

pub async fn hub_backup(global: &Global, args: HubBackup) -> Outcome {
    let data = global.folder(args.data, address::HUB_DATA)?;
    hub::HubFolder::open(&data).map_err(|error| Failure::usage(error.to_string()))?;
    back_up(global, &args.file, &data, Kind::Hub, &[]).await?;
    output::say(
        "the key of the hub's authority is in it: keep it like that key. The root's key is not",
    );
    Ok(Exit::Ok)
}

pub async fn site_backup(global: &Global, args: SiteBackup) -> Outcome {
    let data = global.folder(args.data, address::DATA)?;
    serve::refuse_hub(&data)?;
    let without: &[&str] = if args.without_identity { &[IDENTITY_FILE] } else { &[] };
    back_up(global, &args.file, &data, Kind::Site, without).await?;
    output::say(match args.without_identity {
        true => "secrets and the key of the site are not in it",
        false => {
            "secrets are not in it; the key by which the hub knows this site is: keep it like that key"
        }
    });
    if !data.join(CONFIG_FILE).exists() {
        output::say(
            "no configuration is in it, since the folder has none: keep the file that `--config` names beside it",
        );
    }
    Ok(Exit::Ok)
}

/// Whoever serves from the folder is asked; where nobody does, it is opened here.
async fn back_up(
    global: &Global,
    file: &Path,
    data: &Path,
    of: Kind,
    without: &[&str],
) -> Outcome<()> {
    backup::is_free(file)?;
    let whom = match of {
        Kind::Hub => Whom::Hub,
        Kind::Site => Whom::Site,
    };
    let mut pieces = match SqliteStore::look(data) {
        Ok(store) => {
            let store = Arc::new(store);
            let (clock, scratch) = (Arc::new(SystemClock), Some(data.join(SCRATCH)));
            let custodian = Custodian::of_stopped(Arc::clone(&store), clock, scratch);
            Pieces::Folder(begun(custodian.backup()), store)
        }
        Err(OpenError::Locked { .. }) => {
            let address = Address::Folder(data.to_owned(), whom);
            let api = Api::new(address, global.namespace.clone())?;
            Pieces::Site(api.store_job("POST", "backup").await?)
        }
        Err(error) => return Err(not_opened(error)),
    };
    let made = backup::pack(file, of, data, without, &mut async || pieces.next().await).await?;
    output::say(&format!(
        "backed up {} files, {} bytes, as of {}",
        made.files, made.bytes, made.store.at
    ));
    Ok(())
}

pub async fn hub_restore(args: &HubRestore) -> Outcome {
    restore(&args.file, &args.data, Kind::Hub).await?;
    output::say("start it with `isonomy hub serve`; make sure that the old one never runs again");
    output::say(
        "it takes what its sites hold first: until then it gives no order, makes no token and publishes \
         nothing; `isonomy hub recovery` says for whom it waits",
    );
    output::say(
        "keys are as they were then: revoke again what was revoked since with `isonomy keys revoke`",
    );
    Ok(Exit::Ok)
}

pub async fn site_restore(args: &SiteRestore) -> Outcome {
    restore(&args.file, &args.data, Kind::Site).await?;
    output::say(
        "start it with `isonomy site serve`; what the old one did since then may be done again, under the \
         same keys. Make sure that the old one never runs again",
    );
    match args.data.join(IDENTITY_FILE).exists() {
        true => output::say("secrets were not in the backup: `isonomy secrets set` sets them"),
        false => output::say(
            "secrets and the key of the site were not in the backup: set them with `isonomy secrets set`, \
             and join again with a token that was made with `--replace`",
        ),
    }
    if !args.data.join(CONFIG_FILE).exists() {
        output::say(
            "no configuration was in it: where the old one had one, start this one with `--config FILE`, or what \
             its owner refused is taken",
        );
    }
    Ok(Exit::Ok)
}

async fn restore(file: &Path, data: &Path, of: Kind) -> Outcome<()> {
    let (restored, incarnation) = backup::unpack(file, of, data).await?;
    output::say(&format!(
        "restored what was there at {} into `{}`; it is {incarnation} now, and was {}",
        restored.store.at,
        data.display(),
        restored.store.incarnation
    ));
    Ok(())
}
