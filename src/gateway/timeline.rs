//! What happened in a verification, from its first moment to its last, in words for people.
//!
//! It is put together when it is asked for: from the record of the verification, from the course of
//! each call of ours, and from what became of the deliveries of its verdict.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::course::{Course, What};
use super::search::Row;
use super::settings::Tenant;
use super::tries::Try;
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::verify::attempt::Attempt;
use crate::verify::request::Channel;
use crate::verify::signal::{Cause, Press, Reason, Verdict};
use crate::verify::{Verification, VerificationId, plain, policy};

/// What happened in a verification, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// The verification.
    #[schema(example = "vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE")]
    pub id: String,
    /// When it was started: the times of what happened count from here.
    #[schema(format = DateTime, example = "2026-11-24T18:49:43.123Z")]
    pub created_at: String,
    /// How it stands.
    #[schema(example = "failed")]
    pub status: String,
    /// Why it ended, in a sentence for people; null while it is pending.
    #[schema(required, example = "The line was busy.")]
    pub why: Option<String>,
    /// What happened, the first of it first. While it is pending, what is known so far: of a call that another
    /// node has, the messages and keys are known when it has ended.
    pub entries: Vec<Entry>,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// When, in milliseconds from the start of the verification.
    #[schema(example = 1_520)]
    pub ms: u64,
    /// In which attempt, from 1; null where it concerns all.
    #[schema(required, minimum = 1, example = 1)]
    pub attempt: Option<u32>,
    /// What it is: `request`, `policy`, `route`, `attempt`, `placed`, `sip`, `ringing`, `answered`, `media` (the first
    /// packet that way), `dialling`, `said`, `listening`, `key`, `label`, `delivered`, `ended`, `verdict` or
    /// `webhook`. More words may be added.
    #[schema(example = "ringing")]
    pub kind: String,
    /// The same for people.
    #[schema(example = "The phone rings (180).")]
    pub text: String,
    /// The SIP message, where it is one: numbers, credentials, keys of media and what was pressed are overwritten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub message: Option<String>,
}

/// What an operator is shown besides.
#[derive(Debug, Serialize)]
pub struct Told {
    /// The same as its tenant is told, and what that is not.
    #[serde(flatten)]
    pub timeline: Timeline,
    /// What it is about.
    pub about: Row,
    /// How its calls went, for whoever draws them.
    pub courses: Vec<Course>,
}

/// Entries that are being gathered.
struct Gathered {
    from: Timestamp,
    entries: Vec<(Timestamp, Entry)>,
}

impl Gateway {
    /// What happened in a verification of this tenant. `None`: it has none of that name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn timeline(
        &self,
        tenant: &Tenant,
        id: &VerificationId,
    ) -> Result<Option<Timeline>, Fault> {
        let Some(found) = self.read(tenant, id).await? else { return Ok(None) };
        let (courses, tries) = (self.courses(&found).await?, self.tries(&found).await?);
        Ok(Some(told(&found, &courses, &tries, false)))
    }

    /// What happened in a verification, whosoever it is, as an operator is told it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn timeline_told(&self, id: &VerificationId) -> Result<Option<Told>, Fault> {
        let Some(found) = self.load(id).await? else { return Ok(None) };
        let (courses, tries) = (self.courses(&found).await?, self.tries(&found).await?);
        let (timeline, about) = (told(&found, &courses, &tries, true), Row::from(&found));
        Ok(Some(Told { timeline, about, courses }))
    }

    /// The courses of its calls, so far as they are known.
    pub(super) async fn courses(&self, found: &Verification) -> Result<Vec<Course>, Fault> {
        let mut courses = Vec::new();
        for attempt in found.attempts.iter().filter(|it| it.channel == Channel::Voice) {
            courses.extend(self.course(&found.id, attempt.no).await?);
        }
        Ok(courses)
    }
}

/// What happened; an operator is also told what a tenant must not learn.
fn told(found: &Verification, courses: &[Course], tries: &[Try], to_operator: bool) -> Timeline {
    let mut gathered = Gathered { from: found.created_at, entries: Vec::new() };
    gathered.start(found, to_operator);
    let mut courses: BTreeMap<_, _> = courses.iter().map(|it| (it.attempt, it)).collect();
    for attempt in &found.attempts {
        gathered.attempt(attempt, courses.remove(&attempt.no));
    }
    gathered.end(found, tries);
    let Gathered { mut entries, .. } = gathered;
    entries.sort_by_key(|(at, _)| *at);
    Timeline {
        id: found.id.to_string(),
        created_at: found.created_at.to_rfc3339(),
        status: found.status().as_str().to_owned(),
        why: why(found),
        entries: entries.into_iter().map(|(_, entry)| entry).collect(),
    }
}

/// Why it ended, in a sentence.
fn why(found: &Verification) -> Option<String> {
    let verdict = found.verdict()?;
    let last = found.attempts.last();
    let via = last.map_or("the carrier", |last| last.route.as_str());
    let channel = last.map_or(found.request.way.channel, |last| last.channel);
    let cause = match verdict {
        Verdict::Failed(cause) => cause.clone(),
        Verdict::Approved(_) | Verdict::Denied(_) | Verdict::Expired(_) | Verdict::Canceled(_) => {
            Cause::plain(verdict.reason())
        }
    };
    Some(plain::told(&cause, via, channel))
}

impl Gathered {
    fn add(&mut self, at: Timestamp, attempt: Option<&Attempt>, kind: &str, text: String) {
        let ms = u64::try_from(at.since(self.from).as_millis()).unwrap_or(u64::MAX);
        let attempt = attempt.map(|attempt| attempt.no.get());
        let kind = kind.to_owned();
        self.entries.push((at, Entry { ms, attempt, kind, text, message: None }));
    }

    /// What was asked, what the rules said of it, and the plan.
    fn start(&mut self, found: &Verification, to_operator: bool) {
        let (at, request) = (found.created_at, &found.request);
        let (to, way) = (&request.to, found.request.way);
        let asked = format!(
            "{} asks for {} to {} ({}), mode {}.",
            found.tenant,
            thing(way.channel),
            to.masked(),
            to.country().as_str(),
            way.mode.as_str()
        );
        self.add(at, None, "request", asked);
        let of_number = policy::flags(to).into_iter().map(str::to_owned);
        let flags: Vec<_> = of_number.chain(found.flags.iter().cloned()).collect();
        let mut said = "Every rule lets it through".to_owned();
        if !flags.is_empty() {
            said = format!("{said}; to know: {}", flags.join(", "));
        }
        if found.withheld && to_operator {
            said = "A rule refuses it, and hides that from the tenant: nothing is sent".to_owned();
        }
        self.add(at, None, "policy", format!("{said}."));
        let steps = found.route.steps().iter();
        let steps: Vec<_> =
            steps.map(|step| format!("{} by {}", thing(step.channel), step.via)).collect();
        self.add(at, None, "route", format!("The plan: {}.", steps.join(", then ")));
    }

    fn attempt(&mut self, attempt: &Attempt, course: Option<&Course>) {
        let this = Some(attempt);
        let begun = format!("{} by {} begins.", capital(thing(attempt.channel)), attempt.route);
        self.add(attempt.started_at, this, "attempt", begun);
        if let Some(at) = attempt.placed_at {
            let named = attempt.call_id.as_deref().unwrap_or_default();
            let text = match (course, attempt.channel) {
                (Some(_), _) => format!("The call is placed (Call-ID {named})."),
                (None, Channel::Voice) => {
                    format!("{} has taken the call ({named}).", attempt.route)
                }
                (None, Channel::Sms) => format!("{} has taken the text ({named}).", attempt.route),
            };
            self.add(at, this, "placed", text);
        }
        match course {
            Some(course) => self.course(attempt, course),
            None => self.uncourse(attempt),
        }
        if let Some(at) = attempt.delivered_at {
            let text = match attempt.channel {
                Channel::Sms => "The text is on the phone.",
                Channel::Voice => "The code is being told.",
            };
            self.add(at, this, "delivered", text.to_owned());
        }
        if let Some(press) = &attempt.press {
            self.add(
                press.at,
                this,
                "key",
                format!("A key answers the question: {}.", proof(press)),
            );
        }
        if let (Some(at), Some(why)) = (attempt.ended_at, plain::why(attempt)) {
            self.add(at, this, "ended", why);
        }
    }

    /// Of a call of which nothing else is known.
    fn uncourse(&mut self, attempt: &Attempt) {
        let this = Some(attempt);
        if let Some(at) = attempt.ringing_at {
            self.add(
                at,
                this,
                "ringing",
                "The phone rings, or the network works at it.".to_owned(),
            );
        }
        if let Some(at) = attempt.answered_at {
            self.add(at, this, "answered", "The call is answered.".to_owned());
            if let Some(label) = &attempt.label {
                self.add(at, this, "label", labelled(&label.is, &label.cue, label.percent));
            }
        }
    }

    fn course(&mut self, attempt: &Attempt, course: &Course) {
        let this = Some(attempt);
        for moment in &course.moments {
            let (kind, text) = match &moment.what {
                What::Sip { sent, from, to, message, .. } => {
                    let line = message.lines().next().unwrap_or_default();
                    let text = match sent {
                        true => format!("To {to}: {line}"),
                        false => format!("From {from}: {line}"),
                    };
                    ("sip", text)
                }
                What::Ringing { status: 180 } => ("ringing", "The phone rings (180).".to_owned()),
                What::Ringing { status } => {
                    ("ringing", format!("The network works at it ({status})."))
                }
                What::Answered { status } => {
                    ("answered", format!("The call is answered ({status})."))
                }
                What::Dialling => ("dialling", "The extension is dialled.".to_owned()),
                What::Saying(text) => ("said", format!("We say: \"{text}\"")),
                What::Listening => ("listening", "The question is over; we listen.".to_owned()),
                What::Key { path } => ("key", format!("A key is heard by {path}.")),
                What::Label { is, cue, percent } => ("label", labelled(is, cue, *percent)),
            };
            self.add(moment.at, this, kind, text);
            if let (What::Sip { message, .. }, Some((_, entry))) =
                (&moment.what, self.entries.last_mut())
            {
                entry.message = Some(message.clone());
            }
        }
        for (sent, words) in [
            (true, "Our first packet of sound goes to"),
            (false, "The first packet of sound comes from"),
        ] {
            if let Some((at, address)) = course.streams.began(sent) {
                self.add(at, this, "media", format!("{words} {address}."));
            }
        }
    }

    fn end(&mut self, found: &Verification, tries: &[Try]) {
        if let (Some(at), Some(why)) = (found.settled_at(), why(found)) {
            let (status, reason) = (found.status().as_str(), found.verdict().map(Verdict::reason));
            let reason = reason.map(Reason::as_str).unwrap_or_default();
            self.add(at, None, "verdict", format!("The verdict is {status} ({reason}). {why}"));
        }
        for Try { at, to, outcome, why } in tries {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            self.add(*at, None, "webhook", format!("Told to {to}: {outcome}{why}."));
        }
    }
}

const fn thing(channel: Channel) -> &'static str {
    match channel {
        Channel::Voice => "a call",
        Channel::Sms => "a text",
    }
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or_default();
    format!("{}{rest}", first.to_ascii_uppercase())
}

fn labelled(is: &str, cue: &str, percent: u8) -> String {
    format!("Who is there sounds like: {is} ({cue}, {percent} %).")
}

/// How a press was heard.
fn proof(press: &Press) -> String {
    let mut proof = format!("heard by {}", press.paths.join(" and "));
    if let Some(held) = press.held_ms {
        proof = format!("{proof}, held for {held} ms");
    }
    if let Some(level) = press.level_dbm0 {
        proof = format!("{proof}, at {level} dBm0");
    }
    if let Some(rtp) = &press.rtp {
        proof = format!("{proof}, in {} packets", rtp.packets);
    }
    proof
}
