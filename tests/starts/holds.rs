//! What there is one of at a time: a question, and a call to a number; and what further attempts count.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use octothorpe::gateway::resource::render_checked;
use octothorpe::gateway::settings::Tenant;
use octothorpe::gateway::{AnswerOf, Answered, Asked, BeginError, ResendError};
use octothorpe::store::Store;
use octothorpe::verify::code::Code;
use octothorpe::verify::limits::{self, Limits, Rate};
use octothorpe::verify::request::{Channel, Mode, Request, Way};
use octothorpe::verify::signal::{Reason, Status};
use octothorpe::verify::transaction::Transaction;
use tokio::task::JoinSet;

use crate::site::{CALL, SMS, Site, ask, keyed, plainly, site, stores, tenant, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_starts_that_ask_the_same_at_once_one_is_carried_out_and_the_others_join_it() {
    let dir = tempfile::tempdir().unwrap();
    for store in stores(dir.path()) {
        // A limit does not turn away who joins.
        let rates = vec![(limits::By::Subject, Rate::new(1, Duration::from_secs(600)))];
        let limited = Limits { rates, ..Limits::default() };
        let mut site = site(store, vec![Tenant { limits: limited, ..tenant("acme") }]);
        for way in [SMS, CALL] {
            let request = ask(way, way.channel.as_str());
            let mut starts = JoinSet::new();
            for n in 0..50 {
                let (gateway, tenant) = (site.gateway.clone(), site.tenants[0].clone());
                let asked = Asked::plainly(request.clone());
                let key = format!("{}-{n}", way.channel.as_str());
                let answer = if n % 2 == 0 { plainly() } else { keyed(&key) };
                starts.spawn(async move { gateway.begin(&tenant, asked, answer).await.unwrap() });
            }
            let (mut fresh, mut joined) = (Vec::new(), BTreeSet::new());
            while let Some(started) = starts.join_next().await {
                match started.unwrap() {
                    Answered::Fresh { id, body, .. } => {
                        assert_eq!(told(&body).get("joined"), None);
                        fresh.push(id);
                    }
                    Answered::Joined { id, body, replayed: false } => {
                        assert_eq!(
                            (&told(&body)["joined"], told(&body)["id"].as_str()),
                            (&true.into(), Some(id.as_str()))
                        );
                        joined.insert(id);
                    }
                    Answered::Joined { .. }
                    | Answered::Replayed { .. }
                    | Answered::Dry { .. }
                    | Answered::Mismatch => panic!("it is fresh, or joins"),
                }
            }
            assert_eq!(fresh.len(), 1);
            assert_eq!(joined.into_iter().collect::<Vec<_>>(), fresh);
        }
        site.turn().await;
        let sent =
            (site.world.calls.load(Ordering::Relaxed), site.world.texts.load(Ordering::Relaxed));
        assert_eq!(sent, (1, 1));
    }
}

#[tokio::test]
async fn what_asks_otherwise_or_later_is_another_question() {
    let site = site(Store::memory(), vec![tenant("acme"), tenant("other")]);
    let request = ask(SMS, "user-1");
    let first = site.fresh(&request).await;
    let payment = |amount| Transaction::new(amount, "EUR", "ACME").ok();
    for other in [
        ask(SMS, "user-2"),
        Request { subject: None, ..request.clone() },
        Request { reference: Some("login-2".to_owned()), ..request.clone() },
        Request { client_ip: Some("203.0.113.9".parse().unwrap()), ..request.clone() },
        Request { transaction: payment("49.90"), ..request.clone() },
        Request { transaction: payment("499.90"), ..request.clone() },
        Request { to: "+14155550133".parse().unwrap(), ..request.clone() },
        Request { way: CALL, ..request.clone() },
    ] {
        assert_ne!(site.fresh(&other).await, first, "{other:?}");
    }
    // A code of the caller's could be another.
    let asked = Asked { code: Code::parse("123456"), ..Asked::plainly(request.clone()) };
    let begun = site.gateway.begin(&site.tenants[0], asked, plainly()).await.unwrap();
    assert!(matches!(begun, Answered::Fresh { .. }), "{begun:?}");
    // Nor does another tenant join it.
    let asked = Asked::plainly(request.clone());
    let begun = site.gateway.begin(&site.tenants[1], asked, plainly()).await.unwrap();
    assert!(matches!(begun, Answered::Fresh { .. }), "{begun:?}");
    // The same does, until it is settled; and what is repeated under a key is answered as then.
    let asked = Asked::plainly(request.clone());
    let join =
        async || site.gateway.begin(&site.tenants[0], asked.clone(), keyed("k")).await.unwrap();
    let Answered::Joined { id, body, replayed: false } = join().await else { panic!("it joins") };
    assert_eq!(id, first);
    site.gateway.cancel(&site.tenants[0], &first, plainly()).await.unwrap();
    let again = Answered::Joined { id, body, replayed: true };
    assert_eq!(join().await, again);
    let second = site.fresh(&request).await;
    assert_ne!(second, first);
    // And only for a while.
    site.clock.advance(Duration::from_secs(29));
    assert!(matches!(site.begin(&request).await, Ok(Answered::Joined { .. })));
    site.clock.advance(Duration::from_secs(1));
    assert_ne!(site.fresh(&request).await, second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_has_one_call_at_a_time_whoever_asks() {
    let dir = tempfile::tempdir().unwrap();
    for store in stores(dir.path()) {
        let mut site = site(store, vec![tenant("acme"), tenant("other")]);
        let mut starts = JoinSet::new();
        for n in 0..50 {
            let (gateway, tenant) = (site.gateway.clone(), site.tenants[n % 2].clone());
            let asked = Asked::plainly(ask(CALL, &format!("user-{n}")));
            starts.spawn(async move { gateway.begin(&tenant, asked, plainly()).await });
        }
        let (mut begun, mut refused) = (Vec::new(), 0);
        while let Some(started) = starts.join_next().await {
            match started.unwrap() {
                Ok(Answered::Fresh { id, .. }) => begun.push(id),
                Err(BeginError::InCall(busy)) => {
                    assert_eq!(busy.wait, Duration::from_secs(30));
                    refused += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((begun.len(), refused), (1, 49));
        site.turn().await;
        assert_eq!(site.world.calls.load(Ordering::Relaxed), 1);
        // A text goes all the same, and so does a call elsewhere.
        site.fresh(&ask(SMS, "user-1")).await;
        let elsewhere = Request { to: "+14155550133".parse().unwrap(), ..ask(CALL, "user-1") };
        site.fresh(&elsewhere).await;
    }
}

#[tokio::test]
async fn the_number_is_free_when_the_call_is_over_however_it_ends() {
    let mut here = site(Store::memory(), vec![tenant("acme")]);
    let busy = async |site: &Site| {
        matches!(site.begin(&ask(CALL, "other")).await, Err(BeginError::InCall(_)))
    };
    // It ends by itself.
    let id = here.fresh(&ask(CALL, "a")).await;
    here.turn().await;
    assert!(busy(&here).await);
    here.end(&id, 1, Reason::NoAnswer).await;
    // It is taken back.
    let id = here.fresh(&ask(CALL, "b")).await;
    assert!(busy(&here).await);
    here.gateway.cancel(&here.tenants[0], &id, plainly()).await.unwrap();
    // Its time is over.
    here.fresh(&ask(CALL, "c")).await;
    here.turn().await;
    here.clock.advance(Duration::from_secs(301));
    here.turn().await;
    // A fallback by text leaves the phone alone.
    let id = here.fresh(&Request { fallback: vec![SMS], ..ask(CALL, "d") }).await;
    here.turn().await;
    here.end(&id, 1, Reason::NoAnswer).await;
    assert_eq!(here.read(&id).await.status(), Status::Pending);
    let id = here.fresh(&ask(CALL, "e")).await;
    here.turn().await;
    // And so does a node that is lost, once another notices: its call is over.
    let store = Store::memory();
    let mut first = site(store.clone(), vec![tenant("acme")]);
    let lost = first.fresh(&ask(CALL, "a")).await;
    first.turn().await;
    let mut second = site(store, vec![tenant("acme")]);
    second.clock.advance(Duration::from_secs(20));
    assert!(busy(&second).await);
    second.turn().await;
    assert_eq!(second.read(&lost).await.verdict().unwrap().reason(), Reason::NodeLost);
    second.fresh(&ask(CALL, "b")).await;
    assert!(busy(&here).await, "{id} is up");
}

#[tokio::test]
async fn a_fallback_by_voice_finds_the_phone_busy_while_it_is_called() {
    let mut site = site(Store::memory(), vec![tenant("acme")]);
    let id = site.fresh(&Request { fallback: vec![CALL], ..ask(SMS, "a") }).await;
    let more = site
        .fresh(&Request { fallback: vec![CALL, Way { mode: Mode::Reply, ..SMS }], ..ask(SMS, "b") })
        .await;
    let caller = site.fresh(&ask(CALL, "c")).await;
    site.turn().await;
    for it in [&id, &more] {
        site.end(it, 1, Reason::Undelivered).await;
    }
    // Nothing else is left to try for the one; the other goes on by the next way.
    let failed = site.read(&id).await;
    assert_eq!(
        (failed.status(), failed.verdict().unwrap().reason()),
        (Status::Failed, Reason::Busy)
    );
    assert_eq!(failed.attempts[1].detail.as_deref(), Some("another call to this phone is up"));
    let went_on = site.read(&more).await;
    assert_eq!((went_on.attempts.len(), went_on.running().unwrap().mode), (3, Mode::Reply));
    site.turn().await;
    assert_eq!(site.world.calls.load(Ordering::Relaxed), 1, "nobody called a second time");
    assert!(site.read(&caller).await.running().is_some());
}

#[tokio::test]
async fn further_attempts_count_as_sends_of_the_number_and_wait_for_another_call() {
    let rates = vec![
        (limits::By::Number, Rate::new(3, Duration::from_secs(3_600))),
        (limits::By::Subject, Rate::new(1, Duration::from_secs(3_600))),
    ];
    let limited = Limits { rates, ..Limits::default() };
    let mut site =
        site(Store::memory(), vec![Tenant { limits: limited, ..tenant("acme") }, tenant("other")]);
    let mut request = ask(SMS, "a");
    request.expires_in = 600;
    let id = site.fresh(&request).await;
    site.turn().await;
    let resend = async |site: &Site, channel| {
        site.gateway.resend(&site.tenants[0], &id, channel, plainly()).await
    };
    // Too soon is no send.
    for _ in 0..5 {
        assert!(matches!(resend(&site, None).await, Err(ResendError::TooSoon { .. })));
    }
    for wait in [60, 120] {
        site.clock.advance(Duration::from_secs(wait));
        assert!(matches!(resend(&site, None).await, Ok(Some(Answered::Fresh { .. }))));
    }
    site.clock.advance(Duration::from_secs(300));
    let refused = resend(&site, None).await;
    let Err(ResendError::Limited(limit)) = refused else { panic!("{refused:?}") };
    assert_eq!(limit.to_string(), "number allows 3/h and has had 3");
    // Another tenant calls the phone, and it is not called besides.
    site.tenants[0].limits = Limits::default();
    let asked = Asked::plainly(ask(CALL, "b"));
    site.gateway.begin(&site.tenants[1], asked, plainly()).await.unwrap();
    let refused = resend(&site, Some(Channel::Voice)).await;
    assert!(matches!(refused, Err(ResendError::InCall(_))), "{refused:?}");
    let answer = AnswerOf { idempotency: None, render: render_checked };
    let checked = site.gateway.check(&site.tenants[0], &id, "000000", None, answer).await.unwrap();
    assert!(matches!(checked, Some(Answered::Fresh { .. })), "and a code still counts");
    assert!(matches!(resend(&site, None).await, Ok(Some(Answered::Fresh { .. }))));
}
