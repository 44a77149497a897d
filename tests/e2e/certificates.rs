//! Who may ask: certificates of clients, as curl shows them, in place of keys.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use serde_json::{Value, json};

use crate::serve::{BEARER, Gateway, SOON};
use crate::tools::{octothorpe, wait_for};

/// A root in this folder, and whom it certifies.
struct Authority {
    folder: PathBuf,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), issuer.pem()).unwrap();
        Self { folder: folder.to_owned(), issuer }
    }

    /// Certifies these names: `WHO.pem` and `WHO.key`.
    fn certify(&self, who: &str, names: &[SanType]) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = names.to_vec();
        params.distinguished_name.push(rcgen::DnType::CommonName, who);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.folder.join(format!("{who}.pem")), made.pem()).unwrap();
        let path = self.folder.join(format!("{who}.key"));
        std::fs::write(&path, key.serialize_pem()).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

fn domain(name: &str) -> SanType {
    SanType::DnsName(Ia5String::try_from(name).unwrap())
}

/// Options of curl that start a verification; without them one is read that there is not.
const START: [&str; 4] = [
    "--header",
    "Content-Type: application/json",
    "--data",
    "{\"to\": \"+12025550100\", \"channel\": \"sms\"}",
];

/// A body of no type that comes 0.3 s after its head.
const LATE: [&str; 4] = ["--upload-file", "-", "--request", "POST"];

/// What curl is answered: status and body; zero where it complains.
fn curl(folder: &Path, gateway: &Gateway, shows: Option<&str>, more: &[&str]) -> (u16, Value) {
    let mut curl = Command::new("curl");
    curl.current_dir(folder).args(["--silent", "--cacert", "server-root.pem"]);
    if let Some(who) = shows {
        curl.args(["--cert", &format!("{who}.pem"), "--key", &format!("{who}.key")]);
    }
    curl.args(["--write-out", "\n%{http_code}"]).args(more);
    let begins = ["--data", LATE[0]].iter().any(|begins| more.contains(begins));
    let id = if begins { "" } else { "/vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE" };
    curl.arg(format!("https://{}/v1/verifications{id}", gateway.api()));
    curl.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut curl = curl.spawn().expect("apt-get install curl");
    let mut body = curl.stdin.take().unwrap();
    if more.contains(&LATE[0]) {
        std::thread::sleep(Duration::from_millis(300));
        // Whoever gave up is told of below.
        let _ = body.write_all(b"{}");
    }
    drop(body);
    let output = curl.wait_with_output().unwrap();
    if !output.status.success() {
        return (0, Value::Null);
    }
    let told = String::from_utf8(output.stdout).unwrap();
    let (body, status) = told.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn a_certificate_opens_the_tenant_that_knows_its_name_and_no_other_opens_anything() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ours = Authority::new(folder, "client-root");
    let spiffe = SanType::URI(Ia5String::try_from("spiffe://acme/batch").unwrap());
    ours.certify("login", &[domain("other.example"), domain("Login.acme.example")]);
    ours.certify("batch", &[spiffe]);
    ours.certify("both", &[domain("login.acme.example"), domain("globex.example")]);
    ours.certify("unknown", &[domain("login.acme.example.evil.example")]);
    Authority::new(folder, "stranger-root").certify("stranger", &[domain("login.acme.example")]);
    let here = SanType::IpAddress("127.0.0.1".parse().unwrap());
    Authority::new(folder, "server-root").certify("server", &[here]);

    let gateway = Gateway::with("", "test = true");
    gateway.rewrite(|text| {
        let file = |name: &str| folder.join(name).display().to_string();
        let server = format!(
            "[server]\ntls_certificate = {:?}\ntls_key = {:?}\nclient_roots = {:?}\n",
            file("server.pem"),
            file("server.key"),
            file("client-root.pem")
        );
        let names = "client_names = [\"login.acme.example\", \
                     { name = \"spiffe://acme/batch\", scopes = [\"check\"] }]\n\
                     [[tenants]]\nname = \"globex\"\nclient_names = [\"globex.example\"]\ntest = true\n";
        format!("{}\n{names}", text.replace("[server]\n", &server))
    });
    let told = gateway.reload();
    assert_eq!(told.status, 200, "{told:?}");
    let ask = |shows, more: &[&str]| curl(folder, &gateway, shows, more);
    wait_for("TLS", SOON, || (ask(None, &[]).0 == 401).then_some(()));
    for protocol in ["--http1.1", "--http2"] {
        let (status, started) = ask(Some("login"), &[&START[..], &[protocol]].concat());
        assert_eq!((status, &started["status"]), (201, &json!("pending")), "{started}");
        assert_eq!(ask(Some("login"), &[protocol]).0, 404);
        let (status, refused) = ask(Some("batch"), &[protocol]);
        assert_eq!((status, &refused["code"]), (403, &json!("forbidden")), "{refused}");
        assert_eq!(refused["detail"], "this certificate lacks the scope \"read\"");
        // Its head tells what is wrong with it, while its body is on its way.
        let (status, refused) = ask(Some("login"), &[&LATE[..], &[protocol]].concat());
        assert_eq!((status, &refused["code"]), (415, &json!("unsupported_media_type")));
        // Nobody's, two tenants', and none at all are answered alike.
        let (status, without) = ask(None, &[protocol]);
        assert_eq!(status, 401, "{without}");
        for who in ["unknown", "both"] {
            assert_eq!(ask(Some(who), &[protocol]), (401, without.clone()), "{who}");
        }
    }
    // Of a root that we do not know, there is no connection.
    assert_eq!(ask(Some("stranger"), &[]).0, 0);
    // Whoever presents a key is asked by that.
    let key = format!("Authorization: {BEARER}");
    assert_eq!(ask(None, &["--header", &key]).0, 404);
    assert_eq!(ask(Some("batch"), &["--header", &key]).0, 404);
    let wrong = "Authorization: Bearer nobody-has-this-key-0123456789abcdef";
    assert_eq!(ask(Some("login"), &["--header", wrong]).0, 401);

    // Commands that have its configuration know it by the certificate there, whatever that is called.
    let config = std::fs::read_to_string(gateway.folder().join("octothorpe.toml")).unwrap();
    let admin = "admin_listen = \"127.0.0.1:0\"";
    assert!(config.contains(admin), "{config}");
    let here = format!("admin_listen = \"{}\"", gateway.admin_address());
    std::fs::write(folder.join("here.toml"), config.replace(admin, &here)).unwrap();
    let back_up = || {
        let mut command = octothorpe();
        command.current_dir(folder).args(["store", "backup", "copy.redb", "--config", "here.toml"]);
        command.output().unwrap()
    };
    let copied = back_up();
    assert!(copied.status.success() && folder.join("copy.redb").exists(), "{copied:?}");
    Authority::new(folder, "another-root").certify("server", &[]);
    let refused = back_up();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("it shows another certificate than the configuration has"), "{said}");
    assert_ne!(refused.status.code(), Some(0));
}
