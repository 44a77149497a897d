//! Encrypted media: SRTP (RFC 3711) by keys in the session description (RFC 4568).

/// Whether media are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    /// Never: RTP/AVP.
    #[default]
    Off,
    /// Offered; an answer in the clear is taken.
    Preferred,
    /// An answer in the clear ends the call.
    Required,
}
