//! Who is never reached, by the API: before anything is planned, counted or sent.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::verify::number::PhoneNumber;

/// Numbers and their kinds, as PyPI `phonenumbers` knows them.
const REFUSED: &str = include_str!("../../../tests/vectors/numbers/refused.tsv");

/// Counts what would have reached somebody.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl Hands for Counting {
    async fn place(&self, _: &Verification, _: AttemptNo) -> Receipt {
        self.0.fetch_add(1, Ordering::Relaxed);
        Receipt::Refused(Cause::plain(Reason::Congested))
    }

    async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

    async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
        Ok(())
    }
}

/// A tenant that may reach every country, and routes for every number.
async fn open_site(hands: Counting) -> Site {
    let regions = rlibphonenumber::PHONE_NUMBER_UTIL.get_supported_regions();
    let everywhere = regions.map(|region| region.as_region_str().to_string().parse().unwrap());
    let mut everywhere: BTreeSet<_> = everywhere.collect();
    everywhere.insert("001".parse().unwrap());
    let rules = Rules { voice_countries: everywhere.clone(), sms_countries: everywhere };
    let tenants =
        vec![Tenant { keys: vec![ApiKey::of(ACME).into()], rules, ..Tenant::new("acme") }];
    let rule = |channel| Rule::every(channel, ["carrier-a"]);
    let routes = Table::new(vec![rule(Channel::Voice), rule(Channel::Sms)]);
    let settings = settings::Settings { tenants, routes, ..settings::Settings::bare() };
    let (clock, entropy, vault) = (Clock::system(), Entropy::system(), Vault::of("tests"));
    let (gateway, turns) =
        Gateway::assemble(Store::memory(), &settings, vault, clock, entropy, hands);
    tokio::spawn(turns.run());
    let server = Server::bind(Listening::new(hasty()).unwrap(), gateway, metrics()).await.unwrap();
    let (api, admin) = (server.api_address(), server.admin_address().unwrap());
    let (close, closed) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = closed.await;
    }));
    Site { api, admin, close, running }
}

#[tokio::test]
async fn two_hundred_numbers_that_cost_dear_are_refused_before_anything_is_sent() {
    let hands = Counting::default();
    let site = open_site(hands.clone()).await;
    let rows: Vec<Vec<&str>> = REFUSED
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .collect();
    assert!(rows.len() >= 200, "{} rows", rows.len());
    for row in &rows {
        let [number, country, kind] = row[..] else { panic!("{row:?}") };
        for body in [
            json!({ "to": number }),
            json!({ "to": number, "channel": "sms" }),
            json!({ "to": number, "channel": "sms", "fallback": [{"channel": "voice"}] }),
        ] {
            let reply = post(&site, "/v1/verifications", &[], body.to_string().as_bytes()).await;
            let (status, code) = reply.code();
            // What has no E.164 form is no number at all.
            let refused = match kind {
                "short" | "emergency" => (status, code.as_str()) == (422, "invalid_request"),
                _ => (status, code.as_str()) == (403, "policy_denied"),
            };
            assert!(refused, "{number} ({country}, {kind}): {reply:?}");
        }
    }
    // The same site reaches whom it may.
    for number in ["+14155550132", "+4915112345678", "+445612345678"] {
        let body = json!({ "to": number }).to_string();
        let reply = post(&site, "/v1/verifications", &[], body.as_bytes()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let voip = number.parse::<PhoneNumber>().unwrap().kind().as_str() == "voice over IP";
        let flags = if voip { json!(["voip"]) } else { json!([]) };
        assert_eq!(reply.json()["flags"], flags, "{number}");
    }
    let placed = async {
        while hands.0.load(Ordering::Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), placed).await.unwrap();
    assert_eq!(hands.0.load(Ordering::Relaxed), 3, "only those");
}
