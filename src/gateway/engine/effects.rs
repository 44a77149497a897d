//! What a leg says must happen, done: packets sent, what was learned told.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::common::Common;
use super::{Media, Shared, Slot, Socket, keep_sip};
use crate::ambient::Timestamp;
use crate::gateway::course::streams::Line;
use crate::gateway::course::{HIDDEN, What};
use crate::gateway::hearing;
use crate::gateway::tap::{Act, Packet, Protocol, Scene};
use crate::gateway::watch::{self, Heard};
use crate::media::{self, Codec};
use crate::sip::Hop;
use crate::telemetry;
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptState;
use crate::voice::{Event, Output, Path};

/// What legs act through.
pub(super) struct Effects<'a> {
    pub(super) shared: &'a Shared,
    pub(super) commons: &'a mut [Common],
    /// For a datagram that is sent at once.
    pub(super) buffer: &'a mut Vec<u8>,
}

impl Effects<'_> {
    /// Does what a leg says; where the system refuses to send its signalling to.
    pub(super) fn carry_out(
        &mut self,
        slot: &mut Slot,
        now: Timestamp,
        output: Output,
    ) -> Option<Hop> {
        match output {
            Output::Sip { to, bytes } => return self.signal(slot, now, to, bytes),
            Output::Rtp { packet, codec } => self.speak(slot, now, &packet, codec),
            Output::Rtcp { to, packet } => {
                // One that does not fit into the socket's buffer now is lost, as it would be anywhere
                // on its way.
                let _ = match &slot.media {
                    Some(Media::Own { rtcp, .. }) => rtcp.send_to(&packet, to),
                    Some(Media::Common { at, .. }) => {
                        self.commons.get(*at).map_or(Ok(0), |common| common.report(to, &packet))
                    }
                    None => return None,
                };
                self.show_sent(slot, now, Socket::Rtcp, to, &packet);
            }
            Output::Event(event) => {
                if let (Some(what), Some(course)) = (moment(slot, &event), &mut slot.course) {
                    course.add(now, what);
                }
                self.learned(slot, now, &event);
            }
            Output::Note(note) => {
                let verification = slot.verification.as_str();
                telemetry::observe(&telemetry::Event::Noted { verification, note: &note });
                if let (Some(seconds), Some(calls)) =
                    (watch::min_session(&note), self.shared.calls.get())
                {
                    calls.tell(Heard::MinSession(slot.trunk.clone(), seconds));
                }
            }
        }
        None
    }

    fn signal(&self, slot: &mut Slot, now: Timestamp, to: Hop, bytes: Vec<u8>) -> Option<Hop> {
        if let Err(error) = slot.exit.send(to, &bytes) {
            telemetry::observe(&telemetry::Event::Fault { doing: "send SIP", error: &error });
            // A full buffer is a lost datagram, which its transaction sends again.
            return (error.kind() != io::ErrorKind::WouldBlock).then_some(to);
        }
        let (protocol, from) = (Protocol::Sip(to.transport), slot.local);
        let line = Line { sent: true, from, to: to.address };
        keep_sip(self.shared, slot, now, line, to.transport, &bytes);
        let to = to.address;
        show(self.shared, now, &slot.verification, || {
            Act::Packet(Packet { protocol, from, to, sent: true, bytes })
        });
        None
    }

    /// Sends a frame: at once from a socket of the call's own, with others from a shared one.
    fn speak(&mut self, slot: &mut Slot, now: Timestamp, packet: &media::Packet, codec: Codec) {
        match &slot.media {
            Some(Media::Own { rtp, .. }) => {
                slot.leg.datagram(packet, codec, self.buffer);
                let _ = rtp.send_to(self.buffer, packet.to);
                if let Some(course) = &mut slot.course {
                    let line = Line { sent: true, from: slot.address, to: packet.to };
                    course.rtp(now, &line, self.buffer);
                }
                self.show_sent(slot, now, Socket::Rtp, packet.to, self.buffer);
            }
            Some(Media::Common { at, .. }) => {
                let Some(common) = self.commons.get_mut(*at) else { return };
                common.post(packet.to, |buffer| slot.leg.datagram(packet, codec, buffer));
                let common = self.commons.get(*at);
                let posted = common.map(Common::posted).unwrap_or_default();
                if let Some(course) = &mut slot.course {
                    let line = Line { sent: true, from: slot.address, to: packet.to };
                    course.rtp(now, &line, posted);
                }
                self.show_sent(slot, now, Socket::Rtp, packet.to, posted);
            }
            None => return,
        }
        show(self.shared, now, &slot.verification, || {
            let codes = packet.payload.bytes(slot.leg.prompts(), codec).to_vec();
            Act::Spoken { timestamp: packet.timestamp(), codec, codes }
        });
    }

    fn show_sent(&self, slot: &Slot, now: Timestamp, socket: Socket, to: SocketAddr, bytes: &[u8]) {
        show(self.shared, now, &slot.verification, || {
            let (protocol, from) = slot.port(socket);
            Act::Packet(Packet { protocol, from, to, sent: true, bytes: bytes.to_vec() })
        });
    }

    /// Tells the verification what its leg learned.
    fn learned(&self, slot: &mut Slot, now: Timestamp, event: &Event) {
        let shared = self.shared;
        if let Some(state) = state(event).filter(|state| *state != slot.state) {
            let (from, to) = (Some(slot.state), Some(state));
            slot.state = state;
            telemetry::observe(&telemetry::Event::Went { from, to });
        }
        match event {
            Event::Saying(phrase) => {
                let text =
                    slot.leg.prompts().phrase(*phrase).map(|phrase| phrase.text.as_str().into());
                let text: Arc<str> = text.unwrap_or_default();
                show(shared, now, &slot.verification, || Act::Saying(text));
            }
            Event::Key(key) => show(shared, now, &slot.verification, || Act::Key {
                digit: if slot.leg.hides_keys() { HIDDEN } else { key.digit.expose() },
                path: key.paths.iter().next().map_or("", Path::as_str).into(),
            }),
            Event::Dialling => show(shared, now, &slot.verification, || Act::Dialling),
            Event::Alerting { .. }
            | Event::Answered { .. }
            | Event::Prompting
            | Event::Listening
            | Event::Telling
            | Event::Heard { .. }
            | Event::Proven(_)
            | Event::Ended(_) => {}
            Event::Label(label) => {
                telemetry::observe(&telemetry::Event::Labelled { label });
                show(shared, now, &slot.verification, || Act::Label {
                    is: label.is.as_str().into(),
                    cue: label.cue.as_str().into(),
                    percent: label.score,
                });
            }
        }
        if let (Some(called), Some(calls)) = (watch::called(event), shared.calls.get()) {
            calls.tell(Heard::Called(slot.trunk.clone(), called));
        }
        if let Some(signal) = hearing::signal(slot.attempt, &slot.trunk, event) {
            // When nobody takes signals any more, the process is on its way out.
            let _ = shared.signals.send((slot.verification.clone(), signal));
        }
    }
}

/// What is kept of an event.
fn moment(slot: &Slot, event: &Event) -> Option<What> {
    Some(match event {
        Event::Alerting { status } => What::Ringing { status: *status },
        Event::Answered { status } => What::Answered { status: *status },
        Event::Dialling => What::Dialling,
        Event::Listening => What::Listening,
        Event::Saying(phrase) => {
            let phrase = slot.leg.prompts().phrase(*phrase);
            What::Saying(phrase.map(|phrase| phrase.text.clone()).unwrap_or_default())
        }
        Event::Key(key) => {
            let path = key.paths.iter().next().map_or("", Path::as_str);
            What::Key { path: path.to_owned() }
        }
        Event::Label(label) => What::Label {
            is: label.is.as_str().to_owned(),
            cue: label.cue.as_str().to_owned(),
            percent: label.score,
        },
        // These are in the record of the verification.
        Event::Prompting
        | Event::Telling
        | Event::Heard { .. }
        | Event::Proven(_)
        | Event::Ended(_) => return None,
    })
}

/// How far a call has come by this.
const fn state(event: &Event) -> Option<AttemptState> {
    match event {
        Event::Alerting { .. } => Some(AttemptState::Ringing),
        Event::Answered { .. } => Some(AttemptState::Answered),
        Event::Prompting => Some(AttemptState::Prompting),
        Event::Listening => Some(AttemptState::Listening),
        Event::Dialling
        | Event::Saying(_)
        | Event::Key(_)
        | Event::Telling
        | Event::Heard { .. }
        | Event::Proven(_)
        | Event::Label(_)
        | Event::Ended(_) => None,
    }
}

/// Shows whoever looks on.
pub(super) fn show(
    shared: &Shared,
    at: Timestamp,
    verification: &VerificationId,
    act: impl FnOnce() -> Act,
) {
    if let Some(tap) = &shared.tap {
        tap.show(Scene { at, verification: verification.clone(), act: act() });
    }
}
