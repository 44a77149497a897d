//! What ended attempts come to, for each way and country, in the figures of the trade (ITU-T E.425); and
//! how far the calls of this node have come.

use metrics::{counter, gauge, histogram};

use crate::ambient::Timestamp;
use crate::verify::attempt::{Attempt, AttemptState};
use crate::verify::request::Channel;
use crate::verify::route::REHEARSAL;
use crate::verify::signal::{Reason, Status};
use crate::verify::{Verification, selftest};

/// The states of a call that lives.
pub(super) const LIVE: [AttemptState; 5] = [
    AttemptState::Dialing,
    AttemptState::Ringing,
    AttemptState::Answered,
    AttemptState::Prompting,
    AttemptState::Listening,
];

/// A call of this node has come further: from here, if it was there before, to there, unless it is over.
pub(super) fn went(from: Option<AttemptState>, to: Option<AttemptState>) {
    if let Some(from) = from {
        gauge!("octothorpe_calls", "state" => from.as_str()).decrement(1.0);
    }
    if let Some(to) = to {
        gauge!("octothorpe_calls", "state" => to.as_str()).increment(1.0);
    }
}

/// Counts the attempts that this step carried to their end. What only looked like one counts for nobody.
pub(super) fn ended(before: Option<&Verification>, next: &Verification) {
    if !is_real(next) {
        return;
    }
    let was_over = |attempt: &Attempt| {
        let before = before.and_then(|before| before.find(attempt.no));
        before.is_some_and(|before| before.ended_at.is_some())
    };
    let over = next.attempts.iter().filter(|attempt| attempt.ended_at.is_some());
    over.filter(|attempt| !was_over(attempt)).for_each(attempt_ended);
}

/// Counts a verdict where the number is, and an approval where its last attempt went.
pub(super) fn settled(next: &Verification, status: Status) {
    if !is_real(next) {
        return;
    }
    let (country, status_word) = (next.request.to.country().to_string(), status.as_str());
    counter!("octothorpe_country_settled_total", "country" => country, "status" => status_word)
        .increment(1);
    if let Some(last) = next.attempts.last().filter(|_| status == Status::Approved) {
        let (via, channel) = (last.route.clone(), last.channel.as_str());
        counter!("octothorpe_attempts_approved_total", "via" => via, "channel" => channel)
            .increment(1);
    }
}

/// Whether somebody was to be reached: what only looks so is nobody, a rehearsal, and the gateway's own numbers.
fn is_real(verification: &Verification) -> bool {
    let rehearsed = verification.attempts.iter().any(|attempt| attempt.route == REHEARSAL);
    !verification.withheld && !rehearsed && !selftest::is_tenant(&verification.tenant)
}

fn attempt_ended(attempt: &Attempt) {
    let channel = attempt.channel.as_str();
    let reason = attempt.reason.map_or("none", Reason::as_str);
    let via = || attempt.route.clone();
    counter!("octothorpe_attempts_total", "via" => via(), "channel" => channel, "reason" => reason)
        .increment(1);
    if attempt.channel != Channel::Voice || !attempt.is_placed() {
        return;
    }
    counter!("octothorpe_calls_placed_total", "via" => via()).increment(1);
    counter!("octothorpe_calls_reached_total", "via" => via())
        .increment(u64::from(attempt.has_reached()));
    counter!("octothorpe_calls_answered_total", "via" => via())
        .increment(u64::from(attempt.answered_at.is_some()));
    let span = |from: Option<Timestamp>, until: Option<Timestamp>| {
        from.zip(until).map(|(from, until)| until.since(from).as_secs_f64())
    };
    if let Some(pdd) = span(attempt.placed_at, attempt.ringing_at.or(attempt.answered_at)) {
        histogram!("octothorpe_call_pdd_seconds", "via" => via()).record(pdd);
    }
    if attempt.answered_at.is_none() {
        return;
    }
    if let Some(answer) = span(attempt.placed_at, attempt.answered_at) {
        histogram!("octothorpe_call_answer_seconds", "via" => via()).record(answer);
    }
    let is_machine = attempt.label.as_ref().is_some_and(|label| label.is == "machine");
    let voicemail = is_machine || attempt.reason == Some(Reason::Voicemail);
    counter!("octothorpe_calls_voicemail_total", "via" => via()).increment(u64::from(voicemail));
    let press = attempt.press.as_ref();
    counter!("octothorpe_calls_pressed_total", "via" => via())
        .increment(u64::from(press.is_some()));
    let Some(press) = press else { return };
    if let Some(key) = span(attempt.answered_at, Some(press.at)) {
        histogram!("octothorpe_call_key_seconds", "via" => via()).record(key);
    }
    for path in &press.paths {
        counter!("octothorpe_press_paths_total", "path" => path.clone()).increment(1);
    }
}
