//! What `/metrics` tells after a few calls, beside what is promised of it: the catalogue, the dashboards, the rules
//! that ring, and Prometheus itself, which scrapes it and reads every expression.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::io::Write as _;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use octothorpe::telemetry::catalogue::{Kind, METRICS, Metric, Values};
use octothorpe::telemetry::samples::{self, Sample};
use serde_json::{Value, json};

use crate::phone::{Manner, Phone};
use crate::selftest::pressing;
use crate::serve::{Gateway, SOON};
use crate::tools::{Process, ports, wait_for};
use crate::webhook::Receiver;

/// What watches the gateway, from `config`.
fn config(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name)
}

/// Every dashboard: its name, and what it says.
fn dashboards() -> Vec<(String, Value)> {
    let files = std::fs::read_dir(config("grafana")).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        (path.display().to_string(), serde_json::from_str(&text).unwrap())
    };
    files.map(read).collect()
}

/// The panels of a dashboard that show something, and not only part it.
fn panels(board: &Value) -> impl Iterator<Item = &Value> {
    board["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row")
}

/// Every expression of the dashboards.
fn expressions() -> Vec<String> {
    let mut found = Vec::new();
    for (_, board) in dashboards() {
        for panel in panels(&board) {
            let targets = panel["targets"].as_array().unwrap().iter();
            found.extend(targets.map(|target| target["expr"].as_str().unwrap().to_owned()));
        }
    }
    found
}

/// The metrics that a text names; what a rule records is none, and has colons around it.
fn named(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c| !is_part(c));
    let metrics = words.filter(|word| word.starts_with("octothorpe_") && !word.contains(':'));
    metrics.map(str::to_owned).collect()
}

/// Runs promtool on this input.
fn promtool(words: &[&str], input: &str) -> Output {
    let mut command = Command::new("promtool");
    let root = env!("CARGO_MANIFEST_DIR");
    command.args(words).current_dir(root).stdin(Stdio::piped());
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = piped.expect("apt-get install prometheus");
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The metric of the catalogue that a sample is of.
fn metric(sample: &Sample) -> &'static Metric {
    let is = |metric: &&Metric| match metric.kind {
        Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|part| sample.name.strip_suffix(part) == Some(metric.name)),
        Kind::Counter | Kind::Gauge => sample.name == metric.name,
    };
    METRICS.iter().find(is).unwrap_or_else(|| panic!("{} is in no catalogue", sample.name))
}

/// A gateway with all that is measured: prices and caps, an endpoint, a trunk that answers, another that shows
/// a certificate and to which it cannot register, and one that is tried at this port.
fn measured(folder: &Path, phone: &Phone, own: u16, receiver: &Receiver) -> Gateway {
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let deck = file("prices.csv", "prefix,channel,price\n+1,voice,0.10\n");
    let made = rcgen::generate_simple_self_signed(["gw.example".to_owned()]).unwrap();
    let chain = file("gw.pem", &made.cert.pem());
    let key = file("gw.key", &made.signing_key.serialize_pem());
    let ways = format!(
        "[[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{};transport=udp\"\n\
         options_secs = 0\ncaller_id = \"+12025550100\"\n\
         [[trunks]]\nname = \"other\"\ntarget = \"sip:127.0.0.1:{};transport=tls\"\n\
         username = \"acme\"\npassword = \"canary-5de1\"\nregister = true\n\
         tls_certificate = {chain:?}\ntls_key = {key:?}\n\
         [[trunks]]\nname = \"tried\"\ntarget = \"sip:127.0.0.1:{own};transport=udp\"\n\
         options_secs = 0\nselftest = {{ info = \"+12025550179\" }}\n\
         [[routes]]\nvia = [\"phone\"]\n\
         [prices]\nfile = {deck:?}\ncurrency = \"EUR\"\n[budget]\nday = \"90.00\"\n",
        phone.port(),
        ports(1),
    );
    let hooks = format!(
        "budget = {{ tenant = \"50.00\" }}\nwebhooks = [{{ url = {:?}, secret = {:?} }}]",
        receiver.url(),
        crate::tools::WEBHOOK_SECRET.0
    );
    Gateway::with(&ways, &hooks)
}

#[test]
fn every_metric_is_as_it_is_told_and_what_watches_them_finds_them() {
    let folder = tempfile::tempdir().unwrap();
    let (phone, receiver) = (Phone::start(Manner::Answer), Receiver::start(&[]));
    // It is tried before anything is counted.
    let (_own, own) = pressing(&["--by", "info"]);
    let gateway = measured(folder.path(), &phone, own, &receiver);
    wait_for("a key came through", Duration::from_secs(30), || {
        let page = gateway.admin("/metrics").body;
        page.contains("octothorpe_selftest_works{trunk=\"tried\",path=\"info\"} 1").then_some(())
    });
    let id = gateway.begin(&json!({"to": "+12025550123"}));
    phone.speak();
    gateway.reaches(&id, "listening");
    let page = gateway.admin("/metrics").body;
    let live = samples::read(&page)
        .filter(|it| it.name == "octothorpe_calls" && it.value > 0.0)
        .map(|it| it.label("state").to_owned());
    assert_eq!(live.collect::<Vec<_>>(), ["listening"]);
    phone.press();
    assert_eq!(gateway.settles(&id, SOON)["status"], "approved");
    receiver.taken(SOON);
    // What belongs to no call.
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"what\r\n\r\n", gateway.sip()).unwrap();

    // What the dashboards and the rules name is there. Some of it is told every five seconds.
    let rules = std::fs::read_to_string(config("alerts.yml")).unwrap();
    let watched = named(&(expressions().join("\n") + &rules));
    assert!(watched.len() > 50, "{}", watched.len());
    // The texts of the rules name histograms as they are.
    let missing = |page: &str| -> Vec<String> {
        let told: BTreeSet<String> = samples::read(page).map(|sample| sample.name).collect();
        let is_told = |name: &str| told.contains(name) || told.contains(&format!("{name}_count"));
        watched.iter().filter(|name| !is_told(name)).cloned().collect()
    };
    let enough = Instant::now() + Duration::from_secs(30);
    let page = loop {
        let page = gateway.admin("/metrics").body;
        let missing = missing(&page);
        if missing.is_empty() {
            break page;
        }
        assert!(Instant::now() < enough, "not in /metrics: {missing:?}");
        std::thread::sleep(Duration::from_millis(250));
    };

    // Each is in the catalogue, with these labels, which say what they may; and has its help and type.
    let samples: Vec<Sample> = samples::read(&page).collect();
    for sample in &samples {
        let metric = metric(sample);
        let labels: BTreeSet<&str> =
            sample.labels.keys().map(String::as_str).filter(|name| *name != "le").collect();
        let known: BTreeSet<&str> = metric.labels.iter().map(|(name, _)| *name).collect();
        assert_eq!(labels, known, "{sample:?}");
        for (name, values) in metric.labels {
            if let Values::Words(words) = values {
                assert!(words.contains(&sample.label(name)), "{sample:?}");
            }
        }
        let (name, what, kind) = (metric.name, metric.what, metric.kind.as_str());
        assert!(page.contains(&format!("# HELP {name} {what}\n")), "{name}");
        assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
    }
    let value = |name: &str, labels: &[(&str, &str)]| {
        let is = |it: &&Sample| {
            it.name == name && labels.iter().all(|(label, word)| it.label(label) == *word)
        };
        samples.iter().find(is).unwrap_or_else(|| panic!("{name} {labels:?}")).value
    };
    for what in ["placed", "reached", "answered", "pressed"] {
        let name = format!("octothorpe_calls_{what}_total");
        assert_eq!(value(&name, &[("via", "phone")]), 1.0, "{name}");
    }
    assert_eq!(value("octothorpe_spent_ten_thousandths_total", &[("via", "phone")]), 1_000.0);
    let settled = [("country", "US"), ("status", "approved")];
    assert_eq!(value("octothorpe_country_settled_total", &settled), 1.0);
    assert_eq!(value("octothorpe_webhooks_total", &[("outcome", "delivered")]), 1.0);
    assert_eq!(value("octothorpe_webhook_events_total", &[]), 1.0);
    assert_eq!(value("octothorpe_webhook_pending", &[]), 0.0);
    assert_eq!(value("octothorpe_store_works", &[]), 1.0);
    assert!(value("octothorpe_certificate_not_after_seconds", &[("of", "trunk other")]) > 2e9);
    assert_eq!(value("octothorpe_trunk_registered", &[("trunk", "other")]), 0.0);

    let judged = promtool(&["check", "metrics"], &page);
    assert!(judged.status.success() && judged.stderr.is_empty(), "{judged:?}");
    is_scraped(folder.path(), &gateway);
}

/// Prometheus, which scrapes a gateway every second and has our rules.
pub(crate) struct Prometheus {
    _process: Process,
    port: u16,
}

impl Prometheus {
    /// Starts it in this folder.
    pub(crate) fn start(folder: &Path, gateway: &Gateway) -> Self {
        let port = ports(1);
        let target = gateway.admin_address();
        let settings = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [{:?}]\n\
         scrape_configs: [{{ job_name: octothorpe, static_configs: [{{ targets: [{:?}] }}] }}]\n",
            config("alerts.yml").display().to_string(),
            target.to_string()
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("tsdb").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}")).arg("--log.level=error");
        Self { _process: Process::phone(command, "prometheus"), port }
    }

    /// What it answers, as soon as it does.
    pub(crate) fn get(&self, path: &str, data: &[&str]) -> Option<Value> {
        let Self { port, .. } = self;
        // It answers in chunks.
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--get"]).args(data);
        curl.arg(format!("http://127.0.0.1:{port}/api/v1/{path}"));
        let output = curl.stdin(Stdio::null()).output().expect("apt-get install curl");
        serde_json::from_slice(&output.stdout).ok()
    }
}

/// Prometheus itself scrapes the gateway, takes the rules, and reads each expression of the dashboards.
fn is_scraped(folder: &Path, gateway: &Gateway) {
    let prometheus = Prometheus::start(folder, gateway);
    let get = |path: &str, data: &[&str]| prometheus.get(path, data);
    let ask = |expression: &str| {
        let query = format!("query={expression}");
        get("query", &["--data-urlencode", &query])
    };
    wait_for("prometheus has scraped twice", Duration::from_secs(60), || {
        let up = ask("sum_over_time(up[1m]) >= 2")?;
        (up["data"]["result"][0]["value"][1].is_string()).then_some(())
    });
    for expression in expressions() {
        let mut asked = expression.clone();
        for (variable, value) in
            [("$instance", ".*"), ("$via", ".*"), ("$__rate_interval", "1m"), ("$__range", "1h")]
        {
            asked = asked.replace(variable, value);
        }
        let told = ask(&asked).unwrap_or_else(|| panic!("{expression} is not read"));
        assert_eq!(told["status"], "success", "{expression}: {told}");
    }
    let rules = get("rules", &[]).unwrap();
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    assert!(rules.iter().all(|rule| rule["lastError"].is_null()), "{rules:?}");
    // The trunk to which it cannot register is on its way to ring.
    wait_for("a rule sees what is wrong", Duration::from_secs(60), || {
        let alerts = get("alerts", &[])?;
        let alerts = alerts["data"]["alerts"].as_array().unwrap().clone();
        let down = alerts.iter().find(|alert| alert["labels"]["alertname"] == "TrunkDown")?;
        assert_eq!(down["labels"]["trunk"], "other");
        assert_eq!(alerts.len(), 1, "the others are silent: {alerts:?}");
        Some(())
    });
}

#[test]
fn each_rule_rings_in_its_case_and_none_on_a_good_day() {
    for words in [["check", "rules", "config/alerts.yml"], ["test", "rules", "tests/alerts.yml"]] {
        let judged = promtool(&words, "");
        assert!(judged.status.success(), "{words:?}: {judged:?}");
    }
    // Each rule has a case.
    let rules = std::fs::read_to_string(config("alerts.yml")).unwrap();
    let cases = include_str!("../alerts.yml");
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts.len(), 12, "{alerts:?}");
    for alert in alerts {
        assert!(cases.contains(&format!("alertname: {alert}\n        exp_alerts:\n")), "{alert}");
        assert!(cases.contains(&format!("alertname: {alert}, exp_alerts: []")), "{alert}");
    }
}

#[test]
fn each_panel_has_a_title_a_unit_and_a_data_source_that_can_be_chosen() {
    let boards = dashboards();
    assert_eq!(boards.len(), 4);
    let mut names = BTreeSet::new();
    for (file, board) in &boards {
        assert!(names.insert(board["uid"].as_str().unwrap()), "{file}: a name of its own");
        assert!(board["title"].as_str().unwrap().starts_with("octothorpe: "), "{file}");
        let chosen = &board["templating"]["list"][0];
        assert_eq!(
            (&chosen["type"], &chosen["name"]),
            (&json!("datasource"), &json!("datasource"))
        );
        let mut ids = BTreeSet::new();
        for panel in panels(board) {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{file}: {title}");
            assert!(!title.is_empty() && !panel["description"].as_str().unwrap().is_empty());
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap();
            assert!(
                ["cpm", "s", "percentunit", "short", "pps", "ops", "reqps"].contains(&unit),
                "{title}"
            );
            let targets = panel["targets"].as_array().unwrap();
            for of in targets.iter().chain([panel]) {
                assert_eq!(of["datasource"]["uid"], "${datasource}", "{file}: {title}");
            }
        }
        assert!(ids.len() >= 12, "{file}");
    }
}
