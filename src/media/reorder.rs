//! The audio of one source in its order, with what is missing told as missing.
//!
//! Nothing is played out, so nothing is delayed: a packet that comes in its turn goes on at once.
//! One that comes early waits for those before it, until [`WINDOW`] of them wait; then what is
//! missing is lost. Packets of telephone-events share the sequence numbers and carry no audio.

use crate::media::codec::Codec;
use crate::media::g711::RATE;
use crate::media::rtp::Packet;

/// How many packets may wait for one that is missing: 80 ms of them.
pub const WINDOW: usize = 4;

/// A sequence number that is off by more than this begins anew.
const LEAP: u16 = 100;

/// What is missing for longer than this, in samples, is a pause: nobody sends or loses a second of
/// audio at once and means it to be heard in one.
const LONGEST_LOSS: u32 = RATE;

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Audio.
    Audio(Codec, &'a [u8]),
    /// So many samples were sent and have not come.
    Lost(u32),
    /// So many samples were never sent: the sender is silent, or sends events instead.
    Pause(u32),
}

/// The order of one source.
#[derive(Clone, Debug, Default)]
pub struct Reorder {
    next: Option<u16>,
    /// The RTP timestamp of the audio that comes next, once there was any.
    clock: Option<u32>,
    /// Whether packets are missing since then.
    lossy: bool,
    /// The packets that came early, the first first.
    early: Vec<Early>,
}

#[derive(Clone, Debug)]
struct Early {
    sequence: u16,
    timestamp: u32,
    audio: Option<(Codec, Vec<u8>)>,
}

impl Reorder {
    /// Takes a packet: audio of this codec, or a telephone-event.
    pub fn push(
        &mut self,
        packet: &Packet<'_>,
        codec: Option<Codec>,
        mut each: impl FnMut(Piece<'_>),
    ) {
        let Packet { sequence, timestamp, payload, .. } = *packet;
        let audio = codec.map(|codec| (codec, payload));
        let next = *self.next.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(next);
        if ahead > LEAP && ahead < u16::MAX - LEAP {
            self.skip_to(sequence, &mut each);
        } else if ahead > u16::MAX / 2 {
            // It came too late, or twice.
            return;
        } else if ahead > 0 {
            return self.wait(sequence, timestamp, audio, each);
        }
        self.pass(sequence, timestamp, audio, &mut each);
        self.follow(&mut each);
    }

    /// Keeps a packet that came early.
    fn wait(
        &mut self,
        sequence: u16,
        timestamp: u32,
        audio: Option<(Codec, &[u8])>,
        mut each: impl FnMut(Piece<'_>),
    ) {
        let Some(next) = self.next else { return };
        let turn = |early: &Early| early.sequence.wrapping_sub(next);
        match self.early.binary_search_by_key(&sequence.wrapping_sub(next), turn) {
            Ok(_) => return,
            Err(place) => {
                let audio = audio.map(|(codec, codes)| (codec, codes.to_vec()));
                self.early.insert(place, Early { sequence, timestamp, audio });
            }
        }
        if self.early.len() >= WINDOW
            && let Some(first) = self.early.first()
        {
            self.next = Some(first.sequence);
            self.lossy = true;
            self.follow(&mut each);
        }
    }

    /// Begins anew at this sequence number; what waits has its turn first.
    fn skip_to(&mut self, sequence: u16, each: &mut impl FnMut(Piece<'_>)) {
        while let Some(first) = self.early.first() {
            self.next = Some(first.sequence);
            self.lossy = true;
            self.follow(each);
        }
        self.next = Some(sequence);
        self.clock = None;
    }

    /// Passes on those that waited for the one that has just been passed on.
    fn follow(&mut self, each: &mut impl FnMut(Piece<'_>)) {
        while self.early.first().is_some_and(|early| Some(early.sequence) == self.next) {
            let Early { sequence, timestamp, audio } = self.early.remove(0);
            let audio = audio.as_ref().map(|(codec, codes)| (*codec, codes.as_slice()));
            self.pass(sequence, timestamp, audio, each);
        }
    }

    fn pass(
        &mut self,
        sequence: u16,
        timestamp: u32,
        audio: Option<(Codec, &[u8])>,
        each: &mut impl FnMut(Piece<'_>),
    ) {
        self.next = Some(sequence.wrapping_add(1));
        let Some((codec, codes)) = audio else { return };
        let missing = self.clock.map_or(0, |clock| timestamp.wrapping_sub(clock));
        // A clock that goes back has been set anew: nothing is known to be missing.
        if (missing as i32).is_positive() {
            let is_lost = self.lossy && missing <= LONGEST_LOSS;
            each(if is_lost { Piece::Lost(missing) } else { Piece::Pause(missing) });
        }
        self.lossy = false;
        each(Piece::Audio(codec, codes));
        let length = u32::try_from(codes.len()).unwrap_or(0);
        self.clock = Some(timestamp.wrapping_add(length));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pieces that these packets come to: (sequence number, RTP timestamp, whether audio).
    fn pieces(packets: &[(u16, u32, bool)]) -> Vec<String> {
        let mut order = Reorder::default();
        let mut told = Vec::new();
        for (sequence, timestamp, is_audio) in packets.iter().copied() {
            let payload = [sequence as u8; 160];
            let packet = Packet {
                marker: false,
                payload_type: 0,
                sequence,
                timestamp,
                ssrc: 7,
                payload: &payload,
            };
            order.push(&packet, is_audio.then_some(Codec::PCMU), |piece| {
                told.push(match piece {
                    Piece::Audio(_, codes) => codes.first().unwrap().to_string(),
                    Piece::Lost(samples) => format!("lost {samples}"),
                    Piece::Pause(samples) => format!("pause {samples}"),
                });
            });
        }
        told
    }

    fn audio(sequences: &[u16]) -> Vec<String> {
        let packets: Vec<_> =
            sequences.iter().map(|n| (*n, u32::from(*n).wrapping_mul(160), true)).collect();
        pieces(&packets)
    }

    #[test]
    fn packets_in_their_turn_go_on_at_once_and_copies_do_not() {
        assert_eq!(audio(&[1, 2, 2, 3, 1]), ["1", "2", "3"]);
    }

    #[test]
    fn an_early_packet_waits_for_the_one_before_it() {
        assert_eq!(audio(&[1, 3]), ["1"]);
        assert_eq!(audio(&[1, 3, 2, 4]), ["1", "2", "3", "4"]);
        assert_eq!(audio(&[1, 5, 4, 3, 2]), ["1", "2", "3", "4", "5"]);
    }

    #[test]
    fn what_does_not_come_before_four_others_is_lost() {
        assert_eq!(audio(&[1, 3, 4, 5]), ["1"]);
        assert_eq!(audio(&[1, 3, 4, 5, 6, 7]), ["1", "lost 160", "3", "4", "5", "6", "7"]);
        assert_eq!(audio(&[1, 3, 4, 5, 6, 2]), ["1", "lost 160", "3", "4", "5", "6"], "too late");
        assert_eq!(audio(&[1, 3, 5, 6, 7]), ["1", "lost 160", "3"]);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let packets: Vec<_> = [65_534, 0, 65_535, 1]
            .iter()
            .zip([0, 320, 160, 480])
            .map(|(n, t)| (*n, t, true))
            .collect();
        assert_eq!(pieces(&packets), ["254", "255", "0", "1"]);
    }

    #[test]
    fn events_fill_their_place_in_the_order_and_leave_a_pause() {
        let packets = [(1, 160, true), (2, 320, false), (3, 320, false), (4, 640, true)];
        assert_eq!(pieces(&packets), ["1", "pause 320", "4"]);
        let packets = [(1, 160, true), (3, 480, true), (2, 320, false)];
        assert_eq!(pieces(&packets), ["1", "pause 160", "3"], "an event that came late");
    }

    #[test]
    fn a_sender_that_falls_silent_pauses_and_one_that_begins_anew_lacks_nothing() {
        assert_eq!(pieces(&[(1, 160, true), (2, 4_000, true)]), ["1", "pause 3680", "2"]);
        assert_eq!(pieces(&[(1, 160, true), (2, 40, true), (3, 200, true)]), ["1", "2", "3"]);
        assert_eq!(
            pieces(&[(1, 160, true), (30_000, 9, true), (30_001, 169, true)]),
            ["1", "48", "49"]
        );
    }

    proptest! {
        #[test]
        fn hostile_packets_never_panic_and_keep_no_more_than_the_window(
            packets in proptest::collection::vec((any::<u16>(), any::<u32>(), any::<bool>()), 0..60),
            near in proptest::collection::vec((0_u16..9, any::<u32>(), any::<bool>()), 0..60),
        ) {
            let _ = pieces(&packets);
            let _ = pieces(&near);
            let mut order = Reorder::default();
            for (sequence, timestamp, is_audio) in packets.into_iter().chain(near) {
                let packet = Packet {
                    marker: false, payload_type: 0, sequence, timestamp, ssrc: 7, payload: &[1, 2],
                };
                order.push(&packet, is_audio.then_some(Codec::PCMA), |_| ());
                prop_assert!(order.early.len() < WINDOW);
            }
        }
    }
}
