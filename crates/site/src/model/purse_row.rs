//! What a site keeps of a purse, so that it goes on after a crash.

use base::{IncarnationId, SiteName, Timestamp, document};
use models::{Holder, Line, Purse, PurseId};
use pricing::{Amount, Budget, Currency, Money, Period};
use serde::{Deserialize, Serialize};
use store::{Op, ResourceKind, ResourceRow};
use wire::lease::{PurseName, SignedLease};

use super::book::BookError;

const PURSE_TYPE: &str = "isonomy.purse";
const PURSE_VERSION: u32 = 1;

/// A purse, with what its machine does not know.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub budget: Budget,
    /// What the record of calls had in this window when the purse began.
    pub base: Amount,
    /// What the hub was told and the record has lost since, by a power cut.
    pub extra: Amount,
    pub asked_at: Option<Timestamp>,
    pub told_at: Option<Timestamp>,
    /// The life of the hub that was last told of it.
    pub hub: Option<IncarnationId>,
    /// The newest, for whoever wants to see it signed.
    pub lease: Option<SignedLease>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Doc {
    purse: PurseName,
    budget: String,
    granted: Money,
    returned: Money,
    told: Money,
    last: Money,
    base: Money,
    extra: Money,
    asked: Option<Money>,
    number: u64,
    is_short: bool,
    is_closed: bool,
    asked_at: Option<Timestamp>,
    told_at: Option<Timestamp>,
    hub: Option<IncarnationId>,
    lease: Option<SignedLease>,
}

impl Row {
    pub(super) const fn new(budget: Budget, base: Amount) -> Self {
        let (asked_at, told_at, hub, lease) = (None, None, None, None);
        Self { budget, base, extra: Amount::ZERO, asked_at, told_at, hub, lease }
    }

    /// What the purse has to show for, where the record of calls has this much.
    pub(super) fn spent(&self, recorded: Amount) -> Amount {
        let own = recorded.minus(self.base).unwrap_or_default();
        own.plus(self.extra).unwrap_or(own)
    }

    pub(super) fn op(&self, name: PurseName, purse: &Purse) -> Op {
        let currency = self.budget.cap().currency;
        let money = |amount: Amount| amount.of(currency);
        let doc = Doc {
            budget: self.budget.to_string(),
            granted: money(purse.granted),
            returned: money(purse.returned),
            told: money(purse.told),
            last: money(purse.last),
            base: money(self.base),
            extra: money(self.extra),
            asked: purse.asked.map(money),
            number: purse.number,
            is_short: purse.is_short,
            is_closed: purse.is_closed,
            asked_at: self.asked_at,
            told_at: self.told_at,
            hub: self.hub,
            lease: self.lease.clone(),
            purse: name,
        };
        Op::ResourcePut(ResourceRow {
            kind: ResourceKind::Lease,
            name: row_name(&doc.purse),
            record: document::write(PURSE_TYPE, PURSE_VERSION, &doc).into(),
        })
    }

    /// With the life that it is of. `held` and `spent` are for the record of calls to say.
    pub(super) fn read(
        row: &ResourceRow,
    ) -> Result<(PurseId, IncarnationId, Self, Purse), BookError> {
        let damaged = || BookError::Resource(row.name.clone());
        let doc: Doc =
            document::read(&row.record, PURSE_TYPE, PURSE_VERSION).map_err(|_| damaged())?;
        let (life, id) = (doc.purse.life, id_of(&doc.purse).ok_or_else(damaged)?);
        let budget: Budget = doc.budget.parse().map_err(|_| damaged())?;
        let purse = Purse {
            granted: doc.granted.amount,
            returned: doc.returned.amount,
            told: doc.told.amount,
            last: doc.last.amount,
            number: doc.number,
            asked: doc.asked.map(|it| it.amount),
            is_short: doc.is_short,
            is_closed: doc.is_closed,
            ..Purse::default()
        };
        let kept = Self {
            budget,
            base: doc.base.amount,
            extra: doc.extra.amount,
            asked_at: doc.asked_at,
            told_at: doc.told_at,
            hub: doc.hub,
            lease: doc.lease,
        };
        Ok((id, life, kept, purse))
    }
}

pub(super) fn row_name(purse: &PurseName) -> String {
    let window = purse.window.map_or(0, Timestamp::as_millis);
    format!("{}:{}:{window}:{}", purse.holder, purse.period, purse.life)
}

pub(super) fn name_of(id: &PurseId, site: &SiteName, life: IncarnationId) -> PurseName {
    PurseName {
        site: site.clone(),
        life,
        holder: id.holder.to_text(),
        period: id.period.name().to_owned(),
        window: id.window,
    }
}

pub(super) fn id_of(purse: &PurseName) -> Option<PurseId> {
    let holder: Holder = purse.holder.parse().ok()?;
    let period: Period = purse.period.parse().ok()?;
    Some(PurseId { holder, period, window: purse.window })
}

/// By which calls say what they hold in a purse.
pub(super) fn line_of(id: &PurseId, currency: Currency) -> Line {
    let holder = Holder::Fleet(Box::new(id.holder.clone()));
    let PurseId { period, window, .. } = *id;
    Line { holder, period, window, amount: Amount::ZERO.of(currency) }
}
