//! What a tenant may want of its calls: languages to choose from, patience, reports of fraud that are
//! confirmed; and what no carrier can do. By the real binary against the lab phone, whose recording
//! says what it heard.

use std::path::Path;
use std::time::Duration;

use octothorpe::media::prompt::{Pack, Prompts};
use octothorpe::media::{Codec, Law};
use serde_json::{Value, json};

use crate::keys::lab_phone;
use crate::serve::Gateway;
use crate::tools::{NUMBER, Process};

/// How long a call may take.
const CALL: Duration = Duration::from_secs(90);

/// The phone at this port is the one trunk, and these are keys of the tenant.
fn gateway(phone: u16, tenant: &str) -> Gateway {
    let trunk = format!(
        "[[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{phone};transport=udp\"\n\
         options_secs = 0\n"
    );
    Gateway::with(&trunk, tenant)
}

/// What the phone recorded, once its call is over.
fn recorded(mut phone: Process, path: &Path) -> Vec<i16> {
    assert!(phone.wait("the phone has had its call", CALL).success());
    let mut wav = hound::WavReader::open(path).unwrap();
    wav.samples().map(Result::unwrap).collect()
}

/// How often the first half second of a phrase was heard, sample by sample.
fn times(heard: &[i16], pack: &Pack, name: &str) -> usize {
    let codes = pack.get(name).unwrap().codes(Codec::PCMU);
    let said: Vec<i16> = codes.iter().take(4_000).map(|code| Law::Ulaw.decode(*code)).collect();
    let begins = said.iter().position(|sample| sample.abs() > 500).unwrap();
    heard.windows(said.len()).filter(|it| it[begins] == said[begins] && **it == said[..]).count()
}

fn pack(locale: &str) -> std::sync::Arc<Pack> {
    Prompts::compiled().unwrap().speaking(None, locale).unwrap()
}

#[test]
fn the_person_chooses_a_language_by_its_key() {
    let folder = tempfile::tempdir().unwrap();
    for (keys, chosen, other) in
        [("2,,,,,,,#", "es-MX", "en-US"), (",,,,,,,,,,,,,,,,,#", "en-US", "es-MX")]
    {
        let record = folder.path().join(format!("{chosen}.wav"));
        let path = record.to_str().unwrap();
        let (phone, port) = lab_phone(&["--press", keys, "--press-after", "3", "--record", path]);
        let gateway = gateway(port, "languages = [\"en-US\", \"es-MX\"]");
        let id = gateway.begin(&json!({"to": NUMBER}));
        let settled = gateway.settles(&id, CALL);
        assert_eq!(settled["reason"], "confirmed", "{settled}");
        let heard = recorded(phone, &record);
        for locale in [chosen, other] {
            let pack = pack(locale);
            let expected = usize::from(locale == chosen);
            assert_eq!(times(&heard, &pack, "ask"), expected, "{locale} of {chosen}");
            assert_eq!(times(&heard, &pack, "thanks"), expected, "{locale} of {chosen}");
        }
        assert_eq!(times(&heard, &pack("en-US"), "choose"), 1, "{chosen}");
    }
}

#[test]
fn an_accessible_call_repeats_as_often_as_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    // Three times is as often as others may.
    for (accessible, asks) in [(true, 6), (false, 4)] {
        let record = folder.path().join(format!("{accessible}.wav"));
        let keys = ["--press", "*,,*,,*,,*,,*,,#", "--press-after", "5"];
        let (phone, port) =
            lab_phone(&[&keys[..], &["--record", record.to_str().unwrap()]].concat());
        let gateway = gateway(port, "");
        let id = gateway.begin(&json!({"to": NUMBER, "accessible": accessible}));
        let settled = gateway.settles(&id, CALL);
        assert_eq!(settled["reason"], "confirmed", "{settled}");
        let heard = recorded(phone, &record);
        assert_eq!(times(&heard, &pack("en-US"), "ask"), asks, "accessible {accessible}");
    }
}

#[test]
fn a_report_of_fraud_is_confirmed_where_that_is_wanted() {
    for (keys, confirms, reason) in [
        ("0#,,,,,,,1", true, "fraud_reported"),
        ("0#", true, "declined"),
        ("0#", false, "fraud_reported"),
    ] {
        let (_phone, port) = lab_phone(&["--press", keys, "--press-after", "5"]);
        let gateway = gateway(port, &format!("confirm_fraud = {confirms}"));
        let id = gateway.begin(&json!({"to": NUMBER}));
        let settled = gateway.settles(&id, CALL);
        assert_eq!(
            (&settled["status"], &settled["reason"]),
            (&json!("denied"), &json!(reason)),
            "{keys}, {confirms}: {settled}"
        );
    }
}

#[test]
fn an_extension_by_a_carrier_alone_is_refused_with_what_is_missing() {
    let gateway = Gateway::by_carriers(
        "[[carriers]]\nname = \"twilio\"\nkind = \"twilio\"\nbase_url = \"http://127.0.0.1:9\"\n\
         account = \"AC0123456789abcdef0123456789abcdef\"\ntoken = \"canary-of-a-token\"\n\
         from = \"+12025550100\"\n",
    );
    let asked = json!({"to": NUMBER, "extension": "204"});
    let refused = gateway.post("/v1/verifications", &asked);
    assert_eq!(refused.status, 422, "{refused:?}");
    let problem: Value = refused.json();
    assert_eq!(problem["code"], "no_route", "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("twilio dials no extension"), "{problem}");
    assert!(detail.contains("a trunk dials it"), "{problem}");
}
