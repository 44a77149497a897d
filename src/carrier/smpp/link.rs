//! A session with a message centre, through all its connections: [`Link::on`] takes what happened
//! and says what must happen now.
//!
//! What it keeps to:
//!
//! - Every [`Submit`] that was taken in is replied to once, within [`Settings::answer_within`].
//! - It is [`Reply::Unwritten`] only when the last octet of its PDU was never handed over to the
//!   connection: the centre cannot have taken it. It is [`Reply::Lost`] when it was handed over
//!   and nobody can tell.
//! - A `deliver_sm` is answered once its news are in other hands, and not before.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::inbox::{Inbox, Post};
use super::pdu::{self, Deliver, Frame, Frames, command};
use super::plan::Part;
use super::report::{Ledger, Report};
use super::{Answer, Settings, refusal, status};
use crate::ambient::{Entropy, Timestamp};
use crate::carrier::signature::sha256_hex;
use crate::carrier::{About, News};
use crate::verify::number::PhoneNumber;
use crate::verify::signal::{Cause, Reason};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an unbind may take.
const UNBIND: Duration = Duration::from_secs(2);
/// The pause after the first lost connection, and the most it grows to; half as much comes on top
/// of it by chance, so that the nodes of a cluster do not come back together.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// A session that lasted this long was a good one: the pauses begin anew.
const GOOD: Duration = Duration::from_secs(10);
/// The pause after the first throttled text, and the most it grows to.
const FIRST_BRAKE: Duration = Duration::from_millis(500);
const LONGEST_BRAKE: Duration = Duration::from_secs(4);
/// How far a limited rate may catch up on itself.
const BURST: Duration = Duration::from_millis(100);
/// How many octets may wait for the connection.
const BACKLOG: u64 = 64 * 1024;
/// The highest sequence number (3.2).
const LAST_SEQUENCE: u32 = 0x7fff_ffff;

/// A part of a text, to be submitted.
#[derive(Clone)]
pub struct Submit {
    /// The phone.
    pub to: PhoneNumber,
    /// What to submit.
    pub part: Part,
    /// How long it is worth delivering.
    pub valid: Duration,
    /// How many parts the text has.
    pub parts: u8,
    /// What the centre calls the first part; `None` for the first part itself.
    pub handle: Option<String>,
}

impl fmt::Debug for Submit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Submit({:?} to {}, of {} parts)", self.part, self.to, self.parts)
    }
}

/// The caller's name for a [`Submit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Something that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection that was wanted is up.
    Connected,
    /// It is not, or not any more; a sentence without secrets.
    Failed(String),
    /// Octets came.
    Bytes(&'a [u8]),
    /// So many octets were handed over to the connection.
    Written(usize),
    /// This is to be submitted; only when [`Link::ready`].
    Submit(Ticket, Submit),
    /// The news of this `deliver_sm` are in other hands, or could not be handed over.
    Told {
        /// The `deliver_sm`.
        sequence: u32,
        /// They are.
        taken: bool,
    },
    /// Wait for what is unanswered, unbind, and end.
    Stop,
    /// The [`deadline`](Link::deadline) has come.
    Tick,
}

/// Something that must now happen.
pub enum Output {
    /// Connect.
    Connect,
    /// Hand these octets over to the connection, behind those before.
    Write(Zeroizing<Vec<u8>>),
    /// Reply to a submit.
    Reply(Ticket, Reply),
    /// Pass news on, and say [`Input::Told`].
    Tell {
        /// The `deliver_sm` they came with.
        sequence: u32,
        /// The news.
        news: Vec<(About, News)>,
    },
    /// Close the connection, or stop connecting; what was not handed over is forgotten.
    Close,
    /// It is over.
    Stopped,
}

/// What became of a submit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The centre has taken it, and calls it by this name.
    Taken(String),
    /// The centre has not taken it, because it is too much at the moment.
    Throttled,
    /// The centre has not taken it.
    Refused(Cause),
    /// The connection broke before all of it was handed over: it surely was not taken.
    Unwritten,
    /// It was handed over, and no answer came: it must not be submitted again.
    Lost,
}

/// How a session stands, for readiness and for people; without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Texts can be submitted.
    pub bound: bool,
    /// Since when it is, or is not.
    pub since: Timestamp,
    /// Why the last connection ended, or could not be made.
    pub last_error: Option<String>,
    /// How many texts of people could not be read, or never came whole.
    pub unread: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Down {
        until: Timestamp,
    },
    Connecting {
        by: Timestamp,
    },
    Binding {
        by: Timestamp,
    },
    Bound,
    /// We unbound, or the other side did.
    Unbinding {
        by: Timestamp,
        ours: bool,
    },
    Stopped,
}

struct Pending {
    ticket: Ticket,
    by: Timestamp,
    /// How many octets had been written when its last one was.
    end: u64,
    parts: u8,
    handle: Option<String>,
}

/// A session, bound or not.
pub struct Link {
    settings: Arc<Settings>,
    entropy: Entropy,
    now: Timestamp,
    phase: Phase,
    state: State,
    stopping: bool,
    /// Connections lost or not made since the last good one.
    failures: u32,
    bound_at: Option<Timestamp>,

    frames: Frames,
    sequence: u32,
    pending: BTreeMap<u32, Pending>,
    queued: u64,
    written: u64,
    /// When the other side is asked whether it is there, or must have answered that.
    probe: Timestamp,
    probed: bool,

    brake: Duration,
    braked_until: Timestamp,
    /// When the rate allows the next one.
    slot: Timestamp,

    ledger: Ledger,
    inbox: Inbox,
}

impl Link {
    /// A link that connects at its first tick.
    #[must_use]
    pub fn new(settings: Arc<Settings>, entropy: Entropy, now: Timestamp) -> Self {
        Self {
            settings,
            entropy,
            now,
            phase: Phase::Down { until: now },
            state: State { bound: false, since: now, last_error: None, unread: 0 },
            stopping: false,
            failures: 0,
            bound_at: None,
            frames: Frames::default(),
            sequence: 0,
            pending: BTreeMap::new(),
            queued: 0,
            written: 0,
            probe: Timestamp::MAX,
            probed: false,
            brake: FIRST_BRAKE,
            braked_until: Timestamp::default(),
            slot: Timestamp::default(),
            ledger: Ledger::default(),
            inbox: Inbox::default(),
        }
    }

    /// How it stands.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Whether a submit may be given to it now.
    #[must_use]
    pub fn ready(&self, now: Timestamp) -> bool {
        self.phase == Phase::Bound
            && !self.stopping
            && self.pending.len() < self.settings.window
            && self.queued.saturating_sub(self.written) < BACKLOG
            && now >= self.braked_until
            && now >= self.slot
    }

    /// Until when the centre's throttling holds texts back.
    #[must_use]
    pub const fn braked_until(&self) -> Timestamp {
        self.braked_until
    }

    /// When it wants a [`Input::Tick`]: also when it becomes [`ready`](Self::ready) by time alone.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let ahead = |at: Timestamp| if at > self.now { at } else { Timestamp::MAX };
        match self.phase {
            Phase::Down { until } => until,
            Phase::Connecting { by } | Phase::Binding { by } | Phase::Unbinding { by, .. } => by,
            Phase::Bound => {
                let answers = self.pending.values().map(|pending| pending.by).min();
                answers
                    .unwrap_or(Timestamp::MAX)
                    .min(self.probe)
                    .min(self.inbox.deadline())
                    .min(ahead(self.braked_until))
                    .min(ahead(self.slot))
            }
            Phase::Stopped => Timestamp::MAX,
        }
    }

    /// Takes what happened; adds what must now happen, in this order.
    pub fn on(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        self.now = now;
        match input {
            Input::Connected => self.connected(out),
            Input::Failed(why) => self.down(&why, out),
            Input::Bytes(octets) => self.heard(octets, out),
            Input::Written(octets) => {
                self.written += u64::try_from(octets).unwrap_or(u64::MAX);
                self.close_if_done(out);
            }
            Input::Submit(ticket, submit) => self.submit(ticket, &submit, out),
            Input::Told { sequence, taken } => {
                let status = if taken { status::OK } else { status::TRY_LATER };
                self.write(pdu::delivered(status, sequence), out);
            }
            Input::Stop => {
                self.stopping = true;
                match self.phase {
                    Phase::Bound => self.leave(out),
                    Phase::Down { .. } | Phase::Connecting { .. } | Phase::Binding { .. } => {
                        self.down("stopped", out);
                    }
                    Phase::Unbinding { .. } | Phase::Stopped => {}
                }
            }
            Input::Tick => self.tick(out),
        }
    }

    fn connected(&mut self, out: &mut Vec<Output>) {
        self.phase = Phase::Binding { by: self.now + self.settings.answer_within };
        self.frames = Frames::default();
        (self.queued, self.written) = (0, 0);
        let sequence = self.next_sequence();
        self.write(pdu::bind(&self.settings, sequence), out);
    }

    fn submit(&mut self, ticket: Ticket, submit: &Submit, out: &mut Vec<Output>) {
        if self.phase != Phase::Bound || self.stopping {
            out.push(Output::Reply(ticket, Reply::Unwritten));
            return;
        }
        if let Some(rate) = self.settings.per_second {
            let step = Duration::from_secs(1) / rate.get();
            self.slot = self.slot.max(self.now - BURST) + step;
        }
        let sequence = self.next_sequence();
        let to = submit.to.expose().trim_start_matches('+');
        let octets = pdu::submit(&self.settings, to, &submit.part, submit.valid, sequence);
        self.write(octets, out);
        let by = self.now + self.settings.answer_within;
        let (parts, handle) = (submit.parts, submit.handle.clone());
        let pending = Pending { ticket, by, end: self.queued, parts, handle };
        self.pending.insert(sequence, pending);
    }

    fn heard(&mut self, octets: &[u8], out: &mut Vec<Output>) {
        // Whatever came shows that somebody is there.
        self.probe = self.now + self.settings.enquire_every;
        self.probed = false;
        self.frames.push(octets);
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => self.frame(&frame, out),
                Ok(None) => return,
                Err(pdu::Garbled) => {
                    return self.down("the message centre does not speak SMPP", out);
                }
            }
            if matches!(self.phase, Phase::Down { .. } | Phase::Stopped) {
                return;
            }
        }
    }

    fn frame(&mut self, frame: &Frame, out: &mut Vec<Output>) {
        let sequence = frame.sequence;
        match (frame.command, self.phase) {
            (command::BIND_TRANSCEIVER_RESP | command::GENERIC_NACK, Phase::Binding { .. }) => {
                if frame.command == command::GENERIC_NACK || frame.status != status::OK {
                    return self.down(&refusal(frame.status), out);
                }
                self.phase = Phase::Bound;
                self.bound_at = Some(self.now);
                self.state.bound = true;
                self.state.since = self.now;
                self.brake = FIRST_BRAKE;
            }
            (command::SUBMIT_SM_RESP | command::GENERIC_NACK, _) => self.answered(frame, out),
            (command::DELIVER_SM, Phase::Bound | Phase::Unbinding { ours: true, .. }) => {
                let news = self.deliver(frame);
                if news.is_empty() {
                    self.write(pdu::delivered(status::OK, sequence), out);
                } else {
                    out.push(Output::Tell { sequence, news });
                }
            }
            (command::ENQUIRE_LINK, _) => {
                self.write(pdu::bare(command::ENQUIRE_LINK_RESP, status::OK, sequence), out);
            }
            (command::UNBIND, _) => {
                self.unready();
                self.phase = Phase::Unbinding { by: self.now + UNBIND, ours: false };
                self.write(pdu::bare(command::UNBIND_RESP, status::OK, sequence), out);
            }
            (command::UNBIND_RESP, Phase::Unbinding { ours: true, .. }) => {
                self.down("stopped", out);
            }
            // Neither has an answer.
            (command::ALERT_NOTIFICATION | command::OUTBIND, _) => {}
            (other, _) if other & command::ANSWER == 0 => {
                let nack = pdu::bare(command::GENERIC_NACK, status::INVALID_COMMAND, sequence);
                self.write(nack, out);
            }
            // An answer to nothing, or too late.
            _ => {}
        }
    }

    /// An answer to a submit; one that is too late finds nothing.
    fn answered(&mut self, frame: &Frame, out: &mut Vec<Output>) {
        let Some(pending) = self.pending.remove(&frame.sequence) else { return };
        let reply = match Answer::of(frame.status) {
            // A negative acknowledgement is one whatever its status says (4.3.1).
            Answer::Taken if frame.command == command::GENERIC_NACK => {
                Reply::Refused(Cause::because(Reason::CarrierError, refusal(frame.status)))
            }
            Answer::Taken => {
                self.brake = FIRST_BRAKE;
                let id = self.settings.ids.answered(&pdu::message_id(&frame.body));
                // It was taken, though no receipt will ever be about it.
                let id = if id.is_empty() {
                    format!("unnamed-{}-{}", self.now.as_micros(), frame.sequence)
                } else {
                    id
                };
                if pending.parts > 1 {
                    let handle = pending.handle.as_deref().unwrap_or(&id);
                    self.ledger.note(handle, pending.parts, &id);
                }
                Reply::Taken(id)
            }
            Answer::Throttled => {
                // A whole window comes back at once; it brakes once.
                if self.now >= self.braked_until {
                    self.braked_until = self.now + self.brake;
                    self.brake = (self.brake * 2).min(LONGEST_BRAKE);
                }
                Reply::Throttled
            }
            Answer::Refused(cause) => Reply::Refused(cause),
        };
        out.push(Output::Reply(pending.ticket, reply));
        self.leave_if_done(out);
        self.close_if_done(out);
    }

    /// What a `deliver_sm` says. One that says nothing to us is answered all the same: it would
    /// come again for ever.
    fn deliver(&mut self, frame: &Frame) -> Vec<(About, News)> {
        let Some(deliver) = Deliver::read(&frame.body) else {
            self.state.unread += 1;
            return Vec::new();
        };
        if let Some(Report { id, news }) = Report::read(&deliver) {
            let id = self.settings.ids.reported(&id);
            let heard = news.and_then(|news| self.ledger.hear(id, news));
            return heard.map(|(id, news)| (About::Handle(id), news)).into_iter().collect();
        }
        // A centre that did not get our answer delivers the same again: its name is made of what it
        // is, within ten minutes, so that it counts once.
        let window = self.now.as_secs() / 600;
        let parts = [window.to_be_bytes().as_slice(), &frame.body].concat();
        let id = sha256_hex(&parts);
        match self.inbox.take(&self.settings, &deliver, id, self.now) {
            Post::Whole(text) => vec![(About::Nobody, News::Text(text))],
            Post::Part => Vec::new(),
            Post::Unread => {
                self.state.unread += 1;
                Vec::new()
            }
        }
    }

    fn tick(&mut self, out: &mut Vec<Output>) {
        match self.phase {
            Phase::Down { until } if self.now >= until => {
                self.phase = Phase::Connecting { by: self.now + CONNECT };
                out.push(Output::Connect);
            }
            Phase::Connecting { by } if self.now >= by => {
                self.down("the message centre cannot be reached in time", out);
            }
            Phase::Binding { by } if self.now >= by => {
                self.down("the message centre did not answer the bind", out);
            }
            Phase::Unbinding { by, .. } if self.now >= by => self.down("unbound", out),
            Phase::Bound => self.tick_bound(out),
            Phase::Down { .. }
            | Phase::Connecting { .. }
            | Phase::Binding { .. }
            | Phase::Unbinding { .. }
            | Phase::Stopped => {}
        }
    }

    fn tick_bound(&mut self, out: &mut Vec<Output>) {
        self.state.unread += self.inbox.expire(self.now);
        let (now, written) = (self.now, self.written);
        let overdue: Vec<u32> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.by <= now)
            .map(|(sequence, _)| *sequence)
            .collect();
        for sequence in overdue {
            // What still waits here would be written later: only the end of the connection stops it.
            if self.pending.get(&sequence).is_some_and(|pending| pending.end > written) {
                return self.down("the message centre reads nothing", out);
            }
            if let Some(pending) = self.pending.remove(&sequence) {
                out.push(Output::Reply(pending.ticket, Reply::Lost));
            }
        }
        if now >= self.probe {
            if self.probed {
                return self.down("the message centre is silent", out);
            }
            self.probed = true;
            self.probe = now + self.settings.answer_within;
            let sequence = self.next_sequence();
            self.write(pdu::bare(command::ENQUIRE_LINK, status::OK, sequence), out);
        }
        self.leave_if_done(out);
    }

    fn leave_if_done(&mut self, out: &mut Vec<Output>) {
        if self.stopping && self.phase == Phase::Bound {
            self.leave(out);
        }
    }

    /// Closes after an unbind of the other side, once it is answered and nothing else waits.
    fn close_if_done(&mut self, out: &mut Vec<Output>) {
        let unbound = matches!(self.phase, Phase::Unbinding { ours: false, .. });
        if unbound && self.written >= self.queued && self.pending.is_empty() {
            self.down("the message centre unbound", out);
        }
    }

    /// Unbinds (4.2), once nothing is unanswered.
    fn leave(&mut self, out: &mut Vec<Output>) {
        self.unready();
        if self.pending.is_empty() {
            self.phase = Phase::Unbinding { by: self.now + UNBIND, ours: true };
            let sequence = self.next_sequence();
            self.write(pdu::bare(command::UNBIND, status::OK, sequence), out);
        }
    }

    /// The connection is over: whoever waits is told what is known.
    fn down(&mut self, why: &str, out: &mut Vec<Output>) {
        if self.phase == Phase::Stopped {
            return;
        }
        for (_, pending) in std::mem::take(&mut self.pending) {
            let whole = pending.end <= self.written;
            let reply = if whole { Reply::Lost } else { Reply::Unwritten };
            out.push(Output::Reply(pending.ticket, reply));
        }
        out.push(Output::Close);
        let good = self.bound_at.take().is_some_and(|since| self.now.since(since) >= GOOD);
        self.failures = if good { 1 } else { self.failures.saturating_add(1) };
        self.unready();
        self.state.last_error = Some(why.to_owned());
        self.probe = Timestamp::MAX;
        if self.stopping {
            self.phase = Phase::Stopped;
            out.push(Output::Stopped);
        } else {
            self.phase = Phase::Down { until: self.now + self.pause() };
        }
    }

    fn unready(&mut self) {
        if self.state.bound {
            self.state.bound = false;
            self.state.since = self.now;
        }
    }

    fn pause(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(10);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let chance = u64::try_from(pause.as_micros() / 2).unwrap_or_default();
        pause + Duration::from_micros(self.entropy.below(chance))
    }

    fn write(&mut self, octets: Zeroizing<Vec<u8>>, out: &mut Vec<Output>) {
        self.queued += u64::try_from(octets.len()).unwrap_or_default();
        out.push(Output::Write(octets));
    }

    /// The next sequence number that nothing unanswered has.
    fn next_sequence(&mut self) -> u32 {
        loop {
            self.sequence = if self.sequence >= LAST_SEQUENCE { 1 } else { self.sequence + 1 };
            if !self.pending.contains_key(&self.sequence) {
                return self.sequence;
            }
        }
    }
}

#[cfg(test)]
mod tests;
