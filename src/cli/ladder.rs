//! A call as a ladder of text: time, arrow, message; what is said; each key and how it was heard.

use std::collections::HashSet;

use crate::ambient::Timestamp;
use crate::gateway::tap::{Act, Packet, Protocol, Scene};
use crate::sip::Transport;

/// Draws one call, line by line.
pub(super) struct Ladder {
    start: Timestamp,
    /// The media streams that have been shown: one line each is enough.
    streams: HashSet<(bool, &'static str)>,
}

impl Ladder {
    /// A ladder whose times count from `start`.
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, streams: HashSet::new() }
    }

    /// The lines that a scene adds; most packets of a media stream add none.
    pub(super) fn lines(&mut self, scene: &Scene) -> Vec<String> {
        let text = match &scene.act {
            Act::Packet(packet) => self.packet(packet),
            Act::Spoken { .. } => None,
            Act::Dialling => Some("  ☎        dials the extension".to_owned()),
            Act::Saying(text) => Some(format!("  ♪        says \"{text}\"")),
            Act::Label { is, cue, percent } => {
                Some(format!("  ?        {is} ({cue}, {percent} %)"))
            }
            Act::Key { digit, path } => Some(format!("  #        heard key {digit} by {path}")),
        };
        text.map(|text| format!("{} {text}", self.time(scene.at))).into_iter().collect()
    }

    fn time(&self, at: Timestamp) -> String {
        let since = at.since(self.start);
        format!("{:>4}.{:03}", since.as_secs(), since.subsec_millis())
    }

    fn packet(&mut self, packet: &Packet) -> Option<String> {
        let arrow = if packet.sent { "──────▶" } else { "◀──────" };
        let peer = if packet.sent { packet.to } else { packet.from };
        let kind = match packet.protocol {
            Protocol::Sip(transport) => {
                let by = match transport {
                    Transport::Udp => String::new(),
                    Transport::Tcp | Transport::Tls => format!(" by {}", transport.as_str()),
                };
                return Some(format!("{arrow}  {}{by}", sip(&packet.bytes)));
            }
            Protocol::Rtp => stream(&packet.bytes)?,
            Protocol::Rtcp => return None,
        };
        let fresh = self.streams.insert((packet.sent, kind));
        fresh.then(|| {
            format!("{arrow}  RTP {kind} {} {peer}", if packet.sent { "to" } else { "from" })
        })
    }
}

fn stream(packet: &[u8]) -> Option<&'static str> {
    let payload_type = packet.get(1)? & 0x7f;
    Some(match payload_type {
        0 => "PCMU",
        8 => "PCMA",
        96..=127 => "telephone-event",
        _ => "of another kind",
    })
}

/// The first line of a message, with the number masked, and its CSeq where that says more.
fn sip(message: &[u8]) -> String {
    let text = String::from_utf8_lossy(message);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    match first.strip_prefix("SIP/2.0 ") {
        Some(status) => {
            let cseq = lines
                .find(|line| line.to_ascii_lowercase().starts_with("cseq:"))
                .and_then(|line| line.split_whitespace().last())
                .unwrap_or_default();
            format!("{} ({cseq})", masked(status))
        }
        None => masked(first.trim_end_matches(" SIP/2.0")),
    }
}

/// Runs of seven and more digits keep their last four.
fn masked(text: &str) -> String {
    let mut out = String::new();
    let mut run = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            run.push(c);
            continue;
        }
        let hidden = if run.len() >= 7 { run.len() - 4 } else { 0 };
        out.extend(run.chars().enumerate().map(|(i, d)| if i < hidden { '*' } else { d }));
        run.clear();
        if c != '\n' {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_masked_and_answers_name_their_request() {
        let invite = b"INVITE sip:+12025550123@127.0.0.1:5080 SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n";
        assert_eq!(sip(invite), "INVITE sip:+*******0123@127.0.0.1:5080");
        let ringing = b"SIP/2.0 180 Ringing\r\nCSeq: 1 INVITE\r\n\r\n";
        assert_eq!(sip(ringing), "180 Ringing (INVITE)");
    }
}
