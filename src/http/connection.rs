//! Connections: accepted up to a number, timed in every stage, closed so that the last answer
//! arrives.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::lent::lend;
use super::listening::{HTTP2, Listening, Present};
use super::peer::Peer;
use super::problem::{Code, Problem};
use super::streams::Streams;
use super::timed::{Stage, State, Timed};
use super::{Settings, closes, report, respond};
use crate::access::certificate;

/// How long to wait after the system refused to accept: most likely it is out of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a client may still send after an answer that did not wait for it, so that the answer is
/// not lost in a reset: time and bytes.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 16 * 1024 * 1024);

/// How many clients at a time are told why they are turned away; the others are only closed.
static TURNED_AWAY: Semaphore = Semaphore::const_new(128);

/// What they are told.
static FULL: LazyLock<Bytes> = LazyLock::new(|| Problem::new(Code::Overloaded).bare());

/// How many requests of one HTTP/2 connection may be under way.
const MAX_STREAMS: u32 = 100;

/// How many streams a client may open and reset before they were looked at (RFC 9113 section 5.4, "rapid reset"),
/// and how many it may make us reset: then the connection ends.
const MAX_RESETS: (usize, usize) = (20, 100);

/// What an HTTP/2 client may send before it is read, in bytes: a body is as large as one stream's window.
const WINDOWS: (u32, u32) = (64 * 1024, 128 * 1024);

/// How often an HTTP/2 client is asked whether it lives while it waits for us, and how long it may take to answer.
const PING: Duration = Duration::from_secs(20);

/// How often an HTTP/2 connection is looked at whether its client dawdles.
const LOOK: Duration = Duration::from_secs(1);

/// Accepts and serves until the server closes, then waits for what is under way.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    listening: Listening,
    mut closing: watch::Receiver<bool>,
) {
    let settings = Arc::new(listening.settings().clone());
    let mut tasks = JoinSet::new();
    let mut open: HashMap<Id, Arc<State>> = HashMap::new();
    let for_each = closing.clone();
    loop {
        tokio::select! {
            biased;
            _ = closes(&mut closing) => break,
            Some(ended) = tasks.join_next_with_id() => {
                let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                open.remove(&id);
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    if open.len() >= settings.max_connections && !make_room(&mut open) {
                        turn_away(stream, listening.present().tls.is_some());
                        continue;
                    }
                    let connection = Connection {
                        state: Arc::new(State::new()),
                        router: router.clone(),
                        settings: Arc::clone(&settings),
                        closing: for_each.clone(),
                    };
                    let state = Arc::clone(&connection.state);
                    let task = tasks.spawn(connection.run(stream, from.ip(), listening.present()));
                    open.insert(task.id(), state);
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
        timeout(settings.drain_timeout, async { while tasks.join_next().await.is_some() {} }).await;
}

/// Lets whoever has kept us waiting for the longest give way. Nobody does where all wait for us.
fn make_room(open: &mut HashMap<Id, Arc<State>>) -> bool {
    let waits = open.iter().filter_map(|(id, state)| Some((state.waits_since()?, *id)));
    let Some((_, longest)) = waits.min_by_key(|(since, _)| *since) else {
        return false;
    };
    if let Some(state) = open.remove(&longest) {
        report::gave_way();
        state.leave.notify_one();
    }
    true
}

/// There is no room: the client is told so where that costs little.
fn turn_away(mut stream: TcpStream, encrypted: bool) {
    report::turned_away();
    if let Ok(permit) = TURNED_AWAY.try_acquire()
        && !encrypted
    {
        tokio::spawn(async move {
            let _permit = permit;
            let told = async { stream.write_all(&FULL).await.is_ok() };
            if timeout(LINGER.0, told).await.unwrap_or_default() {
                close(stream, true).await;
            }
        });
    }
}

/// One connection.
struct Connection {
    state: Arc<State>,
    router: Router,
    settings: Arc<Settings>,
    closing: watch::Receiver<bool>,
}

impl Connection {
    async fn run(self, stream: TcpStream, from: IpAddr, present: Arc<Present>) {
        // Answers are small and whole: they need not wait for more.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&self.state);
        let served = async {
            let Some(tls) = &present.tls else {
                let peer = Peer::new(from, present);
                return self.http1(stream, peer).await;
            };
            let greeting = TlsAcceptor::from(Arc::clone(tls)).accept(stream);
            let Ok(Ok(stream)) = timeout(self.settings.head_timeout, greeting).await else {
                return;
            };
            let session = stream.get_ref().1;
            let is_http2 = session.alpn_protocol() == Some(HTTP2);
            let shown = session.peer_certificates().and_then(<[_]>::first);
            let names = shown.map(certificate::names).unwrap_or_default();
            let peer = Peer::new(from, Arc::clone(&present)).certified(names);
            match is_http2 {
                true => self.http2(stream, peer).await,
                false => self.http1(stream, peer).await,
            }
        };
        tokio::select! {
            () = served => {}
            () = state.leave.notified() => {}
        }
    }

    async fn http1<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S, peer: Peer) {
        let Self { state, router, settings, mut closing } = self;
        let limit = settings.request_timeout;
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let has_body = !request.body().is_end_stream();
            state.set(if has_body { Stage::Body } else { Stage::Serving });
            peer.introduce(&mut request);
            let (router, state) = (router.clone(), Arc::clone(&state));
            Box::pin(async move {
                let request = request.map(|body| match has_body {
                    true => Body::new(Awaited { body, state: Arc::clone(&state) }),
                    false => Body::empty(),
                });
                let response: Response = respond(router, request, limit).await;
                state.leave_unread(has_body && response.status().as_u16() >= 400);
                if response.body().size_hint().exact().is_some() {
                    state.set(Stage::Idle);
                    return Ok::<_, Infallible>(response);
                }
                // While it is written, its client waits for us.
                Ok(response.map(|body| Body::new(Written { body, state })))
            })
        });
        let timed = Timed::new(stream, Arc::clone(&state), &settings);
        // `Timed` sees to time.
        let mut connection = http1::Builder::new()
            .header_read_timeout(None)
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
            Ok(()) => state.is_unread(),
            // A head that cannot be read, or is too large, has been answered too.
            Err(error) if error.is_parse() => true,
            Err(_) => return,
        };
        close(connection.into_parts().io.into_inner().stream, unread).await;
    }

    async fn http2<S>(self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { state, router, settings, mut closing } = self;
        let streams = Arc::new(Streams::new(Arc::clone(&state)));
        let service = service_fn(|mut request: hyper::Request<Incoming>| {
            let working = Streams::begin(&streams);
            peer.introduce(&mut request);
            let (router, settings) = (router.clone(), Arc::clone(&settings));
            async move {
                let fits = fits(&request, &settings);
                let (head, body) = request.into_parts();
                let (body, back) = lend(body);
                let request = hyper::Request::from_parts(head, Body::new(body));
                let response = if fits {
                    respond(router, request, settings.request_timeout).await
                } else {
                    drop(request);
                    Problem::new(Code::HeadTooLarge).into_response()
                };
                back.finish().await;
                Ok::<_, Infallible>(response.map(|body| working.answered(body)))
            }
        });
        // A head that is a little too large is answered by us, with a problem; what is larger than that by h2.
        let head = u32::try_from(settings.max_head.saturating_mul(2)).unwrap_or(u32::MAX);
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_pending_accept_reset_streams(MAX_RESETS.0)
            .max_local_error_reset_streams(MAX_RESETS.1)
            .initial_stream_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_header_list_size(head)
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(PING)
            .keep_alive_timeout(settings.write_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut tick = interval(LOOK.min(settings.write_timeout / 4));
        let (mut told, mut asked) = (false, false);
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = closes(&mut closing), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = tick.tick() => {
                    asked |= streams.any();
                    // The first request is due as soon as the first head of HTTP/1.1 would be.
                    let patience = if asked { settings.idle_timeout } else { settings.head_timeout };
                    if streams.unfetched() >= settings.write_timeout {
                        return;
                    }
                    match state.waited().is_some_and(|waited| waited >= patience) {
                        false => {}
                        true if told => return,
                        true => {
                            told = true;
                            connection.as_mut().graceful_shutdown();
                        }
                    }
                }
            }
        }
    }
}

/// Whether the head of an HTTP/2 request is one that HTTP/1.1 would take.
fn fits<B>(request: &hyper::Request<B>, settings: &Settings) -> bool {
    let line = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers();
    let size = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        name.as_str().len().saturating_add(value.len()).saturating_add(": \r\n".len())
    };
    let all = headers.iter().map(size).fold(line, usize::saturating_add);
    headers.len() <= settings.max_headers && all <= settings.max_head
}

/// Says that no more will come, and lets the client finish its sentence where it has not.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, unread: bool) {
    let (time, bytes) = LINGER;
    let said = timeout(time, stream.shutdown()).await;
    if !matches!(said, Ok(Ok(()))) || !unread {
        return;
    }
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

/// A body that the client is waited for, until it is there or nobody wants it any more.
struct Awaited {
    body: Incoming,
    state: Arc<State>,
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.state.set(Stage::Serving);
    }
}

/// A body that is written while it is fetched.
struct Written {
    body: Body,
    state: Arc<State>,
}

impl HttpBody for Written {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        self.state.set(Stage::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_whoever_keeps_us_waiting_gives_way_and_the_longest_first() {
        let mut tasks = JoinSet::new();
        let stages = [Stage::Serving, Stage::Idle, Stage::Body, Stage::Serving, Stage::Head];
        let mut open = HashMap::new();
        let mut states = Vec::new();
        for stage in stages {
            let state = Arc::new(State::new());
            std::thread::sleep(Duration::from_millis(1));
            state.set(stage);
            open.insert(tasks.spawn(async {}).id(), Arc::clone(&state));
            states.push(state);
        }
        for gone in [1, 2, 4] {
            assert!(make_room(&mut open));
            let told = timeout(Duration::from_secs(1), states[gone].leave.notified()).await;
            assert!(told.is_ok(), "{gone}");
        }
        assert!(!make_room(&mut open));
        assert_eq!(open.len(), 2);
    }
}
