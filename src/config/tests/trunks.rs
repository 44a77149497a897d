//! What a trunk may be told, and what is said of what it may not.

use std::fs;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::ambient::Clock;
use crate::gateway::settings::{Asserted, Capacity, Identity, NumberFormat, Registration, Target};
use crate::media::{Codec, Srtp};
use crate::sip::Transport;
use crate::verify::selftest::Path;

/// What stands behind `[[trunks]]`, `name` and `target = 'sip:h;transport=…'`, which are lines 8 to
/// 10 of the file: the first line here is line 11.
const MISTAKES: &[(&str, &str, &[&str])] = &[
    ("udp", "proxy = 'proxy:5060'", &["o.toml:11: trunks[1].proxy = \"proxy:5060\": write sip:"]),
    (
        "udp",
        "proxy = 'sip:u:canary@proxy'",
        &["trunks[1].proxy = \"sip:…@proxy\": the target has no user part"],
    ),
    ("udp", "realm = 'x'", &["o.toml:11: trunks[1].realm = \"x\": a realm does nothing without"]),
    (
        "udp",
        "username = 'u'\npassword = 'env:P'\nrealm = 'a\"b'",
        &["o.toml:13: trunks[1].realm = \"a\\\"b\": write the realm of the carrier's challenge"],
    ),
    (
        "udp",
        "username = 'a\"b'\npassword = 'env:P'",
        &["o.toml:11: trunks[1].username = \"a\\\"b\": write the user name the carrier gave"],
    ),
    ("udp", "register = true", &["o.toml:11: trunks[1].register: who registers is not said"]),
    (
        "udp",
        "register = 'yes'",
        &[
            "o.toml:11: trunks[1].register = 'yes': this is of type string: write true, or { user = ",
        ],
    ),
    (
        "udp",
        "register = { user = 'u', expires = 5 }",
        &["trunks[1].register.expires: no such key (known here: user, expires_secs)"],
    ),
    (
        "udp",
        "register = { user = 'u', expires_secs = 5 }",
        &["trunks[1].register.expires_secs = 5: write a whole number from 60 to 86400"],
    ),
    (
        "tls",
        "tls_roots = 'none.pem'",
        &["o.toml:11: trunks[1].tls_roots = \"none.pem\": the file ", "none.pem cannot be read"],
    ),
    (
        "tls",
        "tls_roots = 'file:roots.pem'",
        &["trunks[1].tls_roots = \"file:roots.pem\": write the path of a PEM file, and nothing"],
    ),
    ("tls", "tls_roots = '-----BEGIN canary'", &["trunks[1].tls_roots: write the path of a PEM"]),
    (
        "tls",
        "tls_roots = 'key.pem'",
        &["trunks[1].tls_roots = \"key.pem\": ", "holds no certificates in PEM (-----BEGIN"],
    ),
    ("tls", "tls_roots = 'broken.pem'", &["holds a certificate that cannot be read"]),
    (
        "tls",
        "tls_certificate = 'roots.pem'",
        &["o.toml:11: trunks[1].tls_key: the key is missing that goes with tls_certificate"],
    ),
    ("tls", "tls_key = 'key.pem'", &["trunks[1].tls_certificate: the certificate is missing"]),
    (
        "tls",
        "tls_certificate = 'roots.pem'\ntls_key = 'other.pem'",
        &[
            "o.toml:12: trunks[1].tls_key = \"other.pem\": the key in ",
            "other.pem is not that of the first certificate",
        ],
    ),
    (
        "tls",
        "tls_certificate = 'roots.pem'\ntls_key = 'roots.pem'",
        &["roots.pem holds no private key in PEM: write one that no passphrase protects"],
    ),
    (
        "tls",
        "tls_certificate = 'roots.pem'\ntls_key = 'open.pem'",
        &["trunks[1].tls_key = \"open.pem\": everybody on this machine can read"],
    ),
    ("tls", "tls_name = 'a:b'", &["trunks[1].tls_name = \"a:b\": write a host name or an IP"]),
    (
        "udp",
        "codecs = ['g722', 'opus']",
        &["o.toml:11: trunks[1].codecs[1] = \"opus\": write one of pcmu, pcma, g722"],
    ),
    (
        "udp",
        "codecs = ['pcma', 'pcma']",
        &["o.toml:11: trunks[1].codecs[1] = \"pcma\": it is there twice: take one of them away"],
    ),
    (
        "udp",
        "codecs = []",
        &["o.toml:11: trunks[1].codecs = []: a call without a codec says nothing"],
    ),
    (
        "udp",
        "srtp = 'of'",
        &[
            "o.toml:11: trunks[1].srtp = \"of\": write one of off, preferred, required; did you mean \"off\"?",
        ],
    ),
    (
        "udp",
        "srtp = 'required'",
        &[
            "o.toml:11: trunks[1].srtp = \"required\": the keys would go in the clear: write transport",
        ],
    ),
    (
        "tls",
        "proxy = 'sip:p'\nsrtp = 'required'",
        &["o.toml:12: trunks[1].srtp = \"required\": the keys would go in the clear"],
    ),
    ("udp", "from_domain = 'a b'", &["trunks[1].from_domain = \"a b\": write a host name"]),
    ("udp", "contact_host = 'a b'", &["trunks[1].contact_host = \"a b\": write a host name"]),
    ("udp", "from_domain = 'a:5060'", &["trunks[1].from_domain = \"a:5060\": leave out the port"]),
    (
        "udp",
        "number_format = 'E164'",
        &["trunks[1].number_format = \"E164\": write \"e164\", \"digits\", { country"],
    ),
    (
        "udp",
        "number_format = 49",
        &["o.toml:11: trunks[1].number_format = 49: this is of type integer: write \"e164\""],
    ),
    (
        "udp",
        "number_format = { country = '+49', trunk_prefix = '0x' }",
        &[
            "o.toml:11: trunks[1].number_format.country = \"+49\": write the calling code",
            "o.toml:11: trunks[1].number_format.trunk_prefix = \"0x\": write what stands",
            "o.toml:8: trunks[1].number_format.international: it is missing: write what stands",
        ],
    ),
    (
        "udp",
        "number_format = { prefix = '9', country = '49' }",
        &["o.toml:11: trunks[1].number_format: write { country = "],
    ),
    ("udp", "number_format = {}", &["o.toml:11: trunks[1].number_format: write { country = "]),
    (
        "udp",
        "number_format = { prefix = 'x' }",
        &["trunks[1].number_format.prefix = \"x\": write 1 to 16 digits, * or #"],
    ),
    (
        "udp",
        "asserted = 'yes'",
        &["trunks[1].asserted = \"yes\": write one of no, asserted, preferred"],
    ),
    (
        "udp",
        "asserted = 'asserted'",
        &["o.toml:11: trunks[1].asserted = \"asserted\": there is no number to assert"],
    ),
    (
        "udp",
        "private = 'yes'",
        &["trunks[1].private = 'yes': this is of type string: write true or false"],
    ),
    (
        "udp",
        "headers = { Via = 'x', P-Asserted-Identity = 'x', privacy = 'id', X- = 'x', Divesion = 'x' }",
        &[
            "o.toml:11: trunks[1].headers.Via: this header is not the trunk's to choose: write one",
            "trunks[1].headers.P-Asserted-Identity: this header is not the trunk's to choose: write asserted = ",
            "trunks[1].headers.privacy: this header is not the trunk's to choose: write private = true",
            "trunks[1].headers.X-: this header is not",
            "trunks[1].headers.Divesion: ",
            "did you mean \"Diversion\"?",
        ],
    ),
    (
        "udp",
        "headers = { X-A = \"canary\\r\\nEvil: 1\", X-B = '', X-C = 'env:NO', 'X-D: canary' = 'x' }",
        &[
            "trunks[1].headers.X-A: write 1 to 2048 bytes without line ends",
            "trunks[1].headers.X-B: write 1 to 2048 bytes",
            "trunks[1].headers.X-C = \"env:NO\": the environment variable NO is not set",
            "this header is not the trunk's to choose",
        ],
    ),
    ("udp", "headers = { X-A = 3 }", &["trunks[1].headers.X-A: this is of type integer"]),
    (
        "udp",
        "redirects = ['a.example', 'sip:b']",
        &["o.toml:11: trunks[1].redirects[1] = \"sip:b\": write a host name"],
    ),
    (
        "udp",
        "options_secs = -1\nmax_calls = 0\ncalls_per_second = 10001",
        &[
            "o.toml:11: trunks[1].options_secs = -1: write a whole number from 0 to 3600",
            "o.toml:12: trunks[1].max_calls = 0: write a whole number from 1 to 100000",
            "o.toml:13: trunks[1].calls_per_second = 10001: write a whole number from 1 to 10000",
        ],
    ),
    (
        "udp",
        "selftest = { info = '+12025550123', inband = '12025550122', rfc4733 = '+12025550123' }",
        &[
            "o.toml:11: trunks[1].selftest.inband: ",
            "o.toml:11: trunks[1].selftest.info: this number stands for another way already",
        ],
    ),
    ("udp", "selftest = {}", &["o.toml:11: trunks[1].selftest: there is no number in it: write"]),
    (
        "udp",
        "selftest = { sms = '+12025550123' }",
        &["trunks[1].selftest.sms: no such key (known here: rfc4733, inband, info)"],
    ),
    (
        "udp",
        "selftest = { info = '+12025550123' }\n[selftest]\nevery_secs = 4",
        &["o.toml:13: selftest.every_secs = 4: write a whole number from 5 to 86400"],
    ),
];

/// What is allowed, and should be looked at.
const DOUBTS: &[(&str, &str, &str)] = &[
    ("udp", "tls_roots = 'roots.pem'", "trunks[1].tls_roots = \"roots.pem\": it does nothing here"),
    ("tcp", "tls_name = 'h'", "trunks[1].tls_name = \"h\": it does nothing here"),
    ("tls", "tls_roots = 'stale.pem'", "trunks[1].tls_roots = \"stale.pem\": a certificate in "),
    ("tls", "tls_roots = 'soon.pem'", "trunks[1].tls_roots = \"soon.pem\": a certificate in "),
    ("udp", "srtp = 'preferred'", "trunks[1].srtp = \"preferred\": the keys would go in the clear"),
    ("udp", "private = true", "trunks[1].private = true: nothing tells the carrier who calls"),
    (
        "udp",
        "caller_id = '4930123456'",
        "trunks[1].caller_id = \"4930123456\": called numbers are written with a plus",
    ),
    (
        "udp",
        "caller_id = '+4903012345678'",
        "trunks[1].caller_id = \"+4903012345678\": carriers refuse callers that do not exist",
    ),
];

/// A folder with certificates and keys of every kind, and those that the examples name.
pub(super) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = |days: i64| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["sbc.example".to_owned()]).unwrap();
        let now = Clock::system().now().as_secs();
        let end = i64::try_from(now).unwrap() + days * 24 * 60 * 60;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after =
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(end.try_into().unwrap());
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    };
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let (certificate, key) = made(400);
    write("roots.pem", &certificate);
    write("key.pem", &key);
    write("carrier-a-roots.pem", &certificate);
    write("client-roots.pem", &certificate);
    write("octothorpe.pem", &certificate);
    write("octothorpe.key", &key);
    write("open.pem", &key);
    write("other.pem", &made(400).1);
    write("stale.pem", &format!("{certificate}{}", made(-1).0));
    write("soon.pem", &format!("{}{certificate}", made(13).0));
    write("broken.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for (name, mode) in [
            ("key.pem", 0o600),
            ("other.pem", 0o600),
            ("roots.pem", 0o640),
            ("octothorpe.key", 0o640),
            ("open.pem", 0o644),
        ] {
            let path = folder.path().join(name);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    folder
}

fn with_trunk(folder: &TempDir, transport: &str, keys: &str) -> Result<Loaded, Complaints> {
    let text = format!(
        "{}[[trunks]]\nname = 'two'\ntarget = 'sip:h;transport={transport}'\n{keys}\n",
        good()
    );
    let env = |name: &str| (name == "P").then(|| "canary".to_owned());
    parse(&text, "o.toml", folder.path(), env)
}

#[test]
fn each_mistake_of_a_trunk_is_named_with_its_line_key_value_and_remedy() {
    let folder = folder();
    for (transport, keys, parts) in MISTAKES {
        let result = with_trunk(&folder, transport, keys);
        let text = seen(&result);
        let Err(spoken) = result else { panic!("taken: {keys}") };
        for part in *parts {
            assert!(spoken.to_string().contains(part), "{keys}\nlacks {part}\n{spoken}");
        }
        // What is no header's name is a key of the file, and shown as one.
        let hidden = !text.contains("canary") || keys.contains("'X-D: canary'");
        assert!(hidden && !text.contains("PRIVATE"), "{keys}\nshows a secret:\n{text}");
    }
}

#[test]
fn what_is_doubtful_of_a_trunk_is_warned_of() {
    let folder = folder();
    for (transport, keys, expected) in DOUBTS {
        let loaded = with_trunk(&folder, transport, keys).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let said = warnings.iter().any(|it| it.starts_with(&format!("o.toml:11: {expected}")));
        assert!(said, "{keys}\nlacks {expected}\n{warnings:?}");
    }
    let stale = with_trunk(&folder, "tls", "tls_roots = 'stale.pem'").unwrap().warnings;
    assert!(stale.iter().any(|it| it.message.contains("stale.pem expired on 20")), "{stale:?}");
    let soon = with_trunk(&folder, "tls", "tls_roots = 'soon.pem'").unwrap().warnings;
    assert!(soon.iter().any(|it| it.message.contains("soon.pem expires on 20")), "{soon:?}");
}

#[test]
fn every_key_of_a_trunk_reaches_its_settings() {
    let folder = folder();
    let keys = "proxy = 'sip:[2001:db8::7]:5061;transport=tls'\nusername = 'acme'\n\
        password = 'env:P'\nrealm = 'carrier'\nregister = { expires_secs = 120 }\n\
        tls_roots = 'roots.pem'\ntls_certificate = 'roots.pem'\ntls_key = 'key.pem'\n\
        tls_name = 'SBC.example'\nsrtp = 'required'\ncodecs = ['g722', 'pcma']\ncaller_id = '+493012345678'\n\
        from_domain = 'acme.example'\ncontact_host = 'sbc.acme.example'\n\
        number_format = { country = '49', trunk_prefix = '0', international = '00' }\n\
        user_phone = true\nasserted = 'preferred'\nprivate = true\n\
        headers = { X-Account = 'env:P', Diversion = '<sip:a@b>' }\n\
        redirects = ['b.example', '192.0.2.9']\noptions_secs = 30\nmax_calls = 5\n\
        calls_per_second = 2\nselftest = { info = '+12025550123', rfc4733 = '+12025550121' }\n\
        [selftest]\nevery_secs = 60\n";
    let loaded = with_trunk(&folder, "udp", keys).unwrap();
    let trunk = &loaded.config.gateway.trunks[1];
    let number = |number: &str| number.parse().unwrap();
    let paths = [(Path::Rfc4733, number("+12025550121")), (Path::Info, number("+12025550123"))];
    assert_eq!(trunk.selftest, paths);
    assert_eq!(loaded.config.gateway.selftest_every, Duration::from_secs(60));
    assert_eq!(trunk.first_hop().to_string(), "sip:[2001:db8::7]:5061;transport=tls");
    let transport = Some(Transport::Udp);
    assert_eq!(trunk.target, Target { host: "h".to_owned(), port: None, transport });
    let credentials = trunk.credentials.as_ref().unwrap();
    assert_eq!(credentials.username, "acme");
    assert_eq!(
        (credentials.password.as_str(), credentials.realm.as_deref()),
        ("canary", Some("carrier"))
    );
    let expires = Duration::from_secs(120);
    assert!(trunk.registration == Some(Registration { user: "acme".to_owned(), expires }));
    let pem = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert_eq!(trunk.tls.roots.as_deref(), Some(pem("roots.pem").as_slice()));
    let identity = trunk.tls.identity.as_ref().unwrap();
    assert_eq!(&*identity.chain, &*pem("roots.pem"));
    assert_eq!(identity.key.as_slice(), pem("key.pem").trim_ascii_end());
    assert_eq!(trunk.tls.name.as_deref(), Some("sbc.example"));
    assert_eq!(trunk.srtp, Srtp::Required);
    assert_eq!(trunk.codecs, [Codec::G722, Codec::PCMA]);
    let expected = Identity {
        caller_id: Some("+493012345678".to_owned()),
        domain: Some("acme.example".to_owned()),
        format: NumberFormat::National {
            country: "49".to_owned(),
            trunk_prefix: "0".to_owned(),
            international: "00".to_owned(),
        },
        contact_host: Some("sbc.acme.example".to_owned()),
        user_phone: true,
        asserted: Asserted::Preferred,
        private: true,
        headers: vec![
            ("Diversion".to_owned(), "<sip:a@b>".to_owned()),
            ("X-Account".to_owned(), "canary".to_owned()),
        ],
    };
    assert!(trunk.identity == expected);
    assert_eq!(trunk.redirects, ["b.example", "192.0.2.9"]);
    assert_eq!(trunk.health, Some(Duration::from_secs(30)));
    assert_eq!(trunk.capacity, Capacity { calls: Some(5), per_second: Some(2) });
    let text = seen(&Ok(loaded));
    assert!(!text.contains("canary") && !text.contains("3012345678"), "{text}");
    let plain = with_trunk(&folder, "udp", "options_secs = 0\nnumber_format = { prefix = '9' }");
    let plain = plain.unwrap().config.gateway.trunks.remove(1);
    assert_eq!(plain.health, None);
    assert_eq!(plain.identity.format, NumberFormat::Prefixed("9".to_owned()));
    assert!(plain.registration.is_none() && plain.credentials.is_none());
}

#[test]
fn tls_listeners_have_a_certificate_and_its_key() {
    let folder = folder();
    let with = |keys: &str| {
        let text = format!("[sip]\n{keys}\n{}", good());
        parse(&text, "o.toml", folder.path(), |_| None)
    };
    let keys = "listen = ['tls:[::1]:5061']\ntls_certificate = 'roots.pem'\ntls_key = 'key.pem'";
    let loaded = with(keys).unwrap();
    let identity = loaded.config.gateway.sip_identity.unwrap();
    assert!(identity.chain.starts_with(b"-----BEGIN CERTIFICATE"));
    assert!(identity.key.starts_with(b"-----BEGIN PRIVATE KEY"));
    for (keys, said) in [
        ("listen = ['tls:[::1]:5061']", "o.toml:2: sip.tls_certificate: tls:[::1]:5061 needs a"),
        (
            "tls_key = 'key.pem'",
            "o.toml:2: sip.tls_certificate: the certificate is missing that goes with tls_key",
        ),
        (
            "tls_certificate = 'roots.pem'",
            "o.toml:2: sip.tls_key: the key is missing that goes with tls_certificate",
        ),
        (
            "tls_certificate = 'roots.pem'\ntls_key = 'other.pem'",
            "o.toml:3: sip.tls_key = \"other.pem\": the key in ",
        ),
        (
            "tls_certificate = 'none.pem'\ntls_key = 'key.pem'",
            "o.toml:2: sip.tls_certificate = \"none.pem\": the file ",
        ),
        (
            "tls_certificate = 'roots.pem'\ntls_key = '-----BEGIN canary'",
            "o.toml:3: sip.tls_key: write the path of a PEM file",
        ),
    ] {
        let told = with(keys).unwrap_err().to_string();
        assert!(told.contains(said) && !told.contains("canary"), "{keys}: {told}");
    }
}

/// Appended to [`good`], which has 7 lines: the first line here is line 8.
const WITHOUT_IT: &[Row] = &[
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
];

#[test]
fn each_mistake_of_a_trunk_s_own_keys_is_named() {
    each_is_told(WITHOUT_IT);
}
