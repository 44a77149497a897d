//! The whole conversation with Twilio. Prism, as a proxy, holds every request of the gateway to
//! Twilio's own OpenAPI document; Twilio's own Python library signs everything that comes back.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::peers::{PATIENCE, Peer, folder, node, python};
use crate::risk::TRACE;
use crate::serve::{Gateway, PUBLIC, SOON};
use crate::tools::{Process, side_by_side, wait_for};

/// The account.
pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// Its token, which signs and must never be printed.
pub(crate) const TOKEN: &str = "canary0f1e2d3c4b5a69788796a5b4c3d2e1";

/// The number that calls and writes.
pub(crate) const SENDER: &str = "+12025550100";

/// What a person knows beside the code.
const PIN: &str = "9041726358";

/// Twilio.
pub(crate) struct Twilio(Peer);

/// A call or text that was ordered.
#[derive(Debug)]
pub(crate) struct Ordered {
    /// Twilio's name for it.
    pub(crate) sid: String,
    /// The parameters of the request.
    pub(crate) params: Value,
}

impl Ordered {
    /// What the text says.
    pub(crate) fn body(&self) -> &str {
        self.params["Body"].as_str().unwrap()
    }

    /// The code in the text.
    pub(crate) fn code(&self) -> &str {
        let numbers = self.body().split(|c: char| !c.is_ascii_digit());
        numbers.max_by_key(|number| number.len()).unwrap()
    }
}

impl Twilio {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let mut command = python("twilio_peer.py");
        command.args(["--account", ACCOUNT, "--token", TOKEN]);
        Self(Peer::start(command))
    }

    /// Where its API listens.
    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    /// A gateway with this account whose API is at this port, and with these other carriers and
    /// routes.
    pub(crate) fn gateway(&self, port: u16, more: &str) -> Gateway {
        let gateway = Gateway::by_carriers(&format!(
            r#"
            [[carriers]]
            name = "twilio"
            kind = "twilio"
            base_url = "http://127.0.0.1:{port}"
            account = "{ACCOUNT}"
            token = "{TOKEN}"
            from = "{SENDER}"
            {more}
            "#
        ));
        gateway.hide(TOKEN);
        self.ask(json!({"do": "gateway", "public": PUBLIC, "at": gateway.api().to_string()}));
        gateway
    }

    /// Gives it a command.
    pub(crate) fn ask(&self, command: Value) -> Value {
        self.0.ask(command)
    }

    /// The requests that reached it and are about this phone.
    pub(crate) fn requests(&self, phone: &str) -> Vec<Value> {
        let all = self.ask(json!({"do": "requests"}))["requests"].take();
        let Value::Array(mut all) = all else { panic!("no list: {all}") };
        all.retain(|request| request["params"]["To"] == phone);
        all
    }

    /// The calls and texts to this phone that were ordered.
    pub(crate) fn orders(&self, phone: &str) -> Vec<Ordered> {
        let mut all = self.requests(phone);
        all.retain(|request| request["method"] == "POST");
        let order = |mut request: Value| Ordered {
            sid: request["sid"].as_str().unwrap().to_owned(),
            params: request["params"].take(),
        };
        all.into_iter().map(order).collect()
    }

    /// The order of this number to this phone, the first one being 1.
    pub(crate) fn order(&self, phone: &str, number: usize) -> Ordered {
        wait_for("an order", PATIENCE, || self.orders(phone).into_iter().nth(number - 1))
    }

    /// Tells the gateway something that it takes.
    pub(crate) fn tell(&self, command: Value) -> Value {
        let told = self.ask(command.clone());
        assert!([200, 204].map(Value::from).contains(&told["status"]), "{command}: {told}");
        told
    }
}

/// Everything that takes part.
struct Stage {
    gateway: Gateway,
    twilio: Twilio,
    _prism: Prism,
}

/// Prism as a proxy: it passes requests on, and says what is wrong with them.
struct Prism {
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl Prism {
    /// A proxy to this port.
    fn start(to: u16) -> Self {
        let source = "node_modules/@twilio/cli-core/src/services/twilio-api/twilio_api_v2010.json";
        let text = std::fs::read(folder().join(source)).unwrap();
        let mut document: Value = serde_json::from_slice(&text).unwrap();
        // It checks only what is said to be served where it sends it.
        let here = json!([{"url": format!("http://127.0.0.1:{to}")}]);
        document["servers"] = here.clone();
        for path in document["paths"].as_object_mut().unwrap().values_mut() {
            path["servers"] = here.clone();
            let form = "/post/requestBody/content/application~1x-www-form-urlencoded";
            if let Some(form) = path.pointer_mut(form) {
                spell_out_lists(form);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("twilio.json");
        std::fs::write(&file, document.to_string()).unwrap();
        let mut command = node("node_modules/@stoplight/prism-cli/dist/index.js");
        command.args(["proxy", "--host", "127.0.0.1", "--port", "0"]);
        command.arg(file).arg(format!("http://127.0.0.1:{to}"));
        let mut process = Process::phone(command, "nodejs");
        let port = wait_for("Prism listens", PATIENCE, || {
            assert!(process.runs(), "Prism ended: {}{}", process.stdout(), process.stderr());
            let printed = process.stdout();
            let line = printed.lines().find(|line| line.contains("Prism is listening on"))?;
            line.rsplit_once(':')?.1.trim().parse().ok()
        });
        Self { port, process, _folder: folder }
    }

    /// Sends a request that creates something, and gives back what is wrong with it.
    fn objections(&self, twilio: &Twilio, list: &str, form: &str) -> Vec<Value> {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"));
        let answer = twilio.ask(json!({
            "do": "send",
            "port": self.port,
            "method": "POST",
            "path": format!("/2010-04-01/Accounts/{ACCOUNT}/{list}.json"),
            "headers": {
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": format!("Basic {pair}"),
            },
            "body": form,
        }));
        let printed = self.process.stdout();
        assert!(!printed.contains("Selected route not found"), "it checks nothing: {printed}");
        answer["headers"]["sl-violations"].as_str().map_or_else(Vec::new, |violations| {
            let Value::Array(all) = serde_json::from_str(violations).unwrap() else { panic!() };
            all
        })
    }
}

/// Says of each list in a form that it is written by repeating its name. This is the default
/// (OpenAPI 3.0, Encoding Object), which Prism does not know.
fn spell_out_lists(form: &mut Value) {
    let Some(properties) = form["schema"]["properties"].as_object() else { return };
    let lists = properties.iter().filter(|(_, property)| property["type"] == "array");
    let repeated =
        |(name, _): (&String, _)| (name.clone(), json!({"style": "form", "explode": true}));
    form["encoding"] = Value::Object(lists.map(repeated).collect());
}

impl Stage {
    fn set() -> Self {
        let twilio = Twilio::start();
        let prism = Prism::start(twilio.port());
        let front = twilio.ask(json!({"do": "front", "to": prism.port}));
        let gateway = twilio.gateway(front["port"].as_u64().unwrap().try_into().unwrap(), "");
        gateway.hide(PIN);
        Self { gateway, twilio, _prism: prism }
    }

    /// Starts a verification, and waits for its order.
    fn begin(&self, phone: &str, mut body: Value) -> (String, Ordered) {
        self.gateway.hide(phone.trim_start_matches("+1"));
        body["to"] = json!(phone);
        let before = self.twilio.orders(phone).len();
        let begun = self.gateway.start_in(&TRACE, &body);
        assert_eq!(begun.status, 201, "{begun:?}");
        let id = begun.json()["id"].as_str().unwrap().to_owned();
        let order = self.twilio.order(phone, before + 1);
        for secret in ["StatusCallback", "Url"] {
            if let Some(token) = order.params[secret].as_str().and_then(|url| url.split('/').nth(6))
            {
                self.gateway.hide(token);
            }
        }
        if order.params["Body"].is_string() {
            self.gateway.hide(order.body());
            self.gateway.hide(order.code());
        }
        (id, order)
    }

    /// Starts a call that is answered.
    fn call(&self, phone: &str) -> (String, Ordered) {
        let (id, call) = self.begin(phone, json!({"channel": "voice"}));
        for (status, state) in
            [("initiated", "dialing"), ("ringing", "ringing"), ("in-progress", "answered")]
        {
            self.twilio.tell(json!({"do": "status", "sid": call.sid, "status": status}));
            self.gateway.reaches(&id, state);
        }
        let asked = self.twilio.tell(json!({"do": "answer", "sid": call.sid}));
        assert_eq!(asked["verbs"], json!(["Gather", "Redirect", "Hangup"]), "{asked}");
        (id, call)
    }

    /// Presses keys; the call then ends as the last document says, or as the person does.
    fn press(&self, call: &Ordered, keys: &[Option<char>]) -> String {
        let mut last = Value::Null;
        for key in keys {
            last = self.twilio.tell(json!({"do": "press", "sid": call.sid, "key": key}));
        }
        assert_eq!(last["verbs"], json!(["Say", "Hangup"]), "{last}");
        self.twilio.tell(json!({"do": "status", "sid": call.sid, "status": "completed"}));
        last["body"].as_str().unwrap().to_owned()
    }

    /// What a person writes.
    fn write(&self, phone: &str, body: &str) -> Value {
        let path = "/hooks/twilio/inbound";
        self.twilio
            .tell(json!({"do": "inbound", "path": path, "from": phone, "to": SENDER, "body": body}))
    }

    fn is(&self, id: &str, status: &str, reason: &str) -> Value {
        let found = self.gateway.settles(id, SOON);
        assert_eq!((&found["status"], &found["reason"]), (&status.into(), &reason.into()));
        found
    }
}

/// Something that people do, and a phone of its own to do it with.
struct Row(&'static str, fn(&Stage, &str));

const ROWS: [Row; 13] = [
    Row("pound approves", pound_approves),
    Row("zero and pound report fraud", zero_and_pound_report_fraud),
    Row("one wrong key is forgiven", one_wrong_key_is_forgiven),
    Row("no key expires", no_key_expires),
    Row("a busy phone fails", a_busy_phone_fails),
    Row("a canceled call is ended", a_canceled_call_is_ended),
    Row("a code is delivered and typed", a_code_is_delivered_and_typed),
    Row("a code is sent back", a_code_is_sent_back),
    Row("a code is sent back with the PIN", a_code_is_sent_back_with_the_pin),
    Row("stop opts out", stop_opts_out),
    Row("what another signs changes nothing", what_another_signs_changes_nothing),
    Row("a text whose answer is lost is found", a_text_whose_answer_is_lost_is_found),
    Row("a payment is said before it is approved", a_payment_is_said_before_it_is_approved),
];

#[test]
fn a_conversation_with_twilio_ends_as_the_person_says_and_every_request_is_one_it_knows() {
    let stage = Stage::set();
    let rows: Vec<(String, Row)> =
        ROWS.into_iter().enumerate().map(|(at, row)| (format!("+120255501{at:02}"), row)).collect();
    side_by_side(4, &rows, |(_, row)| row.0.to_owned(), |(phone, row)| row.1(&stage, phone));
    let mut seen = stage.twilio.ask(json!({"do": "violations"}));
    // The fake's answers are held to the document, too, but for the time-out that it plays.
    let violations = seen["violations"].as_array_mut().unwrap();
    violations.retain(|it| it["status"] != 504 || it["location"] != json!(["response"]));
    assert_eq!(*violations, [Value::Null; 0]);
    assert!(seen["relayed"].as_u64().unwrap() >= 14, "they went by Prism: {seen}");
    // What is ordered, looked up and ended goes with the trace that it is part of; an answer to what a person
    // wrote is part of none.
    let requests = stage.twilio.ask(json!({"do": "requests"}))["requests"].take();
    let trace: Value = TRACE.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let is_notice = |request: &&Value| {
        let hooks = request["params"]["StatusCallback"].as_str();
        hooks.is_some_and(|hooks| hooks.contains("/notice-"))
    };
    for request in requests.as_array().unwrap().iter().filter(|it| !is_notice(it)) {
        assert_eq!(request["trace"], trace, "{request}");
    }
}

fn pound_approves(stage: &Stage, phone: &str) {
    let (id, call) = stage.call(phone);
    let thanks = stage.press(&call, &[Some('#')]);
    assert!(thanks.contains("Thank you"), "{thanks}");
    let settled = stage.is(&id, "approved", "confirmed");
    let attempt = &settled["attempts"][0];
    assert_eq!(
        (&attempt["call_id"], &attempt["press"]["path"]),
        (&call.sid.into(), &json!(["carrier"]))
    );
}

fn a_payment_is_said_before_it_is_approved(stage: &Stage, phone: &str) {
    let payment = json!({"amount": "49.9", "currency": "EUR", "payee": "O'Neil & Co"});
    let (id, call) = stage.begin(phone, json!({"channel": "voice", "transaction": payment}));
    for status in ["initiated", "ringing", "in-progress"] {
        stage.twilio.tell(json!({"do": "status", "sid": call.sid, "status": status}));
    }
    stage.gateway.reaches(&id, "answered");
    let asked = stage.twilio.tell(json!({"do": "answer", "sid": call.sid}));
    let said = asked["body"].as_str().unwrap();
    assert!(
        said.contains("To pay 49.90 EUR to O&apos;Neil &amp; Co, press the pound key."),
        "{said}"
    );
    stage.press(&call, &[Some('#')]);
    stage.is(&id, "approved", "confirmed");
}

fn zero_and_pound_report_fraud(stage: &Stage, phone: &str) {
    let (id, call) = stage.call(phone);
    stage.press(&call, &[Some('0'), Some('#')]);
    stage.is(&id, "denied", "fraud_reported");
}

fn one_wrong_key_is_forgiven(stage: &Stage, phone: &str) {
    let (id, call) = stage.call(phone);
    stage.press(&call, &[Some('5'), Some('#')]);
    stage.is(&id, "approved", "confirmed");
    let (id, call) = stage.call(phone);
    stage.press(&call, &[Some('5'), Some('*')]);
    stage.is(&id, "denied", "wrong_key");
}

fn no_key_expires(stage: &Stage, phone: &str) {
    let (id, call) = stage.call(phone);
    stage.press(&call, &[None, None]);
    stage.is(&id, "expired", "no_input");
}

fn a_busy_phone_fails(stage: &Stage, phone: &str) {
    let (id, call) = stage.begin(phone, json!({"channel": "voice"}));
    stage.twilio.tell(json!({"do": "status", "sid": call.sid, "status": "ringing"}));
    stage.twilio.tell(json!({
        "do": "status", "sid": call.sid, "status": "busy", "more": {"SipResponseCode": "486"},
    }));
    stage.is(&id, "failed", "busy");
}

fn a_canceled_call_is_ended(stage: &Stage, phone: &str) {
    let (id, call) = stage.call(phone);
    stage.gateway.post(&format!("/v1/verifications/{id}/cancel"), &json!({}));
    stage.is(&id, "canceled", "canceled_by_caller");
    wait_for("the call is ended", SOON, || {
        let requests = stage.twilio.ask(json!({"do": "requests"}))["requests"].take();
        let ends = |it: &&Value| it["path"].as_str().unwrap().contains(&call.sid);
        let end = requests.as_array().unwrap().iter().find(ends)?.clone();
        assert_eq!(end["params"]["Status"], "completed");
        Some(())
    });
}

fn a_code_is_delivered_and_typed(stage: &Stage, phone: &str) {
    let (id, text) = stage.begin(phone, json!({"channel": "sms", "brand": "Canary Bank"}));
    assert!(text.body().contains("Canary Bank"), "{text:?}");
    for status in ["sent", "delivered"] {
        stage.twilio.tell(json!({"do": "receipt", "sid": text.sid, "status": status}));
        stage.gateway.reaches(&id, status);
    }
    let check = |code: &str| {
        let checked =
            stage.gateway.post(&format!("/v1/verifications/{id}/check"), &json!({"code": code}));
        checked.json()["matched"] == true
    };
    assert!(!check("00000000"));
    assert!(check(text.code()));
    stage.is(&id, "approved", "code_matched");
}

fn a_code_is_sent_back(stage: &Stage, phone: &str) {
    let (id, text) = stage.begin(phone, json!({"channel": "sms", "mode": "reply"}));
    // The receipt may come after the answer to it.
    stage.write(phone, &format!("Code: {}", text.code()));
    stage.is(&id, "approved", "reply_matched");
    stage.twilio.tell(json!({"do": "receipt", "sid": text.sid, "status": "delivered"}));
    stage.is(&id, "approved", "reply_matched");
}

fn a_code_is_sent_back_with_the_pin(stage: &Stage, phone: &str) {
    let (id, text) = stage.begin(phone, json!({"channel": "sms", "mode": "reply", "pin": PIN}));
    stage.write(phone, text.code());
    assert_eq!(stage.gateway.read(&id, "")["status"], "pending");
    stage.write(phone, &format!("{} {PIN}", text.code()));
    let settled = stage.is(&id, "approved", "reply_matched");
    assert_eq!(settled["assurance"], "transferred_secret+knowledge");
}

fn stop_opts_out(stage: &Stage, phone: &str) {
    let sms = json!({"channel": "sms", "to": phone});
    let (id, _) = stage.begin(phone, sms.clone());
    stage.write(phone, "STOP");
    stage.is(&id, "failed", "opted_out");
    let told = stage.twilio.order(phone, 2);
    assert!(told.body().contains("START"), "{told:?}");
    let refused = stage.gateway.post("/v1/verifications", &sms);
    assert_eq!((refused.status, &refused.json()["code"]), (403, &"opted_out".into()));
    stage.write(phone, "START");
    assert!(stage.twilio.order(phone, 3).body().contains("STOP"));
    stage.begin(phone, sms);
}

fn what_another_signs_changes_nothing(stage: &Stage, phone: &str) {
    let (id, call) = stage.call(phone);
    let (texted, text) = stage.begin(phone, json!({"channel": "sms", "mode": "reply"}));
    stage.gateway.reaches(&texted, "sent");
    let read = || (stage.gateway.read(&id, ""), stage.gateway.read(&texted, ""));
    let before = read();
    for token in ["another0f1e2d3c4b5a69788796a5b4c3d2e", ""] {
        for command in [
            json!({"do": "answer", "sid": call.sid}),
            json!({"do": "press", "sid": call.sid, "key": "#"}),
            json!({"do": "status", "sid": call.sid, "status": "completed"}),
            json!({"do": "receipt", "sid": text.sid, "status": "undelivered"}),
            json!({
                "do": "inbound", "path": "/hooks/twilio/inbound",
                "from": phone, "to": SENDER, "body": text.code(),
            }),
        ] {
            let mut command = command;
            command["token"] = json!(token);
            assert_eq!(stage.twilio.ask(command.clone())["status"], 403, "{command}");
        }
    }
    assert_eq!(read(), before);
    assert_eq!(stage.gateway.metric("octothorpe_hooks_forged_total"), 10);
    // And the right ones still count.
    stage.press(&call, &[Some('#')]);
    stage.is(&id, "approved", "confirmed");
    stage.write(phone, text.code());
    stage.is(&texted, "approved", "reply_matched");
}

fn a_text_whose_answer_is_lost_is_found(stage: &Stage, phone: &str) {
    stage.twilio.ask(json!({"do": "answers", "to": phone, "create": "take 504"}));
    let (id, text) = stage.begin(phone, json!({"channel": "sms"}));
    stage.gateway.reaches(&id, "sent");
    assert_eq!(stage.gateway.read(&id, "")["attempts"][0]["call_id"], text.sid.as_str());
    assert_eq!(stage.twilio.orders(phone).len(), 1);
}

#[test]
fn prism_objects_to_what_twilio_would_not_take() {
    let twilio = Twilio::start();
    let prism = Prism::start(twilio.port());
    let good = format!("To=%2B12025550123&From=%2B12025550100&Url={PUBLIC}&Timeout=45");
    assert_eq!(prism.objections(&twilio, "Calls", &good), [Value::Null; 0]);
    for (bad, at) in [
        (good.replace("Timeout=45", "Timeout=abc"), json!(["request", "body", "Timeout"])),
        (good.replace("To=%2B12025550123&", ""), json!(["request", "body"])),
        (format!("{good}&Method=FETCH"), json!(["request", "body", "Method"])),
    ] {
        let objections = prism.objections(&twilio, "Calls", &bad);
        assert!(objections.iter().any(|it| it["location"] == at), "{bad}: {objections:?}");
    }
}
