//! What the figures do not say: where each engine does more than ours, and where less.

use super::super::comparison::Note;

/// In the order of the columns: ours, Restate, LangGraph, SQLite alone.
pub fn of_steps(versions: [&str; 4]) -> Vec<Note> {
    let note = |what: &'static str, cells: [&str; 4]| Note {
        what,
        cells: cells.map(str::to_owned).to_vec(),
    };
    vec![
        note("version", versions),
        note(
            "durability",
            [
                "SQLite WAL, `synchronous=FULL`: an fsynced commit before the next step; runs that wait at the same time share an fsync",
                "as it comes: RocksDB with fsync of the write-ahead log, one node, 8 partitions; steps that wait at the same time share an fsync",
                "SQLite WAL, `synchronous=FULL`, `durability=\"sync\"`: a checkpoint before the next step, on one connection",
                "SQLite WAL, `synchronous=FULL`: a row of 200 bytes a commit",
            ],
        ),
        note(
            "a step",
            [
                "the built-in function `echo` in the server's process, its input of 60 bytes made by an expression; **no code of a user, no other process**",
                "a closure of a user's program, which is a process of its own: its result, a number, goes over HTTP/2 to the server, and word that it is durable comes back",
                "a Python function of the application, in the same process; the state is a number",
                "none: no workflow, no index, nothing that could resume",
            ],
        ),
        note(
            "asked through",
            [
                "HTTP, load generator in Rust",
                "HTTP, load generator in Node",
                "a call in Python: **no server, no HTTP**; the load is in the process's own time",
                "–",
            ],
        ),
        note(
            "does here what ours does not",
            [
                "–",
                "runs a user's own code in another process; its log is in partitions that several nodes can share",
                "runs a user's own code; keeps the whole state of the graph with each step, to go back to",
                "–",
            ],
        ),
        note(
            "does not do here what ours does",
            [
                "–",
                "no policy decision before a step; the workflow is a program and no document; no event of a run's life for others to listen to",
                "no run goes on by itself after a crash: the application calls again; no API, no policy decision, no event for others",
                "everything but the write",
            ],
        ),
    ]
}

/// W2, for so many of the columns: ours, Restate, LangGraph.
pub fn of_fork(engines: usize) -> Vec<Note> {
    let cells = [
        "HTTP; `fork` with 100 calls of `echo` in the server's process",
        "HTTP; 100 closures of a program with the TypeScript SDK, in a process of its own",
        "a call in Python, in one process; 100 functions, one superstep",
    ];
    vec![first("what runs", engines, cells)]
}

/// W3.
pub fn of_rest(engines: usize) -> Vec<Note> {
    let ready = [
        "one process, until `health` has answered",
        "the server alone, until both of its ports have answered; registering a service comes on top",
        "the libraries are imported and the store is open; there is no server",
    ];
    let memory = [
        "one process",
        "server and Rust service, five seconds after they were called for the first time",
        "the application's process",
    ];
    vec![first("ready means", engines, ready), first("memory is of", engines, memory)]
}

/// W4.
pub fn of_resume(engines: usize) -> Vec<Note> {
    let cells = [
        "the site is killed; step 6 is an HTTP call to outside, which all runs make once more",
        "server and TypeScript service are killed; step 6 polls a file; all are done within 0.1 s of what stands here",
        "**nothing is killed or started**: the application calls 1,000 threads again that stopped before step 6",
    ];
    vec![first("what happens", engines, cells)]
}

fn first(what: &'static str, engines: usize, cells: [&str; 3]) -> Note {
    Note { what, cells: cells.into_iter().take(engines).map(str::to_owned).collect() }
}
