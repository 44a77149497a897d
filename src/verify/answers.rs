//! What a person answered: by a key, by typing the code, by sending it back.

use super::attempt::{Attempt, AttemptNo};
use super::code::Digest;
use super::request::{Channel, Mode};
use super::signal::{
    Answer, Because, Cause, Denial, Effect, Evidence, Farewell, Press, Reason, Reply, Says, Verdict,
};
use super::{Phase, Step, Verification};
use crate::ambient::Timestamp;

impl Verification {
    /// Keys were heard on a call.
    pub(super) fn answered(mut self, now: Timestamp, no: AttemptNo, answer: Answer) -> Step {
        let running = self.running().is_some_and(|running| running.no == no);
        let Some(attempt) = self.attempts.last_mut().filter(|_| running) else {
            return self.ignored(Because::Late);
        };
        let mode = attempt.mode;
        match answer {
            // What was heard must be an answer to what was asked, on this very call.
            Answer::Consent(evidence)
                if evidence.attempt() != Some(no) || evidence.mode() != Some(mode) =>
            {
                self.ignored(Because::Unrelated)
            }
            Answer::Consent(evidence) => {
                attempt.press = evidence.press().cloned();
                self.settled(now, Verdict::Approved(evidence), Farewell::Thanks)
            }
            Answer::Fraud(press) => {
                attempt.press = Some(press);
                self.settled(now, Verdict::Denied(Denial::FraudReported), Farewell::Reported)
            }
            Answer::Declined(press) => {
                attempt.press = Some(press);
                self.settled(now, Verdict::Denied(Denial::Declined), Farewell::Denied)
            }
            Answer::WrongKey(press) => {
                attempt.press = Some(press);
                if mode == Mode::Match {
                    return self.mismatched(now);
                }
                self.settled(now, Verdict::Denied(Denial::WrongKey), Farewell::Denied)
            }
            Answer::WrongPin(press) => {
                attempt.press = Some(press);
                self.settled(now, Verdict::Denied(Denial::WrongPin), Farewell::Denied)
            }
        }
    }

    /// More is known of a press that decided: of that one, and no other.
    pub(super) fn proven(mut self, no: AttemptNo, press: Press) -> Step {
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.no == no);
        match attempt.and_then(|attempt| attempt.press.as_mut()) {
            Some(known) if *known == press => self.ignored(Because::Duplicate),
            Some(known) if known.at == press.at => {
                *known = press;
                self.moved(Vec::new())
            }
            Some(_) | None => self.ignored(Because::Unrelated),
        }
    }

    /// Other digits were entered than those that the page shows: the call is over, and another may be
    /// asked for, as long as there are any left.
    fn mismatched(mut self, now: Timestamp) -> Step {
        let wrong = |it: &&Attempt| it.mode == Mode::Match && it.reason == Some(Reason::WrongKey);
        let before = self.attempts.iter().filter(wrong).count();
        let (Phase::Attempting { step }, true) =
            (&self.phase, before + 1 < usize::from(self.expected.calls))
        else {
            return self.settled(now, Verdict::Denied(Denial::WrongKey), Farewell::Denied);
        };
        let step = *step;
        let Some(running) = self.attempts.last_mut() else {
            return self.ignored(Because::Late);
        };
        running.end(now, &Cause::plain(Reason::WrongKey));
        let hang_up = Effect::HangUp { attempt: running.no, farewell: Farewell::Mismatch };
        self.phase = Phase::Waiting { step };
        self.moved(vec![hang_up])
    }

    /// A code was typed into the page.
    pub(super) fn guessed(self, now: Timestamp, code: &Digest) -> Step {
        let Some(secret) = self.secret.as_ref().filter(|_| self.takes_codes()) else {
            return self.ignored(Because::NoCode);
        };
        match Evidence::typed(now, secret, code) {
            Some(evidence) => self.approved(now, evidence),
            None => self.mistaken(now),
        }
    }

    /// The person answered the text.
    pub(super) fn replied(mut self, now: Timestamp, Reply { message, says }: &Reply) -> Step {
        if self.last_reply.as_ref() == Some(message) {
            return self.ignored(Because::Duplicate);
        }
        if !self.attempts.iter().any(|attempt| attempt.channel == Channel::Sms) {
            return self.ignored(Because::Unrelated);
        }
        self.last_reply = Some(message.clone());
        let denied = |reason| Verdict::Denied(reason);
        match says {
            Says::Code { code, pin } => {
                let Some(secret) = &self.secret else { return self.ignored(Because::NoCode) };
                match Evidence::replied(now, secret, message, code, pin.as_ref()) {
                    Some(evidence) => self.approved(now, evidence),
                    None => self.mistaken(now),
                }
            }
            Says::Yes if self.takes_yes() => {
                let evidence = Evidence::yes(now, message);
                self.approved(now, evidence)
            }
            Says::Yes => self.ignored(Because::Unrelated),
            Says::No => self.settled(now, denied(Denial::Declined), Farewell::Silent),
            Says::Fraud => self.settled(now, denied(Denial::FraudReported), Farewell::Silent),
            Says::Stop => {
                let cause = Cause::plain(Reason::OptedOut);
                self.settled(now, Verdict::Failed(cause), Farewell::Silent)
            }
        }
    }

    /// Whether a word may stand for the code: only where nothing but the reply is asked for, and
    /// no PIN with it.
    fn takes_yes(&self) -> bool {
        self.request.yes
            && self.way().mode == Mode::Reply
            && self.secret.as_ref().is_some_and(|secret| secret.pin.is_none())
    }

    fn approved(self, now: Timestamp, evidence: Evidence) -> Step {
        // A call that is still up, because it tells the code or the code came by an earlier text, is
        // ended kindly.
        let told = self.running().is_some_and(|it| it.channel == Channel::Voice);
        let farewell = if told { Farewell::Thanks } else { Farewell::Silent };
        self.settled(now, Verdict::Approved(evidence), farewell)
    }

    /// A wrong code: one comparison less, and none left is the end.
    pub(super) fn mistaken(mut self, now: Timestamp) -> Step {
        let left = self.secret.as_mut().map_or(0, |secret| {
            secret.checks_left = secret.checks_left.saturating_sub(1);
            secret.checks_left
        });
        if left == 0 {
            return self.settled(now, Verdict::Denied(Denial::TooManyChecks), Farewell::Silent);
        }
        self.moved(Vec::new())
    }
}
