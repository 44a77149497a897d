//! Answers that are written while they are fetched: however long one is, a piece of it is held.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame};
use tokio::sync::mpsc;

/// A piece of an answer.
enum Piece {
    /// Some of it.
    Part(Bytes),
    /// There is no more.
    End,
}

/// What an answer is written to. Dropped before its [`end`](Self::end), it breaks the answer off, so that nobody takes
/// the part for the whole.
pub(super) struct Writer(mpsc::Sender<Piece>);

/// Nobody fetches it any more.
#[derive(Debug)]
pub(super) struct Gone;

impl Writer {
    /// Adds a part, as soon as the one before is fetched.
    ///
    /// # Errors
    /// When nobody fetches it.
    pub(super) async fn part(&self, part: impl Into<Bytes>) -> Result<(), Gone> {
        let part = part.into();
        if part.is_empty() {
            return if self.0.is_closed() { Err(Gone) } else { Ok(()) };
        }
        self.0.send(Piece::Part(part)).await.map_err(|_| Gone)
    }

    /// That was all of it.
    pub(super) async fn end(self) {
        let _ = self.0.send(Piece::End).await;
    }
}

/// A body, and what it is written by.
pub(super) fn streamed() -> (Writer, Body) {
    let (writer, pieces) = mpsc::channel(1);
    (Writer(writer), Body::new(Streamed { pieces, over: false }))
}

struct Streamed {
    pieces: mpsc::Receiver<Piece>,
    over: bool,
}

/// What was to write it stopped.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct BrokenOff;

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(cx));
        self.over = !matches!(piece, Some(Piece::Part(_)));
        Poll::Ready(match piece {
            Some(Piece::Part(part)) => Some(Ok(Frame::data(part))),
            Some(Piece::End) => None,
            None => Some(Err(BrokenOff)),
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_part_is_never_taken_for_the_whole() {
        let (writer, body) = streamed();
        let write = async {
            for part in ["a", "", "b"] {
                writer.part(part).await.unwrap();
            }
            writer.end().await;
        };
        let (whole, ()) = tokio::join!(body.collect(), write);
        assert_eq!(whole.unwrap().to_bytes(), "ab");
        let (writer, body) = streamed();
        let write = async {
            writer.part("a").await.unwrap();
            drop(writer);
        };
        let (broken, ()) = tokio::join!(body.collect(), write);
        assert_eq!(broken.unwrap_err().to_string(), "the answer broke off");
        let (writer, body) = streamed();
        drop(body);
        assert!(writer.part("a").await.is_err() && writer.part("").await.is_err());
    }
}
