//! A client of SCRAM-SHA-256 and SCRAM-SHA-512, straight from RFC 5802 and of no help from the broker.

use std::io::{Read, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use kafka_protocol::messages::{
    ApiKey, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::StrBytes;
use sha2::{Digest, Sha256, Sha512};

use super::common::call;

/// A hash function, as SCRAM needs it.
pub struct Scram {
    mechanism: &'static str,
    hash: fn(&[u8]) -> Vec<u8>,
    hmac: fn(&[u8], &[u8]) -> Vec<u8>,
}

pub const SCRAM_SHA_256: Scram = Scram {
    mechanism: "SCRAM-SHA-256",
    hash: |data| Sha256::digest(data).to_vec(),
    hmac: |key, data| {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
    },
};

pub const SCRAM_SHA_512: Scram = Scram {
    mechanism: "SCRAM-SHA-512",
    hash: |data| Sha512::digest(data).to_vec(),
    hmac: |key, data| {
        Hmac::<Sha512>::new_from_slice(key).unwrap().chain_update(data).finalize().into_bytes().to_vec()
    },
};

impl Scram {
    /// Logs in; the broker's text if it refuses.
    pub fn log_in(&self, socket: &mut (impl Read + Write), user: &str, password: &str) -> Result<(), String> {
        let mechanism = StrBytes::from_static_str(self.mechanism);
        let request = SaslHandshakeRequest::default().with_mechanism(mechanism);
        let answer: SaslHandshakeResponse = call(socket, ApiKey::SaslHandshake, 1, &request);
        assert_eq!(answer.error_code, 0);
        let bare = format!("n={user},r=ThisIsNoSecret");
        let challenge = token(socket, &format!("n,,{bare}"))?;
        let value = |key: &str| {
            let attribute = challenge.split(',').find_map(|attribute| attribute.strip_prefix(key));
            attribute.unwrap().to_owned()
        };
        let (nonce, salt) = (value("r="), BASE64_STANDARD.decode(value("s=")).unwrap());
        assert!(nonce.starts_with("ThisIsNoSecret") && nonce.len() > 30, "{nonce}");
        let iterations: u32 = value("i=").parse().unwrap();
        assert!(iterations >= 4096);
        let salted = self.salted(password.as_bytes(), salt, iterations);
        let client_key = (self.hmac)(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let messages = format!("{bare},{challenge},{without_proof}");
        let signature = (self.hmac)(&(self.hash)(&client_key), messages.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let last = token(socket, &format!("{without_proof},p={}", BASE64_STANDARD.encode(proof)))?;
        let server_key = (self.hmac)(&salted, b"Server Key");
        let expected = (self.hmac)(&server_key, messages.as_bytes());
        assert_eq!(last, format!("v={}", BASE64_STANDARD.encode(expected)));
        Ok(())
    }

    fn salted(&self, password: &[u8], mut salt: Vec<u8>, iterations: u32) -> Vec<u8> {
        salt.extend([0, 0, 0, 1]);
        let mut block = (self.hmac)(password, &salt);
        let mut sum = block.clone();
        for _ in 1..iterations {
            block = (self.hmac)(password, &block);
            sum.iter_mut().zip(&block).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }
}

fn token(socket: &mut (impl Read + Write), text: &str) -> Result<String, String> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(text.to_owned().into_bytes().into());
    let answer: SaslAuthenticateResponse = call(socket, ApiKey::SaslAuthenticate, 2, &request);
    if answer.error_code != 0 {
        return Err(answer.error_message.unwrap_or_default().to_string());
    }
    Ok(String::from_utf8(answer.auth_bytes.to_vec()).unwrap())
}
