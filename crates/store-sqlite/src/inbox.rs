//! Where the writer's commands arrive: the next is looked for a moment, then waited for. Where none
//! comes for a while, that is told once, so that the writer can give its memory back.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread, available_parallelism};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use crate::writer::Command;

/// How long the thread looks for the next commit before it sleeps. A run that goes on alone has its
/// next step by then, and waking a thread takes about as long. With one core it would only be in the
/// way.
const LINGER: Duration = Duration::from_micros(80);

pub(crate) struct Inbox {
    commands: mpsc::Receiver<Command>,
    linger: Duration,
    rest_after: Duration,
    /// Nothing has come since it was told that nothing comes.
    is_quiet: bool,
    waker: Waker,
}

pub(crate) enum Next {
    Command(Command),
    /// Nothing has come for a while. Told once, until something comes.
    Quiet,
    /// Nobody can send any more.
    Closed,
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Inbox {
    /// For the thread that calls this, and no other.
    pub(crate) fn new(commands: mpsc::Receiver<Command>, rest_after: Duration) -> Self {
        let has_cores = available_parallelism().is_ok_and(|cores| cores.get() > 1);
        let linger = if has_cores { LINGER } else { Duration::ZERO };
        Self::lingering(commands, linger, rest_after)
    }

    fn lingering(
        commands: mpsc::Receiver<Command>,
        linger: Duration,
        rest_after: Duration,
    ) -> Self {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        // Opening the store has left traces, too.
        Self { commands, linger, rest_after, is_quiet: false, waker }
    }

    pub(crate) fn next(&mut self) -> Next {
        let next = match self.look() {
            Some(next) => next,
            None if self.is_quiet => taken(self.commands.blocking_recv()),
            None => self.wait(),
        };
        self.is_quiet = matches!(next, Next::Quiet);
        next
    }

    /// What waits already.
    pub(crate) fn waiting(&mut self) -> Option<Command> {
        self.commands.try_recv().ok()
    }

    /// Takes no more than what waits already.
    pub(crate) fn close(&mut self) {
        self.commands.close();
    }

    fn look(&mut self) -> Option<Next> {
        let since = Instant::now();
        while since.elapsed() < self.linger {
            match self.commands.try_recv() {
                Ok(command) => return Some(Next::Command(command)),
                Err(TryRecvError::Disconnected) => return Some(Next::Closed),
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
            }
        }
        None
    }

    fn wait(&mut self) -> Next {
        let since = Instant::now();
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(command) = self.commands.poll_recv(&mut context) {
                return taken(command);
            }
            let left = self.rest_after.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Next::Quiet;
            }
            thread::park_timeout(left);
        }
    }
}

fn taken(command: Option<Command>) -> Next {
    command.map_or(Next::Closed, Next::Command)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mutation: tell it again and again, which is polling; or never again after a command.
    #[test]
    fn that_nothing_comes_is_told_once_until_something_has_come() {
        let (sender, commands) = mpsc::channel(1);
        let mut inbox = Inbox::lingering(commands, Duration::ZERO, Duration::ZERO);
        // Often, since a command may be there before it is waited for.
        for _ in 0..100 {
            assert!(matches!(inbox.next(), Next::Quiet));
            let sender = sender.clone();
            let sent = thread::spawn(move || sender.blocking_send(Command::Close).is_ok());
            assert!(matches!(inbox.next(), Next::Command(Command::Close)));
            assert!(sent.join().expect("sending does not panic"));
        }
        drop(sender);
        assert!(matches!(inbox.next(), Next::Closed));
    }

    /// Mutation: park without a waker that ends it.
    #[test]
    fn a_command_ends_the_wait() {
        let (sender, commands) = mpsc::channel(1);
        let mut inbox = Inbox::lingering(commands, Duration::ZERO, Duration::MAX);
        let sent = thread::spawn(move || sender.blocking_send(Command::Close).is_ok());
        assert!(matches!(inbox.next(), Next::Command(Command::Close)));
        assert!(sent.join().expect("sending does not panic"));
        assert!(matches!(inbox.next(), Next::Closed));
    }
}
