//! Logins at a listener, without a wire.

use super::authority::Authority;
use super::config::{AuthConfig, AuthConfigError, Entropy};
use super::hash::Hash;
use super::mechanism::Mechanism;
use super::scram::ScramClient;
use super::session::{LoginError, Session};

fn config() -> AuthConfig {
    let users = [("alice", "wonder"), ("bob", "builder"), ("node", "peer")];
    AuthConfig {
        mechanisms: Mechanism::ALL.to_vec(),
        users: users.into_iter().map(|(name, password)| (name.into(), password.into())).collect(),
        inter_node_user: Some("node".into()),
        entropy: Entropy([7; 32]),
    }
}

fn clients() -> Authority {
    Authority::of_clients(&config()).unwrap()
}

/// The text for the peer.
fn refusal<T: std::fmt::Debug>(result: Result<T, LoginError>) -> String {
    match result {
        Err(LoginError::Failed(_, text)) => text,
        other => panic!("{other:?}"),
    }
}

fn plain(session: &mut Session, authority: &mut Authority, token: &[u8]) -> Result<Vec<u8>, LoginError> {
    session.handshake("PLAIN", authority)?;
    session.token(token, authority)
}

fn scram(
    session: &mut Session,
    authority: &mut Authority,
    mechanism: Mechanism,
    (user, password): (&str, &str),
) -> Result<(), LoginError> {
    session.handshake(mechanism.name(), authority)?;
    let client = ScramClient::new(mechanism.hash().unwrap(), user, "abc".into());
    let challenge = session.token(&client.first(), authority)?;
    assert!(!session.is_logged_in());
    let (last, unsigned) = client.answered(&challenge, password.as_bytes()).unwrap();
    let signature = session.token(&last, authority)?;
    unsigned.answered(&signature).unwrap();
    Ok(())
}

#[test]
fn whoever_knows_a_password_gets_in_by_every_mechanism() {
    let mut authority = clients();
    let mut session = Session::default();
    assert_eq!(plain(&mut session, &mut authority, b"\0alice\0wonder").unwrap(), b"");
    assert!(session.is_logged_in());
    assert_eq!(session.name(), "alice");
    let mut session = Session::default();
    plain(&mut session, &mut authority, b"bob\0bob\0builder").unwrap();
    for mechanism in [Mechanism::ScramSha256, Mechanism::ScramSha512] {
        let mut session = Session::default();
        scram(&mut session, &mut authority, mechanism, ("bob", "builder")).unwrap();
        assert!(session.is_logged_in());
        assert_eq!(session.name(), "bob");
    }
}

#[test]
fn a_bad_plain_message_is_refused_in_the_words_of_kafka() {
    let refusals: [(&[u8], &str); 8] = [
        (b"\0alice\0wonde", "Authentication failed: Invalid username or password"),
        (b"\0alice\0wonderland", "Authentication failed: Invalid username or password"),
        (b"\0eve\0wonder", "Authentication failed: Invalid username or password"),
        (b"\0\0wonder", "Authentication failed: username not specified"),
        (b"\0alice\0", "Authentication failed: password not specified"),
        (
            b"bob\0alice\0wonder",
            "Authentication failed: Client requested an authorization id that is different from username",
        ),
        (b"alice\0wonder", "Invalid SASL/PLAIN response: expected 3 tokens, got 2"),
        (b"\0\xff\0wonder", "Invalid SASL/PLAIN response: not UTF-8"),
    ];
    for (token, text) in refusals {
        let mut session = Session::default();
        assert_eq!(refusal(plain(&mut session, &mut clients(), token)), text);
        assert!(!session.is_logged_in());
    }
}

#[test]
fn scram_does_not_tell_who_exists() {
    let mut texts = Vec::new();
    for login in [("alice", "wrong"), ("eve", "wonder")] {
        let result = scram(&mut Session::default(), &mut clients(), Mechanism::ScramSha256, login);
        texts.push(refusal(result));
    }
    let expected = "Authentication failed during authentication due to invalid credentials with SASL mechanism \
        SCRAM-SHA-256";
    assert_eq!(texts, [expected, expected]);
}

#[test]
fn the_salt_of_a_name_stays_and_the_nonce_never_does() {
    let salt_and_nonce = |authority: &mut Authority, user: &str| {
        let mut session = Session::default();
        session.handshake("SCRAM-SHA-256", authority).unwrap();
        let first = format!("n,,n={user},r=abc");
        let challenge = String::from_utf8(session.token(first.as_bytes(), authority).unwrap()).unwrap();
        let mut parts = challenge.split(',').map(str::to_owned);
        (parts.nth(1).unwrap(), challenge)
    };
    let mut authority = clients();
    for user in ["alice", "eve"] {
        let (one, other) = (salt_and_nonce(&mut authority, user), salt_and_nonce(&mut authority, user));
        assert_eq!(one.0, other.0, "{user}");
        assert_ne!(one.1, other.1, "{user}");
    }
    assert_ne!(salt_and_nonce(&mut authority, "alice").0, salt_and_nonce(&mut authority, "eve").0);
    let restarted = AuthConfig { entropy: Entropy([8; 32]), ..config() };
    let mut restarted = Authority::of_clients(&restarted).unwrap();
    assert_ne!(salt_and_nonce(&mut restarted, "eve").0, salt_and_nonce(&mut authority, "eve").0);
    assert_ne!(authority.scram(Hash::Sha256, "eve").0, authority.scram(Hash::Sha512, "eve").0);
}

#[test]
fn a_mechanism_that_is_not_enabled_is_refused() {
    let only = AuthConfig { mechanisms: vec![Mechanism::ScramSha512], ..config() };
    let authority = Authority::of_clients(&only).unwrap();
    for name in ["PLAIN", "SCRAM-SHA-256", "GSSAPI", "scram-sha-512", ""] {
        let result = Session::default().handshake(name, &authority);
        assert!(matches!(result, Err(LoginError::UnsupportedMechanism)), "{name}");
    }
    Session::default().handshake("SCRAM-SHA-512", &authority).unwrap();
}

#[test]
fn steps_out_of_turn_are_refused() {
    let mut authority = clients();
    let mut session = Session::default();
    assert!(matches!(session.token(b"\0alice\0wonder", &mut authority), Err(LoginError::IllegalState)));
    session.handshake("PLAIN", &authority).unwrap();
    assert!(matches!(session.handshake("PLAIN", &authority), Err(LoginError::IllegalState)));
    session.token(b"\0alice\0wonder", &mut authority).unwrap();
    assert!(matches!(session.token(b"\0alice\0wonder", &mut authority), Err(LoginError::IllegalState)));
    assert!(session.is_logged_in());
}

#[test]
fn one_logs_in_again_as_oneself_and_by_the_same_mechanism_only() {
    let mut authority = clients();
    let mut session = Session::default();
    plain(&mut session, &mut authority, b"\0alice\0wonder").unwrap();
    session.handshake("PLAIN", &authority).unwrap();
    assert!(!session.is_logged_in(), "nothing else is in order before it has ended");
    session.token(b"\0alice\0wonder", &mut authority).unwrap();
    assert!(session.is_logged_in());
    assert_eq!(
        refusal(plain(&mut session, &mut authority, b"\0bob\0builder")),
        "Cannot change principals during re-authentication from User.alice: User.bob"
    );
    let mut session = Session::default();
    plain(&mut session, &mut authority, b"\0alice\0wonder").unwrap();
    assert_eq!(
        refusal(scram(&mut session, &mut authority, Mechanism::ScramSha256, ("alice", "wonder"))),
        "SASL mechanism 'SCRAM-SHA-256' requested by client is not supported for re-authentication of mechanism 'PLAIN'"
    );
    assert!(!session.is_logged_in());
}

#[test]
fn among_nodes_only_their_user_gets_in_and_only_by_scram() {
    let mut nodes = Authority::of_nodes(&config()).unwrap();
    assert_eq!(nodes.mechanisms(), [Mechanism::ScramSha256]);
    let mut session = Session::default();
    scram(&mut session, &mut nodes, Mechanism::ScramSha256, ("node", "peer")).unwrap();
    let result = scram(&mut Session::default(), &mut nodes, Mechanism::ScramSha256, ("alice", "wonder"));
    refusal(result);
}

#[test]
fn what_would_not_protect_is_refused() {
    assert_eq!(AuthConfig::default().check(), Ok(()));
    assert_eq!(config().check(), Ok(()));
    let open = AuthConfig { inter_node_user: None, ..config() };
    assert_eq!(open.check(), Err(AuthConfigError::InternalListenerOpen));
    let unknown = AuthConfig { inter_node_user: Some("eve".into()), ..config() };
    assert_eq!(unknown.check(), Err(AuthConfigError::UnknownInterNodeUser("eve".into())));
    let nobody = AuthConfig { users: std::collections::BTreeMap::new(), ..config() };
    assert_eq!(nobody.check(), Err(AuthConfigError::NoUsers));
}

#[test]
fn secrets_are_not_printed() {
    let printed = format!("{:?} {:?}", config(), clients());
    assert!(!printed.contains("wonder") && !printed.contains("builder"), "{printed}");
}
