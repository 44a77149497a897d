//! The rules of the merger, one by one, and all of them at once.

use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_secs(1_000);

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A merger, and what it told.
#[derive(Default)]
struct Line {
    merger: Merger,
    downs: Vec<Key>,
    overs: Vec<Key>,
}

impl Line {
    fn take(&mut self, f: impl FnOnce(&mut Merger, &mut dyn FnMut(Told))) -> &mut Self {
        let Self { merger, downs, overs } = self;
        f(merger, &mut |told| match told {
            Told::Down(key) => downs.push(key),
            Told::Over(key) => overs.push(key),
        });
        self
    }

    /// A sign after so many milliseconds; a key told by INFO is up at once.
    fn sign(&mut self, after: u64, path: Path, key: char) -> &mut Self {
        let at = START + ms(after);
        let digit = Digit::from_char(key).unwrap();
        let (held, level, stream) = match path {
            Path::Info => (Some(ms(160)), None, None),
            Path::Inband => (None, Some(-24), None),
            Path::Rfc4733 => {
                let first = u16::try_from(after / 20).unwrap();
                let stream = Stream { ssrc: 7, timestamp: 8, first, last: first, packets: 1 };
                (None, Some(-10), Some(stream))
            }
        };
        self.take(|merger, tell| {
            merger.lapsed(at, &mut *tell);
            merger.down(&Sign { path, digit, at, late: Duration::ZERO, held, level, stream }, tell);
        })
    }

    fn up(&mut self, after: u64, path: Path, key: char, held: u64) -> &mut Self {
        let digit = Digit::from_char(key).unwrap();
        self.take(|merger, _| merger.up(START + ms(after), path, digit, ms(held)))
    }

    fn close(&mut self) -> &mut Self {
        self.take(|merger, tell| merger.close(tell))
    }

    fn keys(&self) -> String {
        self.downs.iter().map(|key| key.digit.expose()).collect()
    }
}

use Path::{Inband, Info, Rfc4733};

#[test]
fn one_press_told_by_three_ways_is_one_key_with_all_its_evidence() {
    let mut line = Line::default();
    line.sign(0, Rfc4733, '#').sign(35, Inband, '#');
    let pound = Digit::POUND;
    for n in 1..=5_u16 {
        let at = START + ms(20 * u64::from(n));
        line.take(|merger, _| merger.packet(at, pound, n));
    }
    line.up(100, Rfc4733, '#', 100).up(110, Inband, '#', 95).sign(300, Info, '#').close();
    assert_eq!(line.keys(), "#");
    let [key] = line.overs[..] else { panic!("{:?}", line.overs) };
    let paths: Vec<Path> = key.paths.iter().collect();
    assert_eq!(paths, Path::ALL);
    assert_eq!((key.no, key.at, key.held, key.level), (1, START, Some(ms(160)), Some(-10)));
    let stream = Stream { ssrc: 7, timestamp: 8, first: 0, last: 5, packets: 6 };
    assert_eq!(key.stream, Some(stream));
}

#[test]
fn a_way_may_tell_500_ms_after_the_last_sign_and_no_later() {
    for (late, keys) in [(599, "5"), (601, "55")] {
        let mut line = Line::default();
        line.sign(0, Rfc4733, '5').up(100, Rfc4733, '5', 100).sign(late, Info, '5');
        assert_eq!(line.keys(), keys, "{late} ms");
    }
}

#[test]
fn info_after_a_long_press_belongs_to_it() {
    let mut line = Line::default();
    line.sign(0, Rfc4733, '1').up(3_000, Rfc4733, '1', 3_000).sign(3_200, Info, '1');
    assert_eq!(line.keys(), "1");
}

#[test]
fn two_quick_presses_by_one_way_are_two() {
    for path in Path::ALL {
        let mut line = Line::default();
        line.sign(0, path, '5').up(60, path, '5', 60).sign(120, path, '5');
        assert_eq!(line.keys(), "55", "{path:?}");
    }
}

#[test]
fn two_quick_presses_by_two_ways_are_two() {
    let mut line = Line::default();
    line.sign(0, Rfc4733, '5').up(60, Rfc4733, '5', 60);
    line.sign(120, Rfc4733, '5').up(180, Rfc4733, '5', 60);
    line.sign(200, Info, '5').sign(320, Info, '5').close();
    assert_eq!(line.keys(), "55");
    assert!(line.overs.iter().all(|key| key.paths.contains(Info)), "{:?}", line.overs);
}

#[test]
fn another_key_is_another_press() {
    let mut line = Line::default();
    line.sign(0, Rfc4733, '1').sign(10, Info, '2').sign(30, Inband, '3');
    assert_eq!(line.keys(), "12", "and the tone, once events were heard, is none");
}

#[test]
fn once_events_were_heard_tones_are_only_evidence() {
    let mut line = Line::default();
    line.sign(0, Inband, '4').up(90, Inband, '4', 60);
    line.sign(2_000, Rfc4733, '5').up(2_100, Rfc4733, '5', 100);
    // The relay leaves the tone, or makes it anew, or speech sounds like one.
    line.sign(2_050, Inband, '5').up(2_110, Inband, '5', 60).sign(4_000, Inband, '6').close();
    assert_eq!(line.keys(), "45");
    assert_eq!(line.overs.last().unwrap().paths.iter().collect::<Vec<_>>(), [Rfc4733, Inband]);
}

#[test]
fn a_tone_cut_short_before_its_event_is_one_press() {
    // The sender notices after 30 ms, and goes over to events: the tone never ends, as no audio comes.
    let mut line = Line::default();
    line.sign(0, Inband, '7').sign(60, Rfc4733, '7').up(200, Rfc4733, '7', 140);
    assert_eq!(line.keys(), "7");
    line.sign(1_000, Rfc4733, '7').up(1_100, Rfc4733, '7', 100);
    assert_eq!(line.keys(), "77", "the next press is another");
}

#[test]
fn a_tone_whose_end_nobody_heard_does_not_swallow_a_later_press() {
    let mut line = Line::default();
    line.sign(0, Inband, '7').sign(10_001, Info, '7');
    assert_eq!(line.keys(), "77");
}

#[test]
fn a_press_is_over_500_ms_after_its_last_sign() {
    let mut line = Line::default();
    line.sign(0, Info, '#');
    let due = START + WINDOW;
    assert_eq!(line.merger.deadline(), Some(due));
    line.take(|merger, tell| merger.lapsed(due, tell));
    assert_eq!((line.overs.len(), line.merger.deadline()), (1, None));
}

#[test]
fn presses_without_end_are_remembered_up_to_a_number() {
    let mut line = Line::default();
    for n in 0..1_000 {
        line.sign(n, Info, '3');
    }
    assert_eq!((line.downs.len(), line.merger.open.len()), (1_000, OPEN));
    assert_eq!(line.close().overs.len(), 1_000, "each is told as over, once");
}

proptest! {
    /// What was pressed is heard: however many ways tell, however late each of them is.
    #[test]
    fn n_presses_told_by_up_to_three_ways_are_n_keys_in_order(
        presses in proptest::collection::vec(("[0-9*#A-D]", 40_u64..400, 40_u64..600), 1..12),
        delays in proptest::collection::vec((0_u64..60, 0_u64..60, 0_u64..450), 12),
        ways in 1_u8..8,
    ) {
        let mut signs = Vec::new();
        let mut at = 0;
        let mut last = [0; 3];
        for ((key, down, pause), (events, tone, info)) in presses.iter().zip(&delays) {
            let key = key.chars().next().unwrap();
            // An INFO is sent when the key is up.
            let begins = [at + events, at + 30 + tone, at + down + info];
            for (path, begin) in Path::ALL.into_iter().zip(begins) {
                if ways & path.bit() == 0 { continue }
                // Each way keeps the order of its own.
                let slot = path as usize;
                let begin = begin.max(last[slot]);
                let end = if path == Info { begin } else { begin + down };
                last[slot] = end;
                signs.push((begin, 0, path, key, 0));
                signs.push((end, 1, path, key, *down));
            }
            at += down + pause;
        }
        signs.sort_by_key(|(at, up, ..)| (*at, *up));
        let mut line = Line::default();
        for (at, up, path, key, down) in signs {
            match (up, path) {
                (0, _) => line.sign(at, path, key),
                (_, Info) => &mut line,
                (_, _) => line.up(at, path, key, down),
            };
        }
        line.close();
        let wanted: String = presses.iter().map(|(key, ..)| key.as_str()).collect();
        prop_assert_eq!(line.keys(), wanted);
        prop_assert_eq!(line.overs.len(), presses.len());
        for key in &line.overs {
            prop_assert!(key.paths.0 == ways || ways & 1 != 0, "{:?}", key);
        }
    }
}
