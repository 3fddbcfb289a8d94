//! Work beside the serving of requests. None of it may end unnoticed: what it is for would not be done any more, and the bank
//! would look healthy.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Tells of tasks that have panicked.
pub struct Background {
    panicked: mpsc::UnboundedSender<&'static str>,
    heard: mpsc::UnboundedReceiver<&'static str>,
}

impl Default for Background {
    fn default() -> Self {
        let (panicked, heard) = mpsc::unbounded_channel();
        Self { panicked, heard }
    }
}

impl Background {
    /// Starts a task, which may end by itself or be aborted, but not panic.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let panicked = self.panicked.clone();
        tokio::spawn(async move {
            // Nobody looks at what it has left half done: the bank closes.
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                let _ = panicked.send(name);
            }
        })
    }

    /// Completes when a task has panicked, with its name.
    pub async fn one_panicked(&mut self) -> &'static str {
        match self.heard.recv().await {
            Some(name) => name,
            // This end holds a sender itself.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_named_and_one_that_ends_or_is_aborted_is_not() {
        let mut background = Background::default();
        background.spawn("ending", async {}).await.expect("its end");
        let aborted = background.spawn("aborted", std::future::pending());
        aborted.abort();
        assert!(aborted.await.expect_err("an end before its time").is_cancelled());
        background.spawn("panicking", async { panic!("on purpose") });
        assert_eq!(background.one_panicked().await, "panicking");
    }
}
