//! A connection's stream, which ends itself when its client dawdles.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Settings;
use super::problem::{Code, Problem};
use crate::failpoint::{self, Point};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The head of a request is awaited, or has begun; so is the greeting of TLS.
    Head,
    /// A request's body is awaited; it has a time-out of its own.
    Body,
    /// We work, or wait for news.
    Serving,
    /// An answer is fetched, or nothing is asked.
    Idle,
}

/// The stage of a connection and since when it lasts, told by its service and read by its stream and by whoever
/// needs its place.
#[derive(Debug)]
pub(super) struct State {
    stage: AtomicU8,
    since: AtomicU64,
    unread: AtomicBool,
    /// Told when the place is needed for another.
    pub(super) leave: Notify,
}

/// From when times are counted.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn now() -> u64 {
    u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl State {
    pub(super) fn new() -> Self {
        let (stage, unread) = (AtomicU8::new(Stage::Head as u8), AtomicBool::new(false));
        Self { stage, since: AtomicU64::new(now()), unread, leave: Notify::new() }
    }

    pub(super) fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        self.since.store(now(), Ordering::Relaxed);
    }

    fn get(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Head,
            1 => Stage::Body,
            2 => Stage::Serving,
            _ => Stage::Idle,
        }
    }

    /// Since when we wait for the client, in microseconds of the process; `None` where it waits for us.
    pub(super) fn waits_since(&self) -> Option<u64> {
        (self.get() != Stage::Serving).then(|| self.since.load(Ordering::Relaxed))
    }

    /// How long we have been waiting for the client, where we are.
    pub(super) fn waited(&self) -> Option<Duration> {
        let since = self.waits_since()?;
        Some(Duration::from_micros(now().saturating_sub(since)))
    }

    /// An answer did not wait for all of the body.
    pub(super) fn leave_unread(&self, unread: bool) {
        self.unread.store(unread, Ordering::Relaxed);
    }

    /// Whether some of a body was not waited for.
    pub(super) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }
}

/// A stream of HTTP/1.1 that ends itself: when a head takes too long, counted from its first byte, when nothing is
/// asked for too long, and when an answer is not fetched. hyper's own time-out of heads begins at the end of the
/// request before, and knows no answers.
pub(super) struct Timed<S> {
    pub(super) stream: S,
    state: Arc<State>,
    head_timeout: Duration,
    idle_timeout: Duration,
    write_timeout: Duration,
    /// When what is awaited to be read is overdue, and in which stage that was said.
    read_by: Option<(Stage, Instant)>,
    /// When what is written is overdue.
    write_by: Option<Instant>,
    /// One timer for the whole connection: it is only moved when it comes too early.
    timer: Pin<Box<Sleep>>,
    /// Our words in place of hyper's, and what stands for them.
    own: Option<(Bytes, usize)>,
}

impl<S> Timed<S> {
    pub(super) fn new(stream: S, state: Arc<State>, settings: &Settings) -> Self {
        let head_by = Instant::now() + settings.head_timeout;
        Self {
            stream,
            state,
            head_timeout: settings.head_timeout,
            idle_timeout: settings.idle_timeout,
            write_timeout: settings.write_timeout,
            read_by: Some((Stage::Head, head_by)),
            write_by: None,
            timer: Box::pin(sleep_until(head_by)),
            own: None,
        }
    }

    /// Nothing is asked, from now on unless it was so before.
    fn idle_from_now(&mut self) {
        if !matches!(self.read_by, Some((Stage::Idle, _))) {
            self.read_by = Some((Stage::Idle, Instant::now() + self.idle_timeout));
        }
    }

    /// Ready when something is overdue.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let late = || Poll::Ready(io::ErrorKind::TimedOut.into());
        let Some(by) = [self.read_by.map(|(_, by)| by), self.write_by].into_iter().flatten().min()
        else {
            return Poll::Pending;
        };
        if Instant::now() >= by {
            return late();
        }
        if self.timer.deadline() > by {
            self.timer.as_mut().reset(by);
        }
        ready!(self.timer.as_mut().poll(cx));
        self.timer.as_mut().reset(by);
        ready!(self.timer.as_mut().poll(cx));
        late()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buffer);
        match this.state.get() {
            Stage::Body | Stage::Serving => {
                this.read_by = None;
                return poll;
            }
            Stage::Idle if poll.is_ready() => {
                this.state.set(Stage::Head);
                this.read_by = Some((Stage::Head, Instant::now() + this.head_timeout));
                return poll;
            }
            Stage::Idle => this.idle_from_now(),
            Stage::Head if poll.is_ready() => {
                // A head that comes in drops gains nothing.
                let late = this.read_by.is_some_and(|(_, by)| Instant::now() >= by);
                return if late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { poll };
            }
            Stage::Head => {}
        }
        this.overdue(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let is_of_a_start = || bytes.starts_with(b"HTTP/1.1 201");
        failpoint::pass_where(Point::AnswerBefore, is_of_a_start);
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        failpoint::pass_where(Point::AnswerAfter, || poll.is_ready() && is_of_a_start());
        if poll.is_ready() {
            return poll;
        }
        let patience = self.write_timeout;
        self.write_by.get_or_insert_with(|| Instant::now() + patience);
        self.overdue(cx).map(Err)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.own.is_none() {
            this.own = in_our_words(bytes).map(|own| (own, bytes.len()));
        }
        let Some((mut own, stands_for)) = this.own.take() else {
            return this.write(cx, bytes);
        };
        while own.has_remaining() {
            match this.write(cx, &own) {
                Poll::Ready(Ok(written @ 1..)) => own.advance(written),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    this.own = Some((own, stands_for));
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(stands_for))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Flushed means that all of the answer is on its way.
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_flush(cx);
        if poll.is_ready() {
            this.write_by = None;
            // Nothing is read before something comes: here the connection falls idle.
            if this.state.get() == Stage::Idle {
                this.idle_from_now();
                if let Poll::Ready(error) = this.overdue(cx) {
                    return Poll::Ready(Err(error));
                }
            }
            return poll;
        }
        let patience = this.write_timeout;
        this.write_by.get_or_insert_with(|| Instant::now() + patience);
        this.overdue(cx).map(Err)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// What hyper answers by itself to a head that it cannot read, or that is too large, has no body; none of our
/// answers with such a status is without one.
fn in_our_words(bytes: &[u8]) -> Option<Bytes> {
    let code = match bytes.get(..13)? {
        b"HTTP/1.1 400 " | b"HTTP/1.0 400 " => Code::InvalidHead,
        b"HTTP/1.1 414 " | b"HTTP/1.1 431 " | b"HTTP/1.0 414 " | b"HTTP/1.0 431 " => {
            Code::HeadTooLarge
        }
        _ => return None,
    };
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let is_bare = head.lines().any(|line| line.eq_ignore_ascii_case("content-length: 0"));
    is_bare.then(|| Problem::new(code).bare())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_answers_without_a_body_are_said_in_our_words() {
        let bare = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n";
        let own = String::from_utf8(in_our_words(bare).unwrap().to_vec()).unwrap();
        assert!(own.starts_with("HTTP/1.1 431 "), "{own}");
        assert!(own.contains("\"head_too_large\"") && own.contains("connection: close"), "{own}");
        for other in [
            &b"HTTP/1.1 431 X\r\ncontent-length: 1\r\n\r\n{"[..],
            b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 4",
            b"",
        ] {
            assert!(in_our_words(other).is_none(), "{other:?}");
        }
    }
}
