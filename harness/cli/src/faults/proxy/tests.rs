//! A link between an echo server and a client, in each mode.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use mqproof_core::ids::NodeId;
use tokio::runtime::Runtime;

use super::{LinkEnd, LinkMode, ProxyNet};

const NODE: NodeId = NodeId(1);
const CLIENTS: LinkEnd = LinkEnd::Clients;

struct Bench {
    net: ProxyNet,
    address: SocketAddr,
    _runtime: Runtime,
}

/// A proxy before a server that sends back what it is sent.
fn bench() -> Bench {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = server.local_addr().unwrap();
    thread::spawn(move || {
        for stream in server.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                let _ = std::io::copy(&mut from, &mut to);
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut net = ProxyNet::new(runtime.handle().clone());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    net.add(CLIENTS, NODE, free, upstream).unwrap();
    Bench { net, address: free, _runtime: runtime }
}

impl Bench {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    fn set(&self, mode: LinkMode) {
        assert!(self.net.set_mode(CLIENTS, NODE, mode));
    }
}

fn echo(stream: &mut TcpStream, text: &[u8]) -> Vec<u8> {
    stream.write_all(text).unwrap();
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    back
}

#[test]
fn a_link_passes_bytes_unchanged_and_counts_them() {
    let bench = bench();
    let text: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).collect();
    let mut stream = bench.connect();
    let mut writer = stream.try_clone().unwrap();
    let sent = text.clone();
    let sender = thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).unwrap();
    sender.join().unwrap();
    assert_eq!(back, text);
    assert_eq!(bench.net.stats(CLIENTS, NODE).unwrap().passed_bytes, 2 * text.len() as u64);
}

#[test]
fn a_cut_resets_what_stands_and_refuses_what_comes_until_it_is_undone() {
    let bench = bench();
    let mut stream = bench.connect();
    echo(&mut stream, b"before");
    bench.set(LinkMode::Cut);
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let mut refused = bench.connect();
    assert!(refused.write_all(b"x").and_then(|()| refused.read_exact(&mut [0; 1])).is_err());
    assert_eq!(bench.net.stats(CLIENTS, NODE).unwrap().reset, 2);
    bench.set(LinkMode::Pass);
    assert_eq!(echo(&mut bench.connect(), b"after"), b"after");
}

#[test]
fn a_stall_holds_bytes_and_lets_them_go_when_it_is_undone() {
    let bench = bench();
    let mut stream = bench.connect();
    echo(&mut stream, b"before");
    bench.set(LinkMode::Stall);
    stream.write_all(b"held").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(stream.read(&mut [0; 4]).is_err(), "nothing comes through a stalled link");
    assert!(bench.net.stats(CLIENTS, NODE).unwrap().held_bytes >= 4);
    bench.set(LinkMode::Pass);
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"held");
}

#[test]
fn bytes_held_by_a_stall_are_lost_with_the_connection_of_their_sender() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let upstream = server.local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut net = ProxyNet::new(runtime.handle().clone());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    net.add(CLIENTS, NODE, free, upstream).unwrap();
    let mut client = TcpStream::connect(free).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    client.write_all(b"1").unwrap();
    accepted.read_exact(&mut [0; 1]).unwrap();
    net.set_mode(CLIENTS, NODE, LinkMode::Stall);
    client.write_all(b"2").unwrap();
    let until = Instant::now() + Duration::from_secs(5);
    while net.stats(CLIENTS, NODE).unwrap().held_bytes == 0 {
        assert!(Instant::now() < until, "the stall never held a byte");
        thread::sleep(Duration::from_millis(5));
    }
    drop(client);
    thread::sleep(Duration::from_millis(100));
    net.set_mode(CLIENTS, NODE, LinkMode::Pass);
    accepted.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    let _ = accepted.read_to_end(&mut rest);
    assert!(rest.is_empty(), "the dead sender's bytes arrived: {rest:?}");
}

#[test]
fn a_slow_link_delays_by_its_latency() {
    let bench = bench();
    let mut stream = bench.connect();
    echo(&mut stream, b"before");
    bench.set(LinkMode::Slow { latency: Duration::from_millis(60), bytes_per_s: 0 });
    let begun = Instant::now();
    assert_eq!(echo(&mut stream, b"late"), b"late");
    assert!(begun.elapsed() >= Duration::from_millis(120), "once in each direction");
    assert!(bench.net.stats(CLIENTS, NODE).unwrap().delayed_bytes >= 8);
}

#[test]
fn a_node_that_is_down_looks_like_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut net = ProxyNet::new(runtime.handle().clone());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    net.add(CLIENTS, NODE, free, gone).unwrap();
    let mut stream = TcpStream::connect(free).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}
