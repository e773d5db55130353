//! What links us to one node, kept up by a thread of its own.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use eetf::{ByteList, FixInteger, List, Term, Tuple};

use super::terms::{atom, number};
use super::wire::{Reader, Writer, connect};

/// From one attempt to connect to the next.
const BACK_OFF: Duration = Duration::from_millis(100);
/// A node that owes an answer for so long is not asked again until it gives one.
const SILENT: Duration = Duration::from_millis(800);
/// A node that owes an answer for so long is connected to anew: after a cut, TCP may wait long before it tries again.
const HOPELESS: Duration = Duration::from_secs(2);
const PARSE: Duration = Duration::from_secs(2);

/// An answer to a question, with the number of the node.
pub(super) type Reply = (i32, Result<Term, String>);

/// One node.
#[derive(Debug)]
pub(super) struct Link {
    number: i32,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Not connected; true if nobody listens at its address.
    Down {
        why: String,
        dead: bool,
    },
    Up(Up),
}

#[derive(Debug)]
struct Up {
    writer: Writer,
    /// The expressions, parsed by the node.
    parsed: Vec<Term>,
    next_tag: i32,
    asked: BTreeMap<i32, (Instant, Sender<Reply>)>,
}

/// Why a node was not asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct NotAsked {
    pub(super) why: String,
    /// Nobody listens at its address: it is not merely slow.
    pub(super) dead: bool,
}

impl Link {
    /// Begins to connect; the node parses the expressions once.
    pub(super) fn new(
        number: i32,
        host: String,
        cookie: String,
        expressions: &'static [&'static str],
    ) -> io::Result<Arc<Self>> {
        let state = State::Down { why: "not connected yet".to_owned(), dead: false };
        let link = Arc::new(Self { number, state: Mutex::new(state) });
        let weak = Arc::downgrade(&link);
        thread::Builder::new()
            .name(format!("erlang {number}"))
            .spawn(move || keep(&weak, &host, &cookie, expressions))?;
        Ok(link)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evaluates an expression by its number; the answer goes to `answers`.
    pub(super) fn ask(
        &self,
        expression: usize,
        variables: Term,
        answers: &Sender<Reply>,
    ) -> Result<(), NotAsked> {
        let mut state = self.state();
        let up = match &mut *state {
            State::Down { why, dead } => return Err(NotAsked { why: why.clone(), dead: *dead }),
            State::Up(up) => up,
        };
        up.asked.retain(|_, (since, _)| since.elapsed() < HOPELESS * 2);
        if let Some(owed) = up.asked.values().map(|(since, _)| since.elapsed()).max()
            && owed > SILENT
        {
            if owed > HOPELESS {
                up.writer.close();
            }
            return Err(NotAsked { why: format!("no answer for {} ms", owed.as_millis()), dead: false });
        }
        up.next_tag = up.next_tag.wrapping_add(1) & i32::MAX;
        let arguments = list(vec![up.parsed[expression].clone(), variables]);
        up.asked.insert(up.next_tag, (Instant::now(), answers.clone()));
        let tag = Term::from(FixInteger::from(up.next_tag));
        up.writer.call(tag, "erl_eval", "exprs", arguments).map_err(|why| {
            up.writer.close();
            NotAsked { why: why.to_string(), dead: false }
        })
    }

    /// Passes an answer on to who asked.
    fn take(&self, message: Option<Term>) {
        let mut state = self.state();
        let State::Up(up) = &mut *state else { return };
        let Some(message) = message else {
            // A failure shows at the reader too.
            let _ = up.writer.tick();
            return;
        };
        if let Some((tag, result)) = tagged(message)
            && let Some((_, answers)) = up.asked.remove(&tag)
        {
            // Who asked may have stopped waiting.
            let _ = answers.send((self.number, value(result)));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let State::Up(up) = &*self.state() {
            up.writer.close();
        }
    }
}

/// Connects again and again, until nobody wants the link any more.
fn keep(weak: &Weak<Link>, host: &str, cookie: &str, expressions: &[&str]) {
    while weak.strong_count() > 0 {
        let connected = connect(host, cookie).and_then(|(mut writer, mut reader)| {
            Ok((parse(&mut writer, &mut reader, expressions)?, writer, reader))
        });
        let why = match connected {
            Ok((parsed, writer, reader)) => {
                let Some(link) = weak.upgrade() else { return };
                *link.state() = State::Up(Up { writer, parsed, next_tag: 0, asked: BTreeMap::new() });
                drop(link);
                serve(weak, reader)
            }
            Err(why) => why,
        };
        let dead = matches!(
            why.kind(),
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
        );
        if let Some(link) = weak.upgrade() {
            *link.state() = State::Down { why: why.to_string(), dead };
        }
        thread::sleep(BACK_OFF);
    }
}

/// Takes messages until the connection ends. A link that is dropped ends it.
fn serve(weak: &Weak<Link>, mut reader: Reader) -> io::Error {
    reader.wait_without_end();
    loop {
        match (reader.receive(), weak.upgrade()) {
            (Ok(message), Some(link)) => link.take(message),
            (Ok(_), None) => return io::ErrorKind::NotConnected.into(),
            (Err(why), _) => return why,
        }
    }
}

/// Has the node turn expressions into what it evaluates.
fn parse(writer: &mut Writer, reader: &mut Reader, expressions: &[&str]) -> io::Result<Vec<Term>> {
    let mut call = |module: &str, function: &str, argument: Term| {
        writer.call(Term::from(FixInteger::from(0)), module, function, list(vec![argument]))?;
        let deadline = Instant::now() + PARSE;
        while Instant::now() < deadline {
            if let Some((_, result)) = reader.receive()?.and_then(tagged) {
                return match result {
                    Term::Tuple(Tuple { elements }) if elements.first() == Some(&atom("ok")) => {
                        Ok(elements[1].clone())
                    }
                    other => Err(io::Error::other(format!("{module}:{function} says {other}"))),
                };
            }
        }
        Err(io::ErrorKind::TimedOut.into())
    };
    expressions
        .iter()
        .map(|text| {
            let tokens = call("erl_scan", "string", Term::from(ByteList::from(*text)))?;
            call("erl_parse", "parse_exprs", tokens)
        })
        .collect()
}

fn list(elements: Vec<Term>) -> Term {
    List::from(elements).into()
}

/// `{Tag, Result}`.
fn tagged(message: Term) -> Option<(i32, Term)> {
    match message {
        Term::Tuple(Tuple { mut elements }) if elements.len() == 2 => {
            let result = elements.pop()?;
            Some((number(&elements[0])? as i32, result))
        }
        _ => None,
    }
}

/// The value in `{value, Value, Variables}`.
fn value(result: Term) -> Result<Term, String> {
    match result {
        Term::Tuple(Tuple { mut elements })
            if elements.len() == 3 && elements.first() == Some(&atom("value")) =>
        {
            Ok(elements.swap_remove(1))
        }
        other => Err(other.to_string()),
    }
}
