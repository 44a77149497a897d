//! Answers that are lost: the carrier takes an order, or does not, and we cannot tell which. No
//! code goes out twice, and what the carrier can still tell is asked for.

use std::time::Duration;

use serde_json::{Value, json};

use crate::serve::{Gateway, SOON};
use crate::tools::{ports, side_by_side, wait_for};
use crate::twilio::{ACCOUNT, Ordered, SENDER, TOKEN, Twilio};

/// How long we wait for an answer (10 s), and then for the carrier's list to catch up (2 s).
const LOST: Duration = Duration::from_secs(20);

/// A gateway that knows the first carrier as `twilio` (it can be asked what became of an order)
/// and as `plain` (it cannot), a second one as `spare`, and one that is not there as `gone`.
struct Stage {
    gateway: Gateway,
    first: Twilio,
    spare: Twilio,
}

/// How many texts and calls a phone was to get from the first carrier, and from the spare one.
type Orders = (usize, usize);

impl Stage {
    fn set() -> Self {
        let (first, spare) = (Twilio::start(), Twilio::start());
        let more = format!(
            r#"
            [[carriers]]
            name = "plain"
            kind = "http"
            url = "http://127.0.0.1:{first}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
            basic = {{ user = "{ACCOUNT}", password = "{TOKEN}" }}
            from = "{SENDER}"
            body = {{ form = {{ To = "{{to}}", From = "{{from}}", Body = "{{body}}" }} }}
            handle = {{ pointer = "/sid" }}

            [[carriers]]
            name = "spare"
            kind = "twilio"
            base_url = "http://127.0.0.1:{spare}"
            account = "{ACCOUNT}"
            token = "{TOKEN}"
            from = "{SENDER}"

            [[carriers]]
            name = "gone"
            kind = "twilio"
            base_url = "http://127.0.0.1:{gone}"
            account = "{ACCOUNT}"
            token = "{TOKEN}"
            from = "{SENDER}"

            [[routes]]
            channel = "sms"
            via = ["twilio", "spare"]

            [[routes]]
            channel = "voice"
            via = ["twilio", "spare"]

            [[routes]]
            channel = "sms"
            prefix = "+1202555031"
            via = ["plain", "spare"]

            [[routes]]
            channel = "sms"
            prefix = "+1202555032"
            via = ["gone", "spare"]
            "#,
            first = first.port(),
            spare = spare.port(),
            gone = ports(2),
        );
        let gateway = first.gateway(first.port(), &more);
        Self { gateway, first, spare }
    }

    /// Starts a verification whose first order the first carrier answers so.
    fn begin(&self, phone: &str, create: &str, list: &str, body: Value) -> (String, Ordered) {
        let command = json!({"do": "answers", "to": phone, "create": create, "list": list});
        self.first.ask(command);
        let id = self.begin_at(phone, body);
        let order = self.first.order(phone, 1);
        if order.params["Body"].is_string() {
            self.gateway.hide(order.body());
            self.gateway.hide(order.code());
        }
        (id, order)
    }

    fn begin_at(&self, phone: &str, mut body: Value) -> String {
        self.gateway.hide(phone.trim_start_matches("+1"));
        body["to"] = json!(phone);
        self.gateway.begin(&body)
    }

    fn orders(&self, phone: &str) -> Orders {
        (self.first.orders(phone).len(), self.spare.orders(phone).len())
    }

    /// Waits until the last attempt is the one of this number, and in this state.
    fn reaches(&self, id: &str, number: u64, state: &str) -> Value {
        wait_for(state, LOST, || {
            let found = self.gateway.read(id, "");
            let last = found["attempts"].as_array().unwrap().last().unwrap();
            assert_eq!(found["status"], "pending", "settled before it was {state}: {found}");
            (last["no"] == number && last["state"] == state).then_some(found)
        })
    }

    /// The code still counts.
    fn approves(&self, id: &str, text: &Ordered) {
        let path = format!("/v1/verifications/{id}/check");
        let checked = self.gateway.post(&path, &json!({"code": text.code()})).json();
        assert_eq!((&checked["matched"], &checked["status"]), (&true.into(), &"approved".into()));
    }
}

/// A phone, what the first carrier does, and what must become of it. The number leads to the
/// carrier.
struct Row(&'static str, &'static str, fn(&Stage, &str));

const ROWS: [Row; 13] = [
    Row("+12025550300", "a text that was taken is found after 504", |stage, phone| {
        text_is_found(stage, phone, "take 504");
    }),
    Row("+12025550301", "a text that was taken is found after silence", |stage, phone| {
        text_is_found(stage, phone, "take hang");
    }),
    Row("+12025550302", "a text that was not taken goes elsewhere after 504", |stage, phone| {
        text_goes_elsewhere(stage, phone, "leave 504");
    }),
    Row(
        "+12025550303",
        "a text that was not taken goes elsewhere after silence",
        |stage, phone| {
            text_goes_elsewhere(stage, phone, "leave hang");
        },
    ),
    Row("+12025550304", "a text is not sent again where the look-up fails", |stage, phone| {
        text_waits(stage, phone, "take 504", "fail");
    }),
    Row("+12025550311", "a text is not sent again after 504 without look-up", |stage, phone| {
        text_waits(stage, phone, "take 504", "all");
    }),
    Row(
        "+12025550312",
        "a text is not sent again after silence without look-up",
        |stage, phone| {
            text_waits(stage, phone, "take hang", "all");
        },
    ),
    Row("+12025550321", "a carrier that is not there gives way", a_carrier_that_is_not_there),
    Row("+12025550305", "a call that was taken is found", call_is_found),
    Row("+12025550306", "a call that was not taken goes elsewhere", call_goes_elsewhere),
    Row("+12025550307", "a call that the carrier tells of goes on", call_goes_on),
    Row("+12025550308", "a call of which nobody can tell becomes a text", call_becomes_a_text),
    Row("+12025550309", "a call of which nobody can tell waits", call_waits),
];

#[test]
fn an_order_whose_answer_is_lost_is_looked_up_and_never_repeated_blindly() {
    let stage = Stage::set();
    side_by_side(ROWS.len(), &ROWS, |row| row.1.to_owned(), |row| row.2(&stage, row.0));
    // The answers that never came.
    assert_eq!(stage.gateway.metric("octothorpe_faults_total"), 3);
}

fn sms() -> Value {
    json!({"channel": "sms"})
}

fn text_is_found(stage: &Stage, phone: &str, create: &str) {
    let (id, text) = stage.begin(phone, create, "all", sms());
    let found = stage.reaches(&id, 1, "sent");
    assert_eq!(found["attempts"][0]["call_id"], text.sid.as_str());
    assert_eq!(stage.orders(phone), (1, 0));
    stage.first.tell(json!({"do": "receipt", "sid": text.sid, "status": "delivered"}));
    stage.reaches(&id, 1, "delivered");
    stage.approves(&id, &text);
}

fn text_goes_elsewhere(stage: &Stage, phone: &str, create: &str) {
    let (id, _) = stage.begin(phone, create, "all", sms());
    let found = stage.reaches(&id, 2, "sent");
    let first = &found["attempts"][0];
    assert_eq!((&first["state"], &first["reason"]), (&"ended".into(), &"carrier_error".into()));
    assert_eq!(found["attempts"][1]["route"], "spare");
    assert_eq!(stage.orders(phone), (1, 1));
    stage.approves(&id, &stage.spare.order(phone, 1));
}

fn text_waits(stage: &Stage, phone: &str, create: &str, list: &str) {
    let (id, text) = stage.begin(phone, create, list, sms());
    let found = stage.reaches(&id, 1, "ended");
    assert_eq!(found["attempts"][0]["reason"], "carrier_error");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(stage.orders(phone), (1, 0));
    stage.approves(&id, &text);
}

fn a_carrier_that_is_not_there(stage: &Stage, phone: &str) {
    let id = stage.begin_at(phone, sms());
    let found = stage.reaches(&id, 2, "sent");
    assert_eq!(found["attempts"][0]["reason"], "carrier_error");
    assert_eq!(stage.orders(phone), (0, 1));
}

fn call_is_found(stage: &Stage, phone: &str) {
    let (id, call) = stage.begin(phone, "take 504", "all", json!({}));
    let found = stage.reaches(&id, 1, "dialing");
    assert_eq!(found["attempts"][0]["call_id"], call.sid.as_str());
    assert_eq!(stage.orders(phone), (1, 0));
}

fn call_goes_elsewhere(stage: &Stage, phone: &str) {
    let (id, _) = stage.begin(phone, "leave 504", "all", json!({}));
    let found = stage.reaches(&id, 2, "dialing");
    assert_eq!(found["attempts"][1]["route"], "spare");
    assert_eq!(stage.orders(phone), (1, 1));
}

fn call_goes_on(stage: &Stage, phone: &str) {
    let (id, call) = stage.begin(phone, "take 504", "fail", json!({}));
    for status in ["initiated", "ringing", "in-progress"] {
        stage.first.tell(json!({"do": "status", "sid": call.sid, "status": status}));
    }
    stage.first.tell(json!({"do": "answer", "sid": call.sid}));
    // The look-up has failed meanwhile.
    std::thread::sleep(Duration::from_secs(3));
    stage.first.tell(json!({"do": "press", "sid": call.sid, "key": "#"}));
    let settled = stage.gateway.settles(&id, SOON);
    assert_eq!(settled["reason"], "confirmed");
    assert_eq!(settled["attempts"][0]["call_id"], call.sid.as_str());
    assert_eq!(stage.orders(phone), (1, 0));
}

fn call_becomes_a_text(stage: &Stage, phone: &str) {
    let body = json!({"fallback": [{"channel": "sms"}]});
    let (id, _) = stage.begin(phone, "take 504", "fail", body);
    // The text's answer is lost, too.
    let found = stage.reaches(&id, 2, "ended");
    assert_eq!(found["attempts"][1]["channel"], "sms");
    let channels: Vec<bool> =
        stage.first.orders(phone).iter().map(|it| it.params["Body"].is_string()).collect();
    assert_eq!(channels, [false, true]);
    assert_eq!(stage.orders(phone), (2, 0));
    let text = stage.first.order(phone, 2);
    stage.gateway.hide(text.code());
    stage.approves(&id, &text);
}

fn call_waits(stage: &Stage, phone: &str) {
    let (id, _) = stage.begin(phone, "take 504", "fail", json!({"expires_in": 10}));
    stage.reaches(&id, 1, "ended");
    let settled = stage.gateway.settles(&id, LOST);
    assert_eq!(settled["status"], "expired", "{settled}");
    assert_eq!(stage.orders(phone), (1, 0));
}

#[test]
fn a_node_that_dies_before_the_answer_asks_what_became_of_the_text_when_it_is_back() {
    let mut stage = Stage::set();
    for (phone, create, orders) in
        [("+12025550331", "take hang", (1, 0)), ("+12025550332", "leave hang", (1, 1))]
    {
        let (id, _) = stage.begin(phone, create, "all", sms());
        stage.gateway.kill();
        stage.gateway.restart();
        let number = if orders.1 == 0 { 1 } else { 2 };
        stage.reaches(&id, number, "sent");
        assert_eq!(stage.orders(phone), orders);
        let text = match number {
            1 => stage.first.order(phone, 1),
            _ => stage.spare.order(phone, 1),
        };
        stage.gateway.hide(text.body());
        stage.approves(&id, &text);
    }
}

#[test]
fn what_a_person_writes_is_taken_once_however_often_it_comes() {
    let stage = Stage::set();
    let phone = "+12025550341";
    let (id, text) = stage.begin(phone, "take", "all", json!({"channel": "sms", "mode": "reply"}));
    let wrong = json!({
        "do": "inbound", "path": "/hooks/twilio/inbound", "from": phone, "to": SENDER,
        "body": "00000000", "sid": "SM00000000000000000000000000000001",
    });
    let first = stage.first.tell(wrong.clone());
    for _ in 0..9 {
        assert_eq!(stage.first.tell(wrong.clone())["body"], first["body"]);
    }
    assert_eq!(stage.gateway.read(&id, "")["checks_left"], 4);
    let mut right = wrong;
    right["body"] = json!(text.code());
    // What was taken under a name stays what it was.
    stage.first.tell(right.clone());
    assert_eq!(stage.gateway.read(&id, "")["status"], "pending");
    right["sid"] = json!("SM00000000000000000000000000000002");
    stage.first.tell(right);
    assert_eq!(stage.gateway.settles(&id, SOON)["reason"], "reply_matched");
}
