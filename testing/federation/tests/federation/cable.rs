//! The cable between a site and its hub: it can be pulled out, and put in again.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Cable {
    /// Where the site finds its hub.
    pub address: SocketAddr,
    is_in: watch::Sender<bool>,
}

impl Cable {
    pub async fn to(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let is_in = watch::Sender::new(true);
        let seen = is_in.subscribe();
        tokio::spawn(async move {
            // Until the test's runtime goes.
            while let Ok((site, _)) = listener.accept().await {
                if *seen.borrow() {
                    tokio::spawn(carry(site, hub, seen.clone()));
                }
            }
        });
        Self { address, is_in }
    }

    pub fn pull(&self) {
        self.is_in.send_replace(false);
    }

    pub fn plug(&self) {
        self.is_in.send_replace(true);
    }
}

async fn carry(mut site: TcpStream, hub: SocketAddr, mut is_in: watch::Receiver<bool>) {
    let Ok(mut hub) = TcpStream::connect(hub).await else { return };
    tokio::select! {
        // How it ended is for both ends to find out.
        _ = copy_bidirectional(&mut site, &mut hub) => {}
        _ = is_in.wait_for(|is_in| !is_in) => {}
    }
}
