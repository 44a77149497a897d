//! Codes from end to end within one process: checks at once, hooks out of order, replies of people.
//! The carrier's words are those of the Twilio adapter, signed as Twilio signs.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use octothorpe::ambient::{Clock, Entropy};
use octothorpe::carrier::signature::{Hash, twilio_signature};
use octothorpe::carrier::twilio::{self, Dialect, Twilio, Voice};
use octothorpe::carrier::{Body, Receipt};
use octothorpe::gateway::hooks::{Address, Call, HookError};
use octothorpe::gateway::resource::{render, render_checked};
use octothorpe::gateway::settings::{
    By, Endpoint, Provider, Settings, Tenant, Texting, WebhookSecret,
};
use octothorpe::gateway::{
    AnswerOf, Answered, Asked, BeginError, CheckError, Failure, Gateway, Hands,
};
use octothorpe::store::Store;
use octothorpe::store::record::Delivery;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::code::{Code, Pin, Vault};
use octothorpe::verify::limits::{self, Limits, Rate};
use octothorpe::verify::number::PhoneNumber;
use octothorpe::verify::policy::{Refusal, Rules};
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::route::{Rule, Table};
use octothorpe::verify::signal::{Farewell, Press, Reason, Said, Signal, Status};
use octothorpe::verify::text::Texts;
use octothorpe::verify::transaction::Transaction;
use octothorpe::verify::{Verification, VerificationId};
use zeroize::Zeroizing;

const PUBLIC: &str = "https://gw.example.com";
const TOKEN: &str = "the auth token of a test account";
const SENDER: &str = "+15005550006";
const PHONE: &str = "+14155550132";
const SMS: Way = Way { channel: Channel::Sms, mode: Mode::Code };
const REPLY: Way = Way { channel: Channel::Sms, mode: Mode::Reply };
const CALL: Way = Way { channel: Channel::Voice, mode: Mode::Confirm };

/// What the world saw.
#[derive(Default)]
struct Seen {
    placed: Vec<String>,
    written: Vec<(String, String)>,
    delivered: Vec<Delivery>,
    closed: usize,
    /// How long a carrier takes to answer.
    slow: Duration,
    receipt: Option<Receipt>,
}

#[derive(Clone, Default)]
struct World(Arc<Mutex<Seen>>);

impl Hands for World {
    async fn place(&self, verification: &Verification, attempt: AttemptNo) -> Receipt {
        let name = format!("{}-{attempt}", verification.id);
        let slow = {
            let mut seen = self.0.lock().unwrap();
            seen.placed.push(name.clone());
            seen.slow
        };
        tokio::time::sleep(slow).await;
        let seen = self.0.lock().unwrap();
        seen.receipt.clone().unwrap_or(Receipt::Taken(format!("SM-{name}")))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {
        self.0.lock().unwrap().closed += 1;
    }

    async fn write(&self, _: &str, to: &PhoneNumber, body: &Body, _: &str) {
        let written = (to.expose().to_owned(), body.expose().to_owned());
        self.0.lock().unwrap().written.push(written);
    }

    async fn deliver(&self, delivery: &Delivery) -> Result<(), Failure> {
        self.0.lock().unwrap().delivered.push(delivery.clone());
        Ok(())
    }
}

struct Site {
    gateway: Gateway,
    tenant: Tenant,
    world: World,
}

fn site() -> Site {
    site_of(Texting::default())
}

fn site_of(texting: Texting) -> Site {
    site_with(texting, false)
}

fn site_with(texting: Texting, test: bool) -> Site {
    site_for(Tenant { texting, test, ..Tenant::new("acme") }, Voice::Say)
}

/// A gateway with one tenant and a Twilio account whose calls this voice speaks on, going by itself.
fn site_for(tenant: Tenant, voice: Voice) -> Site {
    let us = BTreeSet::from(["US".parse().unwrap()]);
    let tenant = Tenant {
        rules: Rules { voice_countries: us.clone(), sms_countries: us },
        webhooks: vec![Endpoint::new(
            "https://idp.example.com/hooks",
            WebhookSecret::new(Zeroizing::new(vec![7; 32])),
        )],
        ..tenant
    };
    let twilio = Twilio::new(twilio::Settings {
        base_url: "https://api.twilio.com".to_owned(),
        account: "AC00000000000000000000000000000000".to_owned(),
        token: Zeroizing::new(TOKEN.to_owned()),
        from: SENDER.to_owned(),
        messaging_service: None,
        application: None,
        dialect: Dialect::Twilio,
        machine_detection: false,
        voice,
        signing_key: None,
    });
    let rule = |channel| Rule::every(channel, ["twilio"]);
    let settings = Settings {
        carriers: vec![Provider {
            name: "twilio".to_owned(),
            sender: SENDER.to_owned(),
            inbound_token: None,
            by: By::Http(Arc::new(twilio.unwrap())),
        }],
        public_url: Some(PUBLIC.to_owned()),
        texts: Arc::new(Texts::compiled().unwrap()),
        routes: Table::new(vec![rule(Channel::Voice), rule(Channel::Sms)]),
        tenants: vec![tenant.clone()],
        ..Settings::bare()
    };
    let world = World::default();
    let (gateway, turns) = Gateway::assemble(
        Store::memory(),
        &settings,
        vault(),
        Clock::system(),
        Entropy::from_number(4),
        world.clone(),
    );
    tokio::spawn(turns.run());
    Site { gateway, tenant, world }
}

fn vault() -> Vault {
    Vault::of("a key of tests")
}

impl Site {
    async fn begin(&self, way: Way, code: &str) -> VerificationId {
        self.try_begin(way, code, None).await.unwrap()
    }

    async fn try_begin(
        &self,
        way: Way,
        code: &str,
        pin: Option<&str>,
    ) -> Result<VerificationId, BeginError> {
        self.try_begin_to(PHONE, way, &[], code, pin).await
    }

    async fn try_begin_to(
        &self,
        to: &str,
        way: Way,
        fallback: &[Way],
        code: &str,
        pin: Option<&str>,
    ) -> Result<VerificationId, BeginError> {
        let request = Request {
            fallback: fallback.to_vec(),
            yes: self.tenant.texting.yes,
            ..Request::new(to.parse().unwrap(), way)
        };
        let code = Code::parse(code);
        let pin = pin.and_then(Pin::parse);
        let asked = Asked { code, pin, ..Asked::plainly(request) };
        let answer = AnswerOf { idempotency: None, render };
        let begun = self.gateway.begin(&self.tenant, asked, answer).await?;
        let Answered::Fresh { id, .. } = &begun else { panic!("{begun:?}") };
        let begun = |it: &Verification| {
            it.attempts[0].call_id.is_some() || it.attempts[0].ended_at.is_some()
        };
        self.until(id, begun).await;
        Ok(id.clone())
    }

    async fn read(&self, id: &VerificationId) -> Verification {
        self.gateway.read(&self.tenant, id).await.unwrap().unwrap()
    }

    /// Waits until a verification is so; a second at the most.
    async fn until(&self, id: &VerificationId, so: impl Fn(&Verification) -> bool) -> Verification {
        for _ in 0..1_000 {
            let found = self.read(id).await;
            if so(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{:?}", self.read(id).await);
    }

    async fn verdict(&self, id: &VerificationId) -> (Status, Reason) {
        let settled = self.until(id, |it| it.verdict().is_some()).await;
        (settled.status(), settled.verdict().unwrap().reason())
    }

    /// A request of Twilio, signed.
    async fn hook(&self, path: &str, fields: &[(&str, &str)]) -> Result<String, HookError> {
        let params: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let url = format!("{PUBLIC}{path}");
        let signature = twilio_signature(Hash::Sha1, TOKEN.as_bytes(), &url, &params);
        self.hook_signed(path, fields, &signature).await
    }

    async fn hook_signed(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        signature: &str,
    ) -> Result<String, HookError> {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(fields);
        let body = body.finish();
        let headers = [
            ("x-twilio-signature".to_owned(), signature.to_owned()),
            ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
        ];
        let (bare, query) = path.split_once('?').unwrap_or((path, ""));
        let mut parts = bare.split('/').skip(3);
        let about = match (parts.next(), parts.next(), parts.next()) {
            (Some("inbound"), token, _) => Address::Inbound { token },
            (Some(attempt), Some(token), part) => Address::Attempt { attempt, token, part },
            _ => panic!("{path}"),
        };
        let call = Call {
            carrier: "twilio",
            about,
            path: bare,
            query,
            headers: &headers,
            body: body.as_bytes(),
        };
        self.gateway.hook(call).await.map(|answer| answer.body)
    }

    /// The address of an attempt.
    fn at(id: &VerificationId, no: u32, part: &str) -> String {
        let attempt = format!("{id}-{no}");
        let token = vault().hook_token("twilio", &attempt);
        format!("/hooks/twilio/{attempt}/{token}/{part}")
    }

    /// A person writes to our number.
    async fn writes(&self, message: &str, text: &str) {
        self.writes_to(message, SENDER, text).await;
    }

    async fn writes_to(&self, message: &str, to: &str, text: &str) {
        let sid = format!("SM{message:0>32}");
        let fields = [
            ("MessageSid", sid.as_str()),
            ("SmsStatus", "received"),
            ("From", PHONE),
            ("To", to),
            ("Body", text),
        ];
        self.hook("/hooks/twilio/inbound", &fields).await.unwrap();
    }

    async fn told(&self, least: usize) -> Vec<String> {
        for _ in 0..400 {
            let written = self.world.0.lock().unwrap().written.clone();
            if written.len() >= least {
                assert!(written.iter().all(|(to, _)| to == PHONE));
                return written.into_iter().map(|(_, text)| text).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nobody was told");
    }

    fn webhooks(&self) -> usize {
        self.world.0.lock().unwrap().delivered.len()
    }
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Checks a code a thousand times at once; how many matched, and how many were refused for
/// which verdict.
async fn a_thousand(site: &Site, id: &VerificationId, code: &'static str) -> (usize, usize, usize) {
    let mut checks = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let (gateway, tenant, id) = (site.gateway.clone(), site.tenant.clone(), id.clone());
        checks.spawn(async move {
            let answer = AnswerOf { idempotency: None, render: render_checked };
            gateway.check(&tenant, &id, code, None, answer).await
        });
    }
    let (mut matched, mut compared, mut refused) = (0, 0, 0);
    while let Some(checked) = checks.join_next().await {
        match checked.unwrap() {
            Ok(Some(Answered::Fresh { body, .. })) => {
                let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                compared += 1;
                matched += usize::from(body["matched"] == true);
            }
            Err(CheckError::Settled(..)) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    (matched, compared, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_right_codes_at_once_approve_once() {
    let site = site();
    let id = site.begin(SMS, "493817").await;
    assert_eq!(a_thousand(&site, &id, "493817").await, (1, 1, 999));
    assert_eq!(site.verdict(&id).await, (Status::Approved, Reason::CodeMatched));
    settle().await;
    assert_eq!(site.webhooks(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_thousand_wrong_codes_five_are_compared_and_the_right_one_is_refused() {
    let site = site();
    let id = site.begin(SMS, "493817").await;
    assert_eq!(a_thousand(&site, &id, "493818").await, (0, 5, 995));
    assert_eq!(site.verdict(&id).await, (Status::Denied, Reason::TooManyChecks));
    assert_eq!(a_thousand(&site, &id, "493817").await, (0, 0, 1_000));
    settle().await;
    assert_eq!(site.webhooks(), 1);
}

#[tokio::test]
async fn statuses_out_of_order_move_nothing_back_and_tell_one_verdict() {
    let site = site();
    let id = site.begin(CALL, "").await;
    let sid = "CA00000000000000000000000000000001";
    for status in ["completed", "in-progress", "ringing", "completed"] {
        let fields = [("CallSid", sid), ("CallStatus", status)];
        site.hook(&Site::at(&id, 1, "status"), &fields).await.unwrap();
    }
    let (status, _) = site.verdict(&id).await;
    assert_eq!(status, Status::Failed);
    let version = site.read(&id).await.version;
    settle().await;
    assert_eq!((site.webhooks(), site.read(&id).await.version), (1, version));
}

#[tokio::test]
async fn a_pound_key_that_the_carrier_heard_approves_and_a_replay_changes_nothing() {
    let site = site();
    let id = site.begin(CALL, "").await;
    let sid = "CA00000000000000000000000000000001";
    let ask = site.hook(&Site::at(&id, 1, "voice"), &[("CallSid", sid)]).await.unwrap();
    assert!(ask.contains("finishOnKey=\"\""), "{ask}");
    let action = ask.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
    let path = action.strip_prefix(PUBLIC).unwrap().replace("&amp;", "&");
    let press = [("CallSid", sid), ("Digits", "#"), ("FinishedOnKey", "")];
    let thanks = site.hook(&path, &press).await.unwrap();
    assert!(thanks.contains("Thank you") && thanks.contains("<Hangup"), "{thanks}");
    assert_eq!(site.verdict(&id).await, (Status::Approved, Reason::Confirmed));
    assert_eq!(site.hook(&path, &press).await.unwrap(), thanks);
    settle().await;
    assert_eq!(site.webhooks(), 1);
}

#[tokio::test]
async fn a_press_after_the_verdict_is_not_thanked_for() {
    let site = site();
    let id = site.begin(CALL, "").await;
    let answer = AnswerOf { idempotency: None, render };
    site.gateway.cancel(&site.tenant, &id, answer).await.unwrap();
    let press = [("CallSid", "CA00000000000000000000000000000001"), ("Digits", "#")];
    let path = Site::at(&id, 1, "keys?s=r1w0z0");
    let answer = site.hook(&path, &press).await.unwrap();
    assert!(!answer.contains("Thank you") && answer.contains("<Hangup"), "{answer}");
    assert_eq!(site.verdict(&id).await.0, Status::Canceled);
}

#[tokio::test]
async fn what_is_not_the_carriers_changes_nothing() {
    let site = site();
    let id = site.begin(CALL, "").await;
    let fields = [("CallSid", "CA00000000000000000000000000000001"), ("Digits", "#")];
    let path = Site::at(&id, 1, "keys?s=r1w0z0");
    let url = format!("{PUBLIC}{path}");
    let params = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let good = twilio_signature(Hash::Sha1, TOKEN.as_bytes(), &url, &params);
    let other = Site::at(&id, 2, "keys?s=r1w0z0");
    let guessed = path.replace(&vault().hook_token("twilio", &format!("{id}-1")), "guessed");
    for (path, signature) in [(&path, "x"), (&path, ""), (&other, &good), (&guessed, &good)] {
        let refused = site.hook_signed(path, &fields, signature).await;
        assert!(matches!(refused, Err(HookError::Forged)), "{path}");
    }
    // Signed by the carrier, at an address that nobody was told.
    let refused = site.hook(&guessed, &fields).await;
    assert!(matches!(refused, Err(HookError::Forged)));
    assert_eq!(site.read(&id).await.status(), Status::Pending);
}

#[tokio::test]
async fn two_open_questions_for_one_phone_are_told_apart_by_their_codes() {
    let site = site();
    let first = site.begin(REPLY, "111222").await;
    let second = site.begin(REPLY, "333444").await;
    site.writes("1", "111 222").await;
    assert_eq!(site.verdict(&first).await, (Status::Approved, Reason::ReplyMatched));
    assert_eq!(site.read(&second).await.status(), Status::Pending);
    site.writes("2", "My code is 333-444").await;
    assert_eq!(site.verdict(&second).await, (Status::Approved, Reason::ReplyMatched));
}

#[tokio::test]
async fn a_wrong_reply_counts_against_each_question_and_is_told() {
    let site = site();
    let first = site.begin(REPLY, "111222").await;
    let second = site.begin(REPLY, "333444").await;
    site.writes("1", "999999").await;
    for id in [&first, &second] {
        assert_eq!(site.read(id).await.secret.unwrap().checks_left, 4);
    }
    assert_eq!(site.told(1).await.len(), 1);
}

#[tokio::test]
async fn a_reply_to_another_number_or_with_the_same_name_again_does_not_count() {
    let site = site();
    let id = site.begin(REPLY, "111222").await;
    site.writes_to("1", "+15005550007", "111222").await;
    site.writes("2", "999999").await;
    site.writes("2", "999999").await;
    let after = site.read(&id).await;
    assert_eq!((after.status(), after.secret.unwrap().checks_left), (Status::Pending, 4));
}

#[tokio::test]
async fn a_pin_must_follow_the_code_where_one_is_asked_for() {
    let site = site();
    let id = site.try_begin(REPLY, "111222", Some("4821")).await.unwrap();
    site.writes("1", "111222").await;
    assert_eq!(site.read(&id).await.status(), Status::Pending);
    site.writes("2", "111222 4821").await;
    assert_eq!(site.verdict(&id).await, (Status::Approved, Reason::ReplyMatched));
    let assurance = site.read(&id).await.assurance();
    assert_eq!(assurance.as_str(), "transferred_secret+knowledge");
}

#[tokio::test]
async fn a_plain_yes_approves_the_only_open_question_where_the_tenant_allows_it() {
    let allowed = site_of(Texting { yes: true, ..Texting::default() });
    let id = allowed.begin(REPLY, "111222").await;
    allowed.writes("1", "Yes!").await;
    assert_eq!(allowed.verdict(&id).await, (Status::Approved, Reason::ReplyMatched));
    assert_eq!(allowed.read(&id).await.assurance().as_str(), "possession");
    let first = allowed.begin(REPLY, "111222").await;
    let second = allowed.begin(REPLY, "333444").await;
    allowed.writes("2", "yes").await;
    settle().await;
    for id in [&first, &second] {
        assert_eq!(allowed.read(id).await.status(), Status::Pending);
    }
    let strict = site();
    let id = strict.begin(REPLY, "111222").await;
    strict.writes("3", "yes").await;
    settle().await;
    assert_eq!(strict.read(&id).await.status(), Status::Pending);
}

#[tokio::test]
async fn stop_opts_out_at_once_and_start_opts_in_again() {
    let site = site();
    let id = site.begin(SMS, "111222").await;
    site.writes("1", "Stop sending me codes!").await;
    assert_eq!(site.verdict(&id).await, (Status::Failed, Reason::OptedOut));
    assert!(site.told(1).await[0].contains("START"));
    let refused = site.try_begin(SMS, "111222", None).await.unwrap_err();
    assert!(matches!(refused, BeginError::Refused(Refusal::OptedOut)));
    assert!(site.try_begin(CALL, "", None).await.is_ok());
    site.writes("2", "START").await;
    settle().await;
    assert!(site.try_begin(SMS, "111222", None).await.is_ok());
    assert_eq!(site.told(2).await.len(), 2);
}

#[tokio::test]
async fn fraud_denies_every_open_question() {
    let site = site();
    let first = site.begin(SMS, "111222").await;
    let second = site.begin(SMS, "333444").await;
    site.writes("1", "FRAUD").await;
    for id in [&first, &second] {
        assert_eq!(site.verdict(id).await, (Status::Denied, Reason::FraudReported));
    }
}

#[tokio::test]
async fn late_and_unknown_replies_are_answered_once() {
    let site = site();
    site.writes("1", "123456").await;
    assert_eq!(site.told(1).await.len(), 1);
    site.writes("1", "123456").await;
    let id = site.begin(SMS, "111222").await;
    site.writes("2", "111222").await;
    assert_eq!(site.verdict(&id).await.0, Status::Approved);
    site.writes("3", "111222").await;
    assert_eq!(site.told(2).await.len(), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_never_repeated_and_the_code_still_counts() {
    let site = site();
    site.world.0.lock().unwrap().receipt = Some(Receipt::Unclear);
    let answer = AnswerOf { idempotency: None, render };
    let id = site.begin(SMS, "111222").await;
    let waiting = site.until(&id, |it| it.attempts[0].ended_at.is_some()).await;
    assert_eq!(waiting.status(), Status::Pending);
    assert_eq!(waiting.attempts[0].reason, Some(Reason::CarrierError));
    assert_eq!(site.world.0.lock().unwrap().placed.len(), 1);
    let checked = site.gateway.check(&site.tenant, &id, "111222", None, answer).await.unwrap();
    assert!(checked.is_some());
    assert_eq!(site.verdict(&id).await.0, Status::Approved);
}

#[tokio::test]
async fn a_phone_that_opted_out_meanwhile_gets_no_fallback_by_text() {
    let site = site();
    let id = site.try_begin_to(PHONE, CALL, &[SMS], "111222", None).await.unwrap();
    site.writes("1", "STOP").await;
    let status = [("CallSid", "CA00000000000000000000000000000001"), ("CallStatus", "busy")];
    site.hook(&Site::at(&id, 1, "status"), &status).await.unwrap();
    let (status, _) = site.verdict(&id).await;
    assert_eq!(status, Status::Failed);
    assert_eq!(site.world.0.lock().unwrap().placed.len(), 1);
}

#[tokio::test]
async fn test_numbers_play_their_parts_and_nothing_is_sent() {
    let site = Arc::new(site_with(Texting::default(), true));
    let call = |n: u8, status, reason| (n, CALL, Some((status, reason)));
    let text = |n: u8, verdict| (n, SMS, verdict);
    let parts = [
        call(0, Status::Approved, Reason::Confirmed),
        call(1, Status::Failed, Reason::Busy),
        call(2, Status::Failed, Reason::NoAnswer),
        call(3, Status::Denied, Reason::FraudReported),
        call(4, Status::Denied, Reason::WrongKey),
        call(5, Status::Expired, Reason::NoInput),
        call(6, Status::Failed, Reason::Rejected),
        call(7, Status::Failed, Reason::HungUp),
        call(8, Status::Failed, Reason::CarrierError),
        call(9, Status::Failed, Reason::InvalidNumber),
        call(11, Status::Failed, Reason::Voicemail),
        text(0, None),
        text(1, Some((Status::Failed, Reason::Undelivered))),
        text(3, Some((Status::Denied, Reason::FraudReported))),
        text(6, Some((Status::Failed, Reason::OptedOut))),
        text(10, Some((Status::Approved, Reason::ReplyMatched))),
    ];
    let mut playing = tokio::task::JoinSet::new();
    for (n, way, verdict) in parts {
        let site = Arc::clone(&site);
        playing.spawn(async move {
            let to = format!("+120255501{n:02}");
            let id = site.try_begin_to(&to, way, &[], "", None).await.unwrap();
            match verdict {
                Some(verdict) => assert_eq!(site.verdict(&id).await, verdict, "{n}"),
                None => {
                    site.until(&id, |it| it.attempts[0].state.as_str() == "delivered").await;
                    let answer = AnswerOf { idempotency: None, render: render_checked };
                    site.gateway.check(&site.tenant, &id, "123456", None, answer).await.unwrap();
                    let approved = (Status::Approved, Reason::CodeMatched);
                    assert_eq!(site.verdict(&id).await, approved);
                }
            }
        });
    }
    while let Some(played) = playing.join_next().await {
        played.unwrap();
    }
    let refused = site.try_begin(CALL, "", None).await.unwrap_err();
    assert!(matches!(refused, BeginError::Refused(Refusal::NotReserved)));
    assert!(site.world.0.lock().unwrap().placed.is_empty());
}

#[tokio::test]
async fn what_is_taken_after_the_verdict_is_ended_if_it_is_a_call_and_left_if_it_is_a_text() {
    for (way, closed) in [(CALL, 2), (SMS, 0)] {
        let site = site();
        site.world.0.lock().unwrap().slow = Duration::from_millis(300);
        let cancel = async {
            let placed = loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let first = site.world.0.lock().unwrap().placed.first().cloned();
                if let Some(first) = first {
                    break first;
                }
            };
            let id = VerificationId::parse(placed.rsplit_once('-').unwrap().0).unwrap();
            let answer = AnswerOf { idempotency: None, render };
            site.gateway.cancel(&site.tenant, &id, answer).await.unwrap();
        };
        let (begun, ()) = tokio::join!(site.try_begin(way, "111222", None), cancel);
        begun.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        // Once for the verdict, which knows no name of the call yet, and once with its name.
        assert_eq!(site.world.0.lock().unwrap().closed, closed);
    }
}

#[tokio::test]
async fn a_receipt_that_says_undelivered_fails_what_has_no_other_way() {
    let site = site();
    let id = site.begin(SMS, "111222").await;
    let sid = site.read(&id).await.attempts[0].call_id.clone().unwrap();
    let fields =
        [("MessageSid", sid.as_str()), ("MessageStatus", "undelivered"), ("ErrorCode", "30005")];
    site.hook(&Site::at(&id, 1, "receipt"), &fields).await.unwrap();
    assert_eq!(site.verdict(&id).await.0, Status::Failed);
}

#[tokio::test]
async fn an_approval_gives_back_what_its_start_counted_and_no_more() {
    let rates = vec![(limits::By::Prefix, Rate::new(2, Duration::from_secs(3_600)))];
    let limits = Limits { rates, ..Limits::default() };
    let site = site_for(Tenant { limits, ..Tenant::new("acme") }, Voice::Say);
    let call = Way { channel: Channel::Voice, mode: Mode::Confirm };
    let begin =
        async |n: u32| site.try_begin_to(&format!("+1202555{n}"), call, &[], "", None).await;
    begin(1_001).await.unwrap();
    let id = begin(1_002).await.unwrap();
    let full = begin(1_003).await;
    assert!(matches!(full, Err(BeginError::Limited(_))), "{full:?}");
    let (attempt, press) =
        (AttemptNo::FIRST, Press::by("rfc4733", site.read(&id).await.created_at));
    for signal in [
        Signal::Engaged { attempt, sip_status: Some(200) },
        Signal::Prompting { attempt },
        Signal::heard(attempt, Said::Confirmed, press.clone()),
        // What is learned of the press later is no second approval.
        Signal::Proven { attempt, press: Press { held_ms: Some(90), ..press } },
    ] {
        site.gateway.signal(&id, signal).await.unwrap();
    }
    assert_eq!(site.read(&id).await.status(), Status::Approved);
    begin(1_003).await.unwrap();
    let full = begin(1_004).await;
    assert!(matches!(full, Err(BeginError::Limited(_))), "{full:?}");
}

#[tokio::test]
async fn a_code_for_a_payment_approves_that_payment_alone() {
    let site = site();
    let payment = |amount, currency, payee| Transaction::new(amount, currency, payee).ok();
    let request = Request {
        transaction: payment("49.9", "EUR", "ACME"),
        ..Request::new(PHONE.parse().unwrap(), SMS)
    };
    let asked = Asked { code: Code::parse("493817"), ..Asked::plainly(request.clone()) };
    let answer = || AnswerOf { idempotency: None, render: render_checked };
    let Answered::Fresh { id, .. } =
        site.gateway.begin(&site.tenant, asked, answer()).await.unwrap()
    else {
        panic!("it is begun")
    };
    let check = async |payment: Option<Transaction>| {
        let checked =
            site.gateway.check(&site.tenant, &id, "493817", payment.as_ref(), answer()).await;
        let Ok(Some(Answered::Fresh { body, .. })) = checked else { panic!("{checked:?}") };
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (body["matched"].as_bool().unwrap(), body["checks_left"].as_u64())
    };
    assert_eq!(check(None).await, (false, Some(4)));
    assert_eq!(check(payment("49.91", "EUR", "ACME")).await, (false, Some(3)));
    assert_eq!(check(payment("49.90", "USD", "ACME")).await, (false, Some(2)));
    assert_eq!(check(payment("49.90", "EUR", "ACNE")).await, (false, Some(1)));
    assert_eq!(check(payment("049.90", "eur", "ACME ")).await, (true, None));
    // And the other way around: a payment at the check that nobody was asked about.
    let id = site.begin(SMS, "493817").await;
    let other = payment("49.90", "EUR", "ACME");
    let checked = site.gateway.check(&site.tenant, &id, "493817", other.as_ref(), answer()).await;
    let Ok(Some(Answered::Fresh { body, .. })) = checked else { panic!("{checked:?}") };
    assert!(String::from_utf8(body).unwrap().contains("\"matched\":false"));
    // A carrier whose own voice speaks says it, first and where the text fails; recordings say no payee.
    for (way, fallback) in [(CALL, vec![]), (SMS, vec![CALL])] {
        for says_all in [true, false] {
            let plays = Voice::Play("https://idp.example.com/audio".to_owned());
            let voice = if says_all { Voice::Say } else { plays };
            let site = site_for(Tenant::new("acme"), voice);
            let request = Request { way, fallback: fallback.clone(), ..request.clone() };
            let begun = site.gateway.begin(&site.tenant, Asked::plainly(request), answer()).await;
            match begun {
                Ok(Answered::Fresh { .. }) => assert!(says_all),
                Err(BeginError::NoRoute(why)) => {
                    assert!(!says_all && why.to_string().contains("ask by text"), "{why}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
