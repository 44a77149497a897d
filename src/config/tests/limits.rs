//! `[limits]` and `[tenants.limits]`.

use super::*;
use crate::verify::limits::{By, Limits};

fn with(common: &str, own: &str) -> Result<Limits, String> {
    let text = format!("[limits]\n{common}\n{}\n{own}\n", good());
    let loaded = parse(&text, "o.toml", Path::new("."), |_| None);
    loaded.map(|it| it.config.gateway.tenants[0].limits.clone()).map_err(|it| it.to_string())
}

#[test]
fn nothing_written_is_the_standard_as_the_defaults_show_it() {
    assert_eq!(with("", "").unwrap(), Limits::standard());
    let shown = DEFAULTS.split("[limits]\n").nth(1).unwrap();
    for by in By::ALL {
        let rates = Limits::standard().rates.into_iter().filter(|(other, _)| *other == by);
        let rates: Vec<_> = rates.map(|(_, rate)| format!("\"{rate}\"")).collect();
        let line = format!("{} = [{}]\n", by.as_str(), rates.join(", "));
        assert!(shown.contains(&line), "config/default.toml does not say {line}");
    }
}

#[test]
fn a_tenants_list_stands_in_the_place_of_the_common_one() {
    let limits = with(
        "number = ['7/h']\nprefix = []\nrecord_only = ['country']",
        "limits = { number = ['1/m', '2/d'] }",
    );
    let limits = limits.unwrap();
    let of = |by| {
        let rates = limits.rates.iter().filter(move |(other, _)| *other == by);
        rates.map(|(_, rate)| rate.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of(By::Number), ["1/m", "2/d"]);
    assert_eq!(of(By::Prefix), [""; 0]);
    assert_eq!(of(By::Subject), ["3/10m"]);
    assert_eq!(limits.record_only, [By::Country]);
    assert!(!limits.record_conversion);
    let conversion = with("record_only = ['conversion', 'prefix']", "").unwrap();
    assert_eq!((conversion.record_only, conversion.record_conversion), (vec![By::Prefix], true));
}

#[test]
fn pauses_grow_and_may_be_left_out() {
    let secs = |common: &str, own: &str| {
        let limits = with(common, own)?;
        Ok::<_, String>(limits.pauses.iter().map(std::time::Duration::as_secs).collect::<Vec<_>>())
    };
    assert_eq!(secs("", "").unwrap(), [60, 300, 3_600]);
    assert_eq!(secs("subject_pauses = ['2m', '2m']", "").unwrap(), [120, 120]);
    assert_eq!(secs("subject_pauses = []", "").unwrap(), [0; 0]);
    assert_eq!(secs("", "limits = { subject_pauses = ['10s'] }").unwrap(), [10]);
    let wrong = secs("subject_pauses = ['5m', '1m']", "").unwrap_err();
    assert!(
        wrong.contains("o.toml:2: limits.subject_pauses[1] = \"1m\": write how long"),
        "{wrong}"
    );
}

#[test]
fn fraud_and_safe_numbers_are_read_and_their_mistakes_named() {
    let tenant = |fraud: &str, own: &str| {
        let text = format!("[fraud]\n{fraud}\n{}\n{own}\n", good());
        let loaded = parse(&text, "o.toml", Path::new("."), |_| None);
        loaded.map(|it| it.config.gateway.tenants[0].clone()).map_err(|it| it.to_string())
    };
    let standard = tenant("", "").unwrap();
    assert_eq!(standard.fraud, crate::verify::block::Fraud::default());
    assert!(!standard.hide_blocks && standard.safe.is_empty());
    let own =
        "hide_blocks = true\nsafe_numbers = [{ number = '+14155550132', until = '2027-03-31' }]";
    let other = tenant("block_hours = 2160\nconversion_block = 25", own).unwrap();
    assert_eq!((other.fraud.block.as_secs(), other.fraud.stop), (90 * 86_400, 25));
    let (number, until) = &other.safe[0];
    assert_eq!(number.expose(), "+14155550132");
    assert_eq!(until.to_rfc3339(), "2027-03-31T23:59:59.999Z");
    assert!(other.hide_blocks);
    for (fraud, own, said) in [
        ("block_hours = 2161", "", "fraud.block_hours = 2161: write a whole number from 0 to 2160"),
        ("conversion_block = 26", "", "fraud.conversion_block = 26: nobody would be warned"),
        ("", "safe_numbers = [{ until = '2027-03-31' }]", "safe_numbers[0].number: the number is"),
        (
            "",
            "safe_numbers = [{ number = '+14155550132' }]",
            "safe_numbers[0].until: nothing is safe",
        ),
        (
            "",
            "safe_numbers = [{ number = '2125550143', until = 'soon' }]",
            "safe_numbers[0].until = \"soon\": write a day",
        ),
    ] {
        let told = tenant(fraud, own).unwrap_err();
        assert!(told.contains(said), "lacks {said}\n{told}");
        assert!(!told.contains("2125550143"), "{told}");
    }
}

#[test]
fn a_rate_that_is_none_is_named() {
    for (common, own, said) in [
        ("number = ['5']", "", "o.toml:2: limits.number[0] = \"5\": write how many in how long"),
        ("tenant = ['5/w']", "", "o.toml:2: limits.tenant[0] = \"5/w\": write how many"),
        ("", "limits = { prefix = ['x'] }", "tenants[0].limits.prefix[0] = \"x\": write how many"),
        (
            "record_only = ['numbr']",
            "",
            "limits.record_only[0] = \"numbr\": write one of number, subject, client_ip, prefix, \
             country, tenant, conversion; did you mean \"number\"?",
        ),
        ("numbers = []", "", "limits.numbers: no such key; did you mean \"number\"?"),
    ] {
        let spoken = with(common, own).unwrap_err();
        assert!(spoken.contains(said), "lacks {said}\n{spoken}");
    }
}
