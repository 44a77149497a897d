//! Call detail records: one row for each attempt to reach somebody, with what came of it.
//!
//! They are computed from the records of the verifications whenever they are asked for. Nothing else is
//! written, so no row can be missing: what is no record was never begun. The columns are stable: more may be
//! added behind them, none changes its name, its place or its meaning.
//!
//! | column | what it says |
//! |---|---|
//! | `verification` | the verification's id |
//! | `attempt` | the attempt's number in it, from 1 |
//! | `tenant` | whose it is; `selftest:` and the trunk's name for a call by which that was tried, which no summary counts |
//! | `reference` | the caller's own name for it |
//! | `number` | the number, masked but for its country code and last digits |
//! | `number_ref` | a keyed hash of the number: the same for all that a tenant asks of one number |
//! | `country` | the number's country (ISO 3166) |
//! | `prefix` | how the number begins: its country code and three digits, fewer where the number is short |
//! | `channel` | `voice` or `sms` |
//! | `mode` | what was asked of the person |
//! | `via` | the trunk or carrier; `rehearsal` for a test tenant, who reaches nobody |
//! | `call_id` | the SIP Call-ID, or the carrier's own name of the call or message |
//! | `state` | how far it has come; `ended` for all that is over |
//! | `started_at` | when it was begun |
//! | `placed_at` | when the INVITE was sent, or the carrier had taken the order |
//! | `ringing_at` | when the first 18x came, or the carrier told of ringing |
//! | `answered_at` | when it was answered |
//! | `ended_at` | when it was over |
//! | `pdd_ms` | post-dial delay: from `placed_at` to `ringing_at`, or to the answer where nothing rang before |
//! | `duration_ms` | from the answer to the end |
//! | `cause` | why it ended, in the API's word; empty where nothing went wrong |
//! | `sip_status` | the last SIP status that said something new |
//! | `q850` | the network's cause (Q.850) |
//! | `blame` | whose doing the end was: `callee`, `caller`, `carrier`, `us` or `unknown` |
//! | `detail` | a sentence for people |
//! | `label` | who answered, as far as was heard: `human`, `machine` and the like |
//! | `label_percent` | how sure that is |
//! | `keys` | the ways by which the press came that decided, as `rfc4733+inband`; which key it was is not kept |
//! | `key_at` | when it was heard |
//! | `cost` | what it cost by the prices of when it was begun; empty without prices, and while it goes on |
//! | `currency` | of which currency (ISO 4217) |
//! | `verdict` | how its verification stands: `approved`, `denied`, `expired`, `failed`, `canceled` or `pending` |
//! | `reason` | why that ended |
//! | `settled_at` | when |
//! | `withheld` | whether it only looked like an attempt, because a tenant hides whom it does not reach |
//!
//! Times are those of RFC 3339 in UTC. The tenants come in the order of their names, and of each the
//! verification that was begun last comes first.

mod csv;
mod summary;

use serde_json::{Map, Value};

pub use self::summary::{By, Line, Seen, Summary};
use super::retention::with_verifications;
use super::{Fault, Gateway, rehearsal};
use crate::ambient::Timestamp;
use crate::store::{ListQuery, PAGE_MOST, record};
use crate::verify::Verification;
use crate::verify::attempt::Attempt;
use crate::verify::number::PhoneNumber;
use crate::verify::signal::{Cause, Reason, Verdict};

/// Which records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Those of this tenant; of all of them without.
    pub tenant: Option<String>,
    /// Of verifications that were begun then or later,
    pub from: Timestamp,
    /// and before this.
    pub until: Timestamp,
}

/// How they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object on each line.
    Jsonl,
    /// CSV (RFC 4180), with a line of names before.
    Csv,
}

impl Format {
    /// Reads its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "jsonl" => Some(Self::Jsonl),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Jsonl => "application/jsonl",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    /// What stands before the first row.
    #[must_use]
    pub fn header(self) -> String {
        match self {
            Self::Jsonl => String::new(),
            Self::Csv => csv::line(COLUMNS.iter().map(|(name, _)| (*name).to_owned())),
        }
    }
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    /// There is none.
    Nothing,
    /// A word of ours.
    Word(String),
    /// What somebody else has written.
    Foreign(String),
    /// A number.
    Number(u64),
    /// Whether.
    Flag(bool),
}

impl From<Option<String>> for Cell {
    fn from(word: Option<String>) -> Self {
        word.map_or(Self::Nothing, Self::Word)
    }
}

impl From<Option<u64>> for Cell {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }
}

impl From<Option<Timestamp>> for Cell {
    fn from(time: Option<Timestamp>) -> Self {
        time.map(Timestamp::to_rfc3339).into()
    }
}

fn word(text: impl Into<String>) -> Cell {
    Cell::Word(text.into())
}

fn foreign(text: Option<&String>) -> Cell {
    text.map_or(Cell::Nothing, |text| Cell::Foreign(text.clone()))
}

/// An attempt, with all that its row is made of.
struct Call<'a> {
    verification: &'a Verification,
    attempt: &'a Attempt,
    number_ref: &'a str,
}

/// A column: its name, and what stands there.
type Column = (&'static str, fn(&Call<'_>) -> Cell);

/// The columns, in their order.
const COLUMNS: [Column; 35] = [
    ("verification", |it| word(it.verification.id.as_str())),
    ("attempt", |it| Cell::Number(u64::from(it.attempt.no.get()))),
    ("tenant", |it| word(&it.verification.tenant)),
    ("reference", |it| foreign(it.verification.request.reference.as_ref())),
    ("number", |it| word(it.verification.request.to.masked())),
    ("number_ref", |it| word(it.number_ref)),
    ("country", |it| word(it.verification.request.to.country().as_str())),
    ("prefix", |it| word(prefix(&it.verification.request.to))),
    ("channel", |it| word(it.attempt.channel.as_str())),
    ("mode", |it| word(it.attempt.mode.as_str())),
    ("via", |it| word(&it.attempt.route)),
    ("call_id", |it| foreign(it.attempt.call_id.as_ref())),
    ("state", |it| word(it.attempt.state.as_str())),
    ("started_at", |it| Some(it.attempt.started_at).into()),
    ("placed_at", |it| it.attempt.placed_at.into()),
    ("ringing_at", |it| it.attempt.ringing_at.into()),
    ("answered_at", |it| it.attempt.answered_at.into()),
    ("ended_at", |it| it.attempt.ended_at.into()),
    ("pdd_ms", |it| {
        let Attempt { ringing_at, answered_at, .. } = it.attempt;
        between(it.attempt.placed_at, ringing_at.or(*answered_at))
    }),
    ("duration_ms", |it| between(it.attempt.answered_at, it.attempt.ended_at)),
    ("cause", |it| it.attempt.reason.map(|it| it.as_str().to_owned()).into()),
    ("sip_status", |it| it.attempt.sip_status.map(u64::from).into()),
    ("q850", |it| it.attempt.q850.map(u64::from).into()),
    ("blame", |it| it.attempt.cause().map(|it| Cause::blame(&it).as_str().to_owned()).into()),
    ("detail", |it| foreign(it.attempt.detail.as_ref())),
    ("label", |it| it.attempt.label.as_ref().map(|it| it.is.clone()).into()),
    ("label_percent", |it| it.attempt.label.as_ref().map(|it| u64::from(it.percent)).into()),
    ("keys", |it| it.attempt.press.as_ref().map(|it| it.paths.join("+")).into()),
    ("key_at", |it| it.attempt.press.as_ref().map(|it| it.at).into()),
    ("cost", |it| it.cost().map(|(cost, _)| cost).into()),
    ("currency", |it| it.cost().and_then(|(_, currency)| currency).into()),
    ("verdict", |it| word(it.verification.status().as_str())),
    ("reason", |it| {
        let reason = it.verification.verdict().map(Verdict::reason);
        reason.map(Reason::as_str).map(str::to_owned).into()
    }),
    ("settled_at", |it| it.verification.settled_at().into()),
    ("withheld", |it| Cell::Flag(it.verification.withheld)),
];

impl Call<'_> {
    /// What a summary looks at.
    fn seen(&self) -> Seen {
        let Self { verification, attempt, .. } = self;
        let to = &verification.request.to;
        let (cost, currency) = self.cost().unzip();
        Seen {
            tenant: verification.tenant.clone(),
            via: attempt.route.clone(),
            country: to.country().as_str().to_owned(),
            prefix: prefix(to),
            channel: attempt.channel.as_str().to_owned(),
            placed_at: attempt.placed_at,
            ringing_at: attempt.ringing_at,
            answered_at: attempt.answered_at,
            ended_at: attempt.ended_at,
            key_at: attempt.press.as_ref().map(|it| it.at),
            cause: attempt.reason.map(|it| it.as_str().to_owned()),
            label: attempt.label.as_ref().map(|it| it.is.clone()),
            cost,
            currency: currency.flatten(),
            verdict: verification.status().as_str().to_owned(),
            withheld: verification.withheld,
        }
    }

    /// What it cost, and of which currency: of what is over, was for somebody, and had a price.
    fn cost(&self) -> Option<(String, Option<String>)> {
        let Self { verification, attempt, .. } = self;
        let tariff = verification.tariff.filter(|it| it.most(attempt.channel).is_some())?;
        if verification.withheld || attempt.route == rehearsal::NOBODY {
            return None;
        }
        let cost = tariff.cost(attempt, attempt.ended_at?);
        Some((cost.to_string(), tariff.currency.map(String::from)))
    }

    /// Its row.
    fn write(&self, format: Format) -> String {
        match format {
            Format::Jsonl => {
                let value = |cell| match cell {
                    Cell::Nothing => Value::Null,
                    Cell::Word(text) | Cell::Foreign(text) => text.into(),
                    Cell::Number(number) => number.into(),
                    Cell::Flag(flag) => flag.into(),
                };
                let named = COLUMNS.iter().map(|(name, of)| ((*name).to_owned(), value(of(self))));
                format!("{}\n", Value::Object(named.collect::<Map<_, _>>()))
            }
            Format::Csv => csv::line(COLUMNS.iter().map(|(_, of)| match of(self) {
                Cell::Nothing => String::new(),
                Cell::Word(text) => text,
                Cell::Foreign(text) => csv::defused(text),
                Cell::Number(number) => number.to_string(),
                Cell::Flag(flag) => flag.to_string(),
            })),
        }
    }
}

fn between(from: Option<Timestamp>, until: Option<Timestamp>) -> Cell {
    let span = from.zip(until).map(|(from, until)| until.since(from));
    span.and_then(|span| u64::try_from(span.as_millis()).ok()).into()
}

/// How a number begins. At least three digits stay hidden between this and those that
/// [`masked`](PhoneNumber::masked) shows.
fn prefix(to: &PhoneNumber) -> String {
    let masked = to.masked();
    let code = masked.chars().take_while(|c| *c != '*').count();
    let hidden = masked.chars().filter(|c| *c == '*').count();
    to.expose().chars().take(code + hidden.saturating_sub(3).min(3)).collect()
}

/// What a summary looks at of each attempt of a verification.
pub(super) fn seen(verification: &Verification) -> impl Iterator<Item = Seen> + '_ {
    let call = |attempt| Call { verification, attempt, number_ref: "" };
    verification.attempts.iter().map(move |attempt| call(attempt).seen())
}

/// A walk over the records of a range, page by page: however many there are, one page is held.
#[derive(Debug)]
pub struct Walk {
    format: Format,
    /// The tenants that are left, the next of them last.
    tenants: Vec<String>,
    query: ListQuery,
}

impl Gateway {
    /// Begins to walk over the records of a range.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn call_records(&self, range: Range, format: Format) -> Result<Walk, Fault> {
        let mut tenants = match range.tenant {
            Some(tenant) => vec![tenant],
            None => with_verifications(&self.0.store).await?,
        };
        tenants.sort_unstable_by(|a, b| b.cmp(a));
        let (from, until) = (Some(range.from), Some(range.until));
        let query = ListQuery { from, until, limit: PAGE_MOST, ..ListQuery::default() };
        Ok(Walk { format, tenants, query })
    }

    /// The rows of the next page, which may have none; `None` when there is no more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn next_records(&self, walk: &mut Walk) -> Result<Option<String>, Fault> {
        let Some(tenant) = walk.tenants.last() else { return Ok(None) };
        walk.query.group.clone_from(tenant);
        let page = self.0.store.list(&walk.query).await?;
        let mut rows = String::new();
        // A tenant has other records as well.
        for row in page.rows.iter().filter(|row| row.id.starts_with("vf_")) {
            let verification = record::decode(&row.bytes)?;
            let to = verification.request.to.expose();
            let number_ref = self.0.vault.counted(tenant, "cdr", to);
            for attempt in &verification.attempts {
                let call = Call { verification: &verification, attempt, number_ref: &number_ref };
                rows.push_str(&call.write(walk.format));
            }
        }
        walk.query.cursor = page.next;
        if walk.query.cursor.is_none() {
            walk.tenants.pop();
        }
        Ok(Some(rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::attempt::{AttemptNo, AttemptState, Label};
    use crate::verify::money::Tariff;
    use crate::verify::request::{Channel, Mode, Request, Way};
    use crate::verify::route::RouteStep;
    use crate::verify::signal::Press;
    use crate::verify::{Birth, Step, VerificationId};

    fn step() -> RouteStep {
        RouteStep { channel: Channel::Voice, mode: Mode::Confirm, via: "a".into(), stage: 0 }
    }

    fn verification(reference: &str) -> Verification {
        let way = Way { channel: Channel::Voice, mode: Mode::Confirm };
        let request = Request::new("+14155550132".parse().unwrap(), way);
        let request = Request { reference: Some(reference.to_owned()), ..request };
        let route = serde_json::json!([step()]);
        let birth = Birth {
            id: VerificationId::parse("vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE").unwrap(),
            tenant: "acme".to_owned(),
            request,
            route: serde_json::from_value(route).unwrap(),
            secret: None,
            expected: Default::default(),
            seed: 1,
            key: Default::default(),
            withheld: false,
        };
        match Verification::begin(Timestamp::from_secs(1_795_716_000), birth) {
            Step::Moved { next, .. } => next,
            Step::Ignored { same, .. } => same,
        }
    }

    /// A call that was answered by a person, who pressed the key.
    fn answered() -> Verification {
        let at = |ms: u64| Timestamp::from_micros(1_795_716_000_000_000 + ms * 1_000);
        let mut verification = verification("=HYPERLINK(\"http://x\")");
        let tariff = Tariff { minute: "0.013".parse().ok(), minutes: 2, ..Tariff::default() };
        verification.tariff = Some(Tariff { currency: "EUR".parse().ok(), ..tariff });
        verification.attempts = vec![Attempt {
            state: AttemptState::Ended,
            reason: Some(Reason::Busy),
            sip_status: Some(486),
            q850: Some(17),
            call_id: Some("c1".to_owned()),
            label: Some(Label { is: "human".into(), percent: 90, cue: "speech".into() }),
            press: Some(Press {
                paths: vec!["rfc4733".into(), "inband".into()],
                ..Press::by("", at(9_000))
            }),
            placed_at: Some(at(20)),
            ringing_at: Some(at(1_520)),
            answered_at: Some(at(5_000)),
            ended_at: Some(at(12_500)),
            ..Attempt::new(AttemptNo::FIRST, &step(), at(0))
        }];
        verification
    }

    fn row(verification: &Verification, format: Format) -> String {
        let attempt = &verification.attempts[0];
        Call { verification, attempt, number_ref: "ref" }.write(format)
    }

    #[test]
    fn a_row_says_what_came_of_an_attempt() {
        let verification = answered();
        let json: Value = serde_json::from_str(&row(&verification, Format::Jsonl)).unwrap();
        let wanted = serde_json::json!({
            "verification": "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE", "attempt": 1, "tenant": "acme",
            "reference": "=HYPERLINK(\"http://x\")", "number": "+1******0132", "number_ref": "ref",
            "country": "US", "prefix": "+1415", "channel": "voice", "mode": "confirm", "via": "a",
            "call_id": "c1", "state": "ended", "started_at": "2026-11-26T18:00:00.000Z",
            "placed_at": "2026-11-26T18:00:00.020Z", "ringing_at": "2026-11-26T18:00:01.520Z",
            "answered_at": "2026-11-26T18:00:05.000Z", "ended_at": "2026-11-26T18:00:12.500Z",
            "pdd_ms": 1_500, "duration_ms": 7_500, "cause": "busy", "sip_status": 486, "q850": 17,
            "blame": "callee", "detail": null, "label": "human", "label_percent": 90,
            "keys": "rfc4733+inband", "key_at": "2026-11-26T18:00:09.000Z", "cost": "0.0130",
            "currency": "EUR", "verdict": "pending", "reason": null, "settled_at": null,
            "withheld": false
        });
        assert_eq!(json, wanted);
        let header = csv::read(&Format::Csv.header()).unwrap();
        let cells = csv::read(&row(&verification, Format::Csv)).unwrap();
        assert_eq!((header.len(), cells.len()), (1, 1));
        for (name, cell) in header[0].iter().zip(&cells[0]) {
            let said = match json[name].as_str() {
                Some(text) if name == "reference" => format!("'{text}"),
                Some(text) => text.to_owned(),
                None if json[name].is_null() => String::new(),
                None => json[name].to_string(),
            };
            assert_eq!(*cell, said, "{name}");
        }
    }

    #[test]
    fn a_summary_sees_the_same_in_a_row_and_in_the_attempt_itself() {
        let verification = answered();
        let read: Seen = serde_json::from_str(&row(&verification, Format::Jsonl)).unwrap();
        assert_eq!(seen(&verification).collect::<Vec<_>>(), [read]);
    }

    #[test]
    fn what_was_never_sent_costs_nothing() {
        let priced = answered();
        let cost = |verification: &Verification| {
            let json: Value = serde_json::from_str(&row(verification, Format::Jsonl)).unwrap();
            json["cost"].clone()
        };
        assert_eq!(cost(&priced), "0.0130");
        assert_eq!(cost(&Verification { withheld: true, ..priced.clone() }), Value::Null);
        assert_eq!(cost(&Verification { tariff: None, ..priced.clone() }), Value::Null);
        let mut rehearsed = priced.clone();
        rehearsed.attempts[0].route = rehearsal::NOBODY.to_owned();
        assert_eq!(cost(&rehearsed), Value::Null);
        let mut running = priced;
        running.attempts[0].ended_at = None;
        assert_eq!(cost(&running), Value::Null);
    }

    #[test]
    fn a_number_is_not_put_together_from_its_parts() {
        for (number, begins) in [
            ("+14155550132", "+1415"),
            ("+442079460018", "+44207"),
            ("+4915112345678", "+49151"),
            ("+29022158", "+2902"),
        ] {
            let to: PhoneNumber = number.parse().unwrap();
            assert_eq!(prefix(&to), begins);
            let last = to.masked().chars().rev().take_while(|c| *c != '*').count();
            assert!(number.len() - begins.len() - last >= 3, "{number}");
        }
    }

    #[test]
    fn each_column_is_told_of_where_it_is_promised() {
        let here = include_str!("cdr.rs").lines().filter_map(|line| line.strip_prefix("//! | `"));
        let readme = include_str!("../../README.md").split_once("| column | what it says |");
        let readme = readme.unwrap().1.lines().skip(2).map_while(|line| line.strip_prefix("| `"));
        let here: Vec<&str> = here.collect();
        assert_eq!(here, readme.collect::<Vec<_>>());
        let names = here.iter().map(|row| row.split('`').next().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), COLUMNS.map(|(name, _)| name));
    }
}
