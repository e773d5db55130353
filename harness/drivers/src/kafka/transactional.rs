//! A transactional producer on librdkafka: one instance after the other under one transactional id.
//!
//! librdkafka tells errors of transactions in three classes: *retriable*, to be asked again; *abortable*, after which only
//! an abort helps; *fatal*, after which only a new instance does. Which outcome each means is `outcome`'s table.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use mqproof_core::plan::{Durability, ProducerPlan};
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;

use super::error;
use super::outcome::{ErrorClass, class, classify_transaction};
use super::producer::KafkaProducer;
use super::settings::Connection;
use crate::library_log::LibraryLog;
use crate::role::{DriverError, Outgoing, Producer, SendError, SendObserver, TransactionEnd, Transactional};

/// One call to the library at most, so that a wish to stop is heard.
const CALL: Duration = Duration::from_secs(2);
/// How long the sends of an instance that is given up may take to be reported.
const LAST_REPORTS: Duration = Duration::from_secs(1);

/// What an instance is made from.
struct Recipe {
    connection: Connection,
    plan: ProducerPlan,
    durability: Durability,
    observer: Arc<dyn SendObserver>,
    log: LibraryLog,
}

impl Recipe {
    fn instance(&self) -> Result<KafkaProducer, DriverError> {
        let observer = Arc::clone(&self.observer);
        KafkaProducer::new(&self.connection, &self.plan, self.durability, observer, self.log.clone())
    }
}

/// A producer whose sends belong to transactions.
pub(super) struct TransactionalProducer {
    recipe: Recipe,
    instance: RwLock<Arc<KafkaProducer>>,
}

impl TransactionalProducer {
    /// A producer that is not yet connected. Its plan asks for transactions.
    pub(super) fn new(
        connection: &Connection,
        plan: &ProducerPlan,
        durability: Durability,
        observer: Arc<dyn SendObserver>,
        log: LibraryLog,
    ) -> Result<Self, DriverError> {
        let recipe = Recipe { connection: connection.clone(), plan: plan.clone(), durability, observer, log };
        let instance = RwLock::new(Arc::new(recipe.instance()?));
        Ok(Self { recipe, instance })
    }

    fn instance(&self) -> Arc<KafkaProducer> {
        Arc::clone(&self.instance.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks until the answer is one that asking again does not change.
    fn end(&self, commits: bool, within: Duration, go_on: &dyn Fn() -> bool) -> TransactionEnd {
        let (instance, deadline) = (self.instance(), Instant::now() + within);
        loop {
            let call =
                deadline.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), CALL);
            let result = if commits {
                instance.client.commit_transaction(call)
            } else {
                instance.client.abort_transaction(call)
            };
            let (code, error_class) = told(&result);
            if error_class == ErrorClass::Retriable && Instant::now() < deadline && go_on() {
                continue;
            }
            if let Err(why) = result {
                let what = if commits { "commit" } else { "abort" };
                self.recipe.log.line(what, &why.to_string());
            }
            let (outcome, goes_on) = classify_transaction(code, error_class, commits);
            return TransactionEnd { outcome, class: class(code), goes_on };
        }
    }
}

/// The library's code, and what it says can be done about it.
fn told(result: &Result<(), KafkaError>) -> (i32, ErrorClass) {
    match result {
        Ok(()) => (0, ErrorClass::None),
        Err(KafkaError::Transaction(why)) => {
            let error_class = match (why.is_fatal(), why.txn_requires_abort(), why.is_retriable()) {
                (true, ..) => ErrorClass::Fatal,
                (_, true, _) => ErrorClass::Abortable,
                (_, _, true) => ErrorClass::Retriable,
                _ => ErrorClass::None,
            };
            (why.code() as i32, error_class)
        }
        // Before a commit everything is flushed, which may take its time, too.
        Err(KafkaError::Flush(code)) => (*code as i32, ErrorClass::Retriable),
        Err(why) => (why.rdkafka_error_code().map_or(-1, |code| code as i32), ErrorClass::None),
    }
}

impl Producer for TransactionalProducer {
    fn connect(&self, timeout: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + timeout;
        let instance = self.instance();
        instance.connect(timeout)?;
        init(&instance, deadline)
    }

    fn send(&self, message: &Outgoing<'_>) -> Result<(), SendError> {
        self.instance().send(message)
    }

    fn poll(&self, timeout: Duration) {
        self.instance().poll(timeout);
    }

    fn abandon(&self) {
        self.instance().abandon();
    }

    fn give_up_after(&self) -> Duration {
        self.instance().give_up_after()
    }

    fn settings(&self) -> BTreeMap<String, String> {
        self.instance().settings()
    }

    fn transactions(&self) -> Option<&dyn Transactional> {
        Some(self)
    }
}

/// Fences the instance before, and waits until its transaction has ended.
fn init(instance: &KafkaProducer, deadline: Instant) -> Result<(), DriverError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let result = instance.client.init_transactions(left);
        match (&result, told(&result).1) {
            (Ok(()), _) => return Ok(()),
            (_, ErrorClass::Retriable) if Instant::now() < deadline => {}
            (Err(why), _) => return Err(error("transactional id", why)),
        }
    }
}

impl Transactional for TransactionalProducer {
    fn begin(&self) -> Result<(), DriverError> {
        self.instance().client.begin_transaction().map_err(|why| error("begin a transaction", why))
    }

    fn commit(&self, within: Duration, go_on: &dyn Fn() -> bool) -> TransactionEnd {
        self.end(true, within, go_on)
    }

    fn abort(&self, within: Duration, go_on: &dyn Fn() -> bool) -> TransactionEnd {
        self.end(false, within, go_on)
    }

    fn renew(&self, within: Duration) -> Result<(), DriverError> {
        let deadline = Instant::now() + within;
        let next = self.recipe.instance()?;
        init(&next, deadline)?;
        let before = {
            let mut instance = self.instance.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *instance, Arc::new(next))
        };
        before.abandon();
        let reported_by = Instant::now() + LAST_REPORTS;
        while before.client.in_flight_count() > 0 && Instant::now() < reported_by {
            before.poll(Duration::from_millis(10));
        }
        // Ending its threads takes a while, for which nobody has to wait.
        thread::spawn(move || drop(before));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::GoesOn;
    use rdkafka::types::RDKafkaErrorCode;

    #[test]
    fn a_flush_that_takes_its_time_is_asked_again_and_what_the_library_does_not_know_is_not() {
        let flush = Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut));
        assert_eq!(told(&flush), (RDKafkaErrorCode::OperationTimedOut as i32, ErrorClass::Retriable));
        assert_eq!(told(&Err(KafkaError::Canceled)), (-1, ErrorClass::None));
        assert_eq!(told(&Ok(())), (0, ErrorClass::None));
        let (outcome, goes_on) = classify_transaction(-1, ErrorClass::None, true);
        assert_eq!((outcome, goes_on), (mqproof_core::history::Outcome::Info, GoesOn::Renews));
    }
}
