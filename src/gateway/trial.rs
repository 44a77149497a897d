//! Starts that were let through, asked once more: what other rules and limits would have refused. Nothing is sent,
//! and nothing is counted but in a store of the trial's own.
//!
//! What is known are the verifications that were begun. So a trial tells what stricter rules would have kept out, and
//! not what looser ones would have let in. What is blocked, the money, and who else is asked have no part in it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cdr::Range;
use super::limits::{adding, count_against, tally};
use super::retention::with_verifications;
use super::settings::Tenant;
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::{ListQuery, PAGE_MOST, Store, record};
use crate::verify::Verification;
use crate::verify::code::Vault;
use crate::verify::explain::Says;
use crate::verify::limits::{By, Judged, Limited, Limits, Rate, Who};
use crate::verify::number::{Country, PhoneNumber};
use crate::verify::policy::{Rules, Standing};
use crate::verify::request::Request;
use crate::verify::signal::Status;

/// How much is read at once: as much as may be begun in so long is held.
const STEP: Duration = Duration::from_secs(60);

/// How far back approvals count for limits that allow more where people are verified.
const HISTORY: Duration = Duration::from_secs(16 * 86_400);

/// The rules and limits of a tenant, as they are to be tried.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    tenant: String,
    voice_countries: Vec<String>,
    sms_countries: Vec<String>,
    /// What each rate counts by, and the rate.
    limits: Vec<(String, String)>,
    /// What only counts.
    record_only: Vec<String>,
    /// In seconds.
    subject_pauses: Vec<u64>,
    /// Numbers, each with until when it is safe.
    safe_numbers: Vec<(String, String)>,
}

impl Terms {
    /// Those of a tenant.
    #[must_use]
    pub fn of(tenant: &Tenant) -> Self {
        let listed = |countries: &std::collections::BTreeSet<Country>| {
            countries.iter().map(Country::to_string).collect()
        };
        let Limits { rates, record_only, pauses, .. } = &tenant.limits;
        let safe =
            tenant.safe.iter().map(|(to, until)| (to.expose().to_owned(), until.to_rfc3339()));
        Self {
            tenant: tenant.name.clone(),
            voice_countries: listed(&tenant.rules.voice_countries),
            sms_countries: listed(&tenant.rules.sms_countries),
            limits: rates
                .iter()
                .map(|(by, rate)| (by.as_str().to_owned(), rate.to_string()))
                .collect(),
            record_only: record_only.iter().map(|by| by.as_str().to_owned()).collect(),
            subject_pauses: pauses.iter().map(Duration::as_secs).collect(),
            safe_numbers: safe.collect(),
        }
    }

    /// What they mean.
    fn read(&self) -> Result<Tried, String> {
        let by = |word: &String| {
            let found = By::ALL.into_iter().find(|by| by.as_str() == word);
            found.ok_or_else(|| "nothing is counted by this".to_owned())
        };
        let countries = |listed: &Vec<String>| {
            let read = listed.iter().map(|it| it.parse::<Country>().map_err(str::to_owned));
            read.collect::<Result<_, _>>()
        };
        let rate = |text: &String| text.parse::<Rate>().map_err(|why| why.to_string());
        let rates = self.limits.iter().map(|(word, text)| Ok((by(word)?, rate(text)?)));
        let safe = self.safe_numbers.iter().map(|(to, until)| {
            let to = to.parse::<PhoneNumber>().map_err(|why| why.to_string())?;
            Ok((to, Timestamp::until(until).ok_or("until when is it safe?")?))
        });
        let rules = Rules {
            voice_countries: countries(&self.voice_countries)?,
            sms_countries: countries(&self.sms_countries)?,
        };
        let limits = Limits {
            rates: rates.collect::<Result<_, String>>()?,
            record_only: self.record_only.iter().map(by).collect::<Result<_, _>>()?,
            pauses: self.subject_pauses.iter().copied().map(Duration::from_secs).collect(),
            record_conversion: false,
        };
        Ok(Tried {
            rules,
            limits,
            safe: safe.collect::<Result<_, String>>()?,
            starts: 0,
            refused: 0,
        })
    }
}

/// The terms of a tenant, and what they came to.
#[derive(Debug)]
struct Tried {
    rules: Rules,
    limits: Limits,
    safe: Vec<(PhoneNumber, Timestamp)>,
    starts: u64,
    refused: u64,
}

/// What a rule would have said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whose starts.
    pub tenant: String,
    /// The rule, as `policy explain` calls it.
    pub rule: String,
    /// What it allows.
    pub limit: Option<String>,
    /// Whether it would have refused, or only tells.
    pub says: Says,
    /// How many starts,
    pub count: u64,
    /// of how many.
    pub of: u64,
    /// The first of them.
    pub first: String,
    /// The last.
    pub last: String,
    /// How many to each country.
    pub countries: BTreeMap<String, u64>,
}

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many starts were tried.
    pub starts: u64,
    /// How many of them would have been refused, each by the one rule that its caller would have been told.
    pub refused: u64,
    /// How many are of tenants for whom nothing is to be tried.
    pub untried: u64,
    /// What each rule would have said.
    pub rules: Vec<Finding>,
}

/// Names a finding: tenant, rule, what it allows, and whether it refuses.
type Name = (String, String, Option<String>, bool);

#[derive(Debug)]
struct Found {
    count: u64,
    first: Timestamp,
    last: Timestamp,
    countries: BTreeMap<String, u64>,
}

/// Something that follows a start that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum After {
    /// The person asked for another attempt.
    Sent,
    /// It was approved.
    Approved,
}

/// A trial on its way.
#[derive(Debug)]
pub struct Trial {
    store: Store,
    vault: Vault,
    range: Range,
    tried: BTreeMap<String, Tried>,
    /// From where the next piece is read.
    at: Timestamp,
    /// From where on starts are counted, so that the windows are filled when the range begins.
    counted: Timestamp,
    /// What is still to follow, by its time; the request is that of this number.
    after: BinaryHeap<Reverse<(Timestamp, After, u64)>>,
    waiting: BTreeMap<u64, (String, Who, u32)>,
    numbered: u64,
    found: BTreeMap<Name, Found>,
    untried: u64,
}

impl Gateway {
    /// Begins to try these terms on the starts of a range.
    ///
    /// # Errors
    /// With the place of the terms that cannot be read, and why.
    pub fn trial(&self, range: Range, terms: &[Terms]) -> Result<Trial, (usize, String)> {
        let mut tried = BTreeMap::new();
        for (n, terms) in terms.iter().enumerate() {
            let read = terms.read().map_err(|why| (n, why))?;
            tried.insert(terms.tenant.clone(), read);
        }
        let windows = tried.values().map(|it| it.limits.longest());
        let counted = range.from - windows.max().unwrap_or_default();
        Ok(Trial {
            store: Store::memory(),
            vault: self.0.vault.clone(),
            at: counted.min(range.from - HISTORY),
            counted,
            range,
            tried,
            after: BinaryHeap::new(),
            waiting: BTreeMap::new(),
            numbered: 0,
            found: BTreeMap::new(),
            untried: 0,
        })
    }

    /// Tries the next piece; how far it has come, or `None` when all was tried.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn try_on(&self, trial: &mut Trial) -> Result<Option<Timestamp>, Fault> {
        if trial.at >= trial.range.until {
            return Ok(None);
        }
        let until = (trial.at + STEP).min(trial.range.until);
        let mut begun = Vec::new();
        let tenants = match &trial.range.tenant {
            Some(tenant) => vec![tenant.clone()],
            None => with_verifications(&self.0.store).await?,
        };
        for group in tenants {
            let (from, until) = (Some(trial.at), Some(until));
            let mut query = ListQuery { group, from, until, cursor: None, limit: PAGE_MOST };
            loop {
                let page = self.0.store.list(&query).await?;
                for row in page.rows.iter().filter(|row| row.id.starts_with("vf_")) {
                    begun.push(record::decode(&row.bytes)?);
                }
                query.cursor = page.next;
                if query.cursor.is_none() {
                    break;
                }
            }
        }
        begun.sort_by_key(|it| it.created_at);
        for verification in &begun {
            trial.start(verification).await?;
        }
        trial.at = until;
        Ok(Some(until))
    }
}

impl Trial {
    /// What it has come to.
    #[must_use]
    pub fn report(&self) -> Report {
        let finding = |((tenant, rule, limit, refuses), found): (&Name, &Found)| Finding {
            tenant: tenant.clone(),
            rule: rule.clone(),
            limit: limit.clone(),
            says: if *refuses { Says::Refuses } else { Says::Records },
            count: found.count,
            of: self.tried.get(tenant).map_or(0, |it| it.starts),
            first: found.first.to_rfc3339(),
            last: found.last.to_rfc3339(),
            countries: found.countries.clone(),
        };
        Report {
            starts: self.tried.values().map(|it| it.starts).sum(),
            refused: self.tried.values().map(|it| it.refused).sum(),
            untried: self.untried,
            rules: self.found.iter().map(finding).collect(),
        }
    }

    /// Asks for a start once more.
    async fn start(&mut self, begun: &Verification) -> Result<(), Fault> {
        let now = begun.created_at;
        self.catch_up(now).await?;
        let within = now >= self.range.from;
        let Some(tried) = self.tried.get_mut(&begun.tenant) else {
            self.untried += u64::from(within);
            return Ok(());
        };
        let approved = (begun.status() == Status::Approved).then(|| begun.settled_at()).flatten();
        let request = &begun.request;
        let safe = tried.safe.iter().any(|(number, until)| *number == request.to && now < *until);
        let who = Who::of(&self.vault, &begun.tenant, request).safely(safe);
        if now >= self.counted {
            tried.starts += u64::from(within);
            if let Some(rule) = standing(request, &tried.rules) {
                tried.refused += u64::from(within);
                self.note(begun, (rule, None, true));
                return Ok(());
            }
            let limits = tried.limits.clone();
            let judged = count_against(&self.store, &limits, now, &who, false).await?;
            let Judged { outcome, recorded } = judged;
            for limited in &recorded {
                self.note(begun, named(&limits, limited, false));
            }
            if let Err(limited) = outcome {
                if let Some(tried) = self.tried.get_mut(&begun.tenant) {
                    tried.refused += u64::from(within);
                }
                self.note(begun, named(&limits, &limited, true));
                return Ok(());
            }
        }
        self.numbered += 1;
        let again = u32::from(begun.sends.saturating_sub(1));
        self.waiting.insert(self.numbered, (begun.tenant.clone(), who, again));
        // Whatever is asked for is asked for before it is approved; when, is known of the last.
        let last = approved.or(Some(begun.sent_at).filter(|_| again > 0));
        let what = if approved.is_some() { After::Approved } else { After::Sent };
        match last {
            Some(at) => self.after.push(Reverse((at.max(now), what, self.numbered))),
            None => drop(self.waiting.remove(&self.numbered)),
        }
        if approved.is_some() && again > 0 {
            self.after.push(Reverse((begun.sent_at.max(now), After::Sent, self.numbered)));
        }
        Ok(())
    }

    /// Does what has followed on earlier starts until now.
    async fn catch_up(&mut self, now: Timestamp) -> Result<(), Fault> {
        while let Some(Reverse((at, what, number))) = self.after.peek().copied()
            && at <= now
        {
            self.after.pop();
            let Some((tenant, who, again)) = self.waiting.get(&number) else { continue };
            let Some(tried) = self.tried.get(tenant) else { continue };
            match what {
                After::Sent => {
                    let limits = tried.limits.of_sends();
                    for _ in 0..*again {
                        let _ = count_against(&self.store, &limits, at, who, false).await?;
                    }
                }
                After::Approved => {
                    let (back, add) = tried.limits.approval(at, who);
                    let back = back.iter().map(|it| adding(it, -1));
                    let counters: Vec<_> = back.chain(add.iter().map(|it| adding(it, 1))).collect();
                    let _ = tally(&self.store, at, &counters).await?;
                    self.waiting.remove(&number);
                }
            }
        }
        Ok(())
    }

    /// Notes what a rule says of a start that is in the range.
    fn note(
        &mut self,
        begun: &Verification,
        (rule, limit, refuses): (String, Option<String>, bool),
    ) {
        let at = begun.created_at;
        if at < self.range.from {
            return;
        }
        let name = (begun.tenant.clone(), rule, limit, refuses);
        let none = || Found { count: 0, first: at, last: at, countries: BTreeMap::new() };
        let found = self.found.entry(name).or_insert_with(none);
        found.count += 1;
        found.last = at;
        *found.countries.entry(begun.request.to.country().to_string()).or_default() += 1;
    }
}

/// The first rule that refuses a number whatever has happened before, as [`decide`](crate::verify::policy::decide)
/// asks them.
fn standing(request: &Request, rules: &Rules) -> Option<String> {
    request.ways().map(|way| way.channel).find_map(|channel| {
        let mut refusing = Standing::ALL.into_iter();
        let rule = refusing.find(|rule| rule.refuses(&request.to, channel, rules).is_some())?;
        Some(format!("{}/{}", rule.as_str(), channel.as_str()))
    })
}

/// A limit, as it is written: where people are verified it allows more than that.
fn named(limits: &Limits, limited: &Limited, refuses: bool) -> (String, Option<String>, bool) {
    let Limited { by, rate, .. } = *limited;
    let mut written =
        limits.rates.iter().filter(|(other, it)| *other == by && it.window == rate.window);
    let written = written.next().map_or(rate, |(_, rate)| *rate);
    (format!("limit/{}", by.as_str()), Some(written.to_string()), refuses)
}
