//! All nodes of a cluster, asked at once.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use eetf::{List, Term};

use super::link::Link;
use super::terms::{atom, tuple};

/// How long the slower nodes are waited for when the first has answered.
const GRACE: Duration = Duration::from_millis(150);
/// From one look at a cluster of which no node answers to the next.
const AGAIN: Duration = Duration::from_millis(20);

/// The nodes, by number.
#[derive(Debug)]
pub(crate) struct Nodes(BTreeMap<i32, Arc<Link>>);

/// What the nodes said.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Of those that answered, in time and with a value.
    pub(crate) values: BTreeMap<i32, Term>,
    /// Of the others.
    pub(crate) troubles: BTreeMap<i32, String>,
    /// Those of the others at whose address nobody listens.
    pub(crate) dead: Vec<i32>,
    /// Those of the others that were asked and may be no more than slow.
    pub(crate) late: Vec<i32>,
}

impl Nodes {
    /// Begins to connect to nodes by number and host.
    pub(crate) fn new(
        hosts: &BTreeMap<i32, String>,
        cookie: &str,
        expressions: &'static [&'static str],
    ) -> io::Result<Self> {
        let link = |(number, host): (&i32, &String)| {
            Ok((*number, Link::new(*number, host.clone(), cookie.to_owned(), expressions)?))
        };
        hosts.iter().map(link).collect::<io::Result<_>>().map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Evaluates an expression on every node, and waits until all have answered, or one has and the others are late.
    pub(crate) fn ask(&self, expression: usize, variables: &[(&str, Term)], timeout: Duration) -> Answers {
        let deadline = Instant::now() + timeout;
        loop {
            let answers = self.ask_once(expression, variables, deadline);
            if !answers.values.is_empty() || Instant::now() + AGAIN >= deadline || self.is_empty() {
                return answers;
            }
            thread::sleep(AGAIN);
        }
    }

    fn ask_once(&self, expression: usize, variables: &[(&str, Term)], deadline: Instant) -> Answers {
        let pairs = variables.iter().map(|(name, value)| tuple(vec![atom(name), value.clone()])).collect();
        let variables = Term::from(List::from(Vec::from_iter::<Vec<Term>>(pairs)));
        let (sender, replies) = channel();
        let mut answers = Answers::default();
        let mut awaited = 0;
        for (number, link) in &self.0 {
            match link.ask(expression, variables.clone(), &sender) {
                Ok(()) => awaited += 1,
                Err(not_asked) => {
                    answers.troubles.insert(*number, not_asked.why);
                    answers.dead.extend(not_asked.dead.then_some(*number));
                }
            }
        }
        // A connection that ends takes the last sender with it.
        drop(sender);
        let mut until = deadline;
        while awaited > 0 {
            let Ok((number, result)) = replies.recv_timeout(until.saturating_duration_since(Instant::now()))
            else {
                break;
            };
            awaited -= 1;
            until = until.min(Instant::now() + GRACE);
            match result {
                Ok(value) => answers.values.insert(number, value).map_or((), drop),
                Err(why) => answers.troubles.insert(number, why).map_or((), drop),
            }
        }
        for number in self.0.keys().filter(|number| !answers.values.contains_key(number)) {
            if !answers.troubles.contains_key(number) {
                answers.troubles.insert(*number, "no answer in time".to_owned());
                answers.late.push(*number);
            }
        }
        answers
    }
}
