//! What stands around tasks, as it is read: extensions, graphs, handlers that say where to go.

use isonomy_spec::tree::{Flow, Task, TaskKind, Workflow};

use crate::{read, rendered};

const AROUND: &str = include_str!("seeds/around.yaml");

fn workflow() -> Workflow {
    match read(AROUND) {
        Ok(read) => {
            assert_eq!(rendered(&read.warnings, "around.yaml", AROUND), "");
            read.workflow
        }
        Err(wrong) => panic!("{}", rendered(&wrong, "around.yaml", AROUND)),
    }
}

fn task<'w>(workflow: &'w Workflow, name: &str) -> &'w Task {
    workflow.tasks.iter().find(|task| &*task.name == name).expect(name)
}

/// Mutation: number tasks of extensions before the others, leave their mark out, or locate them
/// elsewhere.
#[test]
fn extensions_are_read_behind_the_tasks_and_their_tasks_are_marked() {
    let workflow = workflow();
    let own: Vec<bool> = workflow.tasks.iter().map(|task| task.is_extension).collect();
    let first = own.iter().position(|is_extension| *is_extension).expect("there are some");
    assert!(own[first..].iter().all(|is_extension| *is_extension));
    assert_eq!(&*task(&workflow, "begin").location, "/use/extensions/0/log/before/0/begin");
    assert_eq!(&*task(&workflow, "ends").location, "/use/extensions/0/log/after/0/ends");
    let [log, mock] = &workflow.extensions[..] else { panic!("{:?}", workflow.extensions) };
    assert_eq!(log.when.as_ref().map(expr::Expr::text), Some(r#"$task.name != "quiet""#));
    assert_eq!((&*mock.name, mock.after.0.len(), mock.when.is_none()), ("mock", 0, true));
    let extended = |name: &str| {
        let kind = &task(&workflow, name).kind;
        (log.extend.matches(kind), mock.extend.matches(kind))
    };
    assert_eq!(extended("mended"), (true, false));
    assert_eq!((extended("fan"), extended("c")), ((true, true), (true, true)));
}

/// Mutation: take `after` for places in the list of names, or drop `catch.then`.
#[test]
fn branches_wait_and_handlers_lead() {
    let workflow = workflow();
    let TaskKind::Fork(fork) = &task(&workflow, "fan").kind else { panic!("a fork") };
    assert_eq!(fork.after, [vec![], vec![0], vec![0, 1]]);
    let TaskKind::Try(guard) = &task(&workflow, "guard").kind else { panic!("a try") };
    assert_eq!(guard.catch.then, Some(Flow::Goto(3)));
}
