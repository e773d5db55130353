//! Whoever connects, says nonsense or comes with ten thousand others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::common::PATIENCE;
use super::node::{Client, Node};
use super::{TOPIC, alone};

/// Whether the other end has hung up.
fn is_closed(socket: &mut TcpStream) -> bool {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    match socket.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// This process, and those it starts, may have as many files open as the system allows.
fn allow_files(count: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum.map(|maximum| maximum.max(count));
    let limit = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, limit).expect("`ulimit -Hn` is high enough, or root may raise it");
}

#[test]
fn ten_thousand_connections_keep_nobody_else_from_being_served() {
    let _alone = alone();
    // Five eighths of them may be connections.
    allow_files(17_000);
    let dir = TempDir::new().unwrap();
    let mut node = Node::start(&dir.path().join("node"), &[]);
    let mut client = node.connect();
    client.create(TOPIC);
    let mut values = client.fill(10);
    let address = node.address();
    let strangers: Vec<TcpStream> = (0..10_000).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (number, mut stranger) in strangers.iter().enumerate() {
        // Some say nothing, some half of a request, some nonsense.
        match number % 3 {
            0 => {}
            1 => stranger.write_all(&[0, 0, 1, 0, 0, 18]).unwrap(),
            _ => {
                let _ = stranger.write_all(&[0, 0, 0, 9, 0, 18, 99, 99, 0, 0, 0, 7, 0]);
            }
        }
    }
    values.push(b"while they are there".to_vec());
    assert_eq!(client.produce(&values[10]), (0, 10));
    assert_eq!(node.connect().read(0), (values.clone(), 0), "{}", node.said());
    drop(strangers);
    values.push(b"when they are gone".to_vec());
    assert_eq!(node.connect().produce(&values[11]), (0, 11));
    assert!(node.runs());
    node.kill();
    node.restart();
    assert_eq!(node.connect().read(0), (values, 0));
}

#[test]
fn more_connections_than_there_may_be_are_turned_away() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let node = Node::start(&dir.path().join("node"), &["max.connections=20"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let mut guests: Vec<TcpStream> = (0..19).map(|_| TcpStream::connect(node.address()).unwrap()).collect();
    for _ in 0..3 {
        assert!(is_closed(&mut TcpStream::connect(node.address()).unwrap()));
    }
    node.await_log(&["refused", "max.connections"]);
    assert_eq!(client.produce(b"inside"), (0, 0));
    guests.clear();
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Its place is free as soon as the broker has noticed.
        let mut socket = TcpStream::connect(node.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let still_open =
            socket.read(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        if still_open {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            assert_eq!(Client(socket).produce(b"in the end"), (0, 1));
            return;
        }
        assert!(Instant::now() < deadline, "nobody gets in");
    }
}

#[test]
fn a_frame_that_is_too_large_and_one_that_is_none_are_named_in_the_log() {
    let _alone = alone();
    let dir = TempDir::new().unwrap();
    let mut node = Node::start(&dir.path().join("node"), &["socket.request.max.bytes=10000"]);
    let mut client = node.connect();
    client.create(TOPIC);
    let frames: [(&[u8], &str); 3] = [
        (&[0, 0, 0x27, 0x11, 0, 3], "frame of 10001 bytes, allowed are 0 to 10000"),
        (&[0, 0, 0, 14, 0, 3, 0, 1, 0, 0, 0, 7, 255, 255, 127, 255, 255, 255], "malformed Metadata request"),
        (&[0, 0, 0, 8, 0, 3, 0, 99, 0, 0, 0, 7], "API key 3 version 99 is not offered here"),
    ];
    for (frame, words) in frames {
        let mut stranger = node.connect().0;
        stranger.write_all(frame).unwrap();
        assert!(is_closed(&mut stranger), "{words}");
        node.await_log(&[words]);
    }
    assert_eq!(client.produce(b"all the same"), (0, 0));
    assert!(node.runs());
}
