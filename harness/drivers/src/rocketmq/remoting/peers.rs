//! One thread and one connection per peer, so that a frozen peer holds nobody up.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::connection::{Connection, RemotingError};
use super::frame::{Request, Response};

/// How long the others may take once one peer has given a good answer.
const GRACE: Duration = Duration::from_millis(50);

type Answer = (String, Result<Response, RemotingError>);

struct Job {
    request: Request,
    deadline: Instant,
    answer: Sender<Answer>,
}

/// Asks peers by address; connects when it first has a question.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    jobs: Mutex<BTreeMap<String, Sender<Job>>>,
}

impl Peers {
    /// Asks one peer.
    pub(crate) fn ask(
        &self,
        address: &str,
        request: &Request,
        deadline: Instant,
    ) -> Result<Response, RemotingError> {
        let (answer, answers) = channel();
        self.begin(address, request, deadline, answer);
        let timed_out = || RemotingError::TimedOut(address.to_owned());
        answers
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .map_or_else(|_| Err(timed_out()), |(_, answer)| answer)
    }

    /// Asks all of them at once, and returns what came until the deadline, or until shortly after the first answer that
    /// `is_good`.
    pub(crate) fn ask_all<'a>(
        &self,
        addresses: impl IntoIterator<Item = &'a String>,
        request: &Request,
        deadline: Instant,
        is_good: impl Fn(&Response) -> bool,
    ) -> Vec<Answer> {
        let (answer, answers) = channel();
        for address in addresses {
            self.begin(address, request, deadline, answer.clone());
        }
        drop(answer);
        let mut got: Vec<Answer> = Vec::new();
        let mut until = deadline;
        while let Ok((address, answer)) =
            answers.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if answer.as_ref().is_ok_and(&is_good) {
                until = until.min(Instant::now() + GRACE);
            }
            got.push((address, answer));
        }
        got
    }

    fn begin(&self, address: &str, request: &Request, deadline: Instant, answer: Sender<Answer>) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = jobs.entry(address.to_owned()).or_insert_with(|| {
            let (jobs, queue) = channel();
            let address = address.to_owned();
            thread::spawn(move || serve(&address, &queue));
            jobs
        });
        // The thread lives as long as this sender does.
        let _ = peer.send(Job { request: request.clone(), deadline, answer });
    }
}

fn serve(address: &str, jobs: &Receiver<Job>) {
    let mut open: Option<Connection> = None;
    for job in jobs {
        let answer = ask(address, &mut open, &job);
        // Nobody listens any more, perhaps.
        let _ = job.answer.send((address.to_owned(), answer));
    }
}

/// Asks on the open connection; where that turns out to be closed, on a new one. Every question may be asked twice.
fn ask(address: &str, open: &mut Option<Connection>, job: &Job) -> Result<Response, RemotingError> {
    let reused = open.is_some();
    let mut connection = match open.take() {
        Some(connection) => connection,
        None => Connection::open(address, job.deadline)?,
    };
    match connection.ask(&job.request, job.deadline) {
        Ok(response) => {
            *open = Some(connection);
            Ok(response)
        }
        Err(RemotingError::Io(..)) if reused => ask(address, open, job),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers each question with its code, on one connection after the other; `per_connection` questions each.
    fn server(per_connection: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                for _ in 0..per_connection {
                    let mut length = [0; 4];
                    if stream.read_exact(&mut length).is_err() {
                        break;
                    }
                    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
                    stream.read_exact(&mut frame).unwrap();
                    let header_length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
                    let mut header: serde_json::Value =
                        serde_json::from_slice(&frame[4..4 + header_length]).unwrap();
                    header["flag"] = 1.into();
                    let header = header.to_string();
                    let mut answer = ((header.len() + 4) as u32).to_be_bytes().to_vec();
                    answer.extend((header.len() as u32).to_be_bytes());
                    answer.extend(header.as_bytes());
                    stream.write_all(&answer).unwrap();
                }
            }
        });
        address
    }

    /// Accepts by the kernel and never answers.
    fn frozen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    fn soon(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[test]
    fn a_connection_that_was_closed_between_questions_is_opened_again() {
        let address = server(1);
        let peers = Peers::default();
        for code in [5, 6, 7] {
            let answer = peers.ask(&address, &Request::new(code), soon(20_000)).unwrap();
            assert_eq!(answer.code, i32::from(code));
        }
    }

    #[test]
    fn a_frozen_peer_delays_the_others_answers_by_no_more_than_the_grace() {
        let (_listener, frozen) = frozen();
        let addresses = [frozen, server(9), server(9)];
        let peers = Peers::default();
        for _ in 0..3 {
            let began = Instant::now();
            let answers =
                peers.ask_all(&addresses, &Request::new(4), soon(20_000), |answer| answer.code == 4);
            assert_eq!(answers.iter().filter(|(_, answer)| answer.is_ok()).count(), 2);
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        }
    }

    #[test]
    fn a_question_to_a_frozen_or_missing_peer_ends_at_its_deadline() {
        let (_listener, frozen) = frozen();
        let peers = Peers::default();
        for address in [frozen.as_str(), "127.0.0.1:1"] {
            let began = Instant::now();
            assert!(peers.ask(address, &Request::new(4), soon(200)).is_err());
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        }
    }
}
