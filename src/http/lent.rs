//! A request's body over HTTP/2 that comes back when nobody reads it any more.
//!
//! An answer may be ready before the body has been sent. RFC 9113, section 8.1: then we "MAY request that the client
//! abort transmission of a request without error by sending a RST_STREAM with an error code of NO_ERROR", and clients
//! "MUST NOT discard responses as a result". Some do (curl before 8): so a body that is on its way is awaited.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// What is awaited: time and bytes. Who sends more is asked to stop.
const LEFT: (Duration, usize) = (Duration::from_secs(1), 64 * 1024);

/// The body, for whoever answers.
pub(super) struct Lent {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

/// Where it comes back to.
pub(super) struct Back(oneshot::Receiver<Incoming>);

/// Lends it.
pub(super) fn lend(body: Incoming) -> (Lent, Back) {
    let (back, comes) = oneshot::channel();
    (Lent { body: Some(body), back: Some(back) }, Back(comes))
}

impl Back {
    /// Reads what is left of it, where whoever answered is done with it.
    pub(super) async fn finish(mut self) {
        let Ok(mut body) = self.0.try_recv() else { return };
        let (time, mut bytes) = LEFT;
        let rest = async {
            while let Some(Ok(frame)) = body.frame().await {
                bytes = bytes.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
                if bytes == 0 {
                    return;
                }
            }
        };
        // What is not there by then is not waited for.
        let _ = timeout(time, rest).await;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        if let (Some(body), Some(back)) = (body, self.back.take()) {
            // Who answered late has no use for it.
            let _ = back.send(body);
        }
    }
}
