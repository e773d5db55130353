//! A number by which the workloads of two plans are compared.

use super::generator::Generator;
use super::header::NO_KEY;
use crate::plan::ProducerPlan;

/// Messages of each producer that count.
const MESSAGES: usize = 1_000;

/// CRC-32C over producer, number, key and size of the first 1,000 messages of each producer.
pub fn digest(producers: &[ProducerPlan]) -> u32 {
    let mut crc = 0;
    for (producer, plan) in producers.iter().enumerate() {
        for message in Generator::new(plan, producer as u16, 0, 0).take(MESSAGES) {
            let fields = [producer as u32, message.seq, message.key.unwrap_or(NO_KEY), message.payload_len];
            for field in fields {
                crc = crc32c::crc32c_append(crc, &field.to_le_bytes());
            }
        }
    }
    crc
}
