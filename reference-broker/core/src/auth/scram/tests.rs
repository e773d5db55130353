//! Whole exchanges, word by word.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::client::ScramClient;
use super::error::ScramError;
use super::keys::ScramKeys;
use super::message::ClientFirst;
use super::server::{ScramServer, ServerStep};
use super::*;
use crate::auth::hash::Hash;
use crate::auth::session::Refusal;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const CHALLENGE: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
// By the same names and numbers with SHA-512; from Python's `hashlib` and `hmac`.
const LAST_512: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==";
const SIGNATURE_512: &str =
    "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4+5ZxXnJq199RVG2rR7N7Zw==";

fn salt() -> Vec<u8> {
    BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap()
}

/// A server that knows `user` with the password `pencil`, after the client's first message.
fn challenged(hash: Hash, first: &str) -> Result<(ScramServer, String), Refusal> {
    let first = ClientFirst::parse(first.as_bytes()).map_err(Refusal::Scram)?;
    let keys = (first.user == "user").then(|| ScramKeys::new(hash, b"pencil", &salt(), ITERATIONS));
    match ScramServer::new(hash).challenge(&first, SERVER_NONCE, &salt(), keys)? {
        ServerStep::Continue { server, answer } => Ok((server, String::from_utf8(answer).unwrap())),
        ServerStep::Done { .. } => panic!("too soon"),
    }
}

fn finished(hash: Hash, first: &str, last: &str) -> Result<(String, String), Refusal> {
    let (server, _) = challenged(hash, first)?;
    match server.last_step(last.as_bytes())? {
        ServerStep::Done { user, answer } => Ok((user, String::from_utf8(answer).unwrap())),
        ServerStep::Continue { .. } => panic!("still not"),
    }
}

fn refused(first: &str, last: &str) -> ScramError {
    match finished(Hash::Sha256, first, last) {
        Err(Refusal::Scram(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// `LAST`, with one attribute replaced.
fn last_with(from: &str, to: &str) -> String {
    assert!(LAST.contains(from));
    LAST.replacen(from, to, 1)
}

#[test]
fn the_server_speaks_the_example_of_rfc_7677() {
    let (_, challenge) = challenged(Hash::Sha256, FIRST).unwrap();
    assert_eq!(challenge, CHALLENGE);
    assert_eq!(finished(Hash::Sha256, FIRST, LAST).unwrap(), ("user".into(), SIGNATURE.into()));
}

#[test]
fn the_client_speaks_the_example_of_rfc_7677() {
    for (hash, last, signature) in [(Hash::Sha256, LAST, SIGNATURE), (Hash::Sha512, LAST_512, SIGNATURE_512)]
    {
        let client = ScramClient::new(hash, "user", CLIENT_NONCE.into());
        assert_eq!(client.first(), FIRST.as_bytes());
        let (answer, unsigned) = client.answered(CHALLENGE.as_bytes(), b"pencil").unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), last);
        unsigned.answered(signature.as_bytes()).unwrap();
    }
}

#[test]
fn with_sha_512_the_server_says_what_another_implementation_says() {
    assert_eq!(finished(Hash::Sha512, FIRST, LAST_512).unwrap(), ("user".into(), SIGNATURE_512.into()));
}

#[test]
fn a_wrong_password_is_refused() {
    let client = ScramClient::new(Hash::Sha256, "user", CLIENT_NONCE.into());
    let (last, _) = client.answered(CHALLENGE.as_bytes(), b"pencils").unwrap();
    assert_eq!(refused(FIRST, std::str::from_utf8(&last).unwrap()), ScramError::Proof);
    assert_eq!(refused(FIRST, &last_with("p=dHzb", "p=eHzb")), ScramError::Proof);
}

#[test]
fn a_proof_of_another_length_is_refused() {
    for proof in ["p=", "p=dHzb"] {
        let last = format!("{}{proof}", LAST.split("p=").next().unwrap());
        assert_eq!(refused(FIRST, &last), ScramError::Proof);
    }
}

#[test]
fn an_unknown_user_is_challenged_like_any_other_and_refused_in_the_end() {
    let first = "n,,n=nobody,r=rOprNGfwEbeRWgbNEkqO";
    let (_, challenge) = challenged(Hash::Sha256, first).unwrap();
    assert_eq!(challenge, CHALLENGE);
    assert_eq!(refused(first, LAST), ScramError::UnknownUser);
}

#[test]
fn a_nonce_of_another_exchange_is_refused() {
    assert_eq!(refused(FIRST, &last_with("$k0", "$k1")), ScramError::Nonce);
    assert_eq!(refused(FIRST, &last_with("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", "")), ScramError::Nonce);
    let client = ScramClient::new(Hash::Sha256, "user", "another".into());
    assert_eq!(client.answered(CHALLENGE.as_bytes(), b"pencil").unwrap_err(), ScramError::Nonce);
    // The server has to add something of its own.
    let client = ScramClient::new(Hash::Sha256, "user", CLIENT_NONCE.into());
    let echo = CHALLENGE.replace(SERVER_NONCE, "");
    assert_eq!(client.answered(echo.as_bytes(), b"pencil").unwrap_err(), ScramError::Nonce);
}

#[test]
fn channel_binding_is_refused_and_may_not_change_on_the_way() {
    assert_eq!(refused("p=tls-exporter,,n=user,r=1", LAST), ScramError::ChannelBinding);
    // `y,,` in the first message is `eSws` in the last one.
    let yes = "y,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    assert_eq!(refused(yes, LAST), ScramError::OtherHeader);
    assert_eq!(refused(FIRST, &last_with("c=biws", "c=eSws")), ScramError::OtherHeader);
    assert_eq!(refused(yes, &last_with("c=biws", "c=eSws")), ScramError::Proof, "the proof covers it");
}

#[test]
fn nobody_acts_for_another_one() {
    let own = "n,a=user,n=user,r=rOprNGfwEbeRWgbNEkqO";
    assert!(challenged(Hash::Sha256, own).is_ok());
    let other = "n,a=admin,n=user,r=rOprNGfwEbeRWgbNEkqO";
    assert_eq!(challenged(Hash::Sha256, other).unwrap_err(), Refusal::AuthorizationId);
}

#[test]
fn a_name_is_written_with_its_commas_and_equals_signs() {
    let first = ScramClient::new(Hash::Sha256, "a,b=c", "1".into()).first();
    assert_eq!(first, b"n,,n=a=2Cb=3Dc,r=1");
    assert_eq!(ClientFirst::parse(&first).unwrap().user, "a,b=c");
}

#[test]
fn what_breaks_the_grammar_is_refused() {
    let malformed =
        ["", "n", "n,", "n,,", "x,,n=u,r=1", "n,,n=,r=1", "n,,n=u", "n,,n=u,r=", "n,,n=u,r=ä", "n,,n=u=,r=1"];
    for first in malformed {
        let parsed = ClientFirst::parse(first.as_bytes());
        assert!(matches!(parsed, Err(ScramError::Malformed(_))), "{first}: {parsed:?}");
    }
    assert_eq!(ClientFirst::parse(b"n,,m=x,n=u,r=1").unwrap_err(), ScramError::Extension);
    assert!(matches!(ClientFirst::parse(b"n,,n=\xff,r=1"), Err(ScramError::Malformed("not UTF-8"))));
    for last in ["", "c=biws", "c=biws,r=1", "c=?,r=1,p=", "r=1,c=biws,p=", "c=biws,r=1,p=?"] {
        assert!(matches!(refused(FIRST, last), ScramError::Malformed(_)), "{last}");
    }
}

#[test]
fn a_client_does_not_believe_a_server_without_the_password_and_does_not_work_without_end() {
    let challenge = |iterations: &str| CHALLENGE.replace("4096", iterations);
    for (iterations, number) in [("1", 1), ("4095", 4095), ("4294967295", u32::MAX)] {
        let client = ScramClient::new(Hash::Sha256, "user", CLIENT_NONCE.into());
        let refused = client.answered(challenge(iterations).as_bytes(), b"pencil").unwrap_err();
        assert_eq!(refused, ScramError::Iterations(number));
    }
    let client = ScramClient::new(Hash::Sha256, "user", CLIENT_NONCE.into());
    let (_, unsigned) = client.answered(CHALLENGE.as_bytes(), b"pencil").unwrap();
    let wrong = SIGNATURE.replace("6rri", "7rri");
    assert_eq!(unsigned.answered(wrong.as_bytes()).unwrap_err(), ScramError::ServerSignature);
}
