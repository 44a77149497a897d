//! What people write, put together again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use zeroize::Zeroizing;

use super::pdu::{Address, Deliver, Segment, class, latin1};
use super::{Numbering, Settings};
use crate::ambient::Timestamp;
use crate::carrier::{Body, Text};
use crate::verify::gsm;
use crate::verify::number::PhoneNumber;

/// How many texts may be incomplete at a time.
const TEXTS: usize = 256;
/// How many parts a text may have: nobody answers a code with more.
const PARTS: u8 = 16;
/// How long the parts of a text may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What became of a `deliver_sm` that is no receipt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Post {
    /// A person wrote this.
    Whole(Text),
    /// A part of what a person wrote; the others are yet to come.
    Part,
    /// It is not for us: an acknowledgement of a phone, binary data, or from no phone number.
    Unread,
}

/// Texts of which not every part has come.
#[derive(Default)]
pub(super) struct Inbox(VecDeque<Partial>);

struct Partial {
    from: PhoneNumber,
    to: String,
    reference: u16,
    total: u8,
    parts: BTreeMap<u8, Zeroizing<String>>,
    until: Timestamp,
}

impl Inbox {
    /// Takes a `deliver_sm` in, under this name of ours: SMPP gives texts that people send none.
    pub(super) fn take(
        &mut self,
        settings: &Settings,
        deliver: &Deliver,
        id: String,
        now: Timestamp,
    ) -> Post {
        let Some(from) = phone(&deliver.from) else { return Post::Unread };
        let Some(text) = read(deliver).map(Zeroizing::new) else { return Post::Unread };
        let to = recipient(settings, &deliver.to);
        let whole = |from, to, text| Post::Whole(Text { id, from, to, body: Body::new(text) });
        match deliver.segment {
            Some(segment) if segment.total > 1 => {
                if segment.total > PARTS || !(1..=segment.total).contains(&segment.number) {
                    return Post::Unread;
                }
                match self.complete(&from, &to, segment, text, now) {
                    Some(text) => whole(from, to, text),
                    None => Post::Part,
                }
            }
            Some(_) | None => whole(from, to, text),
        }
    }

    /// Adds a part; the text, when it was the last.
    fn complete(
        &mut self,
        from: &PhoneNumber,
        to: &str,
        segment: Segment,
        text: Zeroizing<String>,
        now: Timestamp,
    ) -> Option<Zeroizing<String>> {
        let Segment { reference, total, number } = segment;
        let same = |it: &Partial| {
            it.reference == reference && it.total == total && it.from == *from && it.to == to
        };
        let at = self.0.iter().position(same).unwrap_or_else(|| {
            if self.0.len() >= TEXTS {
                self.0.pop_front();
            }
            let (from, to, until) = (from.clone(), to.to_owned(), now + PATIENCE);
            self.0.push_back(Partial { from, to, reference, total, parts: BTreeMap::new(), until });
            self.0.len() - 1
        });
        let partial = self.0.get_mut(at)?;
        partial.parts.insert(number, text);
        if partial.parts.len() < usize::from(total) {
            return None;
        }
        let partial = self.0.remove(at)?;
        let mut whole = Zeroizing::new(String::new());
        for part in partial.parts.values() {
            whole.push_str(part);
        }
        Some(whole)
    }

    /// When the next incomplete text is given up.
    pub(super) fn deadline(&self) -> Timestamp {
        self.0.front().map_or(Timestamp::MAX, |partial| partial.until)
    }

    /// Gives up what has been incomplete for too long, and counts it. Half a text is not passed
    /// on: what is missing may have turned its meaning round.
    pub(super) fn expire(&mut self, now: Timestamp) -> u64 {
        let before = self.0.len();
        self.0.retain(|partial| partial.until > now);
        u64::try_from(before - self.0.len()).unwrap_or_default()
    }
}

/// What a text says (5.2.19); `None` where it is no text.
fn read(deliver: &Deliver) -> Option<String> {
    if deliver.esm_class & class::KIND != 0 {
        return None;
    }
    match deliver.data_coding {
        // 0xf0 and above: the GSM alphabet with a message class (3GPP TS 23.038 section 4).
        0 | 0xf0..=0xf3 => Some(gsm::unpack(&deliver.message)),
        1 | 3 => Some(latin1(&deliver.message)),
        8 => Some(gsm::from_ucs2(&deliver.message)),
        _ => None,
    }
}

/// The phone of an address: centres write international numbers with or without a prefix, and do
/// not always call them international.
fn phone(address: &Address) -> Option<PhoneNumber> {
    let digits = address.digits.trim();
    let bare = digits.strip_prefix('+').or_else(|| digits.strip_prefix("00")).unwrap_or(digits);
    let international = matches!(address.ton, 0 | 1) || digits.starts_with('+');
    international.then(|| format!("+{bare}").parse().ok()).flatten()
}

/// Which of our addresses was written to: as it is configured, where it is that one.
fn recipient(settings: &Settings, address: &Address) -> String {
    let digits = address.digits.trim();
    let bare = digits.strip_prefix('+').unwrap_or(digits);
    if bare == settings.source_address() {
        settings.from.clone()
    } else if address.ton == Numbering::INTERNATIONAL.ton {
        format!("+{bare}")
    } else {
        digits.to_owned()
    }
}
