//! Messages as a broker stores them and sends them to who pulls.

use super::key;

const MAGIC_V1: u32 = 0xDAA3_20A7;
/// With two bytes for the length of the topic.
const MAGIC_V2: u32 = 0xDAA3_20AB;
const BORN_HOST_V6: u32 = 1 << 4;
const STORE_HOST_V6: u32 = 1 << 5;
/// Between the name and the value of a property, and behind the value.
const NAME_VALUE: char = '\u{1}';
const PROPERTY: char = '\u{2}';

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) queue_offset: u64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) body: Vec<u8>,
}

/// Splits the body of an answer into messages. None: it is not a row of messages.
pub(super) fn split(mut bytes: &[u8]) -> Option<Vec<Stored>> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
        let (message, rest) = bytes.split_at_checked(length)?;
        messages.push(decode(message)?);
        bytes = rest;
    }
    Some(messages)
}

fn decode(message: &[u8]) -> Option<Stored> {
    let mut fields = Fields(message);
    let _length = fields.u32()?;
    let magic = fields.u32()?;
    if !matches!(magic, MAGIC_V1 | MAGIC_V2) {
        return None;
    }
    // Body CRC, queue, flag.
    fields.take(12)?;
    let queue_offset = fields.u64()?;
    // Place in the commit log.
    fields.take(8)?;
    let flags = fields.u32()?;
    // When and by whom it was born, when and by whom it was stored.
    fields.take(8 + host(flags & BORN_HOST_V6))?;
    fields.take(8 + host(flags & STORE_HOST_V6))?;
    // Consumed again, prepared transaction.
    fields.take(12)?;
    let body_length = fields.u32()? as usize;
    let body = fields.take(body_length)?.to_vec();
    let topic_length =
        if magic == MAGIC_V2 { usize::from(fields.u16()?) } else { usize::from(fields.take(1)?[0]) };
    fields.take(topic_length)?;
    let properties_length = usize::from(fields.u16()?);
    let properties = String::from_utf8_lossy(fields.take(properties_length)?);
    Some(Stored { queue_offset, key: property(&properties, "KEYS").and_then(key::from_text), body })
}

fn property<'a>(properties: &'a str, name: &str) -> Option<&'a str> {
    properties.split(PROPERTY).find_map(|pair| {
        let (found, value) = pair.split_once(NAME_VALUE)?;
        (found == name).then_some(value)
    })
}

fn host(v6: u32) -> usize {
    4 + if v6 == 0 { 4 } else { 16 }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(*self.take(2)?.first_chunk()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(*self.take(8)?.first_chunk()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(magic: u32, flags: u32, offset: u64, body: &[u8], properties: &str) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend(magic.to_be_bytes());
        bytes.extend([0; 12]);
        bytes.extend(offset.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(flags.to_be_bytes());
        bytes.extend(vec![0; 8 + host(flags & BORN_HOST_V6) + 8 + host(flags & STORE_HOST_V6) + 12]);
        bytes.extend((body.len() as u32).to_be_bytes());
        bytes.extend(body);
        bytes.extend(if magic == MAGIC_V2 { &[0, 1, b't'][..] } else { &[1, b't'][..] });
        bytes.extend((properties.len() as u16).to_be_bytes());
        bytes.extend(properties.as_bytes());
        let length = (bytes.len() as u32).to_be_bytes();
        bytes[..4].copy_from_slice(&length);
        bytes
    }

    #[test]
    fn messages_of_both_versions_and_address_families_are_split() {
        let properties = "UNIQ_KEY\u{1}abc\u{2}KEYS\u{1}0a0b\u{2}";
        let rows = [
            stored(MAGIC_V1, 0, 5, b"one", properties),
            stored(MAGIC_V2, BORN_HOST_V6 | STORE_HOST_V6, 6, b"", ""),
        ]
        .concat();
        let expected = [
            Stored { queue_offset: 5, key: Some(vec![10, 11]), body: b"one".to_vec() },
            Stored { queue_offset: 6, key: None, body: Vec::new() },
        ];
        assert_eq!(split(&rows).unwrap(), expected);
        assert_eq!(split(b""), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_off_or_of_another_kind_is_not_taken_for_messages() {
        let whole = stored(MAGIC_V1, 0, 5, b"one", "");
        for length in 1..whole.len() {
            assert_eq!(split(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(split(&stored(7, 0, 5, b"one", "")), None);
    }
}
