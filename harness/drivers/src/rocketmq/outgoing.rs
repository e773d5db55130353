//! Messages as a producer hands them to a broker: `SendMessageRequestHeaderV2`, `MessageBatch`.

use std::time::{SystemTime, UNIX_EPOCH};

use super::cluster::Queue;
use super::remoting::{Request, code};

/// Between the name and the value of a property, and behind the value.
const NAME_VALUE: char = '\u{1}';
const PROPERTY: char = '\u{2}';

/// What a broker is told of a message, beside its body.
pub(super) fn properties(key: Option<&str>, unique: &str) -> String {
    let pairs = [Some(("UNIQ_KEY", unique)), key.map(|key| ("KEYS", key)), Some(("WAIT", "true"))];
    pairs.iter().flatten().fold(String::new(), |mut text, (name, value)| {
        text.push_str(name);
        text.push(NAME_VALUE);
        text.push_str(value);
        text.push(PROPERTY);
        text
    })
}

/// A request with one message, or with several at once.
pub(super) fn request<'a>(
    group: &str,
    topic: &str,
    queue: &Queue,
    mut messages: impl ExactSizeIterator<Item = (&'a str, &'a [u8])>,
) -> Request {
    let is_batch = messages.len() > 1;
    let (properties, body) = match messages.next() {
        Some((properties, body)) if !is_batch => (properties.to_owned(), body.to_vec()),
        first => {
            let mut body = Vec::new();
            first
                .into_iter()
                .chain(messages)
                .for_each(|(properties, one)| append(&mut body, properties, one));
            (format!("WAIT{NAME_VALUE}true{PROPERTY}"), body)
        }
    };
    let born = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    // The names are the header's own: the protocol saves their bytes.
    Request::new(if is_batch { code::SEND_BATCH_MESSAGE } else { code::SEND_MESSAGE_V2 })
        .with("a", group)
        .with("b", topic)
        .with("c", "TBW102")
        .with("d", 4)
        .with("e", queue.id)
        .with("f", 0)
        .with("g", born)
        .with("h", 0)
        .with("i", properties)
        .with("j", 0)
        .with("k", false)
        .with("m", is_batch)
        .with("n", &queue.broker)
        .body(body)
}

/// `MessageDecoder.encodeMessage`: length, magic, CRC, flag, body, properties; the broker fills in magic and CRC.
fn append(bytes: &mut Vec<u8>, properties: &str, body: &[u8]) {
    let length = 4 * 5 + body.len() + 2 + properties.len();
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend([0; 12]);
    bytes.extend((body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes.extend((properties.len() as u16).to_be_bytes());
    bytes.extend(properties.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue { broker: "b".to_owned(), id: 3 }
    }

    #[test]
    fn one_message_goes_as_it_is() {
        let told = properties(Some("0a0b"), "U");
        assert_eq!(told, "UNIQ_KEY\u{1}U\u{2}KEYS\u{1}0a0b\u{2}WAIT\u{1}true\u{2}");
        let request = request("g", "t", &queue(), [(told.as_str(), &b"body"[..])].into_iter());
        assert_eq!((request.code, &request.body[..]), (code::SEND_MESSAGE_V2, &b"body"[..]));
        assert_eq!((request.fields["e"].as_str(), request.fields["m"].as_str()), ("3", "false"));
        assert_eq!(request.fields["i"], told);
    }

    #[test]
    fn several_messages_share_a_body() {
        let request = request("g", "t", &queue(), [("p", &b"one"[..]), ("qq", &b""[..])].into_iter());
        assert_eq!((request.code, request.fields["m"].as_str()), (code::SEND_BATCH_MESSAGE, "true"));
        let zero = [0; 12];
        let first = [&26_u32.to_be_bytes()[..], &zero, &[0, 0, 0, 3], b"one", &[0, 1], b"p"].concat();
        let second = [&24_u32.to_be_bytes()[..], &zero, &[0, 0, 0, 0], &[0, 2], b"qq"].concat();
        assert_eq!(request.body, [first, second].concat());
    }
}
