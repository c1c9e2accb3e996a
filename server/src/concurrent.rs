//! Several requests under way together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::client::Server;
use crate::error::ServerError;
use crate::reply::ServerAnswer;
use crate::request::{Decoding, ServerPrompt};

/// What became of one request; nothing if the others ended before.
type Outcome<T, E> = Option<Result<T, E>>;

/// One of several requests: its place, and a question that says whether to stop waiting.
pub(crate) type Ask<'a, T, E> = dyn Fn(usize, &dyn Fn() -> bool) -> Result<Option<T>, E> + Sync + 'a;

impl Server {
    /// The answers to `count` prompts, in their order; `None` if `stop` was set before all of them came.
    ///
    /// `prompt` makes a prompt when its turn comes, so few recordings are in memory; `answered` is called after each. As
    /// many requests as [`crate::ServerSettings::concurrency`] are under way together. The requests, and so the answers of
    /// a server that is itself deterministic, depend neither on that number nor on the other prompts.
    ///
    /// # Errors
    /// That of the first prompt in order that failed, of those that were begun; no further one is sent after a failure.
    pub fn answer_all<E: From<ServerError> + Send>(
        &self,
        count: usize,
        decoding: &Decoding,
        stop: &AtomicBool,
        prompt: &(dyn Fn(usize) -> Result<ServerPrompt, E> + Sync),
        answered: &(dyn Fn() + Sync),
    ) -> Result<Option<Vec<Vec<ServerAnswer>>>, E> {
        let ask =
            |place: usize, stopped: &dyn Fn() -> bool| Ok(self.answer(&prompt(place)?, decoding, stopped)?);
        self.ask_all(count, stop, &ask, answered)
    }

    /// What `ask` gives for each of `count` places, in their order; `None` if `stop` was set before.
    ///
    /// # Errors
    /// As [`Server::answer_all`].
    pub(crate) fn ask_all<T: Send, E: From<ServerError> + Send>(
        &self,
        count: usize,
        stop: &AtomicBool,
        ask: &Ask<'_, T, E>,
        answered: &(dyn Fn() + Sync),
    ) -> Result<Option<Vec<T>>, E> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let stopped = || stop.load(Ordering::Relaxed) || failed.load(Ordering::Relaxed);
        let work = || {
            let mut done: Vec<(usize, Outcome<T, E>)> = Vec::new();
            while !stopped() {
                let place = next.fetch_add(1, Ordering::Relaxed);
                if place >= count {
                    break;
                }
                let outcome = ask(place, &stopped).transpose();
                match &outcome {
                    Some(Ok(_)) => answered(),
                    // The others need not wait for what cannot be completed.
                    Some(Err(_)) | None => failed.store(true, Ordering::Relaxed),
                }
                done.push((place, outcome));
            }
            done
        };
        let mut outcomes = run_on_threads(self.settings.concurrency.min(count), &work)?;
        outcomes.sort_by_key(|(place, _)| *place);
        let answers: Result<Vec<T>, E> = outcomes.into_iter().filter_map(|(_, outcome)| outcome).collect();
        match answers {
            // Who asked to stop is told just that; the same command meets the failure again.
            Err(_) if stop.load(Ordering::Relaxed) => Ok(None),
            answers => answers.map(|answers| (answers.len() == count).then_some(answers)),
        }
    }
}

/// Runs `work` on `count` threads, or on as many as the system gives, and joins what they made.
fn run_on_threads<T: Send>(count: usize, work: &(dyn Fn() -> Vec<T> + Sync)) -> Result<Vec<T>, ServerError> {
    std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, work);
        let workers: Vec<_> = (0..count).map(start).collect();
        let mut made = Vec::new();
        let mut refused = None;
        for worker in workers {
            match worker {
                Ok(worker) => {
                    made.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                }
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if made.is_empty() => Err(ServerError::Thread(error)),
            _ => Ok(made),
        }
    })
}
