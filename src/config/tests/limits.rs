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
             country, tenant; did you mean \"number\"?",
        ),
        ("numbers = []", "", "limits.numbers: no such key; did you mean \"number\"?"),
    ] {
        let spoken = with(common, own).unwrap_err();
        assert!(spoken.contains(said), "lacks {said}\n{spoken}");
    }
}
