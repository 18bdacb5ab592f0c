//! A schedule as it looks from outside.

use store::ScheduleRow;
use wire::ScheduleView;

use super::definition::{Beat, Definition};

pub(crate) fn view(row: &ScheduleRow) -> ScheduleView {
    // A row of a newer version must not hide the workflow.
    let definition = Definition::decode(&row.definition).ok();
    let when = definition.as_ref().map(|definition| match &definition.beat {
        Beat::Every(interval) | Beat::After(interval) => interval.to_string(),
        Beat::Cron(cron) => cron.to_string(),
        Beat::On(listening) => base::value::to_json_string(&listening.events),
    });
    ScheduleView {
        trigger: row.trigger.clone(),
        when: when.unwrap_or_default(),
        missed: definition.map(|it| it.missed.name().to_owned()).unwrap_or_default(),
        next_at: row.next_at.map(|at| at.to_string()),
        last_at: row.fired_at.map(|at| at.to_string()),
        last_run: row.run.map(|run| run.to_string()),
    }
}
