//! Schedules of workflows.

use bytes::Bytes;

use super::{at, key, put, run_id};
use crate::{Op, ScheduleRow, Store};

fn schedule(name: &str, trigger: &str, next_at: Option<i64>) -> ScheduleRow {
    ScheduleRow {
        key: key(name),
        trigger: trigger.to_owned(),
        definition: Bytes::from(format!("{name} {trigger}")),
        since: at(1),
        next_at: next_at.map(at),
        fired_at: None,
        run: None,
    }
}

fn names(rows: &[ScheduleRow]) -> Vec<String> {
    rows.iter().map(|row| format!("{} {}", row.key, row.trigger)).collect()
}

/// Mutation: keep the row that was there, or lose a field.
pub async fn a_schedule_is_replaced_as_a_whole(store: &dyn Store) {
    let first = schedule("lab/intake", "every", Some(5));
    put(store, vec![Op::SchedulePut(first.clone())]).await;
    let found = store.schedule_get(key("lab/intake")).await.expect("reads");
    assert_eq!(found, std::slice::from_ref(&first));
    let moved = ScheduleRow {
        definition: Bytes::from_static(b"other"),
        since: at(2),
        next_at: None,
        fired_at: Some(at(5)),
        run: Some(run_id(7)),
        ..first
    };
    put(store, vec![Op::SchedulePut(moved.clone())]).await;
    assert_eq!(store.schedule_get(key("lab/intake")).await.expect("reads"), [moved]);
    assert_eq!(store.schedule_get(key("lab/press")).await.expect("reads"), []);
}

/// Mutation: delete all triggers of the workflow, or one of another workflow.
pub async fn one_trigger_is_deleted_without_the_others(store: &dyn Store) {
    let rows = [
        schedule("lab/intake", "cron", Some(1)),
        schedule("lab/intake", "every", Some(1)),
        schedule("plant/intake", "every", Some(1)),
    ];
    put(store, rows.iter().cloned().map(Op::SchedulePut).collect()).await;
    let delete = || Op::ScheduleDelete { key: key("lab/intake"), trigger: "every".to_owned() };
    // Once more is harmless.
    put(store, vec![delete(), delete()]).await;
    assert_eq!(store.schedule_get(key("lab/intake")).await.expect("reads"), rows[..1]);
    assert_eq!(store.schedule_get(key("plant/intake")).await.expect("reads"), rows[2..]);
}

/// Mutation: order by key, forget the limit, or find one that waits for a run.
pub async fn due_schedules_come_earliest_first(store: &dyn Store) {
    for (name, trigger, next_at) in [
        ("lab/a", "every", Some(30)),
        ("lab/b", "cron", Some(10)),
        ("lab/b", "every", Some(20)),
        ("lab/c", "after", None),
        ("lab/d", "cron", Some(10)),
    ] {
        put(store, vec![Op::SchedulePut(schedule(name, trigger, next_at))]).await;
    }
    let due = async |now, limit| names(&store.schedule_due(at(now), limit).await.expect("reads"));
    assert_eq!(due(9, 9).await, Vec::<String>::new());
    assert_eq!(due(20, 9).await, ["lab/b cron", "lab/d cron", "lab/b every"]);
    assert_eq!(due(20, 1).await, ["lab/b cron"]);
    assert_eq!(store.schedule_next().await.expect("reads"), Some(at(10)));
    let waits = schedule("lab/b", "cron", None);
    put(store, vec![Op::SchedulePut(waits)]).await;
    assert_eq!(due(20, 1).await, ["lab/d cron"]);
}

/// Mutation: tell a time although nothing is due one day.
pub async fn without_a_schedule_nothing_is_next(store: &dyn Store) {
    assert_eq!(store.schedule_next().await.expect("reads"), None);
    put(store, vec![Op::SchedulePut(schedule("lab/c", "after", None))]).await;
    assert_eq!(store.schedule_next().await.expect("reads"), None);
}

/// Mutation: repeat the cursor's row, or compare triggers before names.
pub async fn schedules_are_listed_by_key_and_in_pages(store: &dyn Store) {
    for (name, trigger) in
        [("plant/a", "cron"), ("lab/b", "after"), ("lab/a", "every"), ("lab/a", "cron")]
    {
        put(store, vec![Op::SchedulePut(schedule(name, trigger, None))]).await;
    }
    let all = ["lab/a cron", "lab/a every", "lab/b after", "plant/a cron"];
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store.schedule_list(after, 3).await.expect("reads");
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = Some((last.key.clone(), last.trigger.clone()));
        seen.extend(names(&page));
    }
    assert_eq!(seen, all);
}
