//! A door in front of a broker whose answers can be kept back: what a broker that looks for a queue is like.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Passes connections on to a broker.
pub struct LateDoor {
    /// Where clients knock.
    pub address: SocketAddr,
    holds: Arc<AtomicBool>,
}

impl LateDoor {
    /// A door to a broker, open.
    pub fn before(broker: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let holds = Arc::new(AtomicBool::new(false));
        let (broker, held) = (broker.to_owned(), Arc::clone(&holds));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&broker)) else { return };
                let (to_server, to_client) = (server.try_clone(), client.try_clone());
                let (Ok(to_server), Ok(to_client)) = (to_server, to_client) else { return };
                let held = Arc::clone(&held);
                thread::spawn(move || pass(client, to_server, &AtomicBool::new(false)));
                thread::spawn(move || pass(server, to_client, &held));
            }
        });
        Self { address, holds }
    }

    /// Keeps what the broker says back, or lets it through.
    pub fn hold(&self, hold: bool) {
        self.holds.store(hold, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, holds: &AtomicBool) -> io::Result<()> {
    let mut bytes = [0; 16_384];
    loop {
        let count = from.read(&mut bytes)?;
        while holds.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if count == 0 {
            return to.shutdown(std::net::Shutdown::Write);
        }
        to.write_all(&bytes[..count])?;
    }
}
