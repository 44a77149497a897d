//! RFC 4733 received, row by row, and sent.

use proptest::prelude::*;

use super::*;

const SSRC: u32 = 7;
const START: u32 = 50_000;

/// A receiver and a clock that runs with the packets.
struct Ear {
    receiver: Receiver,
    now: Timestamp,
    heard: Vec<Heard>,
}

impl Ear {
    fn new() -> Self {
        let now = Timestamp::from_secs(1_000);
        Self { receiver: Receiver::default(), now, heard: Vec::new() }
    }

    fn pass(&mut self, millis: u64) -> &mut Self {
        self.now += Duration::from_millis(millis);
        self.receiver.lapsed(self.now, |heard| self.heard.push(heard));
        self
    }

    fn packet(&mut self, timestamp: u32, marker: bool, event: Event) -> &mut Self {
        let arrival = Arrival { at: self.now, ssrc: SSRC, timestamp, marker, event };
        self.receiver.arrived(arrival, |heard| self.heard.push(heard));
        self
    }

    /// A packet of the `5` key without marker.
    fn five(&mut self, timestamp: u32, duration: u16, end: bool) -> &mut Self {
        self.packet(timestamp, false, Event { code: 5, end, volume: 10, duration })
    }

    fn downs(&self) -> String {
        let downs = self.heard.iter().filter_map(|heard| match heard {
            Heard::Down(digit) => Some(digit.expose()),
            Heard::Again(_) | Heard::Up { .. } | Heard::Tone(_) => None,
        });
        downs.collect()
    }

    fn ups(&self) -> Vec<u128> {
        let ups = self.heard.iter().filter_map(|heard| match heard {
            Heard::Up { held, .. } => Some(held.as_millis()),
            Heard::Down(_) | Heard::Again(_) | Heard::Tone(_) => None,
        });
        ups.collect()
    }
}

#[test]
fn the_start_of_an_event_is_reported_at_once() {
    let mut ear = Ear::new();
    ear.packet(START, true, Event { code: 11, end: false, volume: 10, duration: 0 });
    assert_eq!(ear.heard, [Heard::Down(Digit::POUND)]);
}

#[test]
fn the_middle_of_an_event_is_reported_when_its_start_was_lost() {
    let mut ear = Ear::new();
    ear.five(START, 480, false);
    assert_eq!(ear.downs(), "5");
}

#[test]
fn the_end_of_an_event_is_reported_when_all_before_it_was_lost() {
    let mut ear = Ear::new();
    ear.five(START, 800, true).pass(20).five(START, 800, true);
    assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![100]));
}

#[test]
fn two_presses_of_which_only_ends_arrive_are_two() {
    let mut ear = Ear::new();
    ear.five(START, 800, true).five(START, 800, true).pass(200);
    ear.five(START + 1_600, 800, true).five(START + 1_600, 800, true);
    assert_eq!((ear.downs(), ear.ups().len()), ("55".into(), 2));
}

#[test]
fn repeats_and_reordering_are_the_same_press() {
    let mut ear = Ear::new();
    ear.five(START, 160, false).pass(20).five(START, 160, false).five(START, 640, false);
    ear.five(START, 320, false).pass(20).five(START, 800, true).five(START, 480, false);
    assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![100]));
}

#[test]
fn a_late_packet_of_an_earlier_press_is_no_new_one() {
    let mut ear = Ear::new();
    ear.five(START, 160, false).pass(20).five(START, 400, true).pass(60);
    let other = Event { code: 6, end: false, volume: 10, duration: 160 };
    ear.packet(START + 800, true, other).five(START, 320, false).five(START, 400, true);
    ear.packet(START + 800, true, other);
    assert_eq!((ear.downs(), ear.ups()), ("56".into(), vec![50]));
}

#[test]
fn the_marker_is_never_needed_and_may_be_on_every_packet() {
    for marker in [false, true] {
        let mut ear = Ear::new();
        for n in 1..=5_u16 {
            let event = Event { code: 5, end: n == 5, volume: 10, duration: n * 160 };
            ear.packet(START, marker, event).pass(20);
        }
        assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![100]));
    }
}

#[test]
fn end_copies_with_another_timestamp_are_the_same_press() {
    let mut ear = Ear::new();
    ear.five(START, 160, false).pass(20).five(START, 320, true).pass(20);
    ear.five(START + 160, 320, true).pass(20).five(START + 320, 320, true);
    ear.five(START + 320, 320, true);
    assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![40]));
}

#[test]
fn an_end_with_another_timestamp_much_later_is_another_press() {
    let mut ear = Ear::new();
    ear.five(START, 320, true).pass(101).five(START + 808, 320, true);
    assert_eq!(ear.downs(), "55");
}

#[test]
fn a_new_timestamp_on_each_packet_is_the_same_press() {
    let mut ear = Ear::new();
    for n in 0..6_u16 {
        ear.five(START + u32::from(n) * 160, 160, n == 5).pass(20);
    }
    assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![120]));
}

#[test]
fn a_new_timestamp_on_each_packet_reordered_is_the_same_press() {
    let mut ear = Ear::new();
    for (at, end) in [(0, false), (2, false), (1, false), (4, true), (3, false)] {
        ear.five(START + at * 160, 160, end).pass(10);
    }
    assert_eq!((ear.downs(), ear.ups().len()), ("5".into(), 1));
}

#[test]
fn a_new_timestamp_after_a_pause_is_another_press() {
    let mut ear = Ear::new();
    ear.five(START, 160, false).pass(61).five(START + 488, 160, false);
    assert_eq!((ear.downs(), ear.ups().len()), ("55".into(), 1));
}

#[test]
fn a_new_timestamp_after_the_end_is_another_press() {
    let mut ear = Ear::new();
    ear.five(START, 160, true).pass(40).five(START + 480, 160, false);
    assert_eq!(ear.downs(), "55");
}

#[test]
fn segments_of_a_long_press_are_the_same_press() {
    let mut ear = Ear::new();
    ear.five(START, 65_440, false).pass(20).five(START, 0xffff, false).pass(20);
    ear.five(START + 0xffff, 160, false).pass(20).five(START, 0xffff, false);
    ear.five(START + 0xffff, 320, true);
    assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![8_231]));
}

#[test]
fn a_segment_is_the_same_press_after_a_loss_and_with_a_marker() {
    let mut ear = Ear::new();
    ear.five(START, 0xffff, false).pass(100);
    ear.packet(START + 0xffff, true, Event { code: 5, end: true, volume: 10, duration: 800 });
    assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![8_291]));
}

#[test]
fn when_all_ends_are_lost_the_key_is_up_after_150_ms() {
    let mut ear = Ear::new();
    ear.five(START, 160, false).pass(20).five(START, 320, false);
    assert_eq!(ear.receiver.deadline(), Some(ear.now + KEY_UP_AFTER));
    ear.pass(149);
    assert_eq!(ear.ups(), []);
    ear.pass(1);
    assert_eq!(ear.ups(), [40]);
    assert_eq!(ear.receiver.deadline(), None);
    ear.five(START, 480, true);
    assert_eq!((ear.downs(), ear.ups()), ("5".into(), vec![40]));
}

#[test]
fn later_audio_shows_that_the_key_is_up() {
    let mut ear = Ear::new();
    ear.five(START, 320, false);
    for (timestamp, ups) in [(START, 0), (START - 160, 0), (START + 640, 0), (START + 641, 1)] {
        ear.receiver.audio_arrived(SSRC, timestamp, |heard| ear.heard.push(heard));
        assert_eq!(ear.ups().len(), ups);
    }
    ear.receiver.audio_arrived(SSRC, START + 800, |heard| ear.heard.push(heard));
    assert_eq!(ear.ups(), [40]);
}

#[test]
fn another_key_ends_the_one_before() {
    let mut ear = Ear::new();
    ear.five(START, 160, false).pass(40);
    ear.packet(START + 320, true, Event { code: 9, end: false, volume: 10, duration: 0 });
    assert_eq!((ear.downs(), ear.ups()), ("59".into(), vec![20]));
}

#[test]
fn events_from_16_on_are_tones_not_digits() {
    let mut ear = Ear::new();
    for code in [16, 32, 36, 255] {
        ear.packet(START, true, Event { code, end: false, volume: 10, duration: 160 });
    }
    assert_eq!(ear.heard, [16, 32, 36, 255].map(Heard::Tone));
    assert_eq!(ear.receiver.deadline(), None);
}

#[test]
fn sipp_s_recorded_press_is_one_press() {
    // The shape of sip-tester's dtmf_2833 captures: 40 ms claimed for each 20 ms, and three Ends.
    let mut ear = Ear::new();
    for n in 0..7_u16 {
        ear.packet(START, n == 0, Event { code: 11, end: false, volume: 10, duration: n * 320 });
        ear.pass(20);
    }
    for _ in 0..3 {
        ear.packet(START, false, Event { code: 11, end: true, volume: 10, duration: 2_240 });
    }
    assert_eq!((ear.downs(), ear.ups()), ("#".into(), vec![280]));
}

#[test]
fn a_press_we_send_grows_by_20_ms_and_ends_three_times() {
    let steps = press(Digit::POUND, START, 800);
    let durations: Vec<u16> =
        steps.iter().map(|s| Event::read(&s.payload).expect("4 octets").duration).collect();
    assert_eq!(durations, [160, 320, 480, 640, 800, 800, 800]);
    assert!(steps.iter().all(|s| s.timestamp == START && s.payload[0] == 11));
    assert_eq!(steps.iter().map(|s| s.marker).filter(|m| *m).count(), 1);
    assert!(steps[0].marker);
    let ends = steps.iter().filter(|s| s.payload[1] & 0x80 != 0).count();
    assert_eq!(ends, 3);
}

#[test]
fn a_long_press_we_send_is_heard_as_one_press_of_its_length() {
    let mut ear = Ear::new();
    for step in press(Digit::ZERO, u32::MAX - 5, 20 * RATE) {
        let event = Event::read(&step.payload).expect("4 octets");
        ear.packet(step.timestamp, step.marker, event).pass(20);
    }
    assert_eq!((ear.downs(), ear.ups()), ("0".into(), vec![20_000]));
}

#[test]
fn a_digit_hides_itself_unless_it_is_pound() {
    let five = Digit::from_char('5').expect("a key");
    assert_eq!(format!("{five} {five:?} {:?}", Digit::POUND), "• • #");
    let event = Event { code: 5, end: false, volume: 0, duration: 0 };
    assert!(!format!("{event:?}").contains('5'));
    let steps = format!("{:?}", press(five, 0, 160));
    assert!(steps.contains('•') && !steps.contains('5'), "{steps}");
    assert_eq!(Digit::from_char('d').map(Digit::event), Some(15));
    assert_eq!((Digit::from_char('x'), Digit::from_event(16)), (None, None));
    assert!((0..16).all(|n| {
        Digit::from_event(n).is_some_and(|d| Digit::from_char(d.expose()) == Some(d))
    }));
}

/// One press as it may arrive: which of its packets, how often, in which order.
fn mangled() -> impl Strategy<Value = (u8, Vec<Step>)> {
    (0..16_u8, any::<u32>(), 1..4_000_u32).prop_flat_map(|(code, start, samples)| {
        let steps = press(Digit(code), start, samples);
        let count = steps.len();
        let copies = proptest::collection::vec(0..count, 1..2 * count + 2);
        copies.prop_map(move |order| (code, order.iter().map(|n| steps[*n]).collect()))
    })
}

proptest! {
    #[test]
    fn one_press_is_one_key_whatever_is_lost_repeated_or_reordered(
        (code, steps) in mangled(),
        pauses in proptest::collection::vec(0..140_u64, 64),
    ) {
        let mut ear = Ear::new();
        for (step, pause) in steps.iter().zip(pauses.iter().cycle()) {
            let event = Event::read(&step.payload).expect("4 octets");
            ear.packet(step.timestamp, step.marker, event).pass(*pause);
        }
        ear.pass(200);
        prop_assert_eq!(ear.downs(), Digit(code).expose().to_string());
        prop_assert_eq!(ear.ups().len(), 1);
    }

    #[test]
    fn two_presses_are_two_keys_whatever_is_lost(
        code in 0..16_u8, kept in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let mut ear = Ear::new();
        let mut expected = String::new();
        for start in [START, START + 1_600] {
            let steps = press(Digit(code), start, 800);
            let mut any = false;
            for (step, kept) in steps.iter().zip(kept.iter().skip(usize::from(start != START) * 7)) {
                if *kept {
                    any = true;
                    let event = Event::read(&step.payload).expect("4 octets");
                    ear.packet(step.timestamp, step.marker, event);
                }
                ear.pass(20);
            }
            ear.pass(60);
            if any {
                expected.push(Digit(code).expose());
            }
        }
        prop_assert_eq!(ear.downs(), expected);
    }

    #[test]
    fn hostile_packets_never_panic(
        packets in proptest::collection::vec(
            (any::<u64>(), 0..3_u32, any::<u32>(), any::<bool>(), any::<[u8; 4]>()), 0..60),
    ) {
        let mut receiver = Receiver::default();
        for (micros, ssrc, timestamp, marker, payload) in packets {
            let at = Timestamp::from_micros(micros);
            let event = Event::read(&payload).expect("4 octets");
            receiver.arrived(Arrival { at, ssrc, timestamp, marker, event }, |_| {});
            receiver.audio_arrived(ssrc, timestamp ^ 0x80, |_| {});
            receiver.lapsed(at, |_| {});
        }
    }
}
