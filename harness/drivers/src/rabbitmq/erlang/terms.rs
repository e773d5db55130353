//! Erlang terms as Rust values and back.

use eetf::{Atom, BigInteger, Binary, ByteList, FixInteger, List, Term, Tuple};

pub(crate) fn atom(name: &str) -> Term {
    Atom::from(name).into()
}

pub(crate) fn binary(text: &str) -> Term {
    Binary::from(text.as_bytes().to_vec()).into()
}

pub(crate) fn tuple(elements: Vec<Term>) -> Term {
    Tuple::from(elements).into()
}

pub(crate) fn strings(items: impl IntoIterator<Item = String>) -> Term {
    List::from(items.into_iter().map(|item| binary(&item)).collect::<Vec<_>>()).into()
}

/// The elements of a list; of anything else none.
pub(crate) fn list(term: &Term) -> Vec<Term> {
    match term {
        Term::List(List { elements }) => elements.clone(),
        Term::ByteList(ByteList { bytes }) => {
            bytes.iter().map(|byte| FixInteger::from(*byte).into()).collect()
        }
        _ => Vec::new(),
    }
}

pub(crate) fn atom_text(term: &Term) -> Option<&str> {
    match term {
        Term::Atom(atom) => Some(&atom.name),
        _ => None,
    }
}

pub(crate) fn number(term: &Term) -> Option<i64> {
    match term {
        Term::FixInteger(number) => Some(i64::from(number.value)),
        Term::BigInteger(BigInteger { value }) => value.to_string().parse().ok(),
        _ => None,
    }
}

/// What a string, a binary, an atom or a number says.
pub(crate) fn text(term: &Term) -> String {
    match term {
        Term::Binary(Binary { bytes }) | Term::ByteList(ByteList { bytes }) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Term::Atom(atom) => atom.name.clone(),
        Term::List(List { elements }) => {
            let letter =
                |term: &Term| number(term).and_then(|code| char::from_u32(u32::try_from(code).ok()?));
            elements.iter().map(letter).collect::<Option<String>>().unwrap_or_else(|| term_text(term))
        }
        other => term_text(other),
    }
}

fn term_text(term: &Term) -> String {
    term.to_string()
}

/// A value of a list of pairs, by the name of its key.
pub(crate) fn map_get<'a>(pairs: &'a [Term], name: &str) -> Option<&'a Term> {
    pairs.iter().find_map(|pair| match pair {
        Term::Tuple(Tuple { elements }) => match elements.as_slice() {
            [key, value] if atom_text(key) == Some(name) => Some(value),
            _ => None,
        },
        _ => None,
    })
}
