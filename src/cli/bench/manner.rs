//! How phones take a call: the ten of a crowd, told apart by the last digit of their numbers, so
//! that whoever calls knows what to expect.

/// How a phone takes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// It answers, and presses `#`.
    Presses,
    /// It is busy: 486.
    Busy,
    /// It rings until it is given up, and says 487.
    Rings,
    /// It rings, and its 200 crosses the CANCEL.
    Races,
    /// It sends what nobody can read, and then 500.
    Garbles,
    /// It says nothing at all.
    Silent,
    /// It answers, presses `#`, and is gone before the BYE.
    Vanishes,
}

impl Manner {
    /// That of the phone with this number, in a crowd.
    pub(super) fn of(number: &str) -> Self {
        match number.bytes().last() {
            Some(b'4') => Self::Busy,
            Some(b'5') => Self::Rings,
            Some(b'6') => Self::Races,
            Some(b'7') => Self::Garbles,
            Some(b'8') => Self::Silent,
            Some(b'9') => Self::Vanishes,
            Some(_) | None => Self::Presses,
        }
    }

    /// What becomes of a verification that calls it, where no phone may ring for longer than a
    /// trunk may be silent.
    pub(super) const fn verdict(self) -> &'static str {
        match self {
            Self::Presses | Self::Vanishes => "approved confirmed",
            Self::Busy => "failed busy",
            Self::Rings | Self::Races => "failed no_answer",
            Self::Garbles | Self::Silent => "failed carrier_error",
        }
    }
}

/// What a phone sends that garbles: the first halves of answers, answers without a name, with
/// lengths that are not true, and no answers at all.
pub(super) const GARBAGE: [&[u8]; 6] = [
    b"SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP",
    b"SIP/2.0 200 OK\r\n\r\n",
    b"SIP/2.0 200 OK\r\nContent-Length: -5\r\nContent-Length: 70000\r\n\r\nv=0\r\n",
    b"SIP/2.0 999999 \xff\xfe\r\n\r\n",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\r\n\r\n",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_every_manner() {
        let verdicts = (0..10).map(|digit| Manner::of(&format!("+1202555000{digit}")));
        let approved = verdicts.filter(|it| it.verdict() == "approved confirmed").count();
        assert_eq!(approved, 5);
    }
}
