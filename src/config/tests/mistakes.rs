//! What can be wrong with a carrier, and what is said of it.

use super::carriers::{PUBLIC, read, text};
use super::*;

/// Kind, keys from line 13 on, what is said.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    (
        "twlio",
        "",
        &[
            "o.toml:12: carriers[0].kind = \"twlio\": there is no such kind: write one of twilio, signalwire, telnyx-texml, telnyx, vonage, http, smpp; did you mean \"twilio\"?",
        ],
    ),
    (
        "twilio",
        "acount = 'x'",
        &["o.toml:13: carriers[0].acount: no such key; did you mean \"account\"?"],
    ),
    (
        "twilio",
        "account = 'AC/0'\ntoken = 'env:T'\nfrom = '+12025550100'",
        &["o.toml:13: carriers[0].account = \"AC/0\": letters, digits, - and _ only"],
    ),
    (
        "twilio",
        "account = 'AC0'\ntoken = 'env:NO'",
        &["o.toml:14: carriers[0].token = \"env:NO\": the environment variable NO is not set"],
    ),
    (
        "twilio",
        "account = 'AC0'\ntoken = 'change-me'",
        &["o.toml:14: carriers[0].token: this is the example's secret"],
    ),
    (
        "twilio",
        "account = 'AC0'\ntoken = 'env:T'",
        &["o.toml:10: carriers[0].from: write an E.164 number"],
    ),
    (
        "twilio",
        "from = '+1202555O100'",
        &[
            "o.toml:13: carriers[0].from = \"+1202555O100\": write the number that calls and writes in E.164",
        ],
    ),
    (
        "twilio",
        "from = 'Much too long a name'",
        &["o.toml:13: carriers[0].from = ", "at most 11 letters"],
    ),
    (
        "twilio",
        "base_url = 'api.twilio.com'",
        &["o.toml:13: carriers[0].base_url = \"…\": write an address that begins with https://"],
    ),
    (
        "twilio",
        "base_url = 'https://u:canary@h'",
        &["o.toml:13: carriers[0].base_url = \"https://…\": leave out the user and password"],
    ),
    (
        "twilio",
        "base_url = 'https://h/canary'",
        &[
            "o.toml:13: carriers[0].base_url = \"https://h/…\": write scheme and host alone, as https://api.twilio.com",
        ],
    ),
    (
        "twilio",
        "prompt = 'sey'",
        &[
            "o.toml:13: carriers[0].prompt = \"sey\": write one of say, audio; did you mean \"say\"?",
        ],
    ),
    (
        "twilio",
        "prompt = 'audio'",
        &["o.toml:10: carriers[0].audio_url: it is missing: prompt = \"audio\" plays recordings"],
    ),
    (
        "twilio",
        "audio_url = 'https://a.example'",
        &[
            "o.toml:13: carriers[0].audio_url = \"https://a.example\": it is used by prompt = \"audio\" alone",
        ],
    ),
    (
        "twilio",
        "machine_detection = 'yes'",
        &["o.toml:13: carriers[0].machine_detection: this is of type string: write true or false"],
    ),
    (
        "twilio",
        "inbound_token = 'env:P'",
        &[
            "o.toml:13: carriers[0].inbound_token = \"env:P\": it has 6 characters, and can be guessed below 16: make one with `openssl rand -hex 16`",
        ],
    ),
    (
        "twilio",
        "inbound_token = 'canary/canary/canary'",
        &["o.toml:13: carriers[0].inbound_token: it stands in an address"],
    ),
    (
        "signalwire",
        "base_url = 'https://h'\naccount = 'p'\ntoken = 'env:T'\nfrom = '+12025550100'",
        &["o.toml:10: carriers[0].signing_key: this provider does not sign with the token"],
    ),
    (
        "telnyx-texml",
        "account = 'p'\ntoken = 'env:T'\nfrom = '+12025550100'",
        &[
            "o.toml:10: carriers[0].application: Telnyx begins calls as a TeXML application; write its id",
        ],
    ),
    (
        "telnyx-texml",
        "account = 'p'\ntoken = 'env:T'\nfrom = '+12025550100'\napplication = '1'\nsigning_key = 'canary'",
        &["o.toml:17: carriers[0].signing_key: write the public key of 32 bytes in base64"],
    ),
    (
        "telnyx",
        "api_key = 'env:T'\nfrom = '+12025550100'\npublic_key = 'short'",
        &[
            "o.toml:15: carriers[0].public_key = \"short\": is not an Ed25519 key: 32 bytes in base64",
        ],
    ),
    (
        "telnyx",
        "api_key = 'env:T'\nfrom = 'Acme'\nconnection_id = '1'\npublic_key = 'qCKwFhfV+1YvjDIQywZ80T70Yeo5P1GswsMDPigCsOc='",
        &[
            "o.toml:14: carriers[0].from = \"Acme\": with connection_id this carrier calls, and only a number can",
        ],
    ),
    (
        "vonage",
        "application_id = 'a'\nprivate_key = 'canary'\napi_key = 'abc'\nsignature_secret = 'env:T'\nfrom = 'Acme'",
        &["o.toml:14: carriers[0].private_key: is not an RSA key of 2048 bits or more in PEM"],
    ),
    (
        "vonage",
        "application_id = 'a'\nprivate_key = 'env:PEM'\napi_key = 'abc'\nsignature_secret = 'env:P'\nfrom = 'Acme'",
        &["o.toml:16: carriers[0].signature_secret = \"env:P\": is shorter than 16 bytes"],
    ),
    (
        "smpp",
        "address = 'h:99999'\nsystem_id = 'a'\npassword = 'env:P'\nfrom = 'Acme'",
        &[
            "o.toml:13: carriers[0].address = \"h:99999\": a port is a number from 1 to 65535: write HOST:PORT",
        ],
    ),
    (
        "smpp",
        "address = 'h'\nsystem_id = 'sixteen letters!'\npassword = 'env:P'\nfrom = 'Acme'",
        &["o.toml:14: carriers[0].system_id = \"sixteen letters!\": system_id has 1 to 15"],
    ),
    (
        "smpp",
        "system_type = 'thirteen char'\naddress = 'h'\nsystem_id = 'a'\npassword = 'env:P'\nfrom = 'Acme'",
        &["o.toml:13: carriers[0].system_type = "],
    ),
    (
        "smpp",
        "window = 0\nper_second = 0\nsource_ton = 7\nsource_npi = -1\nenquire_secs = 0\nalphabet = 'gsm8'\nids = 'hex'",
        &[
            "o.toml:13: carriers[0].window = 0: write a whole number from 1 to 10000",
            "o.toml:14: carriers[0].per_second = 0",
            "o.toml:15: carriers[0].source_ton = 7: write a whole number from 0 to 6",
            "o.toml:16: carriers[0].source_npi = -1",
            "o.toml:17: carriers[0].enquire_secs = 0",
            "o.toml:18: carriers[0].alphabet = \"gsm8\": write one of gsm7, latin1, ucs2; did you mean \"gsm7\"?",
            "o.toml:19: carriers[0].ids = \"hex\": write one of same, hex_in_answers, hex_in_receipts",
        ],
    ),
    (
        "smpp",
        "inbound_token = 'env:T'",
        &["o.toml:13: carriers[0].inbound_token = \"env:T\": kind smpp has no key inbound_token"],
    ),
    (
        "http",
        "url = 'https://{to}/'",
        &[
            "o.toml:13: carriers[0].url = ",
            "write http:// or https://, a host and a path; the host has no placeholder",
        ],
    ),
    (
        "http",
        "url = 'https://h/canary?t={phone}&b={body}'",
        &["o.toml:13: carriers[0].url: {phone} is no placeholder; there are {to}, {to_digits}"],
    ),
    (
        "http",
        "url = 'https://h/?t={to}&b={body}&k={kee}'\nsecrets = { key = 'env:T' }",
        &["o.toml:13: carriers[0].url: {kee} is no placeholder", "of secrets there are {key}"],
    ),
    (
        "http",
        "url = 'https://h/s'\nbody = { text = '{\"key\":\"canary\",\"to\":\"{to}\"}' }",
        &[
            "o.toml:14: carriers[0].body.text: what stands in { } is no placeholder; write {{ and }} for braces",
        ],
    ),
    (
        "http",
        "url = 'https://h/s'\nbody = { json = { to = '{to' } }",
        &["o.toml:14: carriers[0].body.json: a { is not closed"],
    ),
    (
        "http",
        "url = 'https://h/s'\n[carriers.body.form]\nto = '{to}'\nx = '{too}'",
        &["o.toml:16: carriers[0].body.form.x: {too} is no placeholder"],
    ),
    (
        "http",
        "url = 'https://h/s'\nbody = { text = '{to}', xml = '{body}' }",
        &["o.toml:14: carriers[0].body: write one of { form = "],
    ),
    (
        "http",
        "url = 'https://h/s'\nbody = { text = '{to}' }",
        &["o.toml:14: carriers[0].body: neither it nor url says where {body} goes"],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\nmethod = 'GET'\nbody = { text = 'x' }",
        &["o.toml:15: carriers[0].body: a GET has none"],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\nmethod = 'post'",
        &["o.toml:14: carriers[0].method = \"post\": write one of POST, GET, PUT"],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}&f={from}'",
        &["o.toml:10: carriers[0].from: it is used and empty"],
    ),
    (
        "http",
        "secrets = { to = 'env:T' }",
        &["o.toml:13: carriers[0].secrets.to: a secret is named by small letters"],
    ),
    (
        "http",
        "headers = { X = 3 }",
        &["o.toml:13: carriers[0].headers.X: this is of type integer: write a string"],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\nheaders = { 'X Y' = 'canary' }",
        &["o.toml:14: carriers[0].headers: X Y is no header"],
    ),
    (
        "http",
        "basic = { user = 'a:b', password = 'env:T' }",
        &["o.toml:13: carriers[0].basic.user: a user of HTTP Basic has no \":\""],
    ),
    (
        "http",
        "basic = {}",
        &[
            "o.toml:13: carriers[0].basic.user: it is missing",
            "o.toml:13: carriers[0].basic.password: it is missing: write password = \"env:NAME\"",
        ],
    ),
    (
        "http",
        "success = { status = [200] }",
        &[
            "o.toml:13: carriers[0].success.status: write the first and the last status, as [200, 299]",
        ],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\nsuccess = { status = [200, 500] }",
        &[
            "o.toml:14: carriers[0].success: write the first and the last status, between 200 and 299",
        ],
    ),
    (
        "http",
        "success = { pointer = '/a' }",
        &["o.toml:13: carriers[0].success: pointer and equals go together"],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\nsuccess = { pointer = 'a', equals = '0' }",
        &["o.toml:14: carriers[0].success: a JSON pointer begins with a slash"],
    ),
    (
        "http",
        "unclear = [42]",
        &["o.toml:13: carriers[0].unclear = [42]: write statuses of HTTP, as [429]"],
    ),
    (
        "http",
        "handle = { pointer = '/id', body = true }",
        &["o.toml:13: carriers[0].handle: write where the answer names the text"],
    ),
    (
        "http",
        "receipts = {}",
        &["o.toml:13: carriers[0].receipts.status: write where a receipt says"],
    ),
    (
        "http",
        "receipts = { status = '/s' }",
        &["o.toml:13: carriers[0].receipts.delivered: write the words"],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\nreceipts = { status = 's', delivered = ['D'] }",
        &[
            "o.toml:14: carriers[0].receipts: without {callback} in what is asked, and without an id",
        ],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}&c={callback}'",
        &[
            "o.toml:10: carriers[0].receipts: {callback} is asked for, and nothing says how receipts are",
        ],
    ),
    (
        "http",
        "inbound = {}",
        &[
            "o.toml:13: carriers[0].inbound.id: it is missing: write id = \"/id\"",
            "carriers[0].inbound.from: ",
            "carriers[0].inbound.text: ",
        ],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\ninbound = { id = 'i', from = 'f', text = 't' }",
        &[
            "o.toml:10: carriers[0].from: it is missing: inbound has no to",
            "o.toml:10: carriers[0].inbound_token: the requests that this gateway makes prove nothing",
        ],
    ),
    (
        "http",
        "url = 'https://h/s?t={to}&b={body}'\nhandle = { pointer = '/id' }\nreceipts = { id = 'i', status = 's', delivered = ['D'] }",
        &[
            "o.toml:10: carriers[0].inbound_token: the requests that this gateway makes prove nothing, and everybody could make them: write inbound_token = \"env:NAME\"",
        ],
    ),
    (
        "http",
        "guard = { header = 'X' }",
        &["o.toml:13: carriers[0].guard: write how its requests prove where they come from"],
    ),
    (
        "http",
        "guard = { hmac = 'X', secret = 'env:T', encoding = 'hx' }",
        &["o.toml:13: carriers[0].guard.encoding: write one of hex, base64; did you mean \"hex\"?"],
    ),
    (
        "http",
        "guard = { header = 'X', secret = 'env:NO' }",
        &[
            "o.toml:13: carriers[0].guard.secret = \"env:NO\": the environment variable NO is not set",
        ],
    ),
    (
        "http",
        "guard = { plivo = 'env:T', secret = 'env:T' }",
        &["o.toml:13: carriers[0].guard: write how its requests prove where they come from"],
    ),
    (
        "http",
        "guard = { timestamped = 'X', secret = 'env:T', encoding = 'hex' }",
        &["o.toml:13: carriers[0].guard: write how its requests prove where they come from"],
    ),
    (
        "http",
        "guard = { sinch = 'app-key' }",
        &["o.toml:13: carriers[0].guard: write how its requests prove where they come from"],
    ),
    (
        "http",
        "guard = { plivo = 'env:T', standard_webhooks = 'env:T' }",
        &["o.toml:13: carriers[0].guard: write how its requests prove where they come from"],
    ),
    ("http", "guard = {}", &["one of { header = \"X-…\", secret = \"env:…\" }, { user = "]),
    (
        "http",
        "guard = 'canary'",
        &["o.toml:13: carriers[0].guard: this is of type string: write a table, as { hmac = "],
    ),
    (
        "http",
        "guard = { plivo = 'env:NO' }",
        &[
            "o.toml:13: carriers[0].guard.plivo = \"env:NO\": the environment variable NO is not set",
        ],
    ),
    (
        "http",
        "guard = { standard_webhooks = 'env:T' }",
        &[
            "o.toml:13: carriers[0].guard.standard_webhooks: the secret of Standard Webhooks is whsec_",
        ],
    ),
    (
        "http",
        "guard = { standard_webhooks = 'whsec_canary!' }",
        &[
            "o.toml:13: carriers[0].guard.standard_webhooks: the secret of Standard Webhooks is whsec_",
        ],
    ),
    (
        "http",
        "guard = { standard_webhooks = 'whsec_' }",
        &[
            "o.toml:13: carriers[0].guard.standard_webhooks: the secret of Standard Webhooks is whsec_",
        ],
    ),
    (
        "http",
        "guard = { sinch = 'app-key', secret = 'env:T' }",
        &["o.toml:13: carriers[0].guard.secret: the secret of an application of Sinch is base64"],
    ),
    (
        "http",
        "guard = { sinch = '', secret = 'Y2FuYXJ5' }\nurl = 'https://h/s?t={to}&b={body}'",
        &["o.toml:13: carriers[0].guard: its secret is empty"],
    ),
    (
        "http",
        "guard = { header = 'X', secrt = 'canary' }",
        &["o.toml:13: carriers[0].guard.secrt: no such key; did you mean \"secret\"?"],
    ),
];

#[test]
fn each_mistake_of_a_carrier_is_named_with_its_line_key_value_and_remedy() {
    for (kind, keys, parts) in MISTAKES {
        let result = read(&text(PUBLIC, kind, keys));
        let shown = seen(&result);
        let Err(spoken) = result else { panic!("taken: {kind}\n{keys}") };
        for part in *parts {
            assert!(spoken.to_string().contains(part), "{kind}\n{keys}\nlacks {part}\n{spoken}");
        }
        assert!(!shown.contains("canary"), "{kind}\n{keys}\nshows a secret:\n{shown}");
    }
    let spoken = complaints("[[carriers]]\n");
    for part in [
        "o.toml:1: carriers[0].name: the name is missing",
        "o.toml:1: carriers[0].kind: the kind is missing: write kind = \"…\", one of twilio, ",
    ] {
        assert!(spoken.contains(part), "{spoken}");
    }
    assert!(complaints("[carriers]\nname = 'c'").contains("write [[carriers]]"));
}
