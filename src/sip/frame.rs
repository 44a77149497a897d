//! Messages out of a stream (RFC 3261 § 18.3).
//!
//! A stream has no ends of messages of its own: they are found by the blank line and the
//! Content-Length. Where either is missing or wrong there is no telling where the next message
//! begins, and the stream is of no use any more. What came before is.

/// The longest head: the blank line stands within it. As that of a datagram.
const MAX_HEAD: usize = 24 * 1024;

/// The longest body.
const MAX_BODY: usize = 64 * 1024;

/// What was found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// One whole message, as it was on the wire, to be [read](super::message::read).
    Message(Vec<u8>),
    /// A keep-alive: two line ends (RFC 5626 § 3.5.1), to be answered by one.
    Ping,
    /// The answer to ours.
    Pong,
}

/// Why a stream is of no use any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unframed {
    /// No blank line where one must be.
    #[error("a head has no end")]
    Endless,
    /// RFC 3261 § 20.14: "If a stream-based protocol (such as TCP) is used as transport, then the
    /// header field MUST be used."
    #[error("a message has no Content-Length")]
    NoLength,
    /// It is no number, or there are two.
    #[error("a Content-Length is no number")]
    BadLength,
    /// A longer body than anyone honest sends.
    #[error("a body is too long")]
    TooLong,
}

/// Cuts a stream into messages.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// In these first bytes no blank line begins.
    searched: usize,
}

impl Framer {
    /// Takes what came; appends what is now whole. After an error the stream is to be closed.
    ///
    /// # Errors
    /// When it cannot be told where the next message begins.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Frame>) -> Result<(), Unframed> {
        self.buffer.extend_from_slice(bytes);
        while let Some((frame, length)) = self.next()? {
            out.push(frame);
            self.buffer.drain(..length);
            self.searched = 0;
        }
        Ok(())
    }

    /// Whether a message has begun, and has no end yet.
    #[must_use]
    pub fn is_amid(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The first frame of the buffer, and its length.
    fn next(&mut self) -> Result<Option<(Frame, usize)>, Unframed> {
        // RFC 3261 § 7.5: "Implementations processing SIP messages over stream-oriented transports
        // MUST ignore any CRLF appearing before the start-line". Before that they are signs of life.
        match self.buffer.as_slice() {
            [b'\r', b'\n', b'\r', b'\n', ..] => return Ok(Some((Frame::Ping, 4))),
            [b'\r', b'\n', b'\r'] | [b'\r'] => return Ok(None),
            // It is not waited for what would make it a ping: the next pong would.
            [b'\r', b'\n', ..] => return Ok(Some((Frame::Pong, 2))),
            [] => return Ok(None),
            [_, ..] => {}
        }
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let found = unsearched.windows(4).position(|four| four == b"\r\n\r\n");
        let Some(end) = found.map(|at| self.searched + at) else {
            self.searched = self.buffer.len().saturating_sub(3);
            return if self.searched > MAX_HEAD { Err(Unframed::Endless) } else { Ok(None) };
        };
        if end > MAX_HEAD {
            return Err(Unframed::Endless);
        }
        self.searched = end;
        let head = self.buffer.get(..end).unwrap_or_default();
        let whole = end + 4 + content_length(head)?;
        let message = self.buffer.get(..whole);
        Ok(message.map(|message| (Frame::Message(message.to_vec()), whole)))
    }
}

/// The Content-Length that a head gives. A fold cannot hide one: what a line that begins with
/// white space says belongs to the line before it.
fn content_length(head: &[u8]) -> Result<usize, Unframed> {
    let mut lengths = head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        let name = name.trim_ascii_end();
        let is_length = name.eq_ignore_ascii_case(b"Content-Length") || matches!(name, b"l" | b"L");
        is_length.then_some(value.get(1..)?.trim_ascii())
    });
    let digits = lengths.next().ok_or(Unframed::NoLength)?;
    let is_number = (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    if !is_number || lengths.next().is_some() {
        return Err(Unframed::BadLength);
    }
    let length = digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
    if length > MAX_BODY { Err(Unframed::TooLong) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(chunks: &[&[u8]]) -> (Vec<Frame>, Result<(), Unframed>) {
        let (mut framer, mut out) = (Framer::default(), Vec::new());
        let end = chunks.iter().try_for_each(|chunk| framer.push(chunk, &mut out));
        (out, end)
    }

    fn message(bytes: &[u8]) -> Frame {
        Frame::Message(bytes.to_vec())
    }

    #[test]
    fn messages_are_cut_where_their_lengths_say() {
        let (a, b) = (b"A x\r\nContent-Length: 3\r\n\r\nabc", b"B x\r\nl : 0\r\n\r\n");
        let together = [&a[..], b"\r\n\r\n", b, b"\r\n", b].concat();
        let expected = vec![message(a), Frame::Ping, message(b), Frame::Pong, message(b)];
        assert_eq!(frames(&[&together]), (expected, Ok(())));
    }

    #[test]
    fn what_came_before_a_fault_is_delivered() {
        let good = b"A x\r\nContent-Length: 3\r\n\r\nabc";
        for (bad, why) in [
            ("B x\r\nTo: y\r\n\r\n", Unframed::NoLength),
            ("B x\r\nContent-Length: -1\r\n\r\n", Unframed::BadLength),
            ("B x\r\nContent-Length: \r\n\r\n", Unframed::BadLength),
            ("B x\r\nContent-Length: 5, 5\r\n\r\n", Unframed::BadLength),
            ("B x\r\nContent-Length: 5\r\nl: 5\r\n\r\n", Unframed::BadLength),
            ("B x\r\nContent-Length: 99999999999999999999\r\n\r\n", Unframed::BadLength),
            ("B x\r\nContent-Length: 65537\r\n\r\n", Unframed::TooLong),
            ("B x\r\nTo: y\r\n Content-Length: 5\r\n\r\n", Unframed::NoLength),
            (&"a".repeat(MAX_HEAD + 5), Unframed::Endless),
        ] {
            let chunk = [good, bad.as_bytes()].concat();
            assert_eq!(frames(&[&chunk]), (vec![message(good)], Err(why)), "{bad:.60}");
        }
    }

    #[test]
    fn half_a_message_is_waited_for() {
        let (mut framer, mut out) = (Framer::default(), Vec::new());
        framer.push(b"A x\r\nContent-Length: 3\r\n\r\nab", &mut out).unwrap();
        assert!(framer.is_amid() && out.is_empty());
        framer.push(b"c", &mut out).unwrap();
        assert!(!framer.is_amid());
        assert_eq!(out, [message(b"A x\r\nContent-Length: 3\r\n\r\nabc")]);
    }

    #[test]
    fn two_pongs_are_no_ping() {
        assert_eq!(frames(&[b"\r\n", b"\r\n"]).0, [Frame::Pong, Frame::Pong]);
        assert_eq!(frames(&[b"\r\n\r", b"\n"]).0, [Frame::Ping]);
    }
}
