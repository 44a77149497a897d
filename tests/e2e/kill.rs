//! `kill -9` at the worst moments. After a restart with the same configuration every verification
//! is settled within 10 s, none is approved without a press, every webhook is delivered with one
//! id, and the phone is left alone.
//!
//! Each moment is tried `OCTOTHORPE_KILL_ROUNDS` times, 3 unless said. The long run:
//! `OCTOTHORPE_KILL_ROUNDS=20 cargo test --test e2e kill`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::phone::{Manner, Phone};
use crate::serve::{Gateway, SOON};
use crate::tools::{side_by_side, wait_for};
use crate::webhook::{Receiver, Reply};

/// How long the phone is watched for a call that should not come.
const WATCH: Duration = Duration::from_secs(2);

/// How many rounds run at the same time.
const AT_ONCE: usize = 6;

fn rounds() -> Vec<usize> {
    let rounds = std::env::var("OCTOTHORPE_KILL_ROUNDS").ok();
    (1..=rounds.map_or(3, |rounds| rounds.parse().expect("a number of rounds"))).collect()
}

#[test]
fn kill_while_ringing() {
    side_by_side(
        AT_ONCE,
        &rounds(),
        |round| format!("ringing, round {round}"),
        |_| {
            lost(Manner::Ring, "ringing");
        },
    );
}

#[test]
fn kill_while_listening() {
    side_by_side(
        AT_ONCE,
        &rounds(),
        |round| format!("listening, round {round}"),
        |_| {
            lost(Manner::Answer, "listening");
        },
    );
}

/// The node dies while the call is in this state: what the phone did then, nobody heard.
fn lost(manner: Manner, state: &str) {
    let phone = Phone::start(manner);
    let receiver = Receiver::start(&[]);
    let mut gateway = Gateway::start(phone.port(), Some(receiver.url()));
    let id = gateway.ask();
    if manner == Manner::Answer {
        phone.speak();
    }
    gateway.reaches(&id, state);
    gateway.kill();
    let before = phone.count("INVITE");

    gateway.restart();
    let found = gateway.settles(&id, SOON);
    assert_eq!((&found["status"], &found["reason"]), (&"failed".into(), &"node_lost".into()));
    let event = receiver.taken(SOON);
    event.is_genuine();
    assert_eq!(event.resource(), found, "the event tells the verdict");
    std::thread::sleep(WATCH);
    assert_eq!(receiver.tries().len(), 1, "one delivery, when it is taken at once");
    assert_eq!((phone.count("INVITE"), phone.calls()), (before, 1), "the phone is left alone");
    assert_eq!(before, 1);
}

#[test]
fn kill_between_commit_and_webhook() {
    side_by_side(
        AT_ONCE,
        &rounds(),
        |round| format!("settled, round {round}"),
        |round| {
            // The endpoint fails at first, in one way or the other, so that the event is still owed.
            let first: &[Reply] =
                if round % 2 == 0 { &[Reply::Hang] } else { &[Reply::Status(500)] };
            let phone = Phone::start(Manner::Answer);
            let receiver = Receiver::start(first);
            let mut gateway = Gateway::start(phone.port(), Some(receiver.url()));
            let id = gateway.ask();
            phone.speak();
            gateway.reaches(&id, "listening");
            phone.press();
            let settled = wait_for("settled", SOON, || {
                let found = gateway.read(&id, "?wait=10&since=99");
                (found["status"] != "pending").then_some(found)
            });
            gateway.kill();
            assert_eq!(settled["status"], "approved", "{settled}");

            gateway.restart();
            assert_eq!(gateway.settles(&id, SOON), settled, "a verdict does not change");
            let taken = wait_for("the event is taken after the restart", SOON, || {
                receiver.tries().into_iter().find(|one| one.reply == Reply::Status(204))
            });
            std::thread::sleep(WATCH);
            let tries = receiver.tries();
            let ids: BTreeSet<_> = tries.iter().map(|one| (&one.id, &one.body)).collect();
            assert_eq!(ids.len(), 1, "one id and one body on every try: {tries:?}");
            tries.iter().for_each(crate::webhook::Try::is_genuine);
            assert_eq!(taken.resource(), settled);
            assert_eq!((phone.count("INVITE"), phone.calls()), (1, 1), "the phone is left alone");
        },
    );
}
