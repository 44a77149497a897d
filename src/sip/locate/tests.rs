//! The look-up against zones of the test's own, and the examples of RFC 3263 and RFC 2782.

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_000);
const TTL: Duration = Duration::from_secs(300);

/// A zone of the test's own.
#[derive(Clone, Default)]
struct Zone {
    naptr: Vec<Naptr>,
    srv: Vec<(String, Srv)>,
    addresses: Vec<(String, IpAddr)>,
    /// Questions that nobody answers.
    silent: Vec<Question>,
}

impl Zone {
    fn naptr(mut self, order: u16, preference: u16, services: &str, replacement: &str) -> Self {
        let [flags, services, replacement] = ["s", services, replacement].map(str::to_owned);
        self.naptr.push(Naptr { order, preference, flags, services, replacement });
        self
    }

    fn srv(mut self, name: &str, priority: u16, weight: u16, port: u16, target: &str) -> Self {
        let target = target.to_owned();
        self.srv.push((name.to_owned(), Srv { priority, weight, port, target }));
        self
    }

    fn a(mut self, name: &str, ip: &str) -> Self {
        self.addresses.push((name.to_owned(), ip.parse().unwrap()));
        self
    }

    fn answer(&self, question: &Question) -> Answer {
        if self.silent.contains(question) {
            return Answer::Failed;
        }
        let of = |name: &String, asked: &String| name == asked;
        match question {
            Question::Naptr(_) if !self.naptr.is_empty() => Answer::Naptr(self.naptr.clone(), TTL),
            Question::Srv(name) => {
                let found = self.srv.iter().filter(|it| of(&it.0, name)).map(|it| it.1.clone());
                let found: Vec<Srv> = found.collect();
                if found.is_empty() { Answer::Nothing } else { Answer::Srv(found, TTL) }
            }
            Question::Addresses(name) => {
                let found = self.addresses.iter().filter(|it| of(&it.0, name)).map(|it| it.1);
                let found: Vec<IpAddr> = found.collect();
                if found.is_empty() { Answer::Nothing } else { Answer::Addresses(found, TTL) }
            }
            Question::Naptr(_) => Answer::Nothing,
        }
    }

    /// What was asked, and what was found.
    fn locate(
        &self,
        host: &str,
        port: Option<u16>,
        transport: Option<Transport>,
    ) -> (Vec<Question>, Result<Located, NotFound>) {
        let mut locate = Locate::new(host, port, transport);
        let mut asked = Vec::new();
        while let Some(question) = locate.question() {
            assert!(asked.len() < 200, "it ends: {asked:?}");
            locate.answer(NOW, &self.answer(&question));
            asked.push(question);
        }
        (asked, locate.found())
    }
}

fn hops(found: Result<Located, NotFound>) -> Vec<String> {
    found.unwrap().hops().iter().map(ToString::to_string).collect()
}

fn srv(name: &str) -> Question {
    Question::Srv(name.to_owned())
}

fn addresses(name: &str) -> Question {
    Question::Addresses(name.to_owned())
}

fn naptr(name: &str) -> Question {
    Question::Naptr(name.to_owned())
}

#[test]
fn an_address_is_asked_of_nobody() {
    for (host, port, transport, hop) in [
        ("192.0.2.1", None, None, "udp:192.0.2.1:5060"),
        ("192.0.2.1", Some(5080), None, "udp:192.0.2.1:5080"),
        ("192.0.2.1", None, Some(Transport::Tls), "tls:192.0.2.1:5061"),
        ("2001:db8::1", None, Some(Transport::Tcp), "tcp:[2001:db8::1]:5060"),
    ] {
        let (asked, found) = Zone::default().locate(host, port, transport);
        assert!(asked.is_empty());
        assert_eq!(found.as_ref().unwrap().until, Timestamp::MAX);
        assert_eq!(hops(found), [hop]);
    }
}

#[test]
fn a_port_asks_for_addresses_alone() {
    let zone =
        Zone::default().a("sip.example.com", "192.0.2.1").a("sip.example.com", "2001:db8::1");
    let (asked, found) = zone.locate("sip.example.com", Some(5080), None);
    assert_eq!(asked, [addresses("sip.example.com")]);
    assert_eq!(found.as_ref().unwrap().until, NOW + TTL);
    assert_eq!(hops(found), ["udp:192.0.2.1:5080", "udp:[2001:db8::1]:5080"]);
}

#[test]
fn a_transport_asks_for_its_service_and_else_for_addresses() {
    let zone = Zone::default().a("example.com", "192.0.2.1");
    let (asked, found) = zone.locate("example.com", None, Some(Transport::Tls));
    assert_eq!(asked, [srv("_sips._tcp.example.com"), addresses("example.com")]);
    assert_eq!(hops(found), ["tls:192.0.2.1:5061"]);
    let zone = zone
        .srv("_sip._tcp.example.com", 0, 1, 5070, "a.example.com")
        .a("a.example.com", "192.0.2.9");
    let (_, found) = zone.locate("example.com", None, Some(Transport::Tcp));
    assert_eq!(hops(found), ["tcp:192.0.2.9:5070"]);
}

/// RFC 3263 § 4.1 and § 4.2, the example of example.com: NAPTR records for TLS, TCP and UDP, and the
/// SRV records of `_sip._tcp`.
#[test]
fn rfc_3263_example() {
    let zone = Zone::default()
        .naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com.")
        .naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com.")
        .naptr(100, 50, "SIP+D2U", "_sip._udp.example.com.")
        .srv("_sips._tcp.example.com", 0, 1, 5061, "server1.example.com.")
        .srv("_sips._tcp.example.com", 0, 2, 5061, "server2.example.com.")
        .a("server1.example.com", "192.0.2.1")
        .a("server2.example.com", "192.0.2.2");
    let (asked, found) = zone.locate("example.com", None, None);
    let expected = [
        naptr("example.com"),
        srv("_sips._tcp.example.com"),
        addresses("server1.example.com"),
        addresses("server2.example.com"),
    ];
    assert_eq!(asked, expected, "no record of a higher order is looked at");
    assert_eq!(hops(found), ["tls:192.0.2.1:5061", "tls:192.0.2.2:5061"]);
}

#[test]
fn naptr_records_we_do_not_speak_are_passed_over_and_preference_orders_the_rest() {
    let zone = Zone::default()
        .naptr(10, 10, "SIP+D2S", "_sip._sctp.example.com")
        .naptr(20, 20, "sip+d2t", "_sip._tcp.example.com")
        .naptr(20, 10, "SIP+D2U", "_sip._udp.example.com")
        .srv("_sip._udp.example.com", 5, 0, 5060, "a.example.com")
        .srv("_sip._tcp.example.com", 0, 0, 5060, "a.example.com")
        .a("a.example.com", "192.0.2.1");
    let (asked, found) = zone.locate("example.com", None, None);
    assert_eq!(asked.iter().filter(|it| matches!(it, Question::Addresses(_))).count(), 1);
    assert_eq!(hops(found), ["udp:192.0.2.1:5060", "tcp:192.0.2.1:5060"]);
}

#[test]
fn without_naptr_services_are_probed_and_else_udp_is_taken() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.com", 0, 0, 5060, "a.example.com")
        .srv("_sips._tcp.example.com", 0, 0, 5061, "a.example.com")
        .a("a.example.com", "192.0.2.1");
    let (asked, found) = zone.locate("example.com", None, None);
    let expected = [
        naptr("example.com"),
        srv("_sip._udp.example.com"),
        srv("_sip._tcp.example.com"),
        addresses("a.example.com"),
    ];
    assert_eq!(asked, expected);
    assert_eq!(hops(found), ["tcp:192.0.2.1:5060"]);
    let (asked, found) = Zone::default().a("b", "192.0.2.2").locate("b", None, None);
    assert_eq!(asked.last(), Some(&addresses("b")));
    assert_eq!(hops(found), ["udp:192.0.2.2:5060"]);
}

#[test]
fn a_service_that_is_declined_is_not_looked_for_elsewhere() {
    let zone =
        Zone::default().srv("_sip._udp.example.com", 0, 0, 0, ".").a("example.com", "192.0.2.1");
    let (_, found) = zone.locate("example.com", None, Some(Transport::Udp));
    assert_eq!(found, Err(NotFound::Declined));
}

#[test]
fn what_is_not_answered_is_told_from_what_is_not_there() {
    let (_, found) = Zone::default().locate("example.com", None, None);
    assert_eq!(found, Err(NotFound::NoAddress));
    let silent = vec![addresses("example.com")];
    let (_, found) = Zone { silent, ..Zone::default() }.locate("example.com", Some(5060), None);
    assert_eq!(found, Err(NotFound::Unanswered));
}

/// A guess is better than nothing, and worse than an answer of before.
#[test]
fn a_question_without_answer_makes_the_rest_a_guess() {
    let silent = vec![srv("_sip._udp.example.com")];
    let zone = Zone { silent, ..Zone::default() }.a("example.com", "192.0.2.1");
    let (_, found) = zone.locate("example.com", None, Some(Transport::Udp));
    assert!(!found.as_ref().unwrap().sure);
    assert_eq!(hops(found), ["udp:192.0.2.1:5060"]);
}

#[test]
fn one_server_without_address_does_not_hide_the_others() {
    let zone = Zone::default()
        .srv("_sip._udp.example.com", 0, 0, 5060, "gone.example.com")
        .srv("_sip._udp.example.com", 1, 0, 5060, "here.example.com")
        .a("here.example.com", "192.0.2.7");
    let (_, found) = zone.locate("example.com", None, Some(Transport::Udp));
    assert_eq!(hops(found), ["udp:192.0.2.7:5060"]);
}

/// RFC 2782, the example of the foobar service: "server.example.com" has three shares of four of the
/// requests, the other one share, and the two of priority 1 come when those are down.
#[test]
fn rfc_2782_example() {
    let name = "_sip._udp.example.com";
    let zone = Zone::default()
        .srv(name, 0, 1, 9, "old-slow-box.example.com.")
        .srv(name, 0, 3, 9, "new-fast-box.example.com.")
        .srv(name, 1, 0, 9, "sysadmins-box.example.com.")
        .srv(name, 1, 0, 9, "server.example.com.")
        .a("server.example.com", "172.30.79.10")
        .a("old-slow-box.example.com", "172.30.79.11")
        .a("sysadmins-box.example.com", "172.30.79.12")
        .a("new-fast-box.example.com", "172.30.79.13");
    let (_, found) = zone.locate("example.com", None, Some(Transport::Udp));
    let (found, mut entropy) = (found.unwrap(), Entropy::from_number(1));
    let mut fast = 0;
    for _ in 0..4_000 {
        let order = found.order(&mut entropy);
        let last: Vec<u8> = order.iter().map(|hop| last_octet(*hop)).collect();
        assert!(last[..2].contains(&11) && last[..2].contains(&13), "{last:?}");
        assert_eq!(last[2..].len(), 2);
        fast += u32::from(last[0] == 13);
    }
    // Of the numbers 0 to 4 the first two lead to the slow one.
    assert!((2_200..2_600).contains(&fast), "3 of 5 draws, as the algorithm is written: {fast}");
}

fn last_octet(hop: Hop) -> u8 {
    match hop.address.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

proptest! {
    /// Whatever the weights: every server is there once, and no lower priority before a higher one.
    #[test]
    fn an_order_has_every_server_once_by_priority(
        servers in prop::collection::vec((0_u16..4, any::<u16>()), 1..20),
        seed: u64,
    ) {
        let mut zone = Zone::default();
        for (at, (priority, weight)) in servers.iter().enumerate() {
            let name = format!("s{at}.example.com");
            zone = zone.srv("_sip._udp.example.com", *priority, *weight, 5060, &name);
            zone = zone.a(&name, &format!("192.0.2.{}", at + 1));
        }
        let (_, found) = zone.locate("example.com", None, Some(Transport::Udp));
        let order = found.unwrap().order(&mut Entropy::from_number(seed));
        let priorities: Vec<u16> =
            order.iter().map(|hop| servers[usize::from(last_octet(*hop)) - 1].0).collect();
        prop_assert!(priorities.is_sorted());
        let mut all: Vec<u8> = order.into_iter().map(last_octet).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (1..=u8::try_from(servers.len()).unwrap()).collect::<Vec<_>>());
    }

    /// No answer, fitting or not, keeps it asking for ever, and what it finds it was told.
    #[test]
    fn it_ends_whatever_it_is_told(answers in prop::collection::vec(0_u8..6, 0..300)) {
        let mut locate = Locate::new("example.com", None, None);
        let mut answers = answers.into_iter();
        let mut asked = 0;
        while locate.question().is_some() {
            asked += 1;
            prop_assert!(asked < 100);
            locate.answer(NOW, &strange(answers.next().unwrap_or_default()));
        }
        if let Ok(found) = locate.found() {
            prop_assert!(!found.hops().is_empty());
        }
    }
}

fn strange(kind: u8) -> Answer {
    let many = |n: u16| (0..n).map(move |i| (i % 7, format!("s{}.example.com", i % 50)));
    match kind {
        0 => Answer::Failed,
        1 => Answer::Nothing,
        2 => Answer::Srv(
            many(200)
                .map(|(i, target)| Srv { priority: i, weight: i, port: 5060 + i, target })
                .collect(),
            TTL,
        ),
        3 => Answer::Naptr(
            many(60)
                .map(|(i, replacement)| Naptr {
                    order: i,
                    preference: i,
                    flags: "S".to_owned(),
                    services: "SIP+D2U".to_owned(),
                    replacement,
                })
                .collect(),
            TTL,
        ),
        4 => Answer::Addresses(vec!["192.0.2.1".parse().unwrap(), "0.0.0.0".parse().unwrap()], TTL),
        _ => Answer::Srv(Vec::new(), Duration::ZERO),
    }
}
