//! What each rule says of a start: those that refuse it, and those that do not.

use std::time::Duration;

use serde::Serialize;

use super::block::{About, Conversion, Entry, Fraud, Standing};
use super::limits::{By, Count, Need};
use super::policy::{Refusal, Rules, Standing as Rule};
use super::request::Request;
use crate::ambient::Timestamp;

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// It lets the start through.
    Passes,
    /// It would refuse it, and only counts.
    Records,
    /// It refuses it.
    Refuses,
}

/// One rule's word about a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Word {
    /// The rule: a word for each of the checks of the number, `blocks`, `opted_out`, `conversion/…`,
    /// `limit/…`.
    pub rule: String,
    /// What it says.
    pub says: Says,
    /// What it allows.
    pub limit: Option<String>,
    /// How much of that there has been; `None` where that is not known.
    pub now: Option<u64>,
    /// When it gives way, in seconds.
    #[serde(serialize_with = "seconds")]
    pub retry_after: Option<Duration>,
    /// The same for people.
    pub detail: Option<String>,
}

/// What has happened before, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The time.
    pub now: Timestamp,
    /// What the lists say of the number.
    pub standing: Option<Standing>,
    /// Whether the phone wants no texts from the sender.
    pub opted_out: Option<bool>,
    /// Each limit, with what it has counted.
    pub limits: Vec<(Need, Option<Count>)>,
    /// How many have ended in the range and in the country, and how many of them were approved.
    pub conversion: Vec<(About, u64, u64)>,
}

/// Every rule's word, in the order they are asked.
#[must_use]
pub fn explain(request: &Request, facts: &Facts, rules: &Rules, fraud: &Fraud) -> Vec<Word> {
    let mut words = Vec::new();
    for channel in request.ways().map(|way| way.channel) {
        for rule in Rule::ALL {
            let refusal = rule.refuses(&request.to, channel, rules);
            words.push(plain(format!("{}/{}", rule.as_str(), channel.as_str()), refusal));
        }
    }
    if let Some(standing) = &facts.standing {
        words.push(blocks(facts.now, standing));
        words.push(Word { now: Some(u64::from(standing.safe)), ..plain("safe", None) });
    }
    if let Some(out) = facts.opted_out {
        words.push(plain("opted_out", out.then_some(Refusal::OptedOut)));
    }
    let conversion = facts.conversion.iter();
    words.extend(
        conversion.map(|(about, ended, approved)| watched(*about, *ended, *approved, fraud)),
    );
    // Windows that only wait for their turn say nothing.
    let limits = facts.limits.iter().filter(|(need, _)| need.rate.most != u64::MAX);
    words.extend(limits.map(|(need, count)| limit(facts.now, need, count.as_ref())));
    words
}

/// Whether none of them refuses.
#[must_use]
pub fn passes(words: &[Word]) -> bool {
    words.iter().all(|word| word.says != Says::Refuses)
}

fn plain(rule: impl Into<String>, refusal: Option<Refusal>) -> Word {
    let says = if refusal.is_some() { Says::Refuses } else { Says::Passes };
    let detail = refusal.map(|refusal| refusal.to_string());
    Word { rule: rule.into(), says, limit: None, now: None, retry_after: None, detail }
}

fn blocks(now: Timestamp, standing: &Standing) -> Word {
    let count = standing.blocks.len();
    let against = standing.against();
    let retry_after = against.as_ref().and_then(|it| it.until).map(|until| until.since(now));
    let detail = standing.blocks.iter().map(told).collect::<Vec<_>>().join("; ");
    Word {
        now: u64::try_from(count).ok(),
        retry_after,
        detail: (count > 0).then_some(detail),
        ..plain("blocks", against.map(Refusal::Blocked))
    }
}

fn told(entry: &Entry) -> String {
    format!("{} {}: {}", entry.about.as_str(), entry.shown, entry.why.as_str())
}

/// What conversion says: it refuses by the block that it made, and so only tells here.
fn watched(about: About, ended: u64, approved: u64, fraud: &Fraud) -> Word {
    let says = match fraud.judge(ended, approved) {
        Conversion::Fine => Says::Passes,
        Conversion::Low | Conversion::Stop => Says::Records,
    };
    let Fraud { least, warn, stop, .. } = fraud;
    Word {
        rule: format!("conversion/{}", about.as_str()),
        says,
        limit: Some(format!(
            "{warn} % or a warning, {stop} % or a block, from {least} in 60 minutes"
        )),
        now: approved.saturating_mul(100).checked_div(ended),
        retry_after: None,
        detail: Some(format!("{approved} of {ended} approved")),
    }
}

fn limit(now: Timestamp, need: &Need, count: Option<&Count>) -> Word {
    let full = count.is_some_and(|count| count.counted >= need.rate.most);
    let says = match (full, need.enforced) {
        (false, _) => Says::Passes,
        (true, false) => Says::Records,
        (true, true) => Says::Refuses,
    };
    Word {
        rule: format!("limit/{}", By::as_str(need.by)),
        says,
        limit: Some(need.rate.to_string()),
        now: count.map(|count| count.counted),
        retry_after: count.filter(|_| full).and_then(|count| need.until(now, count)),
        detail: None,
    }
}

#[expect(clippy::ref_option, reason = "serde asks so")]
fn seconds<S: serde::Serializer>(span: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
    match span {
        Some(span) => to.serialize_some(&span.as_secs()),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::block::{List, Why};
    use super::super::code::Vault;
    use super::super::limits::{Counter, Limits, Rate, Who};
    use super::super::policy;
    use super::super::tests::request;
    use super::*;

    fn rules() -> Rules {
        let us = BTreeSet::from(["US".parse().unwrap()]);
        Rules { voice_countries: us, ..Rules::default() }
    }

    fn says(words: &[Word], rule: &str) -> Vec<Says> {
        words.iter().filter(|word| word.rule == rule).map(|word| word.says).collect()
    }

    #[test]
    fn what_decides_and_what_explains_are_of_one_mind() {
        for number in ["+14155550132", "+19002345678", "+442079460018", "+881612345678"] {
            let request = request(number);
            let words = explain(&request, &Facts::default(), &rules(), &Fraud::default());
            assert_eq!(passes(&words), policy::decide(&request, &rules()).is_ok(), "{number}");
            assert_eq!(words.len(), 4);
            if let Err(refusal) = policy::decide(&request, &rules()) {
                let first = words.iter().find(|word| word.says == Says::Refuses).unwrap();
                assert_eq!(first.detail.as_deref(), Some(refusal.to_string().as_str()));
            }
        }
    }

    #[test]
    fn limits_say_what_they_allow_what_they_had_and_when_they_give_way() {
        let now = Timestamp::from_secs(1_000);
        let need = |most, enforced| Need {
            by: By::Number,
            rate: Rate::new(most, Duration::from_secs(600)),
            enforced,
            counter: Counter { key: String::new(), window: Duration::from_secs(600) },
            wait: None,
        };
        let count = |counted| {
            let room_at = Some(now + Duration::from_secs(90));
            Some(Count { counted, room_at })
        };
        let limits = vec![
            (need(5, true), count(4)),
            (need(5, true), count(5)),
            (need(5, false), count(5)),
            (need(u64::MAX, true), count(9)),
            (need(5, true), None),
        ];
        let facts = Facts { now, limits, ..Facts::default() };
        let words = explain(&request("+14155550132"), &facts, &rules(), &Fraud::default());
        let expected = [Says::Passes, Says::Refuses, Says::Records, Says::Passes];
        assert_eq!(says(&words, "limit/number"), expected);
        let refusing = words.iter().find(|word| word.says == Says::Refuses).unwrap();
        assert_eq!(refusing.limit.as_deref(), Some("5/10m"));
        assert_eq!((refusing.now, refusing.retry_after), (Some(5), Some(Duration::from_secs(90))));
        let json = serde_json::to_value(refusing).unwrap();
        assert_eq!((&json["says"], &json["retry_after"]), (&"refuses".into(), &90.into()));
    }

    #[test]
    fn blocks_and_conversion_have_their_say() {
        let now = Timestamp::from_secs(1_000);
        let entry = Entry {
            id: "blk_x".to_owned(),
            list: List::Blocks,
            tenant: None,
            about: About::Country,
            shown: "US".to_owned(),
            why: Why::Operator,
            note: None,
            verification: None,
            from: now,
            until: Some(now + Duration::from_secs(60)),
            lifted: None,
            level: 1,
        };
        let facts = |safe| Facts {
            now,
            standing: Some(Standing { blocks: vec![entry.clone()], safe }),
            opted_out: Some(true),
            conversion: vec![(About::Prefix, 10, 0), (About::Country, 100, 90)],
            ..Facts::default()
        };
        let of =
            |safe| explain(&request("+14155550132"), &facts(safe), &rules(), &Fraud::default());
        let words = of(false);
        assert_eq!(says(&words, "blocks"), [Says::Refuses]);
        assert_eq!(says(&words, "opted_out"), [Says::Refuses]);
        assert_eq!(says(&words, "conversion/prefix"), [Says::Records]);
        assert_eq!(says(&words, "conversion/country"), [Says::Passes]);
        let block = words.iter().find(|word| word.rule == "blocks").unwrap();
        assert_eq!(block.retry_after, Some(Duration::from_secs(60)));
        assert_eq!(block.detail.as_deref(), Some("country US: operator"));
        assert_eq!(says(&of(true), "blocks"), [Says::Passes]);
    }

    #[test]
    fn a_safe_number_is_no_part_of_its_range() {
        let request = request("+14155550132");
        let who = Who::of(&Vault::of("k"), "acme", &request);
        let by = |who: &Who| {
            let needs = Limits::standard().needs(who, &[]);
            needs.iter().map(|need| need.by).collect::<Vec<_>>()
        };
        assert!(by(&who).contains(&By::Country) && by(&who).contains(&By::Prefix));
        let safe = by(&who.safely(true));
        assert!(safe.iter().all(|by| matches!(by, By::Number | By::Tenant)), "{safe:?}");
    }
}
