//! SASL/PLAIN (RFC 4616): one message, `authorization NUL name NUL password`.

use super::authority::Authority;
use super::session::Refusal;

/// Who the message proves to be there. The words of refusal are Kafka's.
pub(super) fn user(token: &[u8], authority: &Authority) -> Result<String, Refusal> {
    let text = std::str::from_utf8(token).map_err(|_| refusal("not UTF-8"))?;
    let tokens: Vec<&str> = text.split('\0').collect();
    let [authorization, name, password] = tokens[..] else {
        return Err(refusal(&format!("expected 3 tokens, got {}", tokens.len())));
    };
    if name.is_empty() {
        return Err(Refusal::Told("Authentication failed: username not specified".into()));
    }
    if password.is_empty() {
        return Err(Refusal::Told("Authentication failed: password not specified".into()));
    }
    if !authority.knows_password(name, password.as_bytes()) {
        return Err(Refusal::Told("Authentication failed: Invalid username or password".into()));
    }
    if !authorization.is_empty() && authorization != name {
        return Err(Refusal::AuthorizationId);
    }
    Ok(name.to_owned())
}

fn refusal(what: &str) -> Refusal {
    Refusal::Told(format!("Invalid SASL/PLAIN response: {what}"))
}
