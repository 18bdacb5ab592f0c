//! Asks, over connections that are kept for one order: as fast as it is answered, at a rate, or to hold streams open.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines, Stdin};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::Outcome;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    host: String,
    /// Lines beside the usual ones, such as `authorization: Bearer …`.
    headers: Vec<String>,
    body: String,
    connections: usize,
    seconds: f64,
    /// Calls a second of all connections; as many as are answered where there is none.
    rate: Option<f64>,
    /// Whether each connection keeps its first answer open until the next line of input.
    #[serde(default)]
    is_held: bool,
}

#[derive(Default, Serialize)]
struct Measured {
    calls: u64,
    /// Of them not answered with 200.
    failed: u64,
    seconds: f64,
    /// From the request, or from when it was due, to the last byte of the answer.
    whole_micros: Shares,
    /// To the first byte of the body.
    first_micros: Shares,
}

#[derive(Default, Serialize)]
struct Shares {
    p50: u64,
    p99: u64,
}

#[derive(Default)]
struct Times {
    failed: u64,
    whole: Vec<u64>,
    first: Vec<u64>,
}

pub async fn run(order: Order, orders: &mut Lines<BufReader<Stdin>>) -> Outcome<()> {
    let order = Arc::new(order);
    if order.is_held {
        let _open = hold(&order).await?;
        orders.next_line().await?;
        return Ok(());
    }
    let times = Arc::new(Mutex::new(Times::default()));
    let start = Instant::now();
    let mut tasks = Vec::new();
    for number in 0..order.connections {
        tasks.push(tokio::spawn(ask(Arc::clone(&order), number, start, Arc::clone(&times))));
    }
    for task in tasks {
        task.await??;
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut times = times.lock().expect("no task panicked");
    let Times { failed, whole, first } = &mut *times;
    let calls = whole.len() as u64;
    let (whole_micros, first_micros) = (Shares::of(whole), Shares::of(first));
    let measured = Measured { calls, failed: *failed, seconds, whole_micros, first_micros };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

impl Shares {
    fn of(times: &mut [u64]) -> Self {
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(0);
        Self { p50: at(50), p99: at(99) }
    }
}

impl Order {
    pub fn is_as_fast_as_it_goes(&self) -> bool {
        self.rate.is_none() && !self.is_held
    }

    fn request(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|line| format!("{line}\r\n")).collect();
        format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n{}",
            self.host,
            self.body.len(),
            self.body
        )
        .into_bytes()
    }

    async fn connect(&self) -> Outcome<Connection> {
        let stream = TcpStream::connect(&self.host).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(16 * 1024) })
    }
}

async fn ask(
    order: Arc<Order>,
    number: usize,
    start: Instant,
    times: Arc<Mutex<Times>>,
) -> Outcome<()> {
    let request = order.request();
    let mut connection = order.connect().await?;
    let (end, mut own) = (start + Duration::from_secs_f64(order.seconds), Times::default());
    for turn in 0_u64.. {
        let mut began = Instant::now();
        if let Some(rate) = order.rate {
            let before = turn as f64 * order.connections as f64 + number as f64;
            let due = start + Duration::from_secs_f64(before / rate);
            if due > began {
                sleep_until(due.into()).await;
                // A clock that wakes late is ours, and no fault of who is asked.
                began = Instant::now();
            } else {
                began = due;
            }
        }
        if Instant::now() >= end {
            break;
        }
        connection.stream.write_all(&request).await?;
        let (status, first) = connection.head().await?;
        connection.rest().await?;
        let micros = |at: Instant| u64::try_from((at - began).as_micros()).unwrap_or(u64::MAX);
        own.failed += u64::from(status != 200);
        own.first.push(micros(first));
        own.whole.push(micros(Instant::now()));
    }
    let mut times = times.lock().expect("no task panicked");
    times.failed += own.failed;
    times.whole.append(&mut own.whole);
    times.first.append(&mut own.first);
    Ok(())
}

/// Says how many streams are open once all are. They close when what it gives is dropped.
async fn hold(order: &Arc<Order>) -> Outcome<JoinSet<Outcome<()>>> {
    let (opened, mut open) = (Arc::new(Barrier::new(order.connections + 1)), JoinSet::new());
    for _ in 0..order.connections {
        let mut connection = order.connect().await?;
        let (request, opened) = (order.request(), Arc::clone(&opened));
        open.spawn(async move {
            connection.stream.write_all(&request).await?;
            let (status, _) = connection.head().await?;
            if status != 200 {
                return Err(format!("answered with {status}").into());
            }
            opened.wait().await;
            // Nothing more comes.
            connection.rest().await
        });
    }
    tokio::select! {
        _ = opened.wait() => {}
        Some(ended) = open.join_next() => {
            ended??;
            return Err("a stream has ended before all were open".into());
        }
    }
    println!("{}", order.connections);
    Ok(open)
}

struct Connection {
    stream: TcpStream,
    /// What has come of this answer, from its body on once the head was read.
    buffer: Vec<u8>,
}

impl Connection {
    /// Until something of the body has come.
    async fn head(&mut self) -> Outcome<(u16, Instant)> {
        self.buffer.clear();
        loop {
            self.more().await?;
            let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            if self.buffer.len() > end + 4 {
                let status = std::str::from_utf8(&self.buffer[9..12])?.parse()?;
                return Ok((status, Instant::now()));
            }
        }
    }

    async fn rest(&mut self) -> Outcome<()> {
        let end = memchr::memmem::find(&self.buffer, b"\r\n\r\n").ok_or("no head")? + 4;
        let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: Option<usize> = length.map(|it| it.trim().parse()).transpose()?;
        let is_whole = |buffer: &[u8]| match length {
            Some(length) => buffer.len() >= end + length,
            None => buffer.ends_with(b"\r\n0\r\n\r\n"),
        };
        while !is_whole(&self.buffer) {
            self.more().await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> Outcome<()> {
        let read = self.stream.read_buf(&mut self.buffer).await?;
        if read == 0 { Err("the connection was closed".into()) } else { Ok(()) }
    }
}
