//! What `cargo xtask bench gateway` puts around a gateway: an upstream that answers at once, a proxy that does
//! nothing, and a load. Three roles of one program, each on one thread.
//!
//! `isonomy-model-bench upstream DELAY_MS` and `isonomy-model-bench proxy HOST:PORT` say where they listen, and serve until they
//! are killed. `isonomy-model-bench load ORDER` takes JSON and prints one line of it.

mod load;
mod proxy;
mod upstream;

use std::time::Duration;

use tokio::net::TcpListener;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["upstream", delay] => {
            let delay = Duration::from_millis(delay.parse()?);
            upstream::serve(listen().await?, delay).await
        }
        ["proxy", upstream] => proxy::serve(listen().await?, (*upstream).to_owned()).await,
        ["load", order] => load::run(serde_json::from_str(order)?).await,
        _ => {
            Err("usage: isonomy-model-bench upstream DELAY_MS | proxy HOST:PORT | load ORDER"
                .into())
        }
    }
}

async fn listen() -> Outcome<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    Ok(listener)
}
