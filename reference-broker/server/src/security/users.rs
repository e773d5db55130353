//! The file of users: `NAME:PASSWORD` a line.

use std::collections::BTreeMap;

use broker_core::auth::Password;

use super::error::SecurityError;
use super::files::NamedFile;

/// Reads it.
pub(super) fn read(file: &NamedFile) -> Result<BTreeMap<String, Password>, SecurityError> {
    let text = String::from_utf8(file.read_secret()?).map_err(|_| file.error("it is not UTF-8"))?;
    parse(&text).map_err(|reason| file.error(reason))
}

/// A password is all that stands behind the first colon. Lines that are empty or begin with `#` say nothing. Errors name the
/// line, and do not repeat it.
fn parse(text: &str) -> Result<BTreeMap<String, Password>, String> {
    let mut users = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let parts = line.split_once(':').map(|(name, password)| (name.trim(), password));
        let Some((name, password)) = parts.filter(|(name, word)| !name.is_empty() && !word.is_empty()) else {
            return Err(format!("line {number}: expected `NAME:PASSWORD`"));
        };
        if line.contains('\0') {
            return Err(format!("line {number}: a name or password cannot hold a NUL"));
        }
        if users.insert(name.to_owned(), Password::from(password)).is_some() {
            return Err(format!("line {number}: a second password for `{name}`"));
        }
    }
    if users.is_empty() { Err("there is no user in it".into()) } else { Ok(users) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_name_and_a_password() {
        let users = parse("# nodes\nnode:p:e e r \n\nalice:wonder\r\n").unwrap();
        let expected = [("alice", "wonder"), ("node", "p:e e r ")];
        assert_eq!(users, expected.map(|(name, word)| (name.to_owned(), Password::from(word))).into());
    }

    #[test]
    fn a_bad_line_is_named_but_not_repeated() {
        for (text, expected) in [
            ("a:b\nsecret", "line 2: expected `NAME:PASSWORD`"),
            (":secret", "line 1: expected `NAME:PASSWORD`"),
            ("a:", "line 1: expected `NAME:PASSWORD`"),
            ("a:sec\0ret", "line 1: a name or password cannot hold a NUL"),
            ("a:b\na:secret", "line 2: a second password for `a`"),
            ("# nobody\n", "there is no user in it"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
    }
}
