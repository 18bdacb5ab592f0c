//! Readers: a few threads with a connection each, that only read.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures::channel::oneshot;
use rusqlite::Connection;
use store::StoreError;
use tokio::sync::mpsc;

/// Questions that wait for a reader; whoever comes later waits outside.
const QUEUE_QUESTIONS_MAX: usize = 1024;

type Question = Box<dyn FnOnce(&Connection) + Send>;

#[derive(Debug)]
pub(crate) struct Readers {
    /// `None` only while this is dropped.
    questions: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(crate) fn start(connections: Vec<Connection>) -> std::io::Result<Self> {
        let (questions, queue) = mpsc::channel(QUEUE_QUESTIONS_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::new();
        for db in connections {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("store-reader".to_owned());
            threads.push(thread.spawn(move || serve(&db, &queue))?);
        }
        Ok(Self { questions: Some(questions), threads })
    }

    /// Asks one of the readers. `what` completes "cannot …" where it fails.
    pub(crate) async fn ask<T: Send + 'static, E: ToString + Send + 'static>(
        &self,
        what: &'static str,
        question: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, StoreError> {
        let failed = |cause: String| StoreError { what, cause };
        let (answer, answered) = oneshot::channel();
        let question: Question = Box::new(move |db| {
            // Whoever asked may have gone.
            let _ = answer.send(question(db));
        });
        let questions = self.questions.as_ref().expect("present until this is dropped");
        let closed = || failed("the store is closed".to_owned());
        questions.send(question).await.map_err(|_| closed())?;
        match answered.await {
            Ok(result) => result.map_err(|cause| failed(cause.to_string())),
            Err(oneshot::Canceled) => Err(closed()),
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            // A reader that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

fn serve(db: &Connection, queue: &Mutex<mpsc::Receiver<Question>>) {
    loop {
        // The lock is held while waiting: the others wait for the lock instead of the queue.
        let next = queue.lock().expect("nothing panics while it holds the queue").blocking_recv();
        match next {
            Some(question) => question(db),
            None => return,
        }
    }
}
