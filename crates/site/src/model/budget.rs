//! Which budgets there are at this site: kept in the store, and in the desk's books.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::{KeyName, document};
use gateway::desk::Record as _;
use models::{Alarms, Books, Holder};
use pricing::{Budget, Period};
use serde::{Deserialize, Serialize};
use server::{Caller, Keys, change_op};
use store::{Op, Preconditions, ResourceKind, ResourceRow, Store, resource_all};
use wire::{ProblemCode, Role};

use super::book::BookError;
use super::shelf::{ChangeDoc, Models, VERSION, read};
use crate::refusal::Refusal;

const BUDGET_TYPE: &str = "isonomy.budget";

/// Of one site: every team of a large house has some, and looks through them are short at so many.
const BUDGETS_MAX: usize = 10_000;

pub(super) type Budgets = BTreeMap<(Holder, Period), Capped>;

/// A cap, and at which shares of it somebody is told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Capped {
    pub budget: Budget,
    /// The usual ones, where there are none.
    pub alarms: Option<Alarms>,
}

#[derive(Debug, Serialize, Deserialize)]
struct BudgetDoc {
    holder: Holder,
    budget: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alarms: Option<Alarms>,
}

/// Those that the store has.
pub(super) async fn read_all(store: &dyn Store) -> Result<Budgets, BookError> {
    let mut budgets = Budgets::default();
    for row in resource_all(store, ResourceKind::Budget).await? {
        let doc: BudgetDoc = read(&row, BUDGET_TYPE)?;
        let budget: Budget = doc.budget.parse().map_err(|_| BookError::Damaged(0))?;
        let period = budget.period();
        budgets.insert((doc.holder, period), Capped { budget, alarms: doc.alarms });
    }
    Ok(budgets)
}

impl Capped {
    pub(super) fn put(&self, holder: &Holder, books: &mut Books) {
        books.set(holder.clone(), self.budget);
        let alarms = self.alarms.clone().unwrap_or_default();
        books.alarms_set(holder, self.budget.period(), alarms);
    }
}

impl Models {
    /// At the start: those that the store has, what the record says was spent, and calls that were left.
    pub(super) fn put_budgets(&self, budgets: Budgets) {
        let desk = &self.0.desk;
        for ((holder, _), capped) in &budgets {
            desk.budgets(|books| capped.put(holder, books));
        }
        self.kept().budgets = budgets;
        desk.budgets(|books| self.book().charge(books, desk.exchange()));
        desk.take_up(self.book().left());
    }

    /// Keys bring their budgets with them, and take them along; those that were set for them, too. What was spent
    /// stays spent: a key that is made anew goes on with it.
    pub(super) fn follow_keys(&self, keys: &Keys) {
        keys.on_end(|name| {
            let holder = Holder::Key(name.clone());
            let names = Period::ALL.map(|period| budget_name(&holder, period));
            let delete = |name| Op::ResourceDelete { kind: ResourceKind::Budget, name };
            names.into_iter().map(delete).collect()
        });
        let models = Arc::downgrade(&self.0);
        keys.watch_models(move |name, terms| {
            let Some(models) = models.upgrade().map(Self) else { return };
            let holder = Holder::Key(name.clone());
            models.kept().budgets.retain(|(of, _), _| *of != holder);
            models.0.desk.budgets(|books| {
                for period in Period::ALL {
                    books.remove(&holder, period);
                }
                for budget in terms.into_iter().flat_map(|terms| &terms.budgets) {
                    books.set(holder.clone(), *budget);
                }
            });
        });
    }

    pub(crate) async fn budget_set(
        &self,
        keys: &Keys,
        caller: &Caller,
        holder: Holder,
        capped: Capped,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        let Capped { budget, alarms } = capped.clone();
        self.may_cap(caller, &holder)?;
        if let Holder::Key(name) = &holder {
            spends(keys, caller, name)?;
        }
        let by = caller.because(reason)?;
        let _alone = self.0.changing.lock().await;
        if self.kept().budgets.len() >= BUDGETS_MAX {
            let what = format!("there are {BUDGETS_MAX} budgets, and no more are kept");
            return Err(Refusal::parameter("holder", what));
        }
        let may_set = self.0.desk.budgets(|books| {
            books.may_set(&holder, budget, self.0.desk.exchange(), self.0.clock.now())
        });
        may_set.map_err(|why| {
            let what = "what is spent and held in this window is in another currency";
            Refusal::parameter("budget", format!("{what}: {why}"))
        })?;
        let doc = BudgetDoc { holder: holder.clone(), budget: budget.to_string(), alarms };
        let row = ResourceRow {
            kind: ResourceKind::Budget,
            name: budget_name(&holder, budget.period()),
            record: document::write(BUDGET_TYPE, VERSION, &doc).into(),
        };
        let change = ChangeDoc {
            change: "budget-set",
            name: &holder.to_text(),
            what: Some(budget.to_string()),
            reason: by.reason.as_deref(),
        };
        let ops = vec![Op::ResourcePut(row), change_op(&change, &by, self.0.clock.now())];
        self.0.store.commit(ops, Preconditions::none()).await?;
        let before = self.kept().budgets.insert((holder.clone(), budget.period()), capped.clone());
        let is_other = before.as_ref() != Some(&capped);
        let reached = self.0.desk.budgets(|books| {
            capped.put(&holder, books);
            is_other.then(|| books.reached(&holder, budget.period(), self.0.desk.exchange()))
        });
        let namespace = match &holder {
            Holder::Namespace(namespace) => Some(namespace.clone()),
            Holder::Workflow(key) => Some(key.namespace.clone()),
            Holder::Key(name) => keys.namespace_of(name),
            Holder::Run(_) | Holder::Fleet(_) => None,
        };
        if let (Some(alarm), Some(namespace)) = (reached.flatten(), namespace) {
            self.book().alarm(&namespace, &[alarm]);
        }
        Ok(())
    }

    pub(crate) async fn budget_remove(
        &self,
        keys: &Keys,
        caller: &Caller,
        holder: Holder,
        period: Period,
        reason: Option<String>,
    ) -> Result<(), Refusal> {
        self.may_cap(caller, &holder)?;
        if let Holder::Key(name) = &holder
            && keys.is_for_models(caller, name).is_none()
        {
            // Of somebody else, or of a key that is gone.
            caller.roles().need_everywhere(Role::Admin)?;
        }
        let by = caller.because(reason)?;
        let _alone = self.0.changing.lock().await;
        if !self.0.desk.budgets(|books| books.remove(&holder, period)) {
            let what = format!("{holder} has no budget by the {}", period.name());
            return Err(Refusal::new(ProblemCode::BudgetMissing, what));
        }
        let name = budget_name(&holder, period);
        let change = ChangeDoc {
            change: "budget-removed",
            name: &holder.to_text(),
            what: Some(period.name().to_owned()),
            reason: by.reason.as_deref(),
        };
        let delete = Op::ResourceDelete { kind: ResourceKind::Budget, name };
        let ops = vec![delete, change_op(&change, &by, self.0.clock.now())];
        match &holder {
            Holder::Key(name) => keys.without_budget(name, period, ops).await?,
            _ => {
                self.0.store.commit(ops, Preconditions::none()).await?;
            }
        }
        self.kept().budgets.remove(&(holder, period));
        Ok(())
    }

    /// A key's cap, and a run's, is its namespace's admin's business; who has only one namespace caps that.
    fn may_cap(&self, caller: &Caller, holder: &Holder) -> Result<(), Refusal> {
        let roles = caller.roles();
        match holder {
            Holder::Namespace(namespace) => roles.need(Role::Admin, namespace)?,
            Holder::Workflow(key) => roles.need(Role::Admin, &key.namespace)?,
            Holder::Key(_) => roles.need_somewhere(Role::Admin)?,
            Holder::Fleet(_) => {
                let what = "a budget over several sites is set at the hub";
                return Err(Refusal::parameter("holder", what));
            }
            Holder::Run(_) => {
                let what = "a run has the budget of its workflow; give that one";
                return Err(Refusal::parameter("holder", what));
            }
        }
        Ok(())
    }
}

/// A namespace and a workflow may have a budget before they are there. A key is made first: a cap of a name that is
/// misspelt would hold nobody back, and nobody would notice.
fn spends(keys: &Keys, caller: &Caller, name: &KeyName) -> Result<(), Refusal> {
    let what = match keys.is_for_models(caller, name) {
        Some(true) if keys.is_over(name) => {
            format!(
                "the key `{name}` is over, and its budgets went with it; `isonomy keys create {name} --scope model --budget BUDGET` makes it anew"
            )
        }
        Some(true) => return Ok(()),
        Some(false) => {
            format!(
                "the key `{name}` is not for models, and spends nothing; `isonomy keys` says what each is for"
            )
        }
        None => format!(
            "there is no key `{name}`; `isonomy keys` lists those that there are, and `isonomy keys create {name} --scope model` makes it"
        ),
    };
    Err(Refusal::parameter("holder", what))
}

fn budget_name(holder: &Holder, period: Period) -> String {
    format!("{}:{}", holder.to_text(), period.name())
}
