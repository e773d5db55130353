//! Frames: `u32 length | u32 header length, its first byte the header's encoding (0: JSON) | header | body`, big endian.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A longer frame is not one of this protocol.
pub(crate) const MAX_FRAME: usize = 64 << 20;
/// `MQVersion.V5_5_0` as an ordinal would change the answers' shapes; any version from 5.0 on reads standard JSON.
const VERSION: u32 = 493;
const RESPONSE: u32 = 1;
const ONE_WAY: u32 = 2;

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// What is asked.
    pub(crate) code: u16,
    /// Its parameters.
    pub(crate) fields: BTreeMap<String, String>,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// Nobody answers it.
    pub(crate) is_one_way: bool,
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// 0: done.
    pub(crate) code: i32,
    /// In words.
    pub(crate) remark: String,
    /// Its values.
    pub(crate) fields: BTreeMap<String, String>,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// The answer to the request of this number.
    Response(u32, Response),
    /// The peer tells or asks something; a client may leave that alone.
    Request(Request),
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of `{0}` bytes")]
    Length(usize),
    #[error("a header of `{0}` bytes in a frame of `{1}`")]
    HeaderLength(usize, usize),
    #[error("headers are encoded as `{0}`, not as JSON")]
    Encoding(u8),
    #[error("header: {0}")]
    Header(String),
}

impl Request {
    /// A question without parameters.
    pub(crate) fn new(code: u16) -> Self {
        Self { code, ..Self::default() }
    }

    /// With one more parameter.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts are handed over alike")]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.fields.insert(name.to_owned(), value.to_string());
        self
    }

    /// With a body.
    #[must_use]
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Without an answer.
    #[must_use]
    pub(crate) fn one_way(mut self) -> Self {
        self.is_one_way = true;
        self
    }

    /// As a frame; `opaque` comes back in the answer.
    pub(crate) fn encode(&self, opaque: u32) -> Vec<u8> {
        let header = Header {
            code: i32::from(self.code),
            language: "RUST".to_owned(),
            version: VERSION,
            opaque,
            flag: if self.is_one_way { ONE_WAY } else { 0 },
            remark: None,
            fields: Some(self.fields.clone()),
            serialized: Some("JSON".to_owned()),
        };
        let header = serde_json::to_vec(&header).expect("numbers and strings are always JSON");
        let mut frame = Vec::with_capacity(8 + header.len() + self.body.len());
        frame.extend_from_slice(&((4 + header.len() + self.body.len()) as u32).to_be_bytes());
        frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
        frame.extend_from_slice(&header);
        frame.extend_from_slice(&self.body);
        frame
    }
}

impl Response {
    /// One of its values as a number.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.fields.get(name)?.parse().ok()
    }
}

/// Reads a frame, without the four bytes of its length.
pub(crate) fn decode(frame: &[u8]) -> Result<Incoming, FrameError> {
    let (mark, rest) = frame.split_first_chunk::<4>().ok_or(FrameError::Length(frame.len()))?;
    if mark[0] != 0 {
        return Err(FrameError::Encoding(mark[0]));
    }
    let length = (u32::from_be_bytes(*mark) & 0x00ff_ffff) as usize;
    let (header, body) =
        rest.split_at_checked(length).ok_or(FrameError::HeaderLength(length, frame.len()))?;
    let header: Header = serde_json::from_slice(header).map_err(|why| FrameError::Header(why.to_string()))?;
    if header.flag & RESPONSE == 0 {
        let request = Request {
            code: u16::try_from(header.code).unwrap_or(u16::MAX),
            fields: header.fields.unwrap_or_default(),
            body: body.to_vec(),
            is_one_way: header.flag & ONE_WAY != 0,
        };
        return Ok(Incoming::Request(request));
    }
    let response = Response {
        code: header.code,
        remark: header.remark.unwrap_or_default(),
        fields: header.fields.unwrap_or_default(),
        body: body.to_vec(),
    };
    Ok(Incoming::Response(header.opaque, response))
}

#[derive(Serialize, Deserialize)]
struct Header {
    code: i32,
    #[serde(default)]
    language: String,
    #[serde(default)]
    version: u32,
    opaque: u32,
    #[serde(default)]
    flag: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
    #[serde(default, rename = "extFields", skip_serializing_if = "Option::is_none")]
    fields: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "serializeTypeCurrentRPC", skip_serializing_if = "Option::is_none")]
    serialized: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(header: &str, body: &[u8]) -> Vec<u8> {
        [&(header.len() as u32).to_be_bytes()[..], header.as_bytes(), body].concat()
    }

    #[test]
    fn a_request_carries_its_lengths_number_parameters_and_body() {
        let request = Request::new(14).with("queueId", 3).body("[1]");
        let frame = request.encode(7);
        let (length, rest) = frame.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, rest.len());
        let (header_length, rest) = rest.split_first_chunk::<4>().unwrap();
        let (header, body) = rest.split_at(u32::from_be_bytes(*header_length) as usize);
        assert_eq!(body, b"[1]");
        let header: serde_json::Value = serde_json::from_slice(header).unwrap();
        assert_eq!(header["code"], 14);
        assert_eq!(header["opaque"], 7);
        assert_eq!(header["extFields"]["queueId"], "3");
        assert_eq!(header["serializeTypeCurrentRPC"], "JSON");
        let Ok(Incoming::Request(back)) = decode(&frame[4..]) else { panic!("a request is no answer") };
        assert_eq!(back, request);
        let one_way = request.one_way();
        assert!(matches!(decode(&one_way.encode(8)[4..]), Ok(Incoming::Request(back)) if back == one_way));
    }

    #[test]
    fn an_answer_is_read_with_and_without_its_optional_parts() {
        let full = r#"{"code":22,"extFields":{"offset":"5"},"flag":1,"language":"JAVA","opaque":9,"remark":"no","version":501}"#;
        let Ok(Incoming::Response(9, response)) = decode(&framed(full, b"xyz")) else { panic!("no answer") };
        assert_eq!((response.code, response.remark.as_str(), &response.body[..]), (22, "no", &b"xyz"[..]));
        assert_eq!(response.number("offset"), Some(5));
        assert_eq!(response.number("other"), None);
        let bare = decode(&framed(r#"{"code":0,"flag":1,"opaque":1}"#, b""));
        assert_eq!(bare, Ok(Incoming::Response(1, Response::default())));
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        assert_eq!(decode(b"abc"), Err(FrameError::Length(3)));
        assert_eq!(decode(&[1, 0, 0, 0]), Err(FrameError::Encoding(1)));
        assert_eq!(decode(&[0, 0, 0, 9, b'{']), Err(FrameError::HeaderLength(9, 5)));
        assert!(matches!(decode(&framed("{}", b"")), Err(FrameError::Header(_))));
    }
}
