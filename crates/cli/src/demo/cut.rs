//! A line that can be cut: what stands between a clinic and its hub in the demo.

use std::net::{Ipv4Addr, SocketAddr};

use gateway::uplink::Uplink;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::failure::{Failure, Outcome};

/// Passes everything on, until it is cut. Gone when it is dropped.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    whole: watch::Sender<bool>,
    _passing: JoinSet<()>,
}

impl Cable {
    /// To where the hub is.
    pub async fn lay(to: String) -> Outcome<Self> {
        let failed = |cause| Failure::internal(format!("cannot lay a line to the hub: {cause}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (whole, is_whole) = watch::channel(true);
        let mut passing = JoinSet::new();
        passing.spawn(async move {
            let mut lines = JoinSet::new();
            // An error is a connection that has gone again.
            loop {
                let Ok((from, _)) = listener.accept().await else { continue };
                lines.spawn(pass(from, to.clone(), is_whole.clone()));
            }
        });
        Ok(Self { address, whole, _passing: passing })
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Nothing passes from now on, in either direction.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn pass(mut from: TcpStream, to: String, mut is_whole: watch::Receiver<bool>) {
    if !*is_whole.borrow_and_update() {
        return;
    }
    let Ok(hub) = Uplink::to(&to) else { return };
    let Ok(mut to) = hub.connect().await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => {}
        _ = is_whole.wait_for(|whole| !whole) => {}
    }
}
