//! A `#` that somebody else sends into the call is counted as an anomaly and as nothing else, and
//! the true `#` still works.

use std::net::UdpSocket;
use std::time::Duration;

use crate::pcap::{POUND, press};
use crate::phone::{EVENTS, Manner, Phone, SSRC, send};
use crate::serve::{Gateway, SOON};
use crate::tools::side_by_side;

/// Where the false `#` comes from, and what is false about it.
#[derive(Clone, Copy, Debug)]
enum From {
    /// Another host, which knows everything else.
    AnotherAddress,
    /// Another program on the phone's host.
    AnotherPort,
    /// The phone, in a payload type that was not negotiated.
    AnotherPayloadType,
    /// The phone, with the gateway's SSRC: what we sent comes back.
    OurOwnSsrc,
}

#[test]
fn a_false_pound_is_not_heard_and_the_true_one_is() {
    let ways =
        [From::AnotherAddress, From::AnotherPort, From::AnotherPayloadType, From::OurOwnSsrc];
    side_by_side(
        ways.len(),
        &ways,
        |from| format!("{from:?}"),
        |&from| {
            let phone = Phone::start(Manner::Answer);
            let gateway = Gateway::start(phone.port(), None);
            let id = gateway.ask();
            let (to, ours) = phone.stream();
            phone.speak();
            gateway.reaches(&id, "listening");

            let elsewhere = |ip: &str| UdpSocket::bind((ip, 0)).unwrap();
            let next = (5, 800, SSRC);
            match from {
                From::AnotherAddress => {
                    send(&elsewhere("127.0.0.66"), to, &press(next, EVENTS, POUND));
                }
                From::AnotherPort => send(&elsewhere("127.0.0.1"), to, &press(next, EVENTS, POUND)),
                From::AnotherPayloadType => send(phone.rtp(), to, &press(next, 96, POUND)),
                From::OurOwnSsrc => send(phone.rtp(), to, &press((5, 800, ours), EVENTS, POUND)),
            }
            std::thread::sleep(Duration::from_millis(500));
            let found = gateway.read(&id, "");
            assert_eq!(found["status"], "pending", "a false # was heard: {found}");

            phone.press();
            let found = gateway.settles(&id, SOON);
            assert_eq!(
                (&found["status"], &found["reason"]),
                (&"approved".into(), &"confirmed".into())
            );
            let press = &found["attempts"][0]["press"];
            assert_eq!((&press["ssrc"], &press["sequence"][0]), (&SSRC.into(), &50.into()));

            // A call's figures are added up when it is over.
            crate::tools::wait_for("hung up", SOON, || (phone.count("BYE") == 1).then_some(()));
            let counted = crate::tools::wait_for("counted", SOON, || {
                Some(gateway.metric("octothorpe_rtp_anomalies_total")).filter(|&count| count > 0)
            });
            assert_eq!(counted, 11, "every packet of the false press is counted");
        },
    );
}
