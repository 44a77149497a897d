//! `kill -9` at every [`Point`], in the midst of calls whose phone presses `#`, presses a wrong key or is busy,
//! and of texts whose codes are typed, while the customer's endpoint refuses every other event when it first
//! comes. After it everything that was begun is settled in time, approved only where the phone has pressed `#` or
//! the code was typed, told in one event that was taken in the end, and a row in the call records; no phone is
//! asked twice, and what was told stays true.
//!
//! On disk the process is started again; of two nodes over one Redis the other one lives on, and in some rounds
//! the Redis, which is alone and keeps its data on disk, is killed and started twice besides. Each point is tried
//! `OCTOTHORPE_KILLS` times, each time at another passing: once unless said, and then a few of them over Redis.
//! The long run: `OCTOTHORPE_KILLS=20 cargo test --features failpoints --test e2e failpoints -- --nocapture`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use octothorpe::failpoint::Point;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::lab::{Lab, Taken};
use crate::mailbox::{Letter, Mailbox};
use crate::nodes::Redis;
use crate::serve::{BEARER, Gateway, SOON};
use crate::tools::{octothorpe, side_by_side, wait_for};
use crate::webhooks::{get, post};

/// How long a verification stands, in seconds.
const LIFE: u64 = 20;

/// How long after its end it must be settled, and how much longer where its node is lost.
const LATE: Duration = Duration::from_secs(5);
const NODE_LOST: Duration = Duration::from_secs(20);

/// How often it is looked at what has become of something: a look costs the machine something.
const LOOK: Duration = Duration::from_millis(200);

/// How clocks of nodes may differ: they go by that of their Redis.
const CLOCKS: Duration = Duration::from_secs(1);

/// Numbers that begin so are a phone that presses `#`, one that presses a wrong key, one that is busy, and
/// one that is sent a code.
const PRESSES: &str = "+121255501";
const ERRS: &str = "+131055501";
const BUSY: &str = "+141555501";
const TEXT: &str = "+151255501";

/// Who is asked in a round, each at a number of its own.
const MIX: [&str; 9] = [PRESSES, TEXT, BUSY, ERRS, TEXT, PRESSES, BUSY, TEXT, PRESSES];

/// What a round does: where the process dies, at which passing, and whether the Redis dies, too.
struct Round {
    point: Point,
    passing: usize,
    redis_dies: bool,
}

/// Each point so often as is wished, at other passings.
fn rounds(points: &[Point], times: usize) -> Vec<Round> {
    let passing = |time: usize, index: usize, point| (time * 7 + index) % most(point) + 1;
    let points = points.iter().enumerate();
    let times = points.flat_map(|(index, point)| (0..times).map(move |time| (time, index, point)));
    times
        .map(|(time, index, &point)| Round {
            point,
            passing: passing(time, index, point),
            redis_dies: false,
        })
        .collect()
}

/// How often a round passes a point at least.
fn most(point: Point) -> usize {
    use Point::{
        AnswerAfter, AnswerBefore, ClaimAfter, ClaimBefore, CommitAfter, CommitBefore,
        DeliveryAfter, DeliveryAmid, DeliveryBefore, DequeueAfter, DequeueBefore, DiskAfter,
        DiskAmid, DiskBefore, HandedOver, OrderAfter, OrderAmid, OrderBefore, PostponeAfter,
        PostponeBefore, RedisAfter, RedisAmid, RedisBefore, SipAfter, SipBefore,
    };
    match point {
        CommitBefore | CommitAfter | DiskBefore | DiskAmid | DiskAfter => 18,
        RedisBefore | RedisAmid | RedisAfter => 18,
        SipBefore | SipAfter => 12,
        ClaimBefore | ClaimAfter | HandedOver => 5,
        OrderBefore | OrderAmid | OrderAfter | AnswerBefore | AnswerAfter => 9,
        DeliveryBefore | DeliveryAmid | DeliveryAfter | DequeueBefore | DequeueAfter => 6,
        PostponeBefore | PostponeAfter => 3,
    }
}

fn times() -> Option<usize> {
    let times = std::env::var("OCTOTHORPE_KILLS").ok()?;
    Some(times.parse().expect("a number of kills"))
}

fn is_of(point: &Point, store: &str) -> bool {
    let name = point.name();
    name.starts_with(store) || !(name.starts_with("disk") || name.starts_with("redis"))
}

#[test]
fn killed_at_every_point_on_disk() {
    let points: Vec<Point> = Point::ALL.iter().copied().filter(|it| is_of(it, "disk")).collect();
    let rounds = rounds(&points, times().unwrap_or(1));
    side_by_side(8, &rounds, named, |round| Stage::set(None).kill(round));
    println!("{} kills on disk: all is well", rounds.len());
}

#[test]
fn killed_at_points_beside_another_node() {
    let few = [Point::OrderAmid, Point::DeliveryAfter, Point::RedisAmid, Point::RedisAfter];
    let fewer = [Point::CommitAfter, Point::PostponeBefore];
    let rounds = match times() {
        None => {
            let more = rounds(&fewer, 1).into_iter().map(|it| Round { redis_dies: true, ..it });
            rounds(&few, 1).into_iter().chain(more).collect()
        }
        Some(times) => {
            let points = Point::ALL.iter().copied().filter(|it| is_of(it, "redis"));
            let mut rounds = rounds(&points.collect::<Vec<_>>(), times);
            rounds.iter_mut().enumerate().for_each(|(n, it)| it.redis_dies = n % 2 == 1);
            rounds
        }
    };
    side_by_side(8, &rounds, named, |round| Stage::set(Some(Redis::kept())).kill(round));
    println!("{} kills of one of two nodes: all is well", rounds.len());
}

#[test]
fn a_point_that_is_none_is_refused_with_the_names_of_all() {
    let told = octothorpe().arg("--version").output().unwrap().stdout;
    assert!(String::from_utf8(told).unwrap().contains("+failpoints"), "nobody ships it unknowing");
    let mut serve = octothorpe();
    serve.arg("serve").env("OCTOTHORPE_FAIL", "comit-after:1");
    let output = serve.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(Point::ALL.iter().all(|point| told.contains(point.name())), "{told}");
}

fn named(round: &Round) -> String {
    let besides = if round.redis_dies { ", and Redis" } else { "" };
    format!("{}{besides}", ordered(round))
}

/// What the process is told.
fn ordered(round: &Round) -> String {
    format!("{}:{}", round.point.name(), round.passing)
}

/// Phones, a carrier of texts, an endpoint, and the Redis that is shared, if any.
struct Stage {
    presses: Lab,
    errs: Lab,
    busy: Lab,
    texts: Mailbox,
    endpoint: Mailbox,
    taken: Arc<Mutex<Inbox>>,
    redis: Option<Redis>,
}

/// What the endpoint has made of the events that came.
#[derive(Default)]
struct Inbox {
    /// Those that came, by their ids.
    known: BTreeSet<String>,
    /// How often each was taken.
    taken: BTreeMap<String, usize>,
}

impl Inbox {
    /// With which status a try is answered: every other event is refused when it first comes.
    fn status(&mut self, letter: &Letter) -> u16 {
        let id = letter.id();
        if self.known.insert(id.clone()) && self.known.len().is_multiple_of(2) {
            return 500;
        }
        *self.taken.entry(id).or_default() += 1;
        204
    }
}

/// What the caller knows.
#[derive(Default)]
struct Known {
    /// What was begun, and the number that was asked.
    begun: BTreeMap<String, String>,
    /// Which verdicts it was told.
    approved: BTreeSet<String>,
    /// To which numbers' codes it has typed, right or wrong.
    typed: BTreeSet<String>,
    /// Where it was not answered, or that nobody can tell, and types again.
    unanswered: BTreeSet<String>,
    /// When it has asked last what has become of something, and of which.
    looked: Option<(Instant, usize)>,
}

impl Stage {
    fn set(redis: Option<Redis>) -> Self {
        let answering = ["--answer-after", "0.5", "--press"];
        let phone = |keys| Lab::start(&[&answering[..], &[keys]].concat());
        let (presses, errs, busy) = (phone("#"), phone("55"), Lab::start(&["--reject", "486"]));
        let texts = Mailbox::start(Arc::new(|number, stream| {
            let body = format!("{{\"sid\":\"SM{number}\"}}");
            let length = body.len();
            let head = format!("HTTP/1.1 201 X\r\nConnection: close\r\nContent-Length: {length}");
            let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
        }));
        let taken: Arc<Mutex<Inbox>> = Arc::default();
        let inbox = Arc::clone(&taken);
        let endpoint = Mailbox::reading(move |_, letter| inbox.lock().unwrap().status(letter));
        Self { presses, errs, busy, texts, endpoint, taken, redis }
    }

    /// By which way each number is reached.
    fn ways(&self) -> String {
        let trunk = |name: &str, port: u16, numbers: &str| {
            format!(
                "[[trunks]]\nname = {name:?}\ntarget = \"sip:127.0.0.1:{port};transport=udp\"\n\
                 options_secs = 0\ncaller_id = \"+12025550100\"\n\
                 [[routes]]\nprefix = {numbers:?}\nvia = [{name:?}]\n"
            )
        };
        let texts = format!(
            "[[carriers]]\nname = \"texts\"\nkind = \"http\"\nurl = {:?}\nfrom = \"+12025550100\"\n\
             body = {{ form = {{ To = \"{{to}}\", From = \"{{from}}\", Body = \"{{body}}\" }} }}\n\
             handle = {{ pointer = \"/sid\" }}\n\
             [[routes]]\nchannel = \"sms\"\nvia = [\"texts\"]\n",
            self.texts.url()
        );
        trunk("presses", self.presses.port(), PRESSES)
            + &trunk("errs", self.errs.port(), ERRS)
            + &trunk("busy", self.busy.port(), BUSY)
            + &texts
    }

    fn node(&self, fail: Option<&str>) -> Gateway {
        let redis = self.redis.as_ref().map(|redis| format!("redis://127.0.0.1:{}", redis.port));
        Gateway::failing(fail, redis.as_deref(), &self.ways(), &self.endpoint.url())
    }

    fn kill(mut self, round: &Round) {
        let mut first = self.node(Some(&ordered(round)));
        let other = self.redis.is_some().then(|| self.node(None));
        let mut known = Known::default();
        for (n, numbers) in MIX.iter().enumerate() {
            let number = format!("{numbers}{n:02}");
            let channel = if *numbers == TEXT { "sms" } else { "voice" };
            let body = json!({"to": number, "channel": channel, "expires_in": LIFE});
            let told = post(first.api(), BEARER, "/v1/verifications", &body.to_string());
            // Who is not answered goes away.
            let Some(told) = told else { break };
            // It may have been begun or not: its row is judged, if there is one.
            if told["status"] == 503 {
                continue;
            }
            let id = told["id"].as_str().unwrap_or_else(|| panic!("{told}"));
            known.begun.insert(id.to_owned(), number);
            self.type_codes(&first, &mut known);
        }
        if round.redis_dies {
            self.redis = self.redis.map(Redis::dies_and_is_back);
        }
        wait_for("it dies where it was told to", Duration::from_secs(60), || {
            self.type_codes(&first, &mut known);
            Self::look(&first, &mut known);
            (!first.runs()).then_some(())
        });
        let status = first.stops(SOON);
        assert_eq!(status.signal(), Some(9), "{}", first.log());
        let died = SystemTime::now();
        if round.redis_dies {
            self.redis = self.redis.map(Redis::dies_and_is_back);
        }
        let node = match other {
            Some(other) => other,
            None => {
                first.disarm();
                first.restart();
                first
            }
        };
        let back = SystemTime::now();
        let (settled, approved) = self.judge(&node, known, died, back);
        let twice = self.taken.lock().unwrap().taken.values().filter(|&&times| times > 1).count();
        println!(
            "{}: {settled} settled, {approved} of them approved; {twice} events taken twice",
            named(round)
        );
    }

    /// Asks what has become of one after the other: a verdict that was told must stay.
    fn look(node: &Gateway, known: &mut Known) {
        let (at, n) = known.looked.unwrap_or((Instant::now(), 0));
        let Some(id) = known.begun.keys().nth(n % known.begun.len().max(1)) else { return };
        if at.elapsed() < LOOK {
            known.looked = Some((at, n));
            return;
        }
        let path = format!("/v1/verifications/{id}");
        if let Some(found) = get(node.api(), BEARER, &path)
            && found["status"] == "approved"
        {
            known.approved.insert(id.clone());
        }
        known.looked = Some((Instant::now(), n + 1));
    }

    /// Types the code of every text that has come and was not typed yet: the right one, and at the last
    /// number a wrong one.
    fn type_codes(&self, node: &Gateway, known: &mut Known) {
        for (number, body) in self.texts.letters().iter().map(text) {
            let id = known.begun.iter().find(|(_, known)| **known == number).map(|(id, _)| id);
            let is_new = !known.typed.contains(&number) || known.unanswered.contains(&number);
            let Some(id) = id.filter(|_| is_new) else { continue };
            let digits = body.split(|c: char| !c.is_ascii_digit()).find(|it| it.len() == 6);
            let right = digits.unwrap_or_else(|| panic!("a code in {body:?}"));
            let wrong = if right == "000000" { "000001" } else { "000000" };
            let code = if is_mistyped(&number) { wrong } else { right };
            let path = format!("/v1/verifications/{id}/check");
            // It may be taken, whatever comes back.
            known.typed.insert(number.clone());
            let told = post(node.api(), BEARER, &path, &json!({"code": code}).to_string());
            // Who is not answered, or told that nobody knows, types it again.
            let Some(told) = told.filter(|told| told["code"] != "store_unsafe") else {
                known.unanswered.insert(number);
                return;
            };
            known.unanswered.remove(&number);
            if told["status"] == "approved" {
                known.approved.insert(id.clone());
            }
        }
    }

    fn judge(
        &self,
        node: &Gateway,
        mut known: Known,
        died: SystemTime,
        back: SystemTime,
    ) -> (usize, usize) {
        let patience = Duration::from_secs(LIFE) + LATE + NODE_LOST + SOON;
        let late = if self.redis.is_some() { LATE + NODE_LOST } else { LATE };
        let settled = wait_for("all is settled", patience, || {
            self.type_codes(node, &mut known);
            std::thread::sleep(LOOK);
            let rows = self.rows(node)?;
            let read: Vec<_> = rows.iter().map(|id| node.get(id)).collect();
            // A store that is asked too soon is asked again.
            assert!(read.iter().all(|it| [200, 503].contains(&it.status)), "{read:?}");
            let found: Vec<Value> = read.iter().map(Answer::json).collect();
            let settled = |it: &Value| it["status"].is_string() && it["status"] != "pending";
            found.iter().all(settled).then_some(found)
        });
        let settled: BTreeMap<String, Value> = settled
            .into_iter()
            .map(|found| (found["id"].as_str().unwrap().to_owned(), found))
            .collect();
        for id in known.begun.keys() {
            assert!(settled.contains_key(id), "{id} was told and is no row: {settled:#?}");
        }
        for (id, found) in &settled {
            let time =
                |field: &str| humantime::parse_rfc3339(found[field].as_str().unwrap()).unwrap();
            let (end, settled) = (time("expires_at"), time("settled_at"));
            // What ended while nobody was there is settled once somebody is.
            let behind = settled.duration_since(end.max(back)).unwrap_or_default();
            assert!(
                behind <= late && settled <= SystemTime::now(),
                "{behind:?} late, died {}, back {}: {found}",
                humantime::format_rfc3339_millis(died),
                humantime::format_rfc3339_millis(back)
            );
            let approved = found["status"] == "approved";
            assert!(approved || !known.approved.contains(id), "told as approved: {found}");
            if approved && found["channel"] == "voice" {
                assert!(self.has_pressed(found, settled), "no phone has pressed #: {found}");
            }
            let Some(number) = known.begun.get(id) else {
                // Nobody could type a code of what nobody knows of.
                assert!(!approved || found["channel"] != "sms", "{found}");
                continue;
            };
            // Which call it was that pressed is known by then.
            let may = number.starts_with(PRESSES)
                || number.starts_with(TEXT) && known.typed.contains(number) && !is_mistyped(number);
            assert!(may || !approved, "nobody agreed: {found}");
        }
        self.told_once(&settled);
        self.asked_once();
        let approved = settled.values().filter(|it| it["status"] == "approved").count();
        (settled.len(), approved)
    }

    /// The phones' calls, as those have written them down.
    fn calls(&self) -> BTreeMap<String, Taken> {
        let phones = [&self.presses, &self.errs, &self.busy];
        phones.into_iter().flat_map(Lab::calls).collect()
    }

    /// Whether the phone has pressed `#` in the call of this verification before it was settled. Each has a
    /// number of its own, of which the end is shown, and is called once; the call's name may be missing where
    /// Redis was away when it was to be written.
    fn has_pressed(&self, found: &Value, settled: SystemTime) -> bool {
        let shown = found["to"].as_str().unwrap().trim_start_matches(|it| it != '*');
        let end = shown.trim_start_matches('*');
        self.calls().values().any(|call| {
            call.to.starts_with(PRESSES)
                && call.to.ends_with(end)
                && call.pressed.iter().any(|(key, at)| key == "#" && *at <= settled + CLOCKS)
        })
    }

    /// Each verdict is told in one event, by one id and one body, which is taken in the end. It is taken
    /// twice where the node that told it was lost before it had written that down.
    fn told_once(&self, settled: &BTreeMap<String, Value>) {
        let events = || {
            let mut events: BTreeMap<String, BTreeSet<(String, String)>> = BTreeMap::new();
            for letter in self.endpoint.letters() {
                let subject = letter.event()["subject"].as_str().unwrap().to_owned();
                events.entry(subject).or_default().insert((letter.id(), letter.body));
            }
            events
        };
        let events = wait_for("every verdict is taken", LATE + NODE_LOST + SOON, || {
            std::thread::sleep(LOOK);
            let events = events();
            let taken = &self.taken.lock().unwrap().taken;
            let is_taken = |told: &BTreeSet<(String, String)>| {
                told.iter().all(|(event, _)| taken.contains_key(event))
            };
            let all = settled.keys().all(|id| events.get(id).is_some_and(is_taken));
            all.then_some(events)
        });
        for (id, events) in events {
            let bodies: Vec<&String> = events.iter().map(|(_, body)| body).collect();
            assert_eq!(bodies.len(), 1, "{id}: {bodies:#?}");
            let event: Value = serde_json::from_str(bodies[0]).unwrap();
            let (told, found) = (&event["data"], &settled[&id]);
            assert_eq!(told["status"], found["status"], "{id} is told as it is");
            assert_eq!(told["reason"], found["reason"], "{id} is told as it is");
        }
        // One process after the other, and each tells what it takes once.
        let taken = self.taken.lock().unwrap().taken.clone();
        let often = taken.iter().find(|(_, times)| **times > 2);
        assert!(self.redis.is_some() || often.is_none(), "taken again and again: {taken:?}");
    }

    /// No phone is rung twice, and none is sent a second text: nobody has asked for more.
    fn asked_once(&self) {
        let mut calls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (call, Taken { to, .. }) in self.calls() {
            calls.entry(to).or_default().insert(call);
        }
        for (to, calls) in calls {
            assert_eq!(calls.len(), 1, "{to} is rung once");
        }
        let letters = self.texts.letters();
        let numbers: BTreeSet<String> = letters.iter().map(|letter| text(letter).0).collect();
        assert_eq!(numbers.len(), letters.len(), "each number is sent one text");
    }

    /// The verifications that have a row in the call records; `None` while a Redis that has died is not found
    /// again.
    fn rows(&self, node: &Gateway) -> Option<BTreeSet<String>> {
        let words = ["cdr", "export", "--since", "2020-01-01", "--admin", &node.admin_url()];
        let output = octothorpe().args(words).output().unwrap();
        if self.redis.is_some() && !output.status.success() {
            return None;
        }
        assert!(output.status.success(), "{output:?}");
        let rows = String::from_utf8(output.stdout).unwrap();
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap();
            row["verification"].as_str().unwrap().to_owned()
        };
        Some(rows.lines().map(row).collect())
    }
}

/// The last of those who are sent a code types another one.
fn is_mistyped(number: &str) -> bool {
    number.starts_with(TEXT) && number.ends_with("07")
}

/// To whom a text goes, and what it says.
fn text(letter: &Letter) -> (String, String) {
    let fields: BTreeMap<String, String> =
        form_urlencoded::parse(letter.body.as_bytes()).into_owned().collect();
    (fields["To"].clone(), fields["Body"].clone())
}
