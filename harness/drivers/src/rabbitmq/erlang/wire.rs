//! A connection to one node: handshake, and frames of a control term with a message.
//!
//! The handshake is the crate's. Its frames are not: it writes them in three pieces, which Nagle's algorithm makes cost
//! 40 ms each.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use eetf::{Atom, Pid, Term};
use erl_dist::LOWEST_DISTRIBUTION_PROTOCOL_VERSION;
use erl_dist::handshake::ClientSideHandshake;
use erl_dist::node::{Creation, LocalNode, NodeName};
use futures::executor::block_on;
use futures::io::AllowStdIo;

use super::terms::{atom, tuple};
use crate::clock::monotonic_ns;

/// Where an Erlang node of RabbitMQ listens: its AMQP port + 20000.
const PORT: u16 = 25_672;
const CONNECT: Duration = Duration::from_secs(1);
const HANDSHAKE: Duration = Duration::from_secs(2);
/// A node that reads nothing must not hold up who asks it.
const WRITE: Duration = Duration::from_millis(100);
/// Marks a frame that is passed through unchanged.
const PASS_THROUGH: u8 = 112;
/// Control message to a registered name.
const REG_SEND: u8 = 6;

/// The writing half of a connection.
#[derive(Debug)]
pub(super) struct Writer {
    stream: TcpStream,
    pid: Pid,
}

/// The reading half.
#[derive(Debug)]
pub(super) struct Reader {
    stream: TcpStream,
}

/// Connects to a node as a hidden node of a new name.
pub(super) fn connect(host: &str, cookie: &str) -> io::Result<(Writer, Reader)> {
    let address = resolve(host)?;
    let stream = TcpStream::connect_timeout(&address, CONNECT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANDSHAKE))?;
    stream.set_write_timeout(Some(WRITE))?;
    let name = NodeName::new(&format!("mqproof-{}-{}", std::process::id(), monotonic_ns()), "localhost")
        .map_err(io::Error::other)?;
    let local = LocalNode::new(name, Creation::random());
    let pid = Pid::new(local.name.to_string(), 1, 0, local.creation.get());
    let mut handshake = ClientSideHandshake::new(AllowStdIo::new(stream.try_clone()?), local, cookie);
    block_on(async {
        handshake.execute_send_name(LOWEST_DISTRIBUTION_PROTOCOL_VERSION).await?;
        handshake.execute_rest(true).await
    })
    .map_err(|why| io::Error::other(why.to_string()))?;
    Ok((Writer { stream: stream.try_clone()?, pid }, Reader { stream }))
}

fn resolve(host: &str) -> io::Result<SocketAddr> {
    let mut addresses =
        if host.contains(':') { host.to_socket_addrs()? } else { (host, PORT).to_socket_addrs()? };
    addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address"))
}

impl Writer {
    /// Calls the node's `rpc` server, which answers `{Tag, Result}`.
    pub(super) fn call(
        &mut self,
        tag: Term,
        module: &str,
        function: &str,
        arguments: Term,
    ) -> io::Result<()> {
        let call =
            tuple(vec![atom("call"), atom(module), atom(function), arguments, Term::from(self.pid.clone())]);
        let message = tuple(vec![atom("$gen_call"), tuple(vec![Term::from(self.pid.clone()), tag]), call]);
        let control = tuple(vec![
            Term::from(eetf::FixInteger::from(REG_SEND)),
            Term::from(self.pid.clone()),
            Atom::from("").into(),
            atom("rex"),
        ]);
        self.send(&[control, message])
    }

    fn send(&mut self, terms: &[Term]) -> io::Result<()> {
        let mut frame = vec![0, 0, 0, 0, PASS_THROUGH];
        for term in terms {
            term.encode(&mut frame).map_err(io::Error::other)?;
        }
        let length = (frame.len() - 4) as u32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&frame)
    }

    /// Says that we are alive.
    pub(super) fn tick(&mut self) -> io::Result<()> {
        self.stream.write_all(&[0; 4])
    }

    /// Ends both halves.
    pub(super) fn close(&self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Reader {
    /// From now on a node may be silent for as long as it likes.
    pub(super) fn wait_without_end(&self) {
        let _ = self.stream.set_read_timeout(None);
    }

    /// The next message; None: a tick, or something that is not for us.
    pub(super) fn receive(&mut self) -> io::Result<Option<Term>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame)?;
        if frame.first() != Some(&PASS_THROUGH) {
            return Ok(None);
        }
        let mut rest = &frame[1..];
        let _control = Term::decode(&mut rest).map_err(io::Error::other)?;
        if rest.is_empty() {
            return Ok(None);
        }
        Term::decode(&mut rest).map(Some).map_err(io::Error::other)
    }
}
