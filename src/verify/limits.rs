//! How often: limits per number, person, client address, prefix, country and tenant, in sliding
//! windows.
//!
//! A limit counts either every start, or only those that were not approved: people who sign in are
//! not slowed down, numbers that nobody answers are. Which counters a start needs is computed by
//! [`Limits::needs`], counted by whoever keeps them, all together or none, and read by
//! [`Limits::judge`].
//!
//! | by | counts | default |
//! |---|---|---|
//! | number | starts and further attempts | 5 in 10 minutes, 10 an hour, 20 a day |
//! | subject | unverified | 3 in 10 minutes, and then a pause of 1, 5 and 60 minutes after each |
//! | client address | unverified | 5 an hour, 10 a day |
//! | prefix (the number without its last four digits) | unverified | 5 an hour, 20 a day |
//! | country | unverified | 3 an hour, 20 a day; more where people are verified |
//! | tenant | starts and further attempts | 10 a second, 1,000 a day |

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use super::code::Vault;
use super::request::Request;
use crate::ambient::Timestamp;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// How many days back the best day is looked for.
const DAYS: usize = 14;

/// How long a day's count of approvals is kept: until it is no longer one of [`DAYS`].
const KEPT: Duration = Duration::from_secs(16 * 86_400);

/// What a limit counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// The number.
    Number,
    /// The caller's name for the person.
    Subject,
    /// The address that the person signs in from; of IPv6 its /64.
    ClientIp,
    /// The number without its last four digits.
    Prefix,
    /// The number's country.
    Country,
    /// The tenant.
    Tenant,
}

impl By {
    /// All of them, the narrowest first.
    pub const ALL: [Self; 6] =
        [Self::Number, Self::Subject, Self::ClientIp, Self::Prefix, Self::Country, Self::Tenant];

    /// Its word in configuration, answers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Subject => "subject",
            Self::ClientIp => "client_ip",
            Self::Prefix => "prefix",
            Self::Country => "country",
            Self::Tenant => "tenant",
        }
    }

    /// Whether an approval gives back what its start counted.
    const fn counts_unverified(self) -> bool {
        match self {
            Self::Number | Self::Tenant => false,
            Self::Subject | Self::ClientIp | Self::Prefix | Self::Country => true,
        }
    }

    /// Whether more is allowed where many are verified.
    const fn adapts(self) -> bool {
        match self {
            Self::ClientIp | Self::Country => true,
            Self::Number | Self::Subject | Self::Prefix | Self::Tenant => false,
        }
    }
}

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub most: u64,
    /// In how long.
    pub window: Duration,
}

impl Rate {
    /// So many in so long.
    #[must_use]
    pub const fn new(most: u64, window: Duration) -> Self {
        Self { most, window }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.window.as_secs();
        let (count, unit) = match seconds {
            s if s % 86_400 == 0 => (s / 86_400, "d"),
            s if s % 3_600 == 0 => (s / 3_600, "h"),
            s if s % 60 == 0 => (s / 60, "m"),
            s => (s, "s"),
        };
        if count == 1 {
            write!(f, "{}/{unit}", self.most)
        } else {
            write!(f, "{}/{count}{unit}", self.most)
        }
    }
}

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "write how many in how long, as \"5/10m\", \"10/h\" or \"1000/d\": s, m, h, d; at most 30 days"
)]
pub struct NoRate;

impl FromStr for Rate {
    type Err = NoRate;

    fn from_str(text: &str) -> Result<Self, NoRate> {
        let (most, window) = text.split_once('/').ok_or(NoRate)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let unit = window.chars().last().ok_or(NoRate)?;
        let count = window.strip_suffix(unit).ok_or(NoRate)?;
        if !digits(most) || !(count.is_empty() || digits(count)) {
            return Err(NoRate);
        }
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(NoRate),
        };
        let count: u64 = if count.is_empty() { 1 } else { count.parse().map_err(|_| NoRate)? };
        let window = seconds.checked_mul(count).filter(|it| (1..=30 * 86_400).contains(it));
        let window = Duration::from_secs(window.ok_or(NoRate)?);
        Ok(Self { most: most.parse().map_err(|_| NoRate)?, window })
    }
}

/// Reads a span of time as rates have it: `90s`, `5m`, `h`.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    format!("1/{text}").parse::<Rate>().ok().map(|rate| rate.window)
}

/// The limits of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The rates, each with what it counts by.
    pub rates: Vec<(By, Rate)>,
    /// Which of them only count, and tell what they would have refused.
    pub record_only: Vec<By>,
    /// How long a subject that has had as many unverified starts as its first rate allows must be left
    /// alone after the last of them: for the first time, the second, and so on. Without them that rate is
    /// as any other.
    pub pauses: Vec<Duration>,
    /// Whether conversion blocks nothing, and only tells what it would have blocked.
    pub record_conversion: bool,
}

impl Limits {
    /// Those of the table above.
    #[must_use]
    pub fn standard() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        let rates = vec![
            (By::Number, Rate::new(5, minutes(10))),
            (By::Number, Rate::new(10, HOUR)),
            (By::Number, Rate::new(20, DAY)),
            (By::Subject, Rate::new(3, minutes(10))),
            (By::ClientIp, Rate::new(5, HOUR)),
            (By::ClientIp, Rate::new(10, DAY)),
            (By::Prefix, Rate::new(5, HOUR)),
            (By::Prefix, Rate::new(20, DAY)),
            (By::Country, Rate::new(3, HOUR)),
            (By::Country, Rate::new(20, DAY)),
            (By::Tenant, Rate::new(10, Duration::from_secs(1))),
            (By::Tenant, Rate::new(1_000, DAY)),
        ];
        let pauses = vec![minutes(1), minutes(5), HOUR];
        Self { rates, pauses, ..Self::default() }
    }

    /// Those that count whatever is sent, and so another attempt as well; what counts unverified
    /// verifications has counted this one.
    #[must_use]
    pub fn of_sends(&self) -> Self {
        let rates = self.rates.iter().filter(|(by, _)| !by.counts_unverified());
        Self { rates: rates.copied().collect(), ..self.clone() }
    }

    /// The counters of approvals that [`needs`](Self::needs) wants to know first.
    #[must_use]
    pub fn history(&self, now: Timestamp, who: &Who) -> Vec<Counter> {
        let adapting = By::ALL.into_iter().filter(|by| self.adapts(*by));
        let named = adapting.filter_map(|by| Some((by, who.name(by)?)));
        let mut counters: Vec<_> = named.flat_map(|(by, name)| history(now, by, name)).collect();
        if let (Some(rate), Some(name)) = (self.patience(), who.name(By::Subject)) {
            let key = counted(By::Subject, name);
            counters.push(Counter { key, window: rate.window });
        }
        counters
    }

    /// How many unverified starts of a subject need no pause. They are remembered for twice as long as
    /// the longest pause, or that would end by itself.
    fn patience(&self) -> Option<Rate> {
        let longest = self.pauses.iter().max()?.saturating_mul(2);
        let (_, rate) = self.rates.iter().find(|(by, _)| *by == By::Subject)?;
        Some(Rate { window: rate.window.max(longest), ..*rate })
    }

    /// The rates that count by this as they are written: the first of a subject may count by pauses.
    fn plain(&self, by: By) -> impl Iterator<Item = Rate> + '_ {
        let paused = by == By::Subject && self.patience().is_some();
        let rates = self.rates.iter().filter(move |(other, _)| *other == by);
        rates.map(|(_, rate)| *rate).skip(usize::from(paused))
    }

    /// Every window that counts by this.
    fn windows(&self, by: By) -> Vec<Duration> {
        let mut windows: Vec<_> = self.plain(by).map(|rate| rate.window).collect();
        if let (By::Subject, Some(rate)) = (by, self.patience()) {
            windows.push(rate.window);
            windows.extend(&self.pauses);
        }
        windows
    }

    /// What a subject must keep that has had so many unverified starts: their number in all, so that of
    /// several at once no more come through, and the pause after the last of them.
    fn paused(&self, name: &str, patience: Rate, unverified: u64) -> Vec<Need> {
        let last = self.pauses.len().saturating_sub(1);
        let step = |over: u64| usize::try_from(over).unwrap_or(last).min(last);
        let due = unverified.checked_sub(patience.most).map(step);
        let enforced = !self.record_only.contains(&By::Subject);
        let need = |most, window, wait| Need {
            by: By::Subject,
            rate: Rate { most, window },
            enforced,
            counter: Counter { key: counted(By::Subject, name), window },
            wait,
        };
        let most = patience.most.max(unverified.saturating_add(1));
        let wait = self.pauses.get(due.unwrap_or(0)).copied();
        let mut needs = vec![need(most, patience.window, wait)];
        needs.extend(self.pauses.iter().enumerate().map(|(n, pause)| {
            // The others only count, to be asked when it is their turn.
            need(if due == Some(n) { 1 } else { u64::MAX }, *pause, None)
        }));
        needs
    }

    /// The longest time that any of them looks back; approvals are looked back at for longer.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let windows = By::ALL.into_iter().flat_map(|by| self.windows(by));
        windows.max().unwrap_or_default()
    }

    fn adapts(&self, by: By) -> bool {
        by.adapts() && self.rates.iter().any(|(other, _)| *other == by)
    }

    /// What a start must count, given how many were approved: the counts of
    /// [`history`](Self::history), in its order.
    #[must_use]
    pub fn needs(&self, who: &Who, history: &[u64]) -> Vec<Need> {
        let mut verified = history;
        let mut needs = Vec::with_capacity(self.rates.len());
        for by in By::ALL {
            let Some(name) = who.name(by) else { continue };
            let known = if self.adapts(by) { remembered(by) } else { 0 };
            let (of_this, others) = verified.split_at_checked(known).unwrap_or((&[], verified));
            verified = others;
            let verified = Verified::read(by, of_this);
            if let (By::Subject, Some(patience)) = (by, self.patience()) {
                let unverified = history.last().copied().unwrap_or(0);
                needs.extend(self.paused(name, patience, unverified));
            }
            for rate in self.plain(by) {
                let most = allowed(by, rate, self, &verified);
                let enforced = !self.record_only.contains(&by);
                let counter = Counter { key: counted(by, name), window: rate.window };
                needs.push(Need { by, rate: Rate { most, ..rate }, enforced, counter, wait: None });
            }
        }
        needs
    }

    /// What an approval gives back, and what it adds to the history of approvals.
    #[must_use]
    pub fn approval(&self, now: Timestamp, who: &Who) -> (Vec<Counter>, Vec<Counter>) {
        let (mut back, mut add) = (Vec::new(), Vec::new());
        for by in By::ALL {
            let Some(name) = who.name(by) else { continue };
            if by.counts_unverified() {
                let windows = self.windows(by).into_iter();
                back.extend(windows.map(|window| Counter { key: counted(by, name), window }));
            }
            if self.adapts(by) {
                let lately = remembered(by) - older(by);
                add.extend(history(now, by, name).into_iter().take(lately));
            }
        }
        (back, add)
    }
}

/// How many were approved.
struct Verified {
    /// In the last hour.
    hour: u64,
    /// Today and yesterday.
    lately: u64,
    /// On the best of the last days.
    best: u64,
}

impl Verified {
    /// From the counts of [`history`], in their order.
    fn read(by: By, counts: &[u64]) -> Self {
        let (hour, days) = match counts.split_first() {
            Some((hour, days)) if by == By::Country => (*hour, days),
            Some(_) | None => (0, counts),
        };
        let days = || days.iter().copied();
        Self { hour, lately: days().take(2).sum(), best: days().max().unwrap_or(0) }
    }
}

/// How many a rate allows where so many were approved. In a day, an address may have as many
/// unverified as a fifth of its verified, and a country also a fifth of those of its best day; in an hour a
/// country may have a sixth of that, or a fifth of those verified in that hour.
fn allowed(by: By, rate: Rate, limits: &Limits, verified: &Verified) -> u64 {
    let daily = |most: u64| match by {
        By::ClientIp => most.max(verified.lately / 5),
        By::Country => most.max(verified.best / 5).max(verified.lately / 5),
        By::Number | By::Subject | By::Prefix | By::Tenant => most,
    };
    if rate.window >= DAY {
        return daily(rate.most);
    }
    let of_day = limits.rates.iter().find(|(other, rate)| *other == by && rate.window >= DAY);
    match (by, of_day) {
        (By::Country, Some((_, of_day))) => {
            rate.most.max(daily(of_day.most) / 6).max(verified.hour / 5)
        }
        _ => rate.most,
    }
}

/// How many days before today it is remembered how many were approved.
const fn older(by: By) -> usize {
    match by {
        By::Country => DAYS - 1,
        By::Number | By::Subject | By::ClientIp | By::Prefix | By::Tenant => 1,
    }
}

/// How many counters of approvals there are.
const fn remembered(by: By) -> usize {
    match by {
        // With the last hour.
        By::Country => older(by) + 2,
        By::Number | By::Subject | By::ClientIp | By::Prefix | By::Tenant => older(by) + 1,
    }
}

/// The counters of approvals: of a country in the last hour, and then of each of the days that count, today's
/// first.
fn history(now: Timestamp, by: By, name: &str) -> Vec<Counter> {
    let key = |of: &str| format!("verified/{}/{name}/{of}", by.as_str());
    let today = now.as_micros() / 86_400_000_000;
    let day = |back| Counter { key: key(&today.saturating_sub(back).to_string()), window: KEPT };
    let hour = (by == By::Country).then(|| Counter { key: key("hour"), window: HOUR });
    let days = (0..).map(day).take(older(by) + 1);
    hour.into_iter().chain(days).collect()
}

fn counted(by: By, name: &str) -> String {
    format!("limit/{}/{name}", by.as_str())
}

/// Names a counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What is counted; numbers and addresses in it are keyed hashes.
    pub key: String,
    /// How far back.
    pub window: Duration,
}

/// One limit that a start must keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// What it counts by.
    pub by: By,
    /// What it allows.
    pub rate: Rate,
    /// Whether it refuses, or only tells.
    pub enforced: bool,
    /// Its counter, to which the start adds one.
    pub counter: Counter,
    /// After how long it is worth trying again at the latest, whatever the counter says.
    pub wait: Option<Duration>,
}

/// What a counter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// How much, with this start where it was counted.
    pub counted: u64,
    /// When there is room for another; `None` for never.
    pub room_at: Option<Timestamp>,
}

/// A limit that stands against a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} allows {rate} and has had {counted}", .by.as_str())]
pub struct Limited {
    /// What it counts by.
    pub by: By,
    /// What it allows.
    pub rate: Rate,
    /// How many there were.
    pub counted: u64,
    /// How long until it allows another, in whole seconds, rounded up; `None` for never.
    pub wait: Option<Duration>,
}

/// What is left of the tightest limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// What it counts by.
    pub by: By,
    /// What it allows.
    pub rate: Rate,
    /// How many more.
    pub more: u64,
}

/// What counting came to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Judged {
    /// What is left, or the limit that allows another start last.
    pub outcome: Result<Option<Left>, Limited>,
    /// Those that would have refused, if they did more than count.
    pub recorded: Vec<Limited>,
}

impl Limits {
    /// What the counts of these needs, in their order, mean.
    pub fn judge(now: Timestamp, needs: &[Need], granted: bool, counts: &[Count]) -> Judged {
        let mut judged = Judged { outcome: Ok(None), recorded: Vec::new() };
        for (need, count) in needs.iter().zip(counts) {
            let Need { by, rate, enforced, .. } = *need;
            let wait = need.until(now, count);
            let limited = Limited { by, rate, counted: count.counted, wait };
            if enforced && granted {
                let more = rate.most.saturating_sub(count.counted);
                judged.leave(Left { by, rate, more });
            } else if enforced && count.room_at.is_none_or(|at| at > now) {
                judged.refuse(limited);
            } else if !enforced && granted && count.counted > rate.most {
                // What only records was counted all the same.
                judged.recorded.push(limited);
            }
        }
        judged
    }
}

impl Need {
    /// How long until there is room, in whole seconds; `None` for never.
    #[must_use]
    pub fn until(&self, now: Timestamp, count: &Count) -> Option<Duration> {
        let wait = count.room_at.map(|at| whole_seconds(at.since(now)))?;
        Some(self.wait.map_or(wait, |most| wait.min(most)))
    }
}

impl Judged {
    /// Of several limits that stand against it, the last to give way is told: before that, asking
    /// again is useless.
    fn refuse(&mut self, limited: Limited) {
        let last = |it: &Limited| it.wait.unwrap_or(Duration::MAX);
        match &self.outcome {
            Err(other) if last(other) >= last(&limited) => {}
            Ok(_) | Err(_) => self.outcome = Err(limited),
        }
    }

    fn leave(&mut self, left: Left) {
        if let Ok(tightest) = &mut self.outcome
            && tightest.is_none_or(|other| other.more > left.more)
        {
            *tightest = Some(left);
        }
    }
}

fn whole_seconds(span: Duration) -> Duration {
    Duration::from_secs(span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

/// Whom a start is counted for: keyed hashes of all that is somebody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    tenant: String,
    number: String,
    prefix: String,
    country: String,
    subject: Option<String>,
    client_ip: Option<String>,
    /// The number is safe: it is no part of its range, its country and the place it signs in from.
    safe: bool,
}

impl Who {
    /// Those of a request of this tenant.
    #[must_use]
    pub fn of(vault: &Vault, tenant: &str, request: &Request) -> Self {
        let digits = request.to.expose();
        let prefix = digits.get(..digits.len().saturating_sub(4)).unwrap_or(digits);
        let name = |kind: &str, value: &str| vault.counted(tenant, kind, value);
        Self {
            tenant: tenant.to_owned(),
            number: name("number", digits),
            prefix: name("prefix", prefix),
            country: format!("{tenant}/{}", request.to.country()),
            subject: request.subject.as_deref().map(|subject| name("subject", subject)),
            client_ip: request.client_ip.map(|ip| name("client_ip", &network(ip))),
            safe: false,
        }
    }

    /// The same, of a number that is or is not safe: one that is has its own limits and its tenant's.
    #[must_use]
    pub fn safely(self, safe: bool) -> Self {
        Self { safe, ..self }
    }

    /// The name of its range among this tenant's: a keyed hash.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn name(&self, by: By) -> Option<&str> {
        match by {
            By::ClientIp | By::Prefix | By::Country if self.safe => None,
            By::Number => Some(&self.number),
            By::Subject => self.subject.as_deref(),
            By::ClientIp => self.client_ip.as_deref(),
            By::Prefix => Some(&self.prefix),
            By::Country => Some(&self.country),
            By::Tenant => Some(&self.tenant),
        }
    }
}

/// Where somebody is: whoever has an IPv6 address has the other 2^64 of its network as well.
#[must_use]
pub fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(20_000 * 86_400 + 86_399);

    fn who() -> Who {
        Who {
            tenant: "acme".into(),
            number: "n".into(),
            prefix: "p".into(),
            country: "acme/US".into(),
            subject: Some("s".into()),
            client_ip: Some("i".into()),
            safe: false,
        }
    }

    /// Counters, as name and window.
    fn names(counters: &[Counter]) -> Vec<String> {
        counters.iter().map(|it| format!("{} {}", it.key, it.window.as_secs())).collect()
    }

    #[test]
    fn rates_are_written_as_people_say_them() {
        for (text, most, secs) in [
            ("5/10m", 5, 600),
            ("10/h", 10, 3_600),
            ("1000/d", 1_000, 86_400),
            ("3/2s", 3, 2),
            ("7/30d", 7, 30 * 86_400),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate, Rate::new(most, Duration::from_secs(secs)));
            assert_eq!(rate.to_string(), text);
        }
        let wrong = [
            "", "5", "5/", "/h", "5/0s", "-1/h", "+5/h", "5/+1h", "5/31d", "5/1w", "5 /h",
            "5/hour", "5/ä",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Rate>(), Err(NoRate), "{text:?}");
        }
    }

    #[test]
    fn a_subject_that_does_not_answer_is_left_alone_for_longer_and_longer() {
        let limits = Limits::standard();
        let patience = limits.patience().unwrap();
        assert_eq!(patience, Rate::new(3, 2 * HOUR));
        let active = |unverified| {
            let needs = limits.paused("n", patience, unverified);
            assert_eq!(needs.len(), 4);
            assert_eq!(needs[0].rate.most, 3.max(unverified + 1));
            let due = needs[1..].iter().filter(|need| need.rate.most == 1);
            due.map(|need| need.rate.window.as_secs()).collect::<Vec<_>>()
        };
        for (unverified, pause) in [
            (0, None),
            (2, None),
            (3, Some(60)),
            (4, Some(300)),
            (5, Some(3_600)),
            (9, Some(3_600)),
        ] {
            assert_eq!(active(unverified), Vec::from_iter(pause), "{unverified}");
        }
        let hard = Limits { pauses: Vec::new(), ..limits };
        assert_eq!(hard.windows(By::Subject), [Duration::from_secs(600)]);
        assert_eq!(hard.patience(), None);
        assert_eq!(span("90s"), Some(Duration::from_secs(90)));
        assert_eq!(span("h"), Some(HOUR));
        assert_eq!((span("1w"), span("")), (None, None));
    }

    #[test]
    fn an_address_of_ipv6_is_its_network() {
        let network = |ip: &str| network(ip.parse().unwrap());
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn a_country_may_have_more_where_people_are_verified() {
        let limits = Limits::standard();
        let (hour, day) = (Rate::new(3, HOUR), Rate::new(20, DAY));
        let allowed = |rate, counts: &[u64]| {
            allowed(By::Country, rate, &limits, &Verified::read(By::Country, counts))
        };
        assert_eq!((allowed(hour, &[]), allowed(day, &[])), (3, 20));
        // The best day had 900: a fifth of it in a day, and a sixth of that in an hour.
        let best = [0, 0, 0, 900];
        assert_eq!((allowed(hour, &best), allowed(day, &best)), (30, 180));
        // Twice as many as ever: today counts with yesterday.
        assert_eq!(allowed(day, &[0, 1_800, 900]), 540);
        assert_eq!(allowed(hour, &[0, 10, 10]), 3, "20 / 6");
        assert_eq!(allowed(hour, &[40, 40]), 8, "of 48, 40 are verified");
    }

    #[test]
    fn an_address_may_have_more_where_people_are_verified_and_not_all_at_once() {
        let limits = Limits::standard();
        let lately = Verified::read(By::ClientIp, &[100, 50]);
        let allowed = |by, most, window| allowed(by, Rate::new(most, window), &limits, &lately);
        assert_eq!(allowed(By::ClientIp, 10, DAY), 30, "a fifth of today's and yesterday's");
        assert_eq!(allowed(By::ClientIp, 5, HOUR), 5);
        assert_eq!(allowed(By::Prefix, 20, DAY), 20);
    }

    #[test]
    fn the_hour_of_a_country_is_measured_by_its_own_day() {
        let rates = vec![
            (By::Number, Rate::new(300, DAY)),
            (By::Country, Rate::new(3, HOUR)),
            (By::Country, Rate::new(60, DAY)),
        ];
        let mut limits = Limits { rates, ..Limits::default() };
        let hour = Rate::new(3, HOUR);
        assert_eq!(allowed(By::Country, hour, &limits, &Verified::read(By::Country, &[])), 10);
        limits.rates.truncate(2);
        assert_eq!(allowed(By::Country, hour, &limits, &Verified::read(By::Country, &[0, 900])), 3);
    }

    #[test]
    fn a_start_is_counted_once_under_each_name_and_window() {
        let limits = Limits { record_only: vec![By::Subject, By::Country], ..Limits::standard() };
        let needs = limits.needs(&who(), &[]);
        let written = |needs: &[Need]| {
            let asked = needs.iter().filter(|need| need.rate.most < u64::MAX);
            asked.map(|need| format!("{} {}", need.counter.key, need.rate)).collect::<Vec<_>>()
        };
        assert_eq!(
            written(&needs),
            [
                "limit/number/n 5/10m",
                "limit/number/n 10/h",
                "limit/number/n 20/d",
                "limit/subject/s 3/2h",
                "limit/client_ip/i 5/h",
                "limit/client_ip/i 10/d",
                "limit/prefix/p 5/h",
                "limit/prefix/p 20/d",
                "limit/country/acme/US 3/h",
                "limit/country/acme/US 20/d",
                "limit/tenant/acme 10/s",
                "limit/tenant/acme 1000/d",
            ]
        );
        for need in &needs {
            assert_eq!(need.counter.window, need.rate.window);
            assert_eq!(need.enforced, ![By::Subject, By::Country].contains(&need.by), "{need:?}");
        }
        assert_eq!((limits.longest(), Limits::default().longest()), (DAY, Duration::ZERO));
        // What a further attempt counts, and what a number that is safe is counted for.
        let sends = limits.of_sends();
        assert!(sends.rates.iter().all(|(by, _)| [By::Number, By::Tenant].contains(by)));
        assert_eq!((sends.rates.len(), &sends.record_only), (5, &limits.record_only));
        let safe = limits.needs(&who().safely(true), &[]);
        assert_eq!(written(&safe).len(), 6);
        assert!(safe.iter().all(|it| [By::Number, By::Subject, By::Tenant].contains(&it.by)));
    }

    #[test]
    fn what_was_verified_is_known_by_the_hour_and_by_the_day() {
        let limits = Limits::standard();
        let history = names(&limits.history(NOW, &who()));
        assert_eq!(history.len(), 2 + 15 + 1);
        assert_eq!(history[0], "verified/client_ip/i/20000 1382400");
        assert_eq!(history[1], "verified/client_ip/i/19999 1382400");
        assert_eq!(history[2], "verified/country/acme/US/hour 3600");
        assert_eq!(history[3], "verified/country/acme/US/20000 1382400");
        assert_eq!(history[16], "verified/country/acme/US/19987 1382400");
        assert_eq!(history[17], "limit/subject/s 7200");
        let morning = Timestamp::from_secs(20_000 * 86_400);
        assert_eq!(names(&limits.history(morning, &who())), history);
        let tomorrow = names(&limits.history(NOW + Duration::from_secs(1), &who()));
        assert_eq!(tomorrow[4..17], history[3..16]);
        // Only what has a limit that adapts, and a name.
        let rates = vec![(By::ClientIp, Rate::new(5, HOUR)), (By::Number, Rate::new(5, HOUR))];
        let few = Limits { rates, ..Limits::default() };
        assert_eq!(names(&few.history(NOW, &who())), history[..2]);
        assert_eq!(few.history(NOW, &Who { client_ip: None, ..who() }), []);
        // It is read in that order.
        let mut counts = vec![0; 2 + 15 + 1];
        (counts[0], counts[1], counts[17]) = (100, 50, 4);
        let needs = limits.needs(&who(), &counts);
        let most = |by, secs| {
            let mut all = needs.iter().filter(|it| it.by == by && it.rate.window.as_secs() == secs);
            all.next().unwrap().rate.most
        };
        assert_eq!((most(By::ClientIp, 3_600), most(By::ClientIp, 86_400)), (5, 30));
        assert_eq!(most(By::Country, 86_400), 20);
        assert_eq!((most(By::Subject, 300), most(By::Subject, 60)), (1, u64::MAX));
    }

    #[test]
    fn an_approval_gives_back_what_counts_unverified_and_is_remembered() {
        let (back, add) = Limits::standard().approval(NOW, &who());
        assert_eq!(
            names(&back),
            [
                "limit/subject/s 7200",
                "limit/subject/s 60",
                "limit/subject/s 300",
                "limit/subject/s 3600",
                "limit/client_ip/i 3600",
                "limit/client_ip/i 86400",
                "limit/prefix/p 3600",
                "limit/prefix/p 86400",
                "limit/country/acme/US 3600",
                "limit/country/acme/US 86400",
            ]
        );
        assert_eq!(
            names(&add),
            [
                "verified/client_ip/i/20000 1382400",
                "verified/country/acme/US/hour 3600",
                "verified/country/acme/US/20000 1382400",
            ]
        );
    }

    #[test]
    fn numbers_of_one_range_share_a_name_that_nobody_can_read() {
        let vault = Vault::of("a key of tests");
        let who = |tenant: &str, to: &str| Who::of(&vault, tenant, &request(to));
        let (one, other) = (who("acme", "+14155550132"), who("acme", "+14155550199"));
        assert_ne!(one.name(By::Number), other.name(By::Number));
        assert_eq!(one.prefix(), other.prefix());
        assert_eq!(one.prefix(), vault.counted("acme", "prefix", "+1415555"));
        assert_eq!(one.name(By::Prefix), Some(one.prefix()));
        assert_ne!(one.prefix(), who("other", "+14155550132").prefix());
        assert_eq!((one.name(By::Country), one.name(By::Tenant)), (Some("acme/US"), Some("acme")));
        assert_eq!((one.name(By::Subject), one.name(By::ClientIp)), (None, None));
        let client_ip = Some("2001:db8:1:2::9".parse().unwrap());
        let named = Who::of(&vault, "acme", &Request { client_ip, ..request("+14155550132") });
        let ip = vault.counted("acme", "client_ip", "2001:db8:1:2::/64");
        assert_eq!(named.name(By::ClientIp), Some(ip.as_str()));
    }

    fn need(by: By, most: u64, enforced: bool) -> Need {
        let counter = Counter { key: String::new(), window: HOUR };
        Need { by, rate: Rate::new(most, HOUR), enforced, counter, wait: None }
    }

    /// So many, and room for another after so many milliseconds.
    fn count(counted: u64, room: Option<u64>) -> Count {
        Count { counted, room_at: room.map(|millis| NOW + Duration::from_millis(millis)) }
    }

    #[test]
    fn what_is_left_is_that_of_the_tightest_limit() {
        let needs = [
            need(By::Number, 5, true),
            need(By::Tenant, 10, true),
            need(By::Prefix, 4, true),
            need(By::Country, 3, false),
        ];
        let counts = [2, 9, 3, 3].map(|counted| count(counted, Some(0)));
        let judged = Limits::judge(NOW, &needs, true, &counts);
        let left = Left { by: By::Tenant, rate: needs[1].rate, more: 1 };
        assert_eq!(judged, Judged { outcome: Ok(Some(left)), recorded: vec![] });
        // What only records is counted, and told once it is passed.
        let counts = [2, 9, 3, 4].map(|counted| count(counted, Some(0)));
        let judged = Limits::judge(NOW, &needs, true, &counts);
        assert_eq!(judged.outcome, Ok(Some(left)));
        let [only] = judged.recorded[..] else { panic!("{judged:?}") };
        assert_eq!((only.by, only.counted), (By::Country, 4));
        // Where nothing was counted, nothing was passed.
        let judged = Limits::judge(NOW, &needs[3..], false, &counts[3..]);
        assert_eq!(judged, Judged { outcome: Ok(None), recorded: vec![] });
    }

    #[test]
    fn of_limits_that_refuse_the_last_to_give_way_is_told() {
        let needs = [
            need(By::Number, 5, true),
            need(By::Tenant, 10, true),
            need(By::Prefix, 4, true),
            need(By::Country, 3, true),
        ];
        let refused = |rooms: [Option<u64>; 4]| {
            let counts = rooms.map(|room| count(7, room));
            let judged = Limits::judge(NOW, &needs, false, &counts);
            judged.outcome.map_err(|it| (it.by, it.counted, it.wait))
        };
        let secs = |secs| Some(Duration::from_secs(secs));
        let [now, soon, later] = [Some(0), Some(1_000), Some(2_001)];
        assert_eq!(refused([now, now, now, now]), Ok(None));
        assert_eq!(refused([now, soon, later, later]), Err((By::Prefix, 7, secs(3))));
        assert_eq!(refused([later, soon, now, now]), Err((By::Number, 7, secs(3))));
        assert_eq!(refused([soon, None, later, None]), Err((By::Tenant, 7, None)));
    }

    #[test]
    fn a_pause_is_waited_for_and_not_the_memory_of_it() {
        let paused = Need { wait: Some(HOUR), ..need(By::Subject, 3, true) };
        let secs = |secs| Some(Duration::from_secs(secs));
        assert_eq!(paused.until(NOW, &count(3, Some(7_200_000))), secs(3_600));
        assert_eq!(paused.until(NOW, &count(3, Some(60_000))), secs(60));
        assert_eq!(paused.until(NOW, &count(3, None)), None);
        assert_eq!(need(By::Subject, 3, true).until(NOW, &count(3, Some(59_001))), secs(60));
    }
}
