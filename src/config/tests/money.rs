//! `[prices]`, `[budget]`, `[tenants.budget]`, and who is asked before anything is sent.

use super::*;
use crate::gateway::settings::Tenant;

fn with(deck: Option<&str>, common: &str, own: &str) -> Result<(Loaded, Tenant), String> {
    let folder = tempfile::tempdir().unwrap();
    if let Some(deck) = deck {
        std::fs::write(folder.path().join("prices.csv"), deck).unwrap();
    }
    let text = format!("{common}\n{}\n{own}\n", good());
    let loaded = parse(&text, "o.toml", folder.path(), |_| None);
    let loaded = loaded.map_err(|it| it.to_string())?;
    let tenant = loaded.config.gateway.tenants[0].clone();
    Ok((loaded, tenant))
}

const PRICES: &str = "[prices]\nfile = 'prices.csv'\ncurrency = 'EUR'\n";
const DECK: &str = "prefix,channel,price\n+1,voice,0.013\n";

#[test]
fn a_tenants_cap_stands_in_the_place_of_the_common_one() {
    let common =
        format!("{PRICES}[budget]\ncall = '0.5'\nnumber = '2'\nday = '1000'\nrecord_only = true\n");
    let own = "budget = { number = '1.50', tenant = '40', record_only = false }";
    let (loaded, tenant) = with(Some(DECK), &common, own).unwrap();
    let deck = loaded.config.gateway.prices.unwrap();
    assert_eq!(deck.currency(), "EUR");
    let caps = tenant.caps;
    let shown = [caps.call, caps.number, caps.tenant, caps.day].map(|it| it.unwrap().to_string());
    assert_eq!(shown, ["0.50", "1.50", "40.00", "1000.00"]);
    assert!(!caps.record_only);
    let (loaded, tenant) = with(None, "", "").unwrap();
    assert_eq!(
        (loaded.config.gateway.prices, tenant.caps),
        (None, crate::verify::money::Caps::default())
    );
}

#[test]
fn what_is_wrong_with_prices_and_caps_is_named_with_its_place() {
    let deck = "prefix,channel,price\n+1,voice,0.013\n+44,fax,1\n+49,sms,dear\n";
    let said = with(Some(deck), PRICES, "").unwrap_err();
    for place in [
        "prices.csv, line 3, column 5: write voice or sms",
        "prices.csv, line 4, column 9: write an amount",
    ] {
        assert!(said.contains(place), "{said}");
    }
    for (deck, common, own, said) in [
        (None, PRICES, "", "o.toml:2: prices.file = \"prices.csv\": "),
        (
            Some(DECK),
            "[prices]\nfile = 'prices.csv'\n",
            "",
            "prices.currency: of which currency are they?",
        ),
        (Some(DECK), "[prices]\ncurrency = 'EUR'\n", "", "prices.file: the prices are missing"),
        (
            Some(DECK),
            "[prices]\nfile = 'prices.csv'\ncurrency = 'euro'\n",
            "",
            "three capital letters of ISO 4217",
        ),
        (None, "[budget]\nnumber = '2'\n", "", "o.toml:2: budget = \"2\": a cap needs prices"),
        (None, "", "budget = { call = '1' }", "a cap needs prices"),
        (
            Some(DECK),
            &format!("{PRICES}[budget]\ncall = '1,5'\n"),
            "",
            "budget.call = \"1,5\": write an amount with a point",
        ),
        (
            Some(DECK),
            PRICES,
            "budget = { day = '5' }",
            "tenants[0].budget.day: this is what all tenants may spend together",
        ),
        (Some(DECK), PRICES, "budget = { calls = '5' }", "no such key; did you mean \"call\"?"),
    ] {
        let spoken = with(deck, common, own).unwrap_err();
        assert!(spoken.contains(said), "lacks {said}\n{spoken}");
    }
}

#[test]
fn a_risk_service_is_read_as_a_webhook_is_and_guarded_like_one() {
    let own = "risk = { url = 'https://risk.example.com/ask', secret = 'canary_secret_0123456789abcdef', on_timeout = 'deny', number = 'full' }";
    let risk = with(None, "", own).unwrap().1.risk.unwrap();
    assert!(risk.deny_unknown && risk.full_number);
    assert_eq!(risk.endpoint.origin(), "https://risk.example.com");
    let risk = with(
        None,
        "",
        "risk = { url = 'https://risk.example.com/', secret = 'canary_secret_0123456789abcdef' }",
    );
    let risk = risk.unwrap().1.risk.unwrap();
    assert!(!risk.deny_unknown && !risk.full_number);
    let secret = "secret = 'canary_secret_0123456789abcdef'";
    for (own, said) in [
        (format!("risk = {{ {secret} }}"), "tenants[0].risk.url: the address is missing"),
        (
            "risk = { url = 'https://risk.example.com/' }".to_owned(),
            "tenants[0].risk.secret: the secret that signs is missing",
        ),
        (
            format!("risk = {{ url = 'https://10.0.0.1/', {secret} }}"),
            "allow_private_webhooks = true",
        ),
        (
            format!("risk = {{ url = 'http://risk.example.com/', {secret} }}"),
            "allow_private_webhooks = true",
        ),
        (
            format!(
                "risk = {{ url = 'https://risk.example.com/', {secret}, on_timeout = 'alow' }}"
            ),
            "tenants[0].risk.on_timeout = \"alow\": write \"flag\" or \"deny\"",
        ),
        (
            format!("risk = {{ url = 'https://risk.example.com/', {secret}, number = 'none' }}"),
            "write \"masked\" or \"full\"",
        ),
    ] {
        let spoken = with(None, "", &own).map(|_| ()).unwrap_err();
        assert!(spoken.contains(said), "lacks {said}\n{spoken}");
        assert!(!spoken.contains("canary_secret"), "{spoken}");
    }
}

#[test]
fn the_time_to_join_is_bounded() {
    assert_eq!(with(None, "", "").unwrap().1.join, Duration::from_secs(30));
    assert_eq!(with(None, "", "join_secs = 0").unwrap().1.join, Duration::ZERO);
    for bad in ["join_secs = 601", "join_secs = -1"] {
        let said = with(None, "", bad).unwrap_err();
        assert!(
            said.contains("tenants[0].join_secs") && said.contains("write a whole number from 0"),
            "{said}"
        );
    }
}
