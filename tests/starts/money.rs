//! Money: caps that are kept however much begins at once, and what is given back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use octothorpe::gateway::settings::{Endpoint, Tenant, WebhookSecret, event};
use octothorpe::gateway::{Answered, Asked, BeginError, ResendError};
use octothorpe::store::Store;
use octothorpe::verify::attempt::AttemptNo;
use octothorpe::verify::money::{Cap, Caps, Overspent};
use octothorpe::verify::request::Request;
use octothorpe::verify::signal::{Cause, Reason, Signal, Status};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::site::{CALL, SMS, Site, ask, plainly, priced, stores, tenant};

/// A call may last 90 s: two minutes are set aside for it.
const DECK: &str = "prefix,channel,price\n+1,voice,0.10\n+1,sms,0.05\n";

fn caps(call: &str, number: &str, tenant: &str, day: &str) -> Caps {
    let cap = |text: &str| text.parse().ok();
    Caps {
        call: cap(call),
        number: cap(number),
        tenant: cap(tenant),
        day: cap(day),
        record_only: false,
    }
}

fn capped(name: &str, caps: Caps) -> Tenant {
    let secret = WebhookSecret::new(Zeroizing::new(vec![7; 32]));
    let events = event::Filter::new(vec!["budget.*".to_owned()]).unwrap();
    let endpoint = Endpoint::new("https://idp.example.com/hooks", secret);
    let webhooks = vec![Endpoint { events, ..endpoint }];
    Tenant { caps, webhooks, ..tenant(name) }
}

fn site(store: Store, caps: Caps) -> Site {
    priced(store, vec![capped("acme", caps)], Some(DECK))
}

/// The `n`th number.
fn to(n: usize, request: Request) -> Request {
    Request { to: format!("+1415555{n:04}").parse().unwrap(), ..request }
}

fn over(refused: Result<Answered, BeginError>) -> Overspent {
    let Err(BeginError::Overspent(over)) = refused else { panic!("{refused:?}") };
    over
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_is_kept_to_the_last_cent_whoever_asks_at_once_and_its_shares_are_told_once() {
    let dir = tempfile::tempdir().unwrap();
    for store in stores(dir.path()) {
        let mut site = site(store, caps("", "", "1.00", ""));
        let mut starts = JoinSet::new();
        for n in 0..50 {
            let (gateway, tenant) = (site.gateway.clone(), site.tenants[0].clone());
            let asked = Asked::plainly(to(n, ask(CALL, &n.to_string())));
            starts.spawn(async move { gateway.begin(&tenant, asked, plainly()).await });
        }
        let (mut begun, mut refused) = (0, 0);
        while let Some(started) = starts.join_next().await {
            match started.unwrap() {
                Ok(_) => begun += 1,
                denied => {
                    let text = over(denied).to_string();
                    assert_eq!(
                        text,
                        "it may cost 0.20 EUR, and the cap by tenant (1.00 EUR) leaves 0.00"
                    );
                    refused += 1;
                }
            }
        }
        assert_eq!((begun, refused), (5, 45));
        for _ in 0..3 {
            site.turn().await;
        }
        let delivered = site.world.delivered.lock().unwrap().clone();
        let bodies = delivered.iter().map(|it| crate::site::told(it.body.as_bytes()));
        let mut shares: Vec<_> = bodies
            .filter(|body| body["type"] == "budget.reached")
            .map(|body| body["data"]["percent"].as_u64().unwrap())
            .collect();
        shares.sort_unstable();
        assert_eq!(shares, [50, 80, 100]);
        // A text costs less, and there is nothing left for it either.
        assert!(matches!(
            over(site.begin(&ask(SMS, "a")).await),
            Overspent::Cap { cap: Cap::Tenant, .. }
        ));
        site.clock.advance(Duration::from_secs(27 * 3_600));
        site.fresh(&ask(SMS, "a")).await;
    }
}

#[tokio::test]
async fn what_did_not_happen_is_given_back() {
    let mut site = site(Store::memory(), caps("", "", "0.25", ""));
    let full = async |site: &Site| {
        matches!(site.begin(&to(7, ask(CALL, "x"))).await, Err(BeginError::Overspent(_)))
    };
    // Nobody answers.
    for n in 0..3 {
        let id = site.fresh(&to(n, ask(CALL, "a"))).await;
        site.turn().await;
        assert!(full(&site).await);
        site.end(&id, 1, Reason::NoAnswer).await;
    }
    // It lasts 30 seconds, of two minutes.
    let id = site.fresh(&to(4, ask(CALL, "a"))).await;
    site.turn().await;
    let attempt = AttemptNo::FIRST;
    site.gateway.signal(&id, Signal::Engaged { attempt, sip_status: Some(200) }).await.unwrap();
    site.clock.advance(Duration::from_secs(30));
    site.end(&id, 1, Reason::HungUp).await;
    assert!(full(&site).await, "0.10 of 0.25 are spent, and 0.20 are not left");
    site.fresh(&to(5, ask(SMS, "b"))).await;
    site.fresh(&to(6, ask(SMS, "b"))).await;
    site.fresh(&to(7, ask(SMS, "b"))).await;
    assert!(matches!(over(site.begin(&to(8, ask(SMS, "b"))).await), Overspent::Cap { .. }));
    // Texts that no carrier takes are given back as well.
    *site.world.refuses.lock().unwrap() = Some(Cause::because(Reason::CarrierError, "no"));
    site.turn().await;
    site.fresh(&to(8, ask(SMS, "b"))).await;
}

#[tokio::test]
async fn a_fallback_without_money_ends_before_it_begins_and_a_further_attempt_is_refused() {
    let mut site = site(Store::memory(), caps("", "0.22", "", ""));
    let id = site.fresh(&Request { fallback: vec![CALL], ..ask(SMS, "a") }).await;
    site.turn().await;
    site.end(&id, 1, Reason::Undelivered).await;
    let failed = site.read(&id).await;
    assert_eq!(
        (failed.status(), failed.verdict().unwrap().reason()),
        (Status::Failed, Reason::BudgetDenied)
    );
    assert_eq!(
        failed.attempts[1].detail.as_deref(),
        Some("it may cost 0.20 EUR, and the cap by number (0.22 EUR) leaves 0.17")
    );
    site.turn().await;
    assert_eq!(site.world.calls.load(Ordering::Relaxed), 0);
    // The one other text of this number that there is money for, and its further attempts.
    let id = site.fresh(&Request { expires_in: 600, ..ask(SMS, "b") }).await;
    site.turn().await;
    for wait in [60, 120] {
        site.clock.advance(Duration::from_secs(wait));
        site.gateway.resend(&site.tenants[0], &id, None, plainly()).await.unwrap();
        site.turn().await;
    }
    site.clock.advance(Duration::from_secs(300));
    let refused = site.gateway.resend(&site.tenants[0], &id, None, plainly()).await;
    assert!(
        matches!(refused, Err(ResendError::Overspent(Overspent::Cap { cap: Cap::Number, .. }))),
        "{refused:?}"
    );
    assert_eq!(site.read(&id).await.sends, 3, "nothing was sent");
}

#[tokio::test]
async fn each_cap_has_its_word_and_what_only_records_refuses_nothing() {
    let one = site(Store::memory(), caps("0.15", "", "", ""));
    assert!(matches!(
        over(one.begin(&ask(CALL, "a")).await),
        Overspent::Cap { cap: Cap::Call, wait: None, .. }
    ));
    one.fresh(&ask(SMS, "a")).await;
    // Two tenants share the day.
    let both =
        vec![capped("acme", caps("", "", "", "0.07")), capped("other", caps("", "", "", "0.07"))];
    let shared = priced(Store::memory(), both, Some(DECK));
    let asked = Asked::plainly(to(1, ask(SMS, "a")));
    shared.gateway.begin(&shared.tenants[1], asked, plainly()).await.unwrap();
    assert!(matches!(
        over(shared.begin(&ask(SMS, "a")).await),
        Overspent::Cap { cap: Cap::Day, wait: Some(_), .. }
    ));
    // What nobody knows the price of is not begun where there is a cap, and a rehearsal spends nothing.
    let deck = "prefix,channel,price\n+1415,sms,0.05\n";
    let site = priced(Store::memory(), vec![capped("acme", caps("", "", "0.05", ""))], Some(deck));
    let unpriced = over(site.begin(&ask(CALL, "a")).await);
    assert_eq!(
        unpriced.to_string(),
        "the prices have none for voice to US: add one to the file of [prices]"
    );
    for _ in 0..3 {
        let asked = Asked { dry_run: true, ..Asked::plainly(ask(SMS, "a")) };
        let dry = site.gateway.begin(&site.tenants[0], asked, plainly()).await;
        assert!(matches!(dry, Ok(Answered::Dry { .. })), "{dry:?}");
    }
    site.fresh(&ask(SMS, "a")).await;
    let asked = Asked { dry_run: true, ..Asked::plainly(ask(SMS, "b")) };
    over(site.gateway.begin(&site.tenants[0], asked, plainly()).await);
    let record = Caps { record_only: true, ..caps("0.01", "0.01", "0.01", "0.01") };
    let site = priced(Store::memory(), vec![capped("acme", record)], Some(deck));
    for n in 0..3 {
        site.fresh(&ask(SMS, &n.to_string())).await;
    }
    site.fresh(&ask(CALL, "a")).await;
}
