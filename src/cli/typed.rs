//! What somebody types while something else goes on.

use std::io::BufRead as _;

use tokio::sync::mpsc;

/// Lines from standard input, as they are typed; `None` once it has ended.
#[derive(Debug)]
pub(super) struct Typed(mpsc::UnboundedReceiver<String>);

impl Typed {
    /// Begins to read. A thread of its own: it may wait for a line that never comes, and must not
    /// hold up the end of the process.
    pub(super) fn begin() -> Self {
        let (lines, typed) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if lines.send(line.trim().to_owned()).is_err() {
                    return;
                }
            }
        });
        Self(typed)
    }

    /// The next code: a line without the spaces and hyphens that people put between digits.
    pub(super) async fn code(&mut self) -> String {
        self.line().await.chars().filter(|c| !c.is_whitespace() && *c != '-').collect()
    }

    /// The next line that is not empty. Waits for ever once there are no more, so that it can stand
    /// beside what else may happen.
    pub(super) async fn line(&mut self) -> String {
        loop {
            match self.0.recv().await {
                Some(line) if line.is_empty() => {}
                Some(line) => return line,
                None => return std::future::pending().await,
            }
        }
    }
}
