//! What answered a call, as far as can be heard.

/// What answered, how sure that is, and what showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// What it is.
    pub is: Is,
    /// How sure that is, in percent.
    pub score: u8,
    /// What showed it.
    pub cue: Cue,
}

/// What answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Is {
    /// A person: says a word or two, and waits.
    Human,
    /// An answering machine or a mailbox.
    Machine,
    /// Nobody speaks.
    Silence,
    /// A fax machine.
    Fax,
    /// A service that asks the caller who it is, or to press a key.
    Screening,
    /// An announcement of the network, by its special information tones (ITU-T E.180).
    Sit,
    /// A busy tone, after the answer.
    Busy,
    /// A ringing tone, after the answer: the call is led on.
    Ringback,
    /// The line sends back what it is sent.
    Echo,
}

impl Is {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
            Self::Silence => "silence",
            Self::Fax => "fax",
            Self::Screening => "screening",
            Self::Sit => "sit",
            Self::Busy => "busy",
            Self::Ringback => "ringback",
            Self::Echo => "echo",
        }
    }
}

/// What showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cue {
    /// A short greeting, and a pause.
    ShortGreeting,
    /// A long greeting without a pause.
    LongGreeting,
    /// A beep after speech.
    Beep,
    /// No word in the first seconds.
    NoSpeech,
    /// The calling tone of a fax machine, 1,100 Hz (ITU-T T.30).
    Cng,
    /// Its answer tone, 2,100 Hz.
    Ced,
    /// A telephone-event for either (RFC 4734).
    Event,
    /// Special information tones of a number that is not in use.
    Vacant,
    /// Special information tones of any other kind: congestion, no circuit, no service.
    NoCircuit,
    /// A tone, half a second on and half a second off.
    BusyTone,
    /// The same twice as fast.
    ReorderTone,
    /// A tone of a second or two, and a long pause.
    RingbackTone,
    /// The loudness of what comes follows the loudness of what was sent.
    Reflection,
    /// A long greeting, a long wait, and the same again.
    Repeats,
}

impl Cue {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ShortGreeting => "short_greeting",
            Self::LongGreeting => "long_greeting",
            Self::Beep => "beep",
            Self::NoSpeech => "no_speech",
            Self::Cng => "cng",
            Self::Ced => "ced",
            Self::Event => "event",
            Self::Vacant => "vacant",
            Self::NoCircuit => "no_circuit",
            Self::BusyTone => "busy_tone",
            Self::ReorderTone => "reorder_tone",
            Self::RingbackTone => "ringback_tone",
            Self::Reflection => "reflection",
            Self::Repeats => "repeats",
        }
    }
}
