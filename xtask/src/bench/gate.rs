//! A server whose answers are held until it opens: what a run is blocked in when its site is killed.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};

/// A thread here holds a connection and one line.
const STACK_BYTES: usize = 64 * 1024;

pub struct Gate {
    address: String,
    door: Arc<Door>,
}

#[derive(Default)]
struct Door {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    asked: u64,
    is_open: bool,
}

impl Gate {
    /// Closed, on any free port. Its thread ends with the process.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no free port for the gate")?;
        let address = listener.local_addr().context("the gate has no address")?.to_string();
        let door = Arc::new(Door::default());
        let own = Arc::clone(&door);
        std::thread::Builder::new()
            .name("gate".to_owned())
            .spawn(move || listen(&listener, &own))
            .context("cannot start a thread")?;
        Ok(Self { address, door })
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Requests that have come so far, answered or not.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.door.state().asked
    }

    /// Until so many requests have come.
    pub fn wait_for(&self, asked: u64, time: Duration) -> anyhow::Result<()> {
        let state = self.door.state();
        let is_missing = |state: &mut State| state.asked < asked;
        let waited = self.door.changed.wait_timeout_while(state, time, is_missing);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        ensure!(state.asked >= asked, "{} of {asked} runs have come to the gate", state.asked);
        Ok(())
    }

    /// From now on every request is answered at once.
    pub fn open(&self) {
        self.door.state().is_open = true;
        self.door.changed.notify_all();
    }
}

impl Door {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self) {
        let mut state = self.state();
        state.asked += 1;
        self.changed.notify_all();
        let opened = self.changed.wait_while(state, |state| !state.is_open);
        drop(opened.unwrap_or_else(PoisonError::into_inner));
    }
}

fn listen(listener: &TcpListener, door: &Arc<Door>) {
    for stream in listener.incoming().flatten() {
        let door = Arc::clone(door);
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        // Whoever gets no thread gets no answer, and the measurement says that one is missing.
        let _ = thread.spawn(move || answer(stream, &door));
    }
}

/// Requests without a body, until the other side has gone.
fn answer(mut stream: TcpStream, door: &Door) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    stream.set_nodelay(true).ok()?;
    loop {
        while !lines.next()?.ok()?.is_empty() {}
        door.pass();
        let text =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(text.as_bytes()).ok()?;
    }
}

/// Of a site that may ask the gate, so many times at once.
#[must_use]
pub fn configuration(gate: &str, at_once: u64) -> String {
    format!(
        "apiVersion: isonomy.dev/v1\nkind: Site\nspec:\n  egress:\n    - destination: http://{gate}\n      allow: true\n  limits:\n    requests: {at_once}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::connection::Connection;
    use super::*;

    /// Mutation: answer while it is closed, or count answers and not requests.
    #[test]
    fn nobody_passes_before_it_opens() {
        let gate = Gate::start().expect("a free port");
        let address = gate.address().to_owned();
        let client = std::thread::spawn(move || {
            let mut connection = Connection::open(&address, "key").expect("a gate");
            let request = connection.request("GET", "/step", "");
            connection.send(&request).expect("an answer").status
        });
        gate.wait_for(1, Duration::from_secs(30)).expect("a request");
        assert!(!client.is_finished());
        gate.open();
        assert_eq!(client.join().expect("an answer"), 200);
        assert_eq!(gate.asked(), 1);
        assert!(gate.wait_for(2, Duration::ZERO).is_err());
    }
}
