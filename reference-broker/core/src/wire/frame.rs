//! Frames to requests and back.
//!
//! In:  a frame without its length prefix. Out: a decoded request, or the parts of an encoded response.
//! Records stay slices of the frame.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiKey, ProduceRequest, RequestHeader, RequestKind, ResponseHeader, ResponseKind,
};
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::shape;
use super::versions::{self, Door};

/// What a response must know about its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The API.
    pub api: ApiKey,
    /// The version in which the response has to be written.
    pub version: i16,
    /// Chosen by the client, sent back as it is.
    pub correlation: i32,
}

/// A request as it came in.
#[derive(Debug)]
pub struct Request {
    /// How to answer.
    pub asked: Asked,
    /// The name that the client gives itself, for logs and member ids.
    pub client_id: StrBytes,
    /// What it wants.
    pub body: Body,
}

/// What a request wants.
#[derive(Debug)]
pub enum Body {
    /// A request of a version that is offered.
    Known(Box<RequestKind>),
    /// `ApiVersions` of a version that is not offered: answered in version 0, with error 35 and the list.
    UnknownApiVersions,
    /// `Produce` below version 3, which the codec no longer knows.
    AncientProduce(super::ancient::AncientProduce),
}

/// Why a frame cannot be answered. The connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Not even a header.
    #[error("the frame of {0} bytes is too short for a request header")]
    TooShort(usize),
    /// Not an API of this listener, or not in this version.
    #[error("API key {key} version {version} is not offered here")]
    NotOffered {
        /// The key in the header.
        key: i16,
        /// The version in the header.
        version: i16,
    },
    /// The body lies about its lengths.
    #[error("malformed {api:?} request, version {version}: {error}")]
    Shape {
        /// The API.
        api: ApiKey,
        /// Its version.
        version: i16,
        /// What is wrong.
        error: shape::ShapeError,
    },
    /// The codec refused.
    #[error("undecodable {what}: {error}")]
    Codec {
        /// The API, or the header.
        what: String,
        /// The codec's words.
        error: String,
    },
}

/// Decodes a request.
pub fn decode_request(door: Door, mut frame: Bytes) -> Result<Request, FrameError> {
    let Some(&[k0, k1, v0, v1, c0, c1, c2, c3]) = frame.first_chunk::<8>() else {
        return Err(FrameError::TooShort(frame.len()));
    };
    let (key, version) = (i16::from_be_bytes([k0, k1]), i16::from_be_bytes([v0, v1]));
    let correlation = i32::from_be_bytes([c0, c1, c2, c3]);
    let api = ApiKey::try_from(key).map_err(|()| FrameError::NotOffered { key, version })?;
    let asked = Asked { api, version, correlation };
    if !versions::offers(door, api, version) {
        if api == ApiKey::ApiVersions {
            let asked = Asked { version: 0, ..asked };
            return Ok(Request { asked, client_id: StrBytes::default(), body: Body::UnknownApiVersions });
        }
        return Err(FrameError::NotOffered { key, version });
    }
    let header = decode_header(&mut frame, api.request_header_version(version))?;
    let client_id = header.client_id.unwrap_or_default();
    if api == ApiKey::Produce && version < 3 {
        let ancient = super::ancient::AncientProduce::decode(&mut frame).ok_or(FrameError::Shape {
            api,
            version,
            error: shape::ShapeError::TooShort,
        })?;
        return Ok(Request { asked, client_id, body: Body::AncientProduce(ancient) });
    }
    shape::walk(api, version, &frame).map_err(|error| FrameError::Shape { api, version, error })?;
    let body = if api == ApiKey::Produce {
        ProduceRequest::decode(&mut frame, version).map(RequestKind::Produce)
    } else {
        RequestKind::decode(api, &mut frame, version)
    }
    .map_err(|error| FrameError::Codec {
        what: format!("{api:?} request, version {version}"),
        error: error.to_string(),
    })?;
    Ok(Request { asked, client_id, body: Body::Known(Box::new(body)) })
}

fn decode_header(frame: &mut Bytes, header_version: i16) -> Result<RequestHeader, FrameError> {
    RequestHeader::decode(frame, header_version)
        .map_err(|error| FrameError::Codec { what: "request header".into(), error: error.to_string() })
}

/// Encodes the header of a response and what `body` adds to it.
fn with_header(
    asked: Asked,
    capacity: usize,
    body: impl FnOnce(&mut BytesMut) -> Result<(), String>,
) -> Result<BytesMut, String> {
    let mut buffer = BytesMut::with_capacity(capacity);
    let header = ResponseHeader::default().with_correlation_id(asked.correlation);
    header
        .encode(&mut buffer, asked.api.response_header_version(asked.version))
        .map_err(|error| error.to_string())?;
    body(&mut buffer)?;
    Ok(buffer)
}

/// Encodes a response. An error is a bug of ours: a field that the version cannot carry.
pub fn encode_response(asked: Asked, response: &ResponseKind) -> Result<Bytes, String> {
    with_header(asked, 256, |buffer| {
        response.encode(buffer, asked.version).map_err(|error| format!("{error:#}"))
    })
    .map(BytesMut::freeze)
}

/// The header alone, for responses whose body is written by hand.
pub fn response_header(asked: Asked, capacity: usize) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(capacity);
    buffer.extend_from_slice(&asked.correlation.to_be_bytes());
    if asked.api.response_header_version(asked.version) >= 1 {
        buffer.extend_from_slice(&[0]);
    }
    buffer
}

/// Encodes a request that this node sends.
pub fn encode_request(asked: Asked, client_id: &'static str, request: &RequestKind) -> Result<Bytes, String> {
    let mut buffer = BytesMut::with_capacity(256);
    RequestHeader::default()
        .with_request_api_key(asked.api as i16)
        .with_request_api_version(asked.version)
        .with_correlation_id(asked.correlation)
        .with_client_id(Some(StrBytes::from_static_str(client_id)))
        .encode(&mut buffer, asked.api.request_header_version(asked.version))
        .map_err(|error| format!("{error:#}"))?;
    request.encode(&mut buffer, asked.version).map_err(|error| format!("{error:#}"))?;
    Ok(buffer.freeze())
}

/// The API that a request begins with.
pub fn api_of(frame: &Bytes) -> Option<ApiKey> {
    let key = frame.first_chunk::<2>()?;
    ApiKey::try_from(i16::from_be_bytes(*key)).ok()
}

/// The correlation id that a response begins with.
pub fn correlation_of(frame: &Bytes) -> Option<i32> {
    (frame.len() >= 4).then(|| (&frame[..4]).get_i32())
}

/// Decodes the response to a request that this node has sent. Peers of the same cluster are trusted to
/// tell the truth about lengths.
pub fn decode_response(asked: Asked, mut frame: Bytes) -> Result<ResponseKind, FrameError> {
    let codec = |error: String| FrameError::Codec {
        what: format!("{:?} response, version {}", asked.api, asked.version),
        error,
    };
    ResponseHeader::decode(&mut frame, asked.api.response_header_version(asked.version))
        .map_err(|error| codec(error.to_string()))?;
    ResponseKind::decode(asked.api, &mut frame, asked.version).map_err(|error| codec(format!("{error:#}")))
}
