//! What a seed decides beforehand: the weather on the network, who is called and what they do,
//! and what befalls the node. What it decides on the way is drawn from [`Dice`] as it happens.

use std::time::Duration;

use octothorpe::media::Digit;
use octothorpe::verify::number::PhoneNumber;
use octothorpe::verify::request::Mode;

use crate::dice::Dice;

/// The trunks, in the order in which a route tries them.
pub(crate) const TRUNKS: [&str; 2] = ["north", "south"];

/// The provider.
pub(crate) const CLOUD: &str = "cloud";

/// The customer's endpoints.
pub(crate) const ENDPOINTS: [&str; 2] = ["https://one.example/hooks", "https://two.example/hooks"];

/// Where a request may want its verdict instead.
pub(crate) const CALLBACK: &str = "https://one.example/sign-in";

/// One world. Times count from its beginning.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) network: Network,
    pub(crate) people: Vec<Person>,
    /// How many of [`TRUNKS`] a route has.
    pub(crate) trunks: usize,
    /// How many of [`ENDPOINTS`] the customer has.
    pub(crate) endpoints: usize,
    /// Until when an endpoint may fail, and how many times in a thousand it does.
    pub(crate) outage: (Duration, u64),
    /// The clock of each machine. Each has one node.
    pub(crate) clocks: Vec<Wrong>,
    /// By how much the clock of the store is ahead, in microseconds.
    pub(crate) store_ahead: i64,
    /// When a node dies, which, and how long it stays dead.
    pub(crate) crashes: Vec<(Duration, usize, Duration)>,
    /// How many times in a thousand a node dies in the midst of something: between a commit and
    /// its effects, before or after a call is placed, before or after an event is taken.
    pub(crate) fragile: u64,
    /// When a node sleeps (its machine is suspended), which, and how long: its time leaps.
    pub(crate) naps: Vec<(Duration, usize, Duration)>,
    /// How many times in a thousand the store takes its time.
    pub(crate) slow: u64,
    pub(crate) troubles: Vec<Trouble>,
    pub(crate) cuts: Vec<Cut>,
    /// A provider, where there is one.
    pub(crate) cloud: Option<Cloud>,
}

/// How a clock is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wrong {
    /// By how many microseconds it is ahead at first.
    pub(crate) ahead: i64,
    /// How many microseconds it gains in a second.
    pub(crate) gains: i64,
}

/// A while in which a node and those it calls by do not hear one another, or only one of them does; the
/// store is reached as before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    pub(crate) node: usize,
    pub(crate) peer: Peer,
    /// What the node sends is lost, and what is sent to it.
    pub(crate) lost: (bool, bool),
}

/// Whom a node calls by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// A trunk, by its place in [`TRUNKS`].
    Trunk(usize),
    Cloud,
}

/// A provider that calls and writes for us, and tells of it by hooks; chances in a thousand.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    /// It comes before the trunks.
    pub(crate) first: bool,
    /// An order does not come to it.
    pub(crate) unsent: u64,
    /// It does not answer, whether it has taken the order or not.
    pub(crate) unclear: u64,
    /// It refuses an order.
    pub(crate) refuses: u64,
    /// A hook is never sent.
    pub(crate) lost: u64,
    /// A hook is sent once more, at some time.
    pub(crate) repeated: u64,
    /// A hook is held up, so that others overtake it.
    pub(crate) held: u64,
    /// Somebody else sends hooks, too.
    pub(crate) forged: u64,
}

/// A while in which the store fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trouble {
    pub(crate) from: Duration,
    pub(crate) until: Duration,
    /// The one node that it fails for: the way there is cut.
    pub(crate) node: Option<usize>,
    pub(crate) how: Failing,
}

/// How a store fails.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Failing {
    /// Nothing is carried out.
    Refusing,
    /// Nothing more can be written.
    Full,
    /// So many verbs in a thousand are not carried out.
    Before(u64),
    /// So many in a thousand are carried out, and their outcome is lost.
    After(u64),
}

/// What happens to datagrams; chances in a thousand, times in milliseconds.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) base: u64,
    pub(crate) jitter: u64,
    /// Held up for up to three seconds.
    pub(crate) stuck: u64,
}

/// One question that the customer asks, and whom.
#[derive(Debug)]
pub(crate) struct Person {
    pub(crate) number: PhoneNumber,
    pub(crate) begin: Duration,
    pub(crate) expires_in: u32,
    /// When the customer asks again under the same key.
    pub(crate) repeats: Vec<Duration>,
    /// When another request comes under that key.
    pub(crate) clash: Option<Duration>,
    pub(crate) cancel: Option<Duration>,
    pub(crate) reads: Vec<Duration>,
    pub(crate) callback: bool,
    pub(crate) question: Question,
    /// How long after the phone a second one answers that the trunk has ring, too.
    pub(crate) fork: Option<Duration>,
    /// When the customer types a code into its page.
    pub(crate) types: Vec<Duration>,
    /// How the phone behaves, by the trunk that leads to it.
    pub(crate) manners: [Manner; TRUNKS.len()],
    /// How it behaves where the provider calls; and how texts come to it.
    pub(crate) cloud: Option<(Manner, Texts)>,
}

/// How a text comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts {
    /// The code is sent by text, and not told on a call.
    pub(crate) wanted: bool,
    /// When it is on the phone, if ever.
    pub(crate) arrives: Option<Duration>,
}

/// What is asked, and the digits that it is about: a PIN, those of the page, a code.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) mode: Mode,
    pub(crate) digits: String,
}

/// How a phone takes a call.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// The call does not even arrive.
    pub(crate) deaf: bool,
    pub(crate) trying: bool,
    /// Seconds from the INVITE to 180, or 183 with [`early_media`](Self::early_media).
    pub(crate) ring: Option<Duration>,
    pub(crate) early_media: bool,
    pub(crate) answer: Answer,
    /// Answers with 200 at the moment when CANCEL arrives.
    pub(crate) stubborn: bool,
    /// From the answer on.
    pub(crate) hang_up: Option<Duration>,
    /// Sends no audio.
    pub(crate) mute: bool,
    pub(crate) question: Question,
    /// From the answer on.
    pub(crate) keys: Vec<(Duration, Digit)>,
    /// From the INVITE on: others send a pound key to our port, or the line reflects one.
    pub(crate) strays: Vec<(Duration, Stray)>,
}

/// Whether and when a phone answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    After(Duration),
    Never,
    Refuse(Duration, u16),
}

/// A pound key that nobody pressed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stray {
    /// From another host.
    Host,
    /// From another port of the phone.
    Port,
    /// From another host, with the phone's SSRC.
    Mimic,
    /// From the phone, with our SSRC.
    Echo,
    /// From the phone, with a payload type that was not agreed.
    PayloadType,
    /// From the phone, before the answer: early media.
    Early,
}

/// All of them; what is early the more often.
const STRAYS: [Stray; 7] = [
    Stray::Host,
    Stray::Port,
    Stray::Mimic,
    Stray::Echo,
    Stray::PayloadType,
    Stray::Early,
    Stray::Early,
];

/// How many challenges a world of adversaries holds.
pub(crate) const CHALLENGES: u64 = 8;

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let mut people: Vec<Person> =
            (0..dice.number(1, 7)).map(|_| Person::of(&mut dice)).collect();
        let mut questions = Dice::new(seed, 4);
        people.iter_mut().for_each(|person| person.is_asked(&mut questions));
        let mut forks = Dice::new(seed, 8);
        for person in &mut people {
            person.fork = forks.permille(150).then(|| forks.millis(0, 600));
        }
        let (crashes, fragile) = match dice.number(0, 10) {
            0..4 => (0, 0),
            4..7 => (1, 0),
            7..9 => (0, 15),
            _ => (2, 10),
        };
        let naps = if dice.permille(250) { dice.number(1, 3) } else { 0 };
        let mut machines = Dice::new(seed, 5);
        let count = machines.pick(&[1, 1, 2, 2, 3]);
        let mut which = |times: Vec<(Duration, Duration)>| {
            let which = |(at, long)| (at, machines.index(count), long);
            times.into_iter().map(which).collect::<Vec<_>>()
        };
        let mut plan = Self {
            network: Network {
                lost: dice.pick(&[0, 0, 10, 50, 150]),
                doubled: dice.pick(&[0, 0, 20, 200]),
                base: dice.pick(&[1, 20, 80]),
                jitter: dice.pick(&[0, 5, 40, 150]),
                stuck: dice.pick(&[0, 0, 5, 15]),
            },
            people,
            trunks: dice.pick(&[1, 2, 2]),
            endpoints: dice.pick(&[1, 1, 2]),
            outage: (dice.millis(0, 600_000), dice.pick(&[0, 0, 300, 900])),
            crashes: which(
                (0..crashes)
                    .map(|_| {
                        let dead = dice.pick(&[100, 2_000, 60_000]);
                        (dice.millis(0, 120_000), dice.millis(dead / 2, dead))
                    })
                    .collect(),
            ),
            fragile,
            naps: which(
                (0..naps).map(|_| (dice.millis(0, 120_000), dice.millis(1_000, 300_000))).collect(),
            ),
            clocks: vec![Wrong::default(); count],
            store_ahead: 0,
            slow: 0,
            troubles: Vec::new(),
            cuts: Vec::new(),
            cloud: None,
        };
        plan.go_wrong(seed);
        let mut store = Dice::new(seed, 6);
        plan.slow = store.pick(&[0, 0, 20, 100, 300]);
        if store.permille(400) {
            plan.troubles =
                (0..store.number(1, 4)).map(|_| Trouble::of(&mut store, count)).collect();
        }
        // Two questions to one phone, which has the same to answer: it is called for one after the other.
        if dice.permille(300)
            && let [first, second, ..] = plan.people.as_mut_slice()
        {
            second.number = first.number.clone();
            second.question = first.question.clone();
            second.types = first.types.iter().map(|at| *at + second.begin).collect();
        }
        plan.surprise(seed);
        plan.engage(seed);
        plan
    }

    /// Phones that say nothing before they answer, if they ever do, and people who have their finger on
    /// the key for fraud when they pick up, and only then hear what is asked.
    fn surprise(&mut self, seed: u64) {
        let mut dice = Dice::new(seed, 12);
        for manner in self.people.iter_mut().flat_map(|person| &mut person.manners) {
            if dice.permille(60) {
                (manner.trying, manner.ring) = (false, None);
            }
            if manner.question.mode == Mode::Confirm && dice.permille(60) {
                let report = (dice.millis(0, 150), Digit::ZERO);
                manner.keys = vec![report, (dice.millis(2_500, 4_900), Digit::POUND)];
            }
        }
    }

    /// Clocks that are minutes apart, in half of the worlds, and networks that are cut.
    fn go_wrong(&mut self, seed: u64) {
        let mut dice = Dice::new(seed, 10);
        if dice.permille(500) {
            for clock in &mut self.clocks {
                *clock = Wrong {
                    ahead: ahead(&mut dice),
                    gains: dice.pick(&[0, 0, 20, -20, 400, -400]),
                };
            }
            self.store_ahead = ahead(&mut dice);
        }
        if dice.permille(250) {
            let machines = self.clocks.len();
            self.cuts = (0..dice.number(1, 4)).map(|_| Cut::of(&mut dice, machines)).collect();
        }
    }

    /// A provider besides the trunks, in two worlds of five.
    fn engage(&mut self, seed: u64) {
        let mut dice = Dice::new(seed, 11);
        if !dice.permille(400) {
            return;
        }
        self.cloud = Some(Cloud {
            first: dice.permille(600),
            unsent: dice.pick(&[0, 0, 100]),
            unclear: dice.pick(&[0, 0, 200, 500]),
            refuses: dice.pick(&[0, 50]),
            lost: dice.pick(&[0, 0, 100]),
            repeated: dice.pick(&[0, 100, 400]),
            held: dice.pick(&[0, 100, 300]),
            forged: dice.pick(&[0, 500]),
        });
        for person in &mut self.people {
            let manner = Manner::of(&mut dice);
            let arrives = (!dice.permille(150)).then(|| dice.millis(500, 20_000));
            let wanted = person.question.mode == Mode::Code && dice.permille(500);
            person.cloud = Some((manner, Texts { wanted, arrives }));
        }
    }
}

/// Up to two minutes ahead, or behind, in microseconds.
fn ahead(dice: &mut Dice) -> i64 {
    let most = dice.pick(&[0, 2, 30, 120]) * 1_000_000;
    i64::try_from(dice.number(0, 2 * most + 1)).unwrap() - i64::try_from(most).unwrap()
}

impl Plan {
    /// A world full of adversaries: people who press anything at all, others who send keys to the calls of
    /// people who press nothing, and guessers of codes; each question is a challenge. Nodes and the store
    /// are as in [`of`](Self::of).
    pub(crate) fn hostile(seed: u64) -> Self {
        let mut plan = Self::of(seed);
        let mut dice = Dice::new(seed, 9);
        plan.people = (0..CHALLENGES).map(|_| Person::hostile(&mut dice)).collect();
        plan.surprise(seed);
        plan.engage(seed);
        plan
    }
}

impl Cut {
    fn of(dice: &mut Dice, machines: usize) -> Self {
        let from = dice.millis(0, 120_000);
        let long = dice.pick(&[2_000, 10_000, 40_000, 120_000]);
        Self {
            from,
            until: from + dice.millis(long / 2, long),
            node: dice.index(machines),
            peer: dice.pick(&[Peer::Trunk(0), Peer::Trunk(1), Peer::Cloud]),
            lost: dice.pick(&[(true, true), (true, true), (true, false), (false, true)]),
        }
    }
}

impl Trouble {
    fn of(dice: &mut Dice, machines: usize) -> Self {
        let from = dice.millis(0, 120_000);
        let long = dice.pick(&[1_000, 8_000, 30_000, 120_000]);
        let until = from + dice.millis(long / 2, long);
        let cut = machines > 1 && dice.permille(400);
        let node = cut.then(|| dice.index(machines));
        let how = match dice.number(0, 10) {
            0..3 => Failing::Refusing,
            3..5 => Failing::Full,
            5..7 => Failing::Before(dice.number(50, 500)),
            _ => Failing::After(dice.number(50, 500)),
        };
        Self { from, until, node, how: if cut { Failing::Refusing } else { how } }
    }
}

impl Person {
    fn of(dice: &mut Dice) -> Self {
        let begin = dice.millis(0, 60_000);
        let mut later = |chance: u64, within: u64| {
            dice.permille(chance).then(|| begin + dice.millis(0, within))
        };
        let repeats = [later(300, 5_000), later(200, 120_000), later(100, 20)];
        let clash = later(100, 60_000);
        let cancel = later(300, 60_000);
        let reads = [later(500, 1_000), later(500, 30_000), later(300, 200_000)];
        Self {
            number: number(dice),
            begin,
            expires_in: dice.pick(&[30, 60, 120, 300, 300]),
            repeats: repeats.into_iter().flatten().collect(),
            clash,
            cancel,
            reads: reads.into_iter().flatten().collect(),
            callback: dice.permille(200),
            question: Question { mode: Mode::Confirm, digits: String::new() },
            fork: None,
            types: Vec::new(),
            manners: [Manner::of(dice), Manner::of(dice)],
            cloud: None,
        }
    }

    /// Somebody who is not who they should be, or next to whom somebody sits.
    fn hostile(dice: &mut Dice) -> Self {
        let mut person = Self { repeats: Vec::new(), ..Self::of(dice) };
        person.is_asked(dice);
        person.expires_in = dice.pick(&[30, 60, 90]);
        person.fork = dice.permille(200).then(|| dice.millis(0, 600));
        person.reads.truncate(1);
        let begin = person.begin;
        if person.question.mode == Mode::Code {
            person.types =
                (0..dice.number(5, 20)).map(|_| begin + dice.millis(10, 60_000)).collect();
        }
        for manner in &mut person.manners {
            manner.strays = (0..dice.number(3, 12))
                .map(|_| (dice.millis(0, 30_000), dice.pick(&STRAYS)))
                .collect();
            if dice.permille(500) {
                let mash = (0..dice.number(0, 8)).map(|_| dice.pick(&['0', '#', '5', '*', '9']));
                manner.keys = spread(&mash.collect::<Vec<_>>(), dice);
            }
        }
        person
    }

    /// Half of them are asked something else than to confirm.
    fn is_asked(&mut self, dice: &mut Dice) {
        let (mode, count) = match dice.number(0, 100) {
            0..50 => return,
            50..67 => (Mode::Pin, 4),
            67..83 => (Mode::Match, 3),
            _ => (Mode::Code, 6),
        };
        let digits = (0..count).map(|_| char::from(b'0' + dice.number(0, 10) as u8)).collect();
        self.question = Question { mode, digits };
        if mode == Mode::Code {
            let begin = self.begin;
            self.types = (0..4).map(|_| begin + dice.millis(1_000, 90_000)).collect();
        }
        for manner in &mut self.manners {
            manner.question = self.question.clone();
            if mode != Mode::Code {
                manner.keys = entry(&self.question.digits, dice);
            }
        }
    }
}

/// A number that could exist.
fn number(dice: &mut Dice) -> PhoneNumber {
    loop {
        let digits = format!("+1415{}", dice.number(2_000_000, 10_000_000));
        if let Ok(number) = digits.parse() {
            return number;
        }
    }
}

impl Manner {
    fn of(dice: &mut Dice) -> Self {
        let answer = match dice.number(0, 100) {
            0..55 => Answer::After(dice.millis(0, 8_000)),
            // Around the end of our patience, which is 45 s.
            55..63 => Answer::After(dice.millis(43_000, 48_000)),
            63..72 => Answer::Never,
            _ => {
                let status = dice.pick(&[486, 603, 480, 404, 500, 503, 407, 302]);
                Answer::Refuse(dice.millis(0, 10_000), status)
            }
        };
        let soon = matches!(answer, Answer::After(after) if after < Duration::from_secs(10));
        let silent = soon && dice.permille(150);
        Self {
            deaf: dice.permille(60),
            trying: !silent && dice.permille(700),
            ring: (!silent).then(|| dice.millis(0, 1_500)),
            early_media: dice.permille(200),
            answer,
            stubborn: dice.permille(300),
            hang_up: dice.permille(150).then(|| dice.millis(0, 40_000)),
            mute: dice.permille(80),
            question: Question { mode: Mode::Confirm, digits: String::new() },
            keys: keys(dice),
            strays: strays(dice),
        }
    }
}

/// What a person presses.
fn keys(dice: &mut Dice) -> Vec<(Duration, Digit)> {
    let typed: &[char] = match dice.number(0, 100) {
        0..40 => &['#'],
        40..58 => &['0', '#'],
        58..66 => &['5', '#'],
        66..72 => &['*', '7'],
        72..84 => &[],
        _ => {
            let mash = (0..dice.number(2, 6)).map(|_| dice.pick(&['0', '0', '#', '#', '5', 'B']));
            return spread(&mash.collect::<Vec<_>>(), dice);
        }
    };
    spread(typed, dice)
}

/// What a person presses who is to enter these digits.
fn entry(digits: &str, dice: &mut Dice) -> Vec<(Duration, Digit)> {
    let wrong = |dice: &mut Dice| {
        digits.chars().map(|_| dice.pick(&['0', '1', '5', '9'])).collect::<String>()
    };
    let typed = match dice.number(0, 100) {
        0..45 => format!("{digits}#"),
        45..55 => format!("{}#{digits}#", wrong(dice)),
        55..65 => format!("{}#{}#", wrong(dice), wrong(dice)),
        65..72 => format!("{}*{digits}#", dice.pick(&['1', '7'])),
        72..80 => "0#".to_owned(),
        80..86 => format!("#{digits}#"),
        86..92 => digits.to_owned(),
        _ => format!("{}{digits}#", dice.pick(&['1', '7'])),
    };
    spread(&typed.chars().collect::<Vec<_>>(), dice)
}

fn spread(typed: &[char], dice: &mut Dice) -> Vec<(Duration, Digit)> {
    let mut at = dice.millis(0, 30_000);
    let mut keys = Vec::new();
    for key in typed {
        keys.push((at, Digit::from_char(*key).unwrap()));
        at += if dice.permille(700) { dice.millis(400, 1_500) } else { dice.millis(400, 7_500) };
    }
    keys
}

fn strays(dice: &mut Dice) -> Vec<(Duration, Stray)> {
    if dice.permille(600) {
        return Vec::new();
    }
    (0..dice.number(1, 6)).map(|_| (dice.millis(0, 30_000), dice.pick(&STRAYS))).collect()
}
