//! What `cargo xtask bench gateway` puts around a gateway: upstreams and a load, and a proxy that does nothing. Two
//! roles of one program, each on one thread.
//!
//! `isonomy-model-bench around DELAY_MS…` starts an upstream for each delay, says where it listens, and then loads
//! whom each line of its input names: JSON, answered by one line of it. `isonomy-model-bench proxy HOST:PORT` says
//! where it listens, and serves until it is killed.

mod load;
mod proxy;
mod upstream;

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::task::yield_now;

use self::load::Order;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["around", delays @ ..] => around(delays).await,
        ["proxy", upstream] => proxy::serve(listen().await?, (*upstream).to_owned()).await,
        _ => Err("usage: isonomy-model-bench around DELAY_MS… | proxy HOST:PORT".into()),
    }
}

async fn around(delays: &[&str]) -> Outcome<()> {
    for delay in delays {
        let delay = Duration::from_millis(delay.parse()?);
        tokio::spawn(upstream::serve(listen().await?, delay));
    }
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    while let Some(order) = orders.next_line().await? {
        let order: Order = serde_json::from_str(&order)?;
        let awake = order.is_as_fast_as_it_goes().then(|| tokio::spawn(stay_awake()));
        load::run(order, &mut orders).await?;
        if let Some(awake) = awake {
            awake.abort();
        }
    }
    Ok(())
}

/// While it is counted what a call costs, the thread looks for events instead of sleeping until one wakes it. Who writes
/// to a socket whose reader sleeps pays for waking it, on a virtual machine more than for the write itself: whoever is
/// slow enough to let the load sleep would be measured slower still.
async fn stay_awake() {
    loop {
        yield_now().await;
    }
}

async fn listen() -> Outcome<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}
