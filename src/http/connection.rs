//! Connections: accepted up to a number, timed in every stage, closed so that the last answer
//! arrives.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::{Settings, closes, report, respond};

/// How long to wait after the system refused to accept: most likely it is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a client may still send after an answer that did not wait for it, so that the answer is
/// not lost in a reset: time and bytes.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 16 * 1024 * 1024);

/// Accepts and serves until the server closes, then waits for what is under way.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    settings: Arc<Settings>,
    mut closing: watch::Receiver<bool>,
) {
    let slots = Arc::new(Semaphore::new(settings.max_connections));
    let mut open = JoinSet::new();
    let for_each = closing.clone();
    loop {
        tokio::select! {
            _ = closes(&mut closing) => break,
            Some(_) = open.join_next() => {}
            accepted = next(&listener, &slots) => match accepted {
                Ok((stream, slot)) => {
                    let (router, settings) = (router.clone(), Arc::clone(&settings));
                    open.spawn(serve(stream, slot, router, settings, for_each.clone()));
                }
                Err(error) => {
                    report::refused(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    // What is not done by then is cut when the set is dropped.
    let _ =
        timeout(settings.drain_timeout, async { while open.join_next().await.is_some() {} }).await;
}

async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn serve(
    stream: TcpStream,
    _slot: OwnedSemaphorePermit,
    router: Router,
    settings: Arc<Settings>,
    mut closing: watch::Receiver<bool>,
) {
    // Answers are small and whole: they need not wait for more.
    let _ = stream.set_nodelay(true);
    let state = Arc::new(State::default());
    let service = service_fn(|request: hyper::Request<Incoming>| {
        state.set(Stage::Serving);
        let (router, state) = (router.clone(), Arc::clone(&state));
        Box::pin(async move {
            let has_body = !request.body().is_end_stream();
            let response: Response = respond(router, request.map(Body::new)).await;
            let early = has_body && response.status().as_u16() >= 400;
            state.unread.store(early, Ordering::Relaxed);
            state.set(Stage::Idle);
            Ok::<_, Infallible>(response)
        })
    });
    let timed = Timed {
        stream,
        state: Arc::clone(&state),
        head_timeout: settings.head_timeout,
        write_timeout: settings.write_timeout,
        head: None,
        write: None,
    };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.idle_timeout.max(settings.head_timeout))
        .max_headers(settings.max_headers)
        .max_header_size(settings.max_head)
        .serve_connection(TokioIo::new(timed), service);
    let mut told = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            _ = closes(&mut closing), if !told => {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    let unread = match ended {
        Ok(()) => state.unread.load(Ordering::Relaxed),
        // A head that cannot be read, or is too large, has been answered too.
        Err(error) if error.is_parse() => true,
        Err(_) => return,
    };
    close(connection.into_parts().io.into_inner().stream, unread).await;
}

/// Says that no more will come, and lets the client finish its sentence where it has not.
async fn close(mut stream: TcpStream, unread: bool) {
    if stream.shutdown().await.is_err() || !unread {
        return;
    }
    let (time, bytes) = LINGER;
    let _ = timeout(time, async {
        let mut left = bytes;
        let mut sink = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut sink).await {
            left = left.saturating_sub(read);
            if left == 0 {
                break;
            }
        }
    })
    .await;
}

/// What a connection is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Sending the head of a request, or nothing since it was opened.
    Head,
    /// A request is being answered; its body has a time-out of its own.
    Serving,
    /// Between two requests.
    Idle,
}

/// The stage, told by the service and read by the stream.
#[derive(Default)]
struct State {
    stage: AtomicU8,
    unread: AtomicBool,
}

impl State {
    fn set(&self, stage: Stage) {
        let number = match stage {
            Stage::Head => 0,
            Stage::Serving => 1,
            Stage::Idle => 2,
        };
        self.stage.store(number, Ordering::Relaxed);
    }

    fn get(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Head,
            1 => Stage::Serving,
            _ => Stage::Idle,
        }
    }
}

/// A stream that ends itself: when a head takes too long, counted from its first byte (hyper counts
/// from the end of the request before, so it can only see to idle connections), and when an answer
/// is not fetched.
struct Timed {
    stream: TcpStream,
    state: Arc<State>,
    head_timeout: Duration,
    write_timeout: Duration,
    head: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

/// Starts `timer` if it does not run; ready when it is over.
fn overdue(timer: &mut Option<Pin<Box<Sleep>>>, span: Duration, cx: &mut Context<'_>) -> Poll<()> {
    timer.get_or_insert_with(|| Box::pin(sleep(span))).as_mut().poll(cx)
}

impl AsyncRead for Timed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_read(cx, buffer);
        if poll.is_ready() && this.state.get() == Stage::Idle {
            this.state.set(Stage::Head);
            this.head = None;
        }
        match this.state.get() {
            Stage::Head => {
                let late = overdue(&mut this.head, this.head_timeout, cx).is_ready();
                if late { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { poll }
            }
            Stage::Serving | Stage::Idle => {
                this.head = None;
                poll
            }
        }
    }
}

impl Timed {
    fn wrote(
        &mut self,
        poll: Poll<io::Result<usize>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if poll.is_ready() {
            return poll;
        }
        ready!(overdue(&mut self.write, self.write_timeout, cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncWrite for Timed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.wrote(poll, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let poll = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.wrote(poll, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Flushed means that all of the answer is on its way.
        let this = self.get_mut();
        this.write = None;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
