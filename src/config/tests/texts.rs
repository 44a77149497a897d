//! `[texts.LOCALE]`, and what texts take.

use super::*;

const TEXTER: &str = "[[carriers]]\nname = 'smsc'\nkind = 'smpp'\naddress = 'smsc.example'\n\
                      system_id = 'acme'\npassword = 'env:P'\nfrom = 'Acme'\n";

/// A tenant that texts, and these lines after its own.
fn texting(more: &str) -> Result<Loaded, Complaints> {
    let text = format!(
        "{TEXTER}[[tenants]]\nname = 'acme'\napi_keys = ['env:K']\nsms_countries = ['US']\n{more}"
    );
    let env = |name: &str| match name {
        "K" => Some(KEY.to_owned()),
        "P" => Some("canary".to_owned()),
        _ => None,
    };
    parse(&text, "o.toml", Path::new("."), env)
}

#[test]
fn a_bad_template_is_named_with_its_line_and_what_there_is() {
    for (more, part) in [
        (
            "[texts.en]\ncode = 'Your code is {cdoe}.'",
            "o.toml:13: texts.en.code = \"Your code is {cdoe}.\": {cdoe} is not a value of code; its values are ",
        ),
        (
            "[texts.en]\ncode = 'No code.'",
            "o.toml:13: texts.en.code = \"No code.\": code must hold {code}, outside brackets",
        ),
        (
            "[texts.en]\ncoed = '{code}'",
            "o.toml:13: texts.en.coed = \"{code}\": \"coed\" is not a kind of text; the kinds are code, ",
        ),
        (
            "[texts.x]\ncode = '{code}'",
            "o.toml:13: texts.x.code = \"{code}\": \"x\" is not a BCP 47",
        ),
        (
            "[texts.en]\ncode = 3",
            "o.toml:13: texts.en.code = 3: this is of type integer: write a string, in quotes",
        ),
    ] {
        let spoken = texting(more).unwrap_err().to_string();
        assert!(spoken.contains(part), "{more}\nlacks {part}\n{spoken}");
    }
}

#[test]
fn the_text_of_each_language_is_shown_with_what_it_takes() {
    let loaded = texting(
        "locale = 'de-DE'\nbrand = 'Acme'\ncode_digits = 8\notp_domain = 'login.example.com'\n\
         [texts.en]\ncode = '{code} is it.'\n[texts.de]\ncode = '{code} ist der Code.'\n\
         [texts.ja]\ncode = '{code}です。'\n",
    )
    .unwrap();
    assert_eq!(loaded.warnings, []);
    let shown: Vec<(&str, Option<&str>, &str, &str, usize)> = loaded
        .samples
        .iter()
        .map(|it| {
            (it.locale.as_str(), it.tenant.as_deref(), it.text.as_str(), it.encoding, it.segments)
        })
        .collect();
    let bound = "12345678 ist der Code.\n@login.example.com #12345678";
    assert_eq!(
        shown,
        [
            ("de-DE", Some("acme"), bound, "GSM-7", 1),
            ("de", None, "123456 ist der Code.", "GSM-7", 1),
            ("en", None, "123456 is it.", "GSM-7", 1),
            ("ja", None, "123456です。", "UCS-2", 1),
        ]
    );
}

#[test]
fn a_text_of_many_segments_is_warned_of_and_one_of_too_many_refused() {
    let long = |n: usize| format!("[texts.en]\ncode = '{{code}} {}'\n", "{brand} ".repeat(n));
    let loaded = texting(&long(20)).unwrap();
    let spoken = Complaints(loaded.warnings).to_string();
    assert_eq!(
        spoken,
        "o.toml:13: texts.en.code: the text takes 2 segments, each of which is paid"
    );
    let brand = "brand = 'A brand of many characters too'\n";
    let spoken = texting(&format!("{brand}{}", long(61))).unwrap_err().to_string();
    assert!(
        spoken.contains(
            "o.toml:8: tenants[0].locale: the text takes 13 segments, and more than 10 are never \
             sent: shorten its template, the brand or otp_domain"
        ),
        "{spoken}"
    );
}

#[test]
fn a_tenant_that_nothing_reaches_is_warned_of() {
    let text = format!("{}sms_countries = ['US']\n", good());
    let spoken = Complaints(parsed(&text).unwrap().warnings).to_string();
    assert!(
        spoken.contains("o.toml:4: tenants[0].sms_countries: no carrier sends texts: write one"),
        "{spoken}"
    );
    let spoken = Complaints(texting("voice_countries = ['US']").unwrap().warnings).to_string();
    assert!(
        spoken.contains("o.toml:8: tenants[0].voice_countries: no trunk or carrier places calls"),
        "{spoken}"
    );
    assert_eq!(texting("voice_countries = ['US']\ntest = true").unwrap().warnings, []);
}
