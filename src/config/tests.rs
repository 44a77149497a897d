//! Bad configurations and what is said of them; examples; layers; canaries.

mod access;
mod carriers;
mod limits;
mod mistakes;
mod money;
mod prompts;
mod server;
mod texts;
mod trunks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::gateway::settings::{Calling, StoreSettings, WebhookSecret};
use crate::media::script::FraudKeys;
use crate::verify::number::NumberKind;
use crate::verify::request::Channel;
use crate::verify::route::Via;

const KEY: &str = "canary_key_01234567890123456789012345";

/// A configuration without a mistake, which the table below breaks.
fn good() -> String {
    format!(
        "[[trunks]]\nname = 'one'\ntarget = 'sip:127.0.0.1:5070;transport=udp'\n\
         [[tenants]]\nname = 'acme'\napi_keys = ['{KEY}']\nvoice_countries = ['US']\n"
    )
}

fn parsed(text: &str) -> Result<Loaded, Complaints> {
    parse(text, "o.toml", Path::new("/nowhere"), |_| None)
}

fn complaints(text: &str) -> String {
    parsed(text).map(|_| ()).unwrap_err().to_string()
}

/// Everything that an author or a log could ever see of it.
fn seen(result: &Result<Loaded, Complaints>) -> String {
    match result {
        Ok(loaded) => {
            let warnings = serde_json::to_string(&loaded.warnings).unwrap();
            let spoken = Complaints(loaded.warnings.clone());
            format!("{loaded:?} {loaded:#?} {spoken} {warnings}")
        }
        Err(complaints) => {
            let json = serde_json::to_string(&complaints.0).unwrap();
            format!("{complaints} {complaints:?} {complaints:#?} {json}")
        }
    }
}

/// Appended to [`good`], which has 7 lines: the first line here is line 8.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "[server]\napi_listen = 'localhost:80'",
        &["o.toml:9: server.api_listen = \"localhost:80\": write an IP address and a port"],
    ),
    (
        "[server]\nadmin_listen = '::1:80'",
        &["o.toml:9: server.admin_listen = \"::1:80\": ", "[::1]:8080", "or \"off\""],
    ),
    (
        "[server]\napi_listen = '127.0.0.1:9'\nadmin_listen = '0.0.0.0:9'",
        &[
            "o.toml:10: server.admin_listen = \"0.0.0.0:9\": api_listen (127.0.0.1:9) takes this port already",
        ],
    ),
    (
        "[server]\napi_listen = '127.0.0.1:8081'",
        &["o.toml:9: server.admin_listen = \"127.0.0.1:8081\": api_listen"],
    ),
    (
        "[server]\npublic_url = 'verify.example.com'",
        &["o.toml:9: server.public_url = \"…\": write an address that begins with https://"],
    ),
    (
        "[server]\npublic_url = 'https://v.example/?a=b'",
        &["o.toml:9: server.public_url = \"https://v.example/…\": leave out \"?\""],
    ),
    (
        "[server]\napi_lisen = 'x'",
        &[
            "o.toml:9: server.api_lisen: no such key; did you mean \"api_listen\"? (known here: api_listen, admin_listen, tls_certificate, tls_key, client_roots, insecure_http, trusted_proxies, max_connections, public_url, verdict_key)",
        ],
    ),
    ("[sever]\nx = 1", &["o.toml:8: sever: no such key; did you mean \"server\"?"]),
    (
        "[server]\napi_listen = 8080",
        &["o.toml:9: server.api_listen = 8080: this is of type integer: write a string, in quotes"],
    ),
    ("[server]\napi_listen = 127", &["o.toml:9: server.api_listen = 127: "]),
    (
        "[server]\napi_listen = a",
        &["o.toml:9: api_listen: this is not TOML: string values must be quoted"],
    ),
    (
        "[server]\napi_listen = 'a'\napi_listen = 'b'",
        &["o.toml:10: api_listen: this is not TOML: duplicate key"],
    ),
    (
        "[store]\nurl = 'redis://u:canary@host'",
        &[
            "o.toml:9: store.url = \"redis:…\": redis is not supported by this version yet: write memory: or file:FOLDER",
        ],
    ),
    (
        "[store]\nurl = 'redis+sentinel://host'",
        &["o.toml:9: store.url = \"redis+sentinel:…\": redis is not supported"],
    ),
    ("[store]\nurl = 'memory'", &["o.toml:9: store.url = ", "write memory: or file:FOLDER"]),
    ("[store]\nurl = 'file:'", &["o.toml:9: store.url = \"file:\": write memory: or file:FOLDER"]),
    ("[store]\nurl = 'file://host/data'", &["o.toml:9: store.url = \"file://host/data\": write"]),
    (
        "[sip]\nlisten = ['ws:127.0.0.1:5060']",
        &["o.toml:9: sip.listen[0] = \"ws:127.0.0.1:5060\": SIP over ws is not supported"],
    ),
    (
        "[sip]\nlisten = ['udp:127.0.0.1:0',\n'tls:::1:5061']",
        &["o.toml:10: sip.listen[1] = \"tls:::1:5061\": write udp:"],
    ),
    ("[sip]\nlisten = []", &["o.toml:9: sip.listen = []: SIP needs a place to listen"]),
    (
        "[sip]\nlisten = ['udp:127.0.0.1:5060', 'udp:0.0.0.0:5060']",
        &[
            "o.toml:9: sip.listen[1] = \"udp:0.0.0.0:5060\": udp:127.0.0.1:5060 takes this port already",
        ],
    ),
    (
        "[sip]\nlisten = 'udp:127.0.0.1:5060'",
        &[
            "o.toml:9: sip.listen = 'udp:127.0.0.1:5060': this is of type string: write an array, in [ ]",
        ],
    ),
    (
        "[sip]\nrtp_ports = [30000, 20000]",
        &["o.toml:9: sip.rtp_ports = [30000, 20000]: the range is empty"],
    ),
    (
        "[sip]\nrtp_ports = [20001, 20002]",
        &[
            "o.toml:9: sip.rtp_ports = [20001, 20002]: the range is empty, it holds no pair of ports",
            "as [20000, 29999]",
        ],
    ),
    (
        "[sip]\nrtp_ports = [20000]",
        &["o.toml:9: sip.rtp_ports = [20000]: write the first and the last port"],
    ),
    (
        "[sip]\nrtp_ports = [0, 70000]",
        &["o.toml:9: sip.rtp_ports = [0, 70000]: write the first and the last port"],
    ),
    (
        "[sip]\nrtp_ports = [5000, 5999]",
        &[
            "o.toml:9: sip.listen[0] = \"udp:127.0.0.1:5060\": this port lies in rtp_ports (5000 to 5999)",
        ],
    ),
    (
        "[sip]\ndns = \"192.0.2.53\"",
        &["o.toml:9: sip.dns = \"192.0.2.53\": write udp:ADDRESS:PORT"],
    ),
    (
        "[sip]\nadvertise = \"everywhere\"",
        &["o.toml:9: sip.advertise = \"everywhere\": write the IP address that trunks reach"],
    ),
    (
        "[sip]\nengines = 1000",
        &["o.toml:9: sip.engines = 1000: write a whole number from 0 to 256"],
    ),
    (
        "[call]\nring_timeout_secs = 0\nlimit_secs = -1",
        &[
            "o.toml:9: call.ring_timeout_secs = 0: write a whole number from 1 to 120",
            "o.toml:10: call.limit_secs = -1: write a whole number from 1 to 300",
        ],
    ),
    (
        "[call]\nfraud_keys = \"#\"\npin_digits = 3\npin_tries = 0\nmatch_digits = 7",
        &[
            "o.toml:9: call.fraud_keys = \"#\": write one to three digits and #, as \"0#\"",
            "o.toml:10: call.pin_digits = 3: write a whole number from 4 to 16",
            "o.toml:11: call.pin_tries = 0: write a whole number from 1 to 5",
            "o.toml:12: call.match_digits = 7: write a whole number from 2 to 6",
        ],
    ),
    ("[call]\nfraud_keys = \"4821#\"", &["o.toml:9: call.fraud_keys = \"4821#\": write one to"]),
    ("[call]\nfraud_keys = \"*#\"", &["o.toml:9: call.fraud_keys = \"*#\": write one to"]),
    (
        "[call]\nlimit_secs = 99999999999999999999",
        &["o.toml:9: call.limit_secs = 99999999999999999999: the number is too large"],
    ),
    ("[log]\nfilter = 'loud'", &["o.toml:9: log.filter = \"loud\": write a level"]),
    (
        "[log]\nformat = 'jsn'",
        &["o.toml:9: log.format = \"jsn\": write auto, text or json; did you mean \"json\"?"],
    ),
    (
        "[[trunks]]",
        &[
            "o.toml:8: trunks[1].name: the name is missing",
            "o.toml:8: trunks[1].target: the target is missing: write target = \"sip:HOST",
        ],
    ),
    (
        "[[trunks]]\nname = 'one'\ntarget = 'sip:h'",
        &["o.toml:9: trunks[1].name = \"one\": line 2 has this name already"],
    ),
    (
        "[[trunks]]\nname = 'a b'\ntarget = 'sip:h'",
        &["o.toml:9: trunks[1].name = \"a b\": a name is 1 to 64"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'host:5060'",
        &["o.toml:10: trunks[1].target = \"host:5060\": write sip:HOST:PORT;transport=udp"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h;transport=sctp'",
        &["o.toml:10: trunks[1].target = \"sip:h;transport=sctp\": SIP over sctp is not supported"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:u:canary@h'",
        &["o.toml:10: trunks[1].target = \"sip:…@h\": the target has no user part"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\ncaller_id = '<x>'",
        &["o.toml:11: trunks[1].caller_id = \"<x>\": write the number that is shown"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\nusername = 'u'",
        &["o.toml:11: trunks[1].password: the password is missing"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\npassword = 'canary'",
        &["o.toml:11: trunks[1].username: the username is missing"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\nusername = 'u'\npassword = 'env:NO_SUCH'",
        &[
            "o.toml:12: trunks[1].password = \"env:NO_SUCH\": the environment variable NO_SUCH is not set",
        ],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\nusername = 'u'\npassword = 'env:canary phrase'",
        &["o.toml:12: trunks[1].password: write env: and the name of an environment variable"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\nusername = 'u'\npassword = 'file:no.such'",
        &[
            "o.toml:12: trunks[1].password = \"file:no.such\": the file /nowhere/no.such cannot be read",
        ],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\nusername = 'u'\npassword = 'change-me'",
        &["o.toml:12: trunks[1].password: this is the example's secret"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\npassword = 12345",
        &["o.toml:11: trunks[1].password: this is of type integer: write a string, in quotes"],
    ),
    ("[trunks.x]\nname = 'x'", &["o.toml:8: trunks[0].x: no such key (known here: name, target"]),
    ("[[routes]]", &["o.toml:8: routes[0].via: write the trunks or carriers to try, in order"]),
    (
        "[[routes]]\nvia = []",
        &["o.toml:9: routes[0].via = []: write the trunks or carriers to try"],
    ),
    (
        "[[routes]]\nvia = ['ome']",
        &[
            "o.toml:9: routes[0].via[0] = \"ome\": there is no trunk or carrier that places calls of this name; did you mean \"one\"? (there are: one)",
        ],
    ),
    (
        "[[routes]]\nvia = ['one', 'one']",
        &["o.toml:9: routes[0].via[1] = \"one\": this route tries it already"],
    ),
    (
        "[[routes]]\nvia = [{ name = 'one', weight = 3 }]",
        &["o.toml:9: routes[0].via[0].name: no such key (known here: trunk, weight)"],
    ),
    (
        "[[routes]]\nvia = [{ weight = 3 }, { trunk = 'one' }]",
        &[
            "o.toml:9: routes[0].via[0].trunk: the name is missing: write { trunk = ",
            "o.toml:9: routes[0].via[1].weight: write a whole number from 1 to 1000",
        ],
    ),
    (
        "[[routes]]\nvia = [{ trunk = 'one', weight = 0 }]",
        &["o.toml:9: routes[0].via[0].weight = 0: write a whole number from 1 to 1000"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\n[[routes]]\nvia = ['one', { trunk = 'two', weight = 1 }]",
        &["o.toml:12: routes[0].via: write a weight for all of them"],
    ),
    (
        "[[routes]]\nvia = [3]",
        &[
            "o.toml:9: routes[0].via[0] = 3: this is of type integer: write the name of a trunk or carrier, in quotes, or { trunk = ",
        ],
    ),
    (
        "[[routes]]\nvia = ['one']\ntenants = ['acm', 'acme']\nnumber_types = ['mobil', 'premium']\ncountries = ['UK']",
        &[
            "o.toml:10: routes[0].tenants[0] = \"acm\": there is no tenant of this name; did you mean \"acme\"? (there are: acme)",
            "o.toml:11: routes[0].number_types[0] = \"mobil\": write one of mobile, fixed, fixed_or_mobile, voip, unknown; did you mean \"mobile\"?",
            "o.toml:11: routes[0].number_types[1] = \"premium\": write one of",
            "o.toml:12: routes[0].countries[0] = \"UK\": there is no such country; did you mean \"GB\"?",
        ],
    ),
    (
        "[[routes]]\nvia = ['one']\ntenants = []",
        &["o.toml:10: routes[0].tenants = []: the list is empty: leave it out"],
    ),
    (
        "[[routes]]\nvia = ['one']\ncountries = ['DE', 'AT']\n[[routes]]\nvia = ['one']\ncountries = ['AT']",
        &["o.toml:11: routes[1].prefix = \"+\": the route on line 8 takes all of these already"],
    ),
    (
        "[[routes]]\nchannel = 'sms'\nvia = ['one']",
        &[
            "o.toml:10: routes[0].via[0] = \"one\": there is no carrier that sends texts of this name (there are: none)",
        ],
    ),
    (
        "[[routes]]\nchannel = 'push'\nvia = ['one']",
        &["o.toml:9: routes[0].channel = \"push\": the channel push is not supported by this"],
    ),
    (
        "[[routes]]\nchannel = 'vocie'\nvia = ['one']",
        &[
            "o.toml:9: routes[0].channel = \"vocie\": there is no such channel: write voice or sms; did you mean \"voice\"?",
        ],
    ),
    (
        "[[routes]]\nprefix = '0044'\nvia = ['one']",
        &[
            "o.toml:9: routes[0].prefix = \"0044\": write how the numbers begin: + and up to 15 digits",
        ],
    ),
    (
        "[[routes]]\nvia = ['one']\n[[routes]]\nprefix = '+'\nvia = ['one']",
        &[
            "o.toml:11: routes[1].prefix = \"+\": the route on line 8 has this channel and prefix already",
        ],
    ),
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
            "o.toml:10: tenants[1].api_keys[0]: the key has 6 characters, a key has at least 32: make one with `octothorpe key new`",
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
    (
        "[store]\nsecret = 'canary'",
        &["o.toml:9: store.secret: it has 6 characters, and could be guessed below 32: make one"],
    ),
    (
        "[store]\nsecret = 'env:LONG'\nolder_secrets = ['file:x', 'canary']",
        &[
            "o.toml:10: store.older_secrets[0] = \"file:x\": the file",
            "store.older_secrets[1]: it has 6",
        ],
    ),
    (
        "[store]\nolder_secrets = ['canary-canary-canary-canary-canary-canary']",
        &["o.toml:9: store.older_secrets: there is no store.secret that came after them: write it"],
    ),
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
fn each_mistake_is_named_with_its_line_key_value_and_remedy() {
    parsed(&good()).unwrap();
    for (mistake, parts) in MISTAKES {
        let result = parsed(&format!("{}{mistake}\n", good()));
        let text = seen(&result);
        let Err(spoken) = result else { panic!("taken: {mistake}") };
        for part in *parts {
            assert!(spoken.to_string().contains(part), "{mistake}\nlacks {part}\n{spoken}");
        }
        assert!(!text.contains("canary"), "{mistake}\nshows a secret:\n{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "[server]\napi_listen = 'x'\n[store]\nurl = 'y'\n[[routes]]\nvia = ['z']\n\
                [[tenants]]\nname = 't'\napi_keys = ['short']\nvoice_countries = ['UK']\n";
    let Err(Complaints(all)) = parsed(text) else { panic!("taken") };
    let lines: Vec<Option<usize>> = all.iter().map(|it| it.line).collect();
    assert_eq!(lines, [Some(2), Some(4), Some(6), Some(9), Some(10)]);
}

#[test]
fn a_gateway_without_tenants_is_refused_and_one_without_trunks_warned_of() {
    assert!(complaints("").contains("o.toml: tenants: there is no [[tenants]] entry"));
    let (_, tenant) =
        good().split_once("[[tenants]]").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let loaded = parsed(&format!("[[tenants]]{tenant}")).unwrap();
    assert!(Complaints(loaded.warnings).to_string().contains("trunks: there is no [[trunks]]"));
    assert!(
        complaints("[trunks]\nname = 'x'")
            .contains("o.toml:1: trunks: each entry begins with two brackets: write [[trunks]]")
    );
    assert!(complaints("trunks = 'canary'").contains("o.toml:1: trunks: this is of type string"));
}

#[test]
fn what_is_allowed_and_unwise_is_warned_of() {
    let text = format!(
        "[server]\nadmin_listen = '0.0.0.0:8081'\ninsecure_http = true\npublic_url = 'http://verify.example.com/'\n\
         [sip]\nrtp_ports = [20001, 20100]\n{}\
         webhooks = [{{ url = 'https://idp.example.com/h', secret = 'canary' }}]\n\
         [[trunks]]\nname = 'two'\ntarget = 'sip:[::1]'\nusername = 'acme'\npassword = 'canary'\n\
         [[tenants]]\nname = 'two'\napi_keys = ['env:TWO']\n",
        good()
    );
    let env = |name: &str| (name == "TWO").then(|| "canary_two_01234567890123456789012".to_owned());
    let loaded = parse(&text, "o.toml", Path::new("."), env).unwrap();
    assert_eq!(loaded.config.gateway.rtp_ports, (20002, 20099));
    assert_eq!(loaded.config.public_url.as_deref(), Some("http://verify.example.com"));
    let spoken = Complaints(loaded.warnings.clone()).to_string();
    let expected = [
        "o.toml:2: server.admin_listen = \"0.0.0.0:8081\": the operator pages can be reached",
        "o.toml:2: server.admin_listen = \"0.0.0.0:8081\": keys and codes come here without encryption",
        "o.toml:4: server.public_url = \"http://verify.example.com/…\": providers will call back without",
        "o.toml:6: sip.rtp_ports = [20001, 20100]: RTP begins at an even port",
        "o.toml:12: tenants[0].api_keys[0]: the secret stands in the configuration itself",
        "o.toml:14: tenants[0].webhooks[0].secret: the secret stands in",
        "o.toml:14: tenants[0].webhooks[0].secret: the secret has 6 bytes",
        "o.toml:19: trunks[1].password: the secret stands in",
        "o.toml:20: tenants[1].voice_countries: no country is written, nor one in sms_countries",
    ];
    for (said, expected) in spoken.lines().zip(expected) {
        assert!(said.starts_with(expected), "{said}\n{expected}");
    }
    assert_eq!(loaded.warnings.len(), expected.len(), "{spoken}");
    assert!(!seen(&Ok(loaded)).contains("canary"));
}

#[test]
fn later_layers_win_key_by_key() {
    let text =
        format!("[call]\nring_timeout_secs = 20\n[server]\napi_listen = '127.0.0.1:1'\n{}", good());
    let env = |name: &str| match name {
        "OCTOTHORPE_SERVER__API_LISTEN" => Some("[::1]:9000".to_owned()),
        "OCTOTHORPE_SERVER__ADMIN_LISTEN" => Some("off".to_owned()),
        "OCTOTHORPE_STORE__URL" => Some("file:/var/lib/o".to_owned()),
        "OCTOTHORPE_SIP__ENGINES" => Some("3".to_owned()),
        "OCTOTHORPE_CALL__RING_TIMEOUT_SECS" => Some(String::new()),
        "OCTOTHORPE_LOG__FORMAT" => Some("json".to_owned()),
        _ => None,
    };
    let config = parse(&text, "o.toml", Path::new("."), env).unwrap().config;
    assert_eq!(config.http.api_listen, "[::1]:9000".parse().unwrap());
    assert_eq!(config.http.admin_listen, None);
    assert_eq!(config.gateway.store, StoreSettings::Directory(PathBuf::from("/var/lib/o")));
    assert_eq!(config.gateway.engines, Some(3));
    assert_eq!(config.gateway.ring_timeout, Duration::from_secs(20));
    assert_eq!(config.gateway.call_limit, Duration::from_secs(90));
    assert_eq!(config.log, Log { filter: "info".to_owned(), format: LogFormat::Json });
    let env = |name: &str| match name {
        "OCTOTHORPE_SERVER__API_LISTEN" => Some("here".to_owned()),
        "OCTOTHORPE_CALL__LIMIT_SECS" => Some("ten".to_owned()),
        _ => None,
    };
    let spoken = parse(&text, "o.toml", Path::new("."), env).unwrap_err().to_string();
    for part in [
        "environment OCTOTHORPE_SERVER__API_LISTEN: server.api_listen = \"here\": write an IP address",
        "environment OCTOTHORPE_CALL__LIMIT_SECS: call.limit_secs = \"ten\": write a whole number",
    ] {
        assert!(spoken.contains(part), "{spoken}");
    }
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

#[test]
fn routes_are_implied_or_written() {
    let two = "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\n";
    let implied = parsed(&format!("{}{two}", good())).unwrap();
    let rule = Rule::every(Channel::Voice, ["one", "two"]);
    assert_eq!(implied.routes, [rule]);
    assert_eq!(implied.config.gateway.routes, Table::new(implied.routes));
    let text = format!(
        "{}{two}[[routes]]\nprefix = '+44'\ntenants = ['acme']\nnumber_types = ['mobile', 'voip']\n\
         countries = ['GB']\nvia = ['two']\n\
         [[routes]]\nvia = [{{ trunk = 'one', weight = 3 }}, {{ trunk = 'two', weight = 1 }}]\n",
        good()
    );
    let written = parsed(&text).unwrap().routes;
    let expected = Rule {
        prefix: "+44".to_owned(),
        tenants: vec!["acme".to_owned()],
        kinds: vec![NumberKind::Mobile, NumberKind::Voip],
        countries: vec!["GB".parse().unwrap()],
        ..Rule::every(Channel::Voice, ["two"])
    };
    assert_eq!(written[0], expected);
    let shares = [("one", 3), ("two", 1)].map(|(name, weight)| (name.to_owned(), weight));
    assert_eq!(written[1].via, Via::ByWeight(shares.to_vec()));
}

#[test]
fn secrets_come_from_files_that_not_everybody_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hook.key");
    std::fs::write(&file, "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk\r\n").unwrap();
    let path = folder.path().join("o.toml");
    let text = format!(
        "{}webhooks = [{{ url = 'http://127.0.0.1:9000/h', secret = 'file:hook.key' }}]\n\
         allow_private_webhooks = true\n",
        good()
    );
    std::fs::write(&path, text).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let spoken = load(&path, |_| None).unwrap_err().to_string();
        let expected = format!(
            "{}:8: tenants[0].webhooks[0].secret = \"file:hook.key\": everybody on this machine \
             can read {}: chmod o-r",
            path.display(),
            file.display()
        );
        assert!(spoken.starts_with(&expected), "{spoken}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    let loaded = load(&path, |_| None).unwrap();
    let endpoint = &loaded.config.gateway.tenants[0].webhooks[0];
    let secret = WebhookSecret::new(Zeroizing::new(b"canary-canary-canary".to_vec()));
    assert_eq!(endpoint.secrets, [secret]);
    assert!(endpoint.bounds.private);
    assert!(!seen(&Ok(loaded)).contains("canary"));
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let spoken = load(Path::new("/no/such.toml"), |_| None).unwrap_err().to_string();
    assert!(spoken.starts_with("/no/such.toml: the configuration cannot be read"), "{spoken}");
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

#[test]
fn the_lab_loads_and_its_key_opens_loopback_listeners_only() {
    let loaded = load(&example("lab.toml"), |_| None).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.gateway.store, StoreSettings::Memory);
    assert_eq!(loaded.config.gateway.trunks[0].target.port, Some(5080));
    assert_eq!(loaded.keys[0].key, ApiKey::of(LAB_KEY));
    let wide =
        |name: &str| (name == "OCTOTHORPE_SERVER__API_LISTEN").then(|| "0.0.0.0:8080".to_owned());
    let spoken = load(&example("lab.toml"), wide).unwrap_err().to_string();
    assert!(spoken.contains("everybody knows the lab's key, and api_listen (0.0.0.0:8080)"));
    assert!(spoken.contains("tenants[0].api_keys[0]"));
}

/// What the examples take from the environment.
fn example_secrets(name: &str) -> Option<String> {
    let text = match name {
        "CARRIER_A_PASSWORD" | "CARRIER_B_PASSWORD" | "SMSC_PASSWORD" => "canary 1",
        "CARRIER_PASSWORD" | "ASTERISK_PASSWORD" | "FREESWITCH_PASSWORD" => "canary 2",
        "CARRIER_A_ACCOUNT" => "canary 3",
        "ACME_API_KEY" => KEY,
        "ACME_BATCH_KEY" => "canary_batch_01234567890123456789012345",
        "ACME_HOOK_SECRET" | "ACME_RISK_SECRET" => "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
        "STORE_SECRET" | "OLD_STORE_SECRET" => "canary-0123456789-0123456789-0123456789",
        "TWILIO_TOKEN" | "TWILIO_SIGNING_KEY" | "TWILIO_INBOUND_TOKEN" => "canary-canary-canary",
        "TELNYX_API_KEY" => "KEYcanary",
        "VONAGE_PRIVATE_KEY" => include_str!("../carrier/vonage/tests/key.pem"),
        "VONAGE_SIGNATURE_SECRET" => "canary-canary-canary",
        "GATEWAY_KEY" | "GATEWAY_PASSWORD" | "GATEWAY_SIGNING_KEY" => "canary{ &",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Every example, and how many variables it takes from the environment.
const EXAMPLES: &[(&str, usize)] = &[
    ("production.toml", 4),
    ("twilio.toml", 2),
    ("telnyx.toml", 2),
    ("vonage.toml", 3),
    ("http.toml", 4),
    ("smpp.toml", 2),
    ("trunks/registration.toml", 2),
    ("trunks/address.toml", 1),
    ("trunks/encrypted.toml", 2),
    ("trunks/certificate.toml", 1),
    ("trunks/two-carriers.toml", 3),
    ("trunks/asterisk.toml", 2),
    ("trunks/freeswitch.toml", 2),
];

#[test]
fn every_example_loads_with_its_variables_and_names_those_that_are_missing() {
    // Where the files lie that an example names.
    let folder = trunks::folder();
    for (name, variables) in EXAMPLES {
        let text = std::fs::read_to_string(example(name)).unwrap();
        let loaded = parse(&text, name, folder.path(), example_secrets).unwrap();
        assert_eq!(loaded.warnings, [], "{name}");
        assert_eq!(loaded.keys[0].source, SecretSource::Variable("ACME_API_KEY".to_owned()));
        let spoken = parse(&text, name, folder.path(), |_| None).unwrap_err().to_string();
        assert_eq!(spoken.lines().count(), *variables, "{name}:\n{spoken}");
        assert!(spoken.lines().all(|line| line.contains("is not set")), "{name}:\n{spoken}");
    }
}

#[test]
fn every_file_of_the_folder_is_an_example_that_is_tested() {
    for folder in ["", "trunks/"] {
        for entry in std::fs::read_dir(example(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{folder}{}", entry.file_name().to_string_lossy());
            let tested = EXAMPLES.iter().any(|(example, _)| *example == name);
            let other = ["lab.toml", "default.toml"].contains(&name.as_str());
            assert!(tested || other || entry.path().is_dir(), "nothing loads config/{name}");
        }
    }
}

/// `config/default.toml` with its examples uncommented.
fn defaults_in_full() -> String {
    let lines = DEFAULTS.lines().map(|line| match line.strip_prefix('#') {
        Some(example) if !example.is_empty() && !example.starts_with(' ') => example,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_defaults_examples_load() {
    let (text, folder) = (defaults_in_full(), trunks::folder());
    std::fs::write(folder.path().join("issuer.json"), access::ISSUER).unwrap();
    for own in ["prompts/all", "prompts/acme"] {
        prompts::recorded(&folder.path().join(own), "en-US/brand_contoso.wav", 3_600.0);
    }
    let deck = "prefix,channel,price\n+1,voice,0.0130\n";
    std::fs::write(folder.path().join("prices.csv"), deck).unwrap();
    let loaded = parse(&text, "default.toml", folder.path(), example_secrets).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.gateway.rtp_ports, (20000, 29999));
    assert_eq!(loaded.config.gateway.engines, None);
    assert_eq!(loaded.config.gateway.carriers.len(), 6);
    let tenant = &loaded.config.gateway.tenants[0];
    assert_eq!((tenant.locale.as_deref(), tenant.texting.code_digits), (Some("en-US"), 6));
    let shown = seen(&Ok(loaded));
    assert!(!shown.contains("canary") && !shown.contains("PRIVATE KEY"), "{shown}");
}

#[test]
fn the_defaults_document_every_key() {
    let full = defaults_in_full();
    for (section, header) in [
        ("server", "[server]"),
        ("store", "[store]"),
        ("sip", "[sip]"),
        ("call", "[call]"),
        ("log", "[log]"),
        ("limits", "[limits]"),
        ("prices", "[prices]"),
        ("budget", "[budget]"),
        ("fraud", "[fraud]"),
        ("prompts", "[prompts]"),
        ("trunks", "[[trunks]]"),
        ("carriers", "[[carriers]]"),
        ("routes", "[[routes]]"),
        ("tenants", "[[tenants]]"),
    ] {
        let spoken = complaints(&format!("{header}\nzzzzzzzzzz = 1\n"));
        let (_, known) = spoken.split_once("(known here: ").unwrap();
        // A carrier of each kind stands there.
        let header = format!("\n{header}\n");
        let written = full.split(&header).skip(1);
        let written: Vec<&str> =
            written.flat_map(|it| it.split("\n[").next().unwrap().lines()).collect();
        for key in known.trim_end_matches(')').split(", ") {
            let documented = written.iter().any(|line| line.starts_with(&format!("{key} = ")));
            assert!(documented, "config/default.toml does not document {section}.{key}");
        }
    }
}

#[test]
fn three_lines_say_what_to_write() {
    assert_eq!(what_to_write().lines().count(), 3);
    for word in ["[[trunks]]", "[[tenants]]", "config/lab.toml", "octothorpe key new"] {
        assert!(what_to_write().contains(word), "{word}");
    }
}
