//! Tenants: countries, languages, texts, webhooks.

use super::*;
use crate::gateway::settings::Calling;
use crate::media::script::FraudKeys;

/// Appended to [`good`], which has 7 lines: the first line here is line 8.
const MISTAKES: &[Row] = &[
    (
        "[[tenants]]\nname = 'acme'\napi_keys = ['other_key_0123456789012345678901234']",
        &["o.toml:9: tenants[1].name = \"acme\": line 5 has this name already"],
    ),
    (
        "[[tenants]]\nname = 'two'",
        &["o.toml:8: tenants[1].api_keys: the tenant has no key to present"],
    ),
    (
        "[[tenants]]\nname = 'two'\napi_keys = ['canary']",
        &[
            "o.toml:10: tenants[1].api_keys[0]: the key has 6 of the 32 characters that a key has at least: make one with `octothorpe key new`",
        ],
    ),
    (
        "[[tenants]]\nname = 'two'\napi_keys = ['change-me-change-me-change-me-change-me']",
        &["o.toml:10: tenants[1].api_keys[0]: this is the example's secret"],
    ),
    (
        "[[tenants]]\nname = 'two'\napi_keys = [\n'canary_key_01234567890123456789012345']",
        &["o.toml:11: tenants[1].api_keys[0]: tenants[0].api_keys[0] on line 6 is the same key"],
    ),
    (
        "[[tenants]]\nname = 'two'\napi_keys = ['canary key with spaces 0123456789012']",
        &["o.toml:10: tenants[1].api_keys[0]: the key holds a space"],
    ),
    (
        "[[tenants]]\nname = 'two'\napi_keys = 'canary_0123456789012345678901234567'",
        &["o.toml:10: tenants[1].api_keys: this is of type string: write an array, in [ ]"],
    ),
    (
        "sms_countries = ['UK', 'us', 'XX', 'Germany']",
        &[
            "o.toml:8: tenants[0].sms_countries[0] = \"UK\": there is no such country; did you mean \"GB\"?",
            "tenants[0].sms_countries[1] = \"us\": ",
            "did you mean \"US\"?",
            "tenants[0].sms_countries[2] = \"XX\": no country with a numbering plan",
            "tenants[0].sms_countries[3] = \"Germany\": a country is two capital letters",
        ],
    ),
    (
        "locale = 'English'",
        &["o.toml:8: tenants[0].locale = \"English\": write a language and a region"],
    ),
    (
        "languages = ['en-US', 'english', 'en-US']",
        &[
            "o.toml:8: tenants[0].languages[1] = \"english\": write a language and a region",
            "o.toml:8: tenants[0].languages[2] = \"en-US\": this language is there already",
        ],
    ),
    ("languages = ['en-US']", &["o.toml:8: tenants[0].languages = 1: write two to nine languages"]),
    ("code_digits = 5", &["o.toml:8: tenants[0].code_digits = 5: write 6 to 10"]),
    ("code_digits = 11", &["o.toml:8: tenants[0].code_digits = 11: write 6 to 10"]),
    (
        "resend_code = 'nwe'",
        &["tenants[0].resend_code = \"nwe\": write \"same\" or \"new\"; did you mean \"new\"?"],
    ),
    (
        "otp_domain = 'https://login.example.com'",
        &["o.toml:8: tenants[0].otp_domain = ", "write the sign-in page's host alone"],
    ),
    ("otp_domain = 'login'", &["tenants[0].otp_domain = \"login\": write the sign-in page's host"]),
    ("android_hash = 'short'", &["o.toml:8: tenants[0].android_hash = \"short\": write the 11"]),
    ("brand = '<b>'", &["o.toml:8: tenants[0].brand = \"<b>\": a brand is 1 to 32 letters"]),
    (
        "webhooks = [{ url = 'http://idp.example/h', secret = 'canary' }]",
        &[
            "o.toml:8: tenants[0].webhooks[0].url = \"http://idp.example/…\": events go by https:// alone",
            "allow_private_webhooks",
        ],
    ),
    (
        "webhooks = [{ url = 'https://10.0.0.1/h', secret = 'canary' }]",
        &[
            "tenants[0].webhooks[0].url = \"https://10.0.0.1/…\": its address lies in a private network (allow_private_webhooks",
        ],
    ),
    (
        "webhooks = [{ url = 'https://u:canary@idp.example/h', secret = 'canary' }]",
        &["tenants[0].webhooks[0].url = \"https://…/…\": leave out the user and password"],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h#canary', secret = 'canary' }]",
        &["tenants[0].webhooks[0].url = \"https://idp.example/…\": leave out the fragment"],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'whsec_canary!' }]",
        &["o.toml:8: tenants[0].webhooks[0].secret: what follows whsec_ is not base64"],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'change-me' }]",
        &["tenants[0].webhooks[0].secret: this is the example's secret"],
    ),
    (
        "webhooks = [{}]",
        &[
            "o.toml:8: tenants[0].webhooks[0].url: the address is missing",
            "o.toml:8: tenants[0].webhooks[0].secret: the secret that signs is missing",
        ],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secrt = 'canary' }]",
        &["o.toml:8: tenants[0].webhooks[0].secrt: no such key; did you mean \"secret\"?"],
    ),
    (
        "webhooks = [{ url = 'https://0x7f000001/h', secret = 'canary' }]",
        &[
            "tenants[0].webhooks[0].url = \"https://0x7f000001/…\": write the host as a name or an address",
        ],
    ),
    (
        "webhooks = [{ url = 'https://idp.example:25/h', secret = 'canary' }]",
        &[
            "https://idp.example:25/…\": events go to the ports 443, 8443 and those of webhook_ports, not to 25",
        ],
    ),
    (
        "webhook_ports = [9443, 0, 70000]",
        &[
            "o.toml:8: tenants[0].webhook_ports[1] = 0: a port is a number from 1 to 65535",
            "o.toml:8: tenants[0].webhook_ports[2] = 70000: a port is a number",
        ],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'canary' }, \
         { url = 'https://idp.example/h', secret = 'canary' }]",
        &[
            "o.toml:8: tenants[0].webhooks[1].url = \"https://idp.example/…\": this address is there already",
        ],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'canary', events = ['verification.setled'] }]",
        &[
            "tenants[0].webhooks[0].events[0] = \"verification.setled\": no event is called so",
            "did you mean \"verification.settled\"?",
        ],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'canary', events = [] }]",
        &["tenants[0].webhooks[0].events: the endpoint is told nothing: leave events out"],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'whsk_canary' }]",
        &["tenants[0].webhooks[0].secret: what follows whsk_ is not a private key of Ed25519"],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'whpk_canary' }]",
        &["tenants[0].webhooks[0].secret: this is the public key"],
    ),
    (
        "webhooks = [{ url = 'https://idp.example/h', secret = 'canary', previous_secret = 'whsec_!' }]",
        &["tenants[0].webhooks[0].previous_secret: what follows whsec_ is not base64"],
    ),
    (
        "webhooks = ['whsec_canary']",
        &["o.toml:8: tenants[0].webhooks[0]: this is of type string: write a table { url"],
    ),
    (
        "allow_private_webhooks = 'canary'",
        &[
            "o.toml:8: tenants[0].allow_private_webhooks: this is of type string: write true or false",
        ],
    ),
];

#[test]
fn each_mistake_of_a_tenant_is_named() {
    each_is_told(MISTAKES);
}

#[test]
fn what_is_written_of_calls_holds_for_each_tenant() {
    let text = format!(
        "{}languages = ['en-US', 'es-MX']\naccessible = true\nconfirm_fraud = true\n\
         [call]\nfraud_keys = '99#'\npin_digits = 6\npin_tries = 3\nmatch_digits = 2\n",
        good()
    );
    let loaded = parsed(&text).unwrap();
    let languages = vec!["en-US".to_owned(), "es-MX".to_owned()];
    let expected = Calling {
        pin_digits: 6,
        pin_tries: 3,
        match_digits: 2,
        match_calls: 3,
        fraud_keys: FraudKeys::parse("99#").unwrap(),
        confirm_fraud: true,
        languages,
        accessible: true,
    };
    assert_eq!(loaded.config.gateway.tenants[0].calling, expected);
    let warned = loaded.warnings.iter().map(ToString::to_string);
    let record = |it: &String| it.contains("call.fraud_keys = \"99#\": the prompts that come with");
    assert_eq!(warned.filter(record).count(), 1, "{:?}", loaded.warnings);
    let plain = parsed(&good()).unwrap();
    assert_eq!(plain.config.gateway.tenants[0].calling, Calling::default());
}

#[test]
fn a_tenant_without_countries_is_warned_of_unless_it_is_a_test() {
    let warned = |more: &str| {
        let key = "k".repeat(40);
        let tenant = format!("[[tenants]]\nname = 'other'\napi_keys = ['{key}']\n{more}");
        let loaded = parsed(&format!("{}{tenant}", good())).unwrap();
        Complaints(loaded.warnings).to_string().contains("everything is refused")
    };
    assert!(warned(""));
    assert!(!warned("test = true\n"));
}

#[test]
fn a_language_that_nobody_has_recorded_is_warned_of() {
    let warned = |more: &str| {
        let loaded = parsed(&format!("{}{more}", good())).unwrap();
        let warnings = Complaints(loaded.warnings).to_string();
        let about = |line: &&str| line.contains("nobody has recorded");
        warnings.lines().filter(about).map(str::to_owned).collect::<Vec<_>>()
    };
    // Norwegian is not there; Mexico speaks what Latin America does, and Austria what Germany does.
    let said = warned("locale = 'nb-NO'\nlanguages = ['de-AT', 'es-MX', 'sv-SE']\n");
    let [locale, language] = &said[..] else { panic!("{said:?}") };
    assert!(
        locale.contains("tenants[0].locale = \"nb-NO\": nobody has recorded this language, and")
    );
    assert!(locale.contains("calls are held in en-US: put recordings into a folder nb-NO of"));
    assert!(language.contains("tenants[0].languages[2] = \"sv-SE\": nobody has recorded"));
    assert!(language.contains("calls do not offer it"), "{language}");
    assert_eq!(warned("locale = 'fr-CA'\nlanguages = ['en-NZ', 'pl-PL']\n"), [""; 0]);
}
