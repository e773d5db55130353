//! A client that drives the codec itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn call<Q: Encodable, A: Decodable>(
    socket: &mut (impl Read + Write),
    api: ApiKey,
    version: i16,
    request: &Q,
) -> A {
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(api as i16)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(StrBytes::from_static_str("test")));
    header.encode(&mut frame, api.request_header_version(version)).unwrap();
    request.encode(&mut frame, version).unwrap();
    socket.write_all(&(frame.len() as u32).to_be_bytes()).unwrap();
    socket.write_all(&frame).unwrap();
    socket.flush().unwrap();
    let mut length = [0; 4];
    socket.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut answer).unwrap();
    let mut answer = Bytes::from(answer);
    let header = ResponseHeader::decode(&mut answer, api.response_header_version(version)).unwrap();
    assert_eq!(header.correlation_id, 77);
    A::decode(&mut answer, version).unwrap()
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}
