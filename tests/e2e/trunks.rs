//! Finding carriers and surviving them: the DNS, health, pauses, room, registrations.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::carrier::{Carrier, Seen};
use crate::dns::{Dns, Mood, Record};
use crate::pcap::{POUND, Sound};
use crate::serve::{Gateway, SOON};
use crate::sipp::Sipp;
use crate::tools::{SIP_PASSWORD, wait_for};

/// A trunk that is not asked by OPTIONS.
fn trunk(name: &str, target: &str) -> String {
    format!("[[trunks]]\nname = \"{name}\"\ntarget = \"{target}\"\noptions_secs = 0\n")
}

fn at(port: u16) -> String {
    format!("sip:127.0.0.1:{port};transport=udp")
}

fn route(prefix: &str, via: &[&str]) -> String {
    format!("[[routes]]\nprefix = \"{prefix}\"\nvia = {via:?}\n")
}

/// A port of loopback that nobody listens at: whoever sends there is told so by ICMP.
fn dead() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn call(gateway: &Gateway, phone: &str) -> Value {
    gateway.hide(phone.trim_start_matches("+1"));
    let id = gateway.begin(&json!({"to": phone}));
    gateway.settles(&id, Duration::from_secs(30))
}

/// How a trunk is, as operators are told.
fn state(gateway: &Gateway, name: &str) -> Value {
    let trunks = gateway.admin("/admin/v1/trunks").json();
    let found = trunks["trunks"].as_array().unwrap().iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("{name}: {trunks}")).clone()
}

#[test]
fn a_dead_first_server_is_passed_over() {
    let dns = Dns::start();
    let mut phone = Sipp::start("press", Duration::from_secs(3), Sound::Keys(&[POUND]));
    let service = "_sip._udp.carrier.test";
    dns.add("carrier.test", Record::Naptr(10, 10, "SIP+D2U", "_sip._udp.carrier.test"));
    dns.add(service, Record::Srv(0, 1, dead(), "a.carrier.test"));
    dns.add(service, Record::Srv(1, 1, phone.port(), "a.carrier.test"));
    dns.add("a.carrier.test", Record::A(Ipv4Addr::LOCALHOST));
    let gateway =
        Gateway::by_carriers(&(dns.line() + "\n" + &trunk("carrier", "sip:carrier.test")));
    let settled = call(&gateway, "+12025550151");
    phone.content().unwrap();
    assert_eq!(settled["reason"], "confirmed", "{settled}");
    assert_eq!(settled["attempts"].as_array().unwrap().len(), 1, "by one trunk: {settled}");
    let hops = state(&gateway, "carrier")["hops"].as_array().unwrap().len();
    assert_eq!(hops, 2);
}

#[test]
fn a_dns_that_is_late_or_silent_harms_nobody_else() {
    let (dns, carrier) = (Dns::start(), Carrier::start());
    dns.behave("mute.test", Mood::Silent);
    dns.behave("late.test", Mood::Slow(Duration::from_secs(10)));
    dns.behave("broken.test", Mood::Failing);
    let lost = ["mute", "late", "broken", "nowhere"];
    let lost = lost.map(|name| trunk(name, &format!("sip:{name}.test;transport=udp"))).concat();
    let gateway = Gateway::by_carriers(
        &[
            dns.line() + "\n",
            lost,
            trunk("good", &at(carrier.port())),
            route("+1202555016", &["mute", "late", "broken", "nowhere", "good"]),
            route("+1202555017", &["good"]),
        ]
        .concat(),
    );
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let settled = call(&gateway, "+12025550161");
            assert_eq!(settled["reason"], "busy", "{settled}");
            let attempts = settled["attempts"].as_array().unwrap();
            for lost in &attempts[..4] {
                assert_eq!(lost["reason"], "carrier_error", "{settled}");
            }
            assert_eq!(attempts[4]["route"], "good");
        });
        for n in 0..10 {
            let start = Instant::now();
            let settled = call(&gateway, &format!("+1202555017{n}"));
            assert_eq!(settled["reason"], "busy", "{settled}");
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        }
    });
    // Nobody waits a second time for what is known to be lost.
    let start = Instant::now();
    assert_eq!(call(&gateway, "+12025550162")["reason"], "busy");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[test]
fn the_last_good_answer_is_used_while_the_dns_fails() {
    let (dns, carrier) = (Dns::start(), Carrier::start());
    dns.add("_sip._udp.carrier.test", Record::Srv(0, 1, carrier.port(), "a.carrier.test"));
    dns.add("a.carrier.test", Record::A(Ipv4Addr::LOCALHOST));
    let target = "sip:carrier.test;transport=udp";
    let gateway = Gateway::by_carriers(&(dns.line() + "\n" + &trunk("carrier", target)));
    assert_eq!(call(&gateway, "+12025550151")["reason"], "busy");
    for mood in [Mood::Failing, Mood::Silent] {
        dns.behave("carrier.test", mood);
        let before = dns.asked("_sip._udp.carrier.test");
        wait_for("it is asked again", Duration::from_secs(30), || {
            (dns.asked("_sip._udp.carrier.test") > before + 1).then_some(())
        });
        let start = Instant::now();
        assert_eq!(call(&gateway, "+12025550152")["reason"], "busy");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        assert!(state(&gateway, "carrier")["dns"].as_str().unwrap().contains("does not answer"));
    }
    assert_eq!(gateway.log().matches("trunk is not found").count(), 1, "it is told once");
}

#[test]
fn a_pause_that_was_asked_for_is_kept_to_the_second() {
    let (busy, spare) = (Carrier::start(), Carrier::start());
    busy.answer("INVITE", |_, before| {
        let refused = ("503 Service Unavailable".to_owned(), "Retry-After: 3\r\n".to_owned());
        Some(if before == 0 { refused } else { ("486 Busy Here".to_owned(), String::new()) })
    });
    let asked = trunk("busy", &at(busy.port())).replace("options_secs = 0", "options_secs = 1");
    let gateway = Gateway::by_carriers(
        &[asked, trunk("spare", &at(spare.port())), route("+", &["busy", "spare"])].concat(),
    );
    let settled = call(&gateway, "+12025550151");
    assert_eq!(settled["attempts"][0]["sip_status"], 503, "{settled}");
    assert_eq!(settled["attempts"][1]["route"], "spare", "{settled}");
    let start = busy.seen("INVITE")[0].at;
    let mut skipped = 0;
    let back = loop {
        let begun = Instant::now();
        let settled = call(&gateway, "+12025550152");
        if settled["attempts"].as_array().unwrap().len() == 1 {
            break busy.seen("INVITE")[1].at;
        }
        skipped += 1;
        let why = settled["attempts"][0]["detail"].as_str().unwrap_or_default();
        assert!(why.starts_with("busy asked for a pause until "), "{settled}");
        assert!(why.ends_with("(503, Retry-After: 3)"), "{settled}");
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(skipped > 10, "{skipped}");
    let pause = back - start;
    assert!(pause >= Duration::from_secs(3) && pause < Duration::from_secs(4), "{pause:?}");
    let during =
        |it: &&Seen| it.method != "ACK" && it.at > start && it.at < start + Duration::from_secs(3);
    let all = busy.all();
    let sent: Vec<&Seen> = all.iter().filter(during).collect();
    assert!(sent.is_empty(), "nothing at all is sent there, OPTIONS neither: {sent:?}");
}

#[test]
fn the_next_trunk_comes_at_once() {
    let spare = Carrier::start();
    let failing = ["503 Service Unavailable", "408 Request Timeout"].map(|status| {
        let carrier = Carrier::start();
        carrier.always("INVITE", status);
        carrier
    });
    let silent = Carrier::start();
    silent.ignore("INVITE");
    let rows = [
        ("refuses", failing[0].port(), 500),
        ("times-out", failing[1].port(), 500),
        ("dead", dead(), 500),
        ("silent", silent.port(), 4_500),
    ];
    let mut config: String = rows.iter().map(|row| trunk(row.0, &at(row.1))).collect();
    config += &trunk("spare", &at(spare.port()));
    for (n, row) in rows.iter().enumerate() {
        config += &route(&format!("+120255501{n}"), &[row.0, "spare"]);
    }
    let gateway = Gateway::by_carriers(&config);
    for (n, row) in rows.iter().enumerate() {
        let before = spare.seen("INVITE").len();
        gateway.hide(&format!("20255501{n}0"));
        let start = Instant::now();
        let id = gateway.begin(&json!({"to": format!("+120255501{n}0")}));
        let next = spare.nth("INVITE", before + 1, Duration::from_secs(10));
        let took = next.at - start;
        assert!(took < Duration::from_millis(row.2), "{}: {took:?}", row.0);
        let settled = gateway.settles(&id, SOON);
        assert_eq!(settled["attempts"][0]["route"], row.0, "{settled}");
    }
}

#[test]
fn a_trunk_that_answers_after_it_was_left_is_told_goodbye_and_one_call_stays() {
    let mut late = Sipp::start("late", Duration::ZERO, Sound::Keys(&[]));
    let mut phone = Sipp::start("press", Duration::from_secs(5), Sound::Keys(&[POUND]));
    let (first, second) = (trunk("late", &at(late.port())), trunk("spare", &at(phone.port())));
    let gateway = Gateway::by_carriers(&[first, second, route("+", &["late", "spare"])].concat());
    let settled = call(&gateway, "+12025550151");
    assert_eq!(settled["reason"], "confirmed", "{settled}");
    assert_eq!(settled["attempts"][1]["route"], "spare", "{settled}");
    late.content().unwrap();
    phone.content().unwrap();
}

#[test]
fn a_call_that_no_media_thread_could_serve_is_never_sent() {
    let carrier = Carrier::start();
    // It rings until it is canceled.
    carrier.always("INVITE", "180 Ringing");
    let full = "engines = 1\ncalls_per_engine = 1\n";
    let ways = trunk("carrier", &at(carrier.port())) + &route("+", &["carrier"]);
    let gateway = Gateway::by_carriers(&(full.to_owned() + &ways));
    let first = gateway.begin(&json!({"to": "+12025550161"}));
    gateway.reaches(&first, "ringing");
    let settled = call(&gateway, "+12025550162");
    assert_eq!(settled["attempts"][0]["reason"], "congested", "{settled}");
    let why = settled["attempts"][0]["detail"].as_str().unwrap();
    assert!(why.contains("calls_per_engine"), "{why}");
    let invites = carrier.seen("INVITE");
    assert!(invites.iter().all(|it| it.text.contains("+12025550161")), "{invites:?}");
}

#[test]
fn a_trunk_that_does_not_answer_options_is_skipped_and_comes_back() {
    let (sick, spare) = (Carrier::start(), Carrier::start());
    sick.ignore("OPTIONS");
    let asked = trunk("sick", &at(sick.port())).replace("options_secs = 0", "options_secs = 1");
    let gateway = Gateway::by_carriers(
        &[
            asked,
            trunk("spare", &at(spare.port())),
            route("+1202555015", &["sick", "spare"]),
            route("+1202555016", &["sick"]),
        ]
        .concat(),
    );
    wait_for("down", Duration::from_secs(20), || {
        (state(&gateway, "sick")["state"] == "down").then_some(())
    });
    let start = Instant::now();
    let settled = call(&gateway, "+12025550151");
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    let why = settled["attempts"][0]["detail"].as_str().unwrap();
    assert!(why.starts_with("sick has not answered OPTIONS since "), "{settled}");
    assert_eq!(settled["attempts"][1]["route"], "spare");
    assert!(sick.seen("INVITE").is_empty());
    // Without another way it is tried all the same.
    assert_eq!(call(&gateway, "+12025550161")["reason"], "busy");
    sick.always("OPTIONS", "200 OK");
    wait_for("up", Duration::from_secs(20), || {
        (state(&gateway, "sick")["state"] == "up").then_some(())
    });
    assert_eq!(call(&gateway, "+12025550152")["attempts"][0]["route"], "sick");
    assert!(state(&gateway, "sick")["hops"][0]["options_ms"].is_number());
    let up = gateway.metric("octothorpe_trunk_up{trunk=\"sick\"}");
    assert_eq!(up, 1);
}

#[test]
fn a_carrier_is_told_where_we_are_and_told_again_and_told_goodbye() {
    let registrar = Carrier::start();
    registrar.answer("REGISTER", |request, _| {
        let challenge =
            "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n\", qop=\"auth\"\r\n".to_owned();
        if !request.text.contains("Authorization: Digest ") {
            return Some(("401 Unauthorized".to_owned(), challenge));
        }
        let expires: u32 = request.header("Expires")?.parse().ok()?;
        if expires > 0 && expires < 1_800 {
            let least = "Min-Expires: 1800\r\n".to_owned();
            return Some(("423 Interval Too Brief".to_owned(), least));
        }
        let contact = request.header("Contact")?;
        let granted = if expires == 0 { 0 } else { 4 };
        let more = format!(
            "Contact: {contact};expires={granted}\r\nService-Route: <sip:edge.carrier.test;lr>\r\n"
        );
        Some(("200 OK".to_owned(), more))
    });
    let account = format!("username = \"acme\"\npassword = \"{SIP_PASSWORD}\"\nregister = true\n");
    let mut gateway = Gateway::by_carriers(&(trunk("home", &at(registrar.port())) + &account));
    wait_for("registered", SOON, || {
        (state(&gateway, "home")["registration"] == "registered").then_some(())
    });
    let told = registrar.seen("REGISTER");
    let expires: Vec<_> = told.iter().filter_map(|it| it.header("Expires")).take(3).collect();
    assert_eq!(expires, ["600", "600", "1800"], "asked, challenged, too brief");
    assert_eq!(told[0].header("To"), Some("<sip:acme@127.0.0.1>"));
    let answered = told[2].at;
    // Four seconds were granted: it is told again after about two, with a challenge again.
    let again = registrar.nth("REGISTER", 4, SOON).at - answered;
    assert!(
        again > Duration::from_millis(1_700) && again < Duration::from_millis(2_400),
        "{again:?}"
    );
    assert_eq!(call(&gateway, "+12025550151")["reason"], "busy");
    let invite = registrar.nth("INVITE", 1, SOON);
    assert_eq!(invite.header("Route"), Some("<sip:edge.carrier.test;lr>"), "{}", invite.text);
    gateway.terminate();
    let last = registrar.seen("REGISTER").pop().unwrap();
    assert_eq!(last.header("Expires"), Some("0"), "{}", last.text);
}

#[test]
fn a_wrong_password_is_told_and_not_tried_for_ever() {
    let registrar = Carrier::start();
    registrar.answer("REGISTER", |_, before| {
        let challenge = format!(
            "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n{before}\", qop=\"auth\"\r\n"
        );
        Some(("401 Unauthorized".to_owned(), challenge))
    });
    let account = format!("username = \"acme\"\npassword = \"{SIP_PASSWORD}\"\nregister = true\n");
    let gateway = Gateway::by_carriers(&(trunk("home", &at(registrar.port())) + &account));
    let why = wait_for("it fails", SOON, || {
        let state = state(&gateway, "home");
        (state["registration"] == "failing").then(|| state["registration_error"].clone())
    });
    assert_eq!(why, "user name or password are wrong or missing (401 again)");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(registrar.seen("REGISTER").len(), 2);
    assert_eq!(gateway.log().matches("user name or password are wrong").count(), 1);
}

#[test]
fn a_full_trunk_gives_way_or_makes_wait_and_nobody_is_called_who_is_no_longer_asked_for() {
    let (small, spare) = (Carrier::start(), Carrier::start());
    // It rings until it is canceled.
    small.always("INVITE", "180 Ringing");
    let narrow = trunk("small", &at(small.port())) + "max_calls = 1\n";
    let gateway = Gateway::by_carriers(
        &[
            narrow,
            trunk("spare", &at(spare.port())),
            route("+1202555015", &["small", "spare"]),
            route("+1202555016", &["small"]),
        ]
        .concat(),
    );
    let first = gateway.begin(&json!({"to": "+12025550161"}));
    gateway.reaches(&first, "ringing");
    // With another way: the next trunk, at once.
    let start = Instant::now();
    let settled = call(&gateway, "+12025550151");
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(settled["attempts"][0]["reason"], "congested", "{settled}");
    assert_eq!(settled["attempts"][0]["detail"], "small is full: 1 of 1 calls");
    assert_eq!(settled["attempts"][1]["route"], "spare");
    // Without: they wait, and of two the one that is canceled is never dialled.
    let canceled = gateway.begin(&json!({"to": "+12025550162"}));
    let waits = gateway.begin(&json!({"to": "+12025550163"}));
    wait_for("both wait", SOON, || (state(&gateway, "small")["waiting"] == 2).then_some(()));
    gateway.post(&format!("/v1/verifications/{canceled}/cancel"), &json!({}));
    wait_for("one waits", SOON, || (state(&gateway, "small")["waiting"] == 1).then_some(()));
    // The first ends by its carrier's word.
    small.always("CANCEL", "481 Gone");
    gateway.post(&format!("/v1/verifications/{first}/cancel"), &json!({}));
    let second = small.nth("INVITE", 2, Duration::from_secs(45));
    assert!(second.text.contains("+12025550163"), "{}", second.text);
    gateway.reaches(&waits, "ringing");
    std::thread::sleep(Duration::from_secs(1));
    assert!(small.seen("INVITE").iter().all(|it| !it.text.contains("+12025550162")));
    assert_eq!(state(&gateway, "small")["calls"], 1);
    for phone in ["161", "162", "163"] {
        gateway.hide(&format!("2025550{phone}"));
    }
}

#[test]
fn no_second_has_more_calls_than_a_trunk_takes() {
    let carrier = Carrier::start();
    let narrow = trunk("slow", &at(carrier.port())) + "calls_per_second = 5\n";
    let gateway = Gateway::by_carriers(&narrow);
    let ids: Vec<String> =
        (0..15).map(|n| gateway.begin(&json!({"to": format!("+120255501{n:02}")}))).collect();
    for id in ids {
        assert_eq!(gateway.settles(&id, SOON)["reason"], "busy");
    }
    let mut times: Vec<Instant> = carrier.seen("INVITE").iter().map(|it| it.at).collect();
    times.sort();
    assert_eq!(times.len(), 15);
    for six in times.windows(6) {
        let span = six[5] - six[0];
        assert!(span > Duration::from_millis(950), "six calls within {span:?}");
    }
    assert!(times[14] - times[0] < Duration::from_secs(4), "and not much slower than it takes");
}
