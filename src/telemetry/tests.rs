//! What is counted, read back from the page.

use std::net::SocketAddr;
use std::time::Duration;

use super::catalogue::{Kind, METRICS, Values};
use super::samples::{self, Sample};
use super::*;
use crate::verify::attempt::{Attempt, AttemptNo, Label};
use crate::verify::request::{Mode, Request, Way};
use crate::verify::route::{REHEARSAL, RouteStep};
use crate::verify::signal::{By, Press, Reason, Signal};
use crate::verify::{Birth, Step, VerificationId};

/// The page after this, by a registry of its own.
fn page(count: impl FnOnce()) -> String {
    let recorder = super::metrics::builder().unwrap().build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        super::metrics::begin();
        count();
    });
    recorder.handle().render()
}

/// The value of a sample with these labels, which must be there.
fn value(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let is = |sample: &&Sample| {
        sample.name == name && labels.iter().all(|(label, word)| sample.label(label) == *word)
    };
    samples.iter().find(is).unwrap_or_else(|| panic!("{name} {labels:?}")).value
}

/// Each sample is of a metric of the catalogue, and its labels say what they may.
fn is_catalogued(samples: &[Sample]) {
    for sample in samples {
        let metric = METRICS.iter().find(|metric| match metric.kind {
            Kind::Histogram(_) => {
                let part = sample.name.strip_prefix(metric.name);
                matches!(part, Some("_bucket" | "_sum" | "_count"))
            }
            Kind::Counter | Kind::Gauge => sample.name == metric.name,
        });
        let metric = metric.unwrap_or_else(|| panic!("{} is in no catalogue", sample.name));
        let given = sample.labels.iter().filter(|(name, _)| *name != "le");
        let mut known = 0;
        for (name, word) in given {
            let allowed = metric.labels.iter().find(|(label, _)| label == name);
            let (_, values) = allowed.unwrap_or_else(|| panic!("{sample:?}: {name}"));
            known += 1;
            if let Values::Words(words) = values {
                assert!(words.contains(&word.as_str()), "{sample:?}: {word}");
            }
        }
        assert_eq!(known, metric.labels.len(), "{sample:?}");
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros(1_795_716_000_000_000 + ms * 1_000)
}

fn step(via: &str) -> RouteStep {
    RouteStep { channel: Channel::Voice, mode: Mode::Confirm, via: via.into(), stage: 0 }
}

fn begun(via: &str) -> Verification {
    let way = Way { channel: Channel::Voice, mode: Mode::Confirm };
    let birth = Birth {
        id: VerificationId::parse("vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE").unwrap(),
        tenant: "acme".to_owned(),
        request: Request::new("+14155550132".parse().unwrap(), way),
        route: serde_json::from_value(serde_json::json!([step(via)])).unwrap(),
        secret: None,
        expected: Default::default(),
        seed: 1,
        key: Default::default(),
        withheld: false,
    };
    let Step::Moved { next, .. } = Verification::begin(at(0), birth) else { panic!() };
    next
}

/// An answered call, on which a key was pressed.
fn pressed(via: &str) -> Attempt {
    Attempt {
        press: Some(Press {
            paths: vec!["rfc4733".into(), "inband".into()],
            ..Press::by("", at(9_000))
        }),
        placed_at: Some(at(20)),
        ringing_at: Some(at(1_520)),
        answered_at: Some(at(5_000)),
        ended_at: Some(at(12_500)),
        ..Attempt::new(AttemptNo::FIRST, &step(via), at(0))
    }
}

/// What of these calls is counted when they end.
fn counted(attempts: Vec<Attempt>, withheld: bool) -> Vec<Sample> {
    let mut samples = Vec::new();
    let page = page(|| {
        for attempt in attempts {
            let before = begun(&attempt.route);
            let next = Verification { attempts: vec![attempt], withheld, ..before.clone() };
            observe(&Event::Moved { before: Some(&before), next: &next });
            // What was over before is not counted again.
            observe(&Event::Moved { before: Some(&next), next: &next });
        }
    });
    samples.extend(samples::read(&page));
    is_catalogued(&samples);
    samples
}

#[test]
fn a_call_counts_where_it_went_by_what_became_of_it() {
    let busy =
        Attempt { answered_at: None, press: None, reason: Some(Reason::Busy), ..pressed("a") };
    let congested = Attempt { reason: Some(Reason::Congested), ..busy.clone() };
    let unplaced = Attempt { placed_at: None, ..congested.clone() };
    let label = Label { is: "machine".into(), percent: 90, cue: "beep".into() };
    let machine = Attempt { press: None, label: Some(label), ..pressed("a") };
    let all = vec![pressed("a"), busy, congested, unplaced, machine, pressed("b")];
    let samples = counted(all, false);
    let of = |name: &str, via: &str| value(&samples, name, &[("via", via)]);
    let figures = |via: &str| {
        ["placed", "reached", "answered", "pressed", "voicemail"]
            .map(|what| of(&format!("octothorpe_calls_{what}_total"), via))
    };
    assert_eq!(figures("a"), [4.0, 3.0, 2.0, 1.0, 1.0]);
    assert_eq!(figures("b"), [1.0, 1.0, 1.0, 1.0, 0.0]);
    for (reason, count) in [("busy", 1.0), ("congested", 2.0), ("none", 2.0)] {
        let labels = [("via", "a"), ("reason", reason)];
        assert_eq!(value(&samples, "octothorpe_attempts_total", &labels), count, "{reason}");
    }
    for (name, sum) in [("pdd", 1.5 * 4.0), ("answer", 4.98 * 2.0), ("key", 4.0)] {
        let found = of(&format!("octothorpe_call_{name}_seconds_sum"), "a");
        assert!((found - sum).abs() < 1e-9, "{name}: {found}");
    }
    let path = |path| value(&samples, "octothorpe_press_paths_total", &[("path", path)]);
    assert_eq!((path("rfc4733"), path("inband"), path("info")), (2.0, 2.0, 0.0));
}

#[test]
fn what_only_looks_like_a_call_counts_for_nobody() {
    for samples in [counted(vec![pressed("a")], true), counted(vec![pressed(REHEARSAL)], false)] {
        assert!(samples.iter().all(|sample| !sample.labels.contains_key("via")));
    }
}

#[test]
fn a_verdict_counts_where_the_number_is() {
    let page = page(|| {
        let before = begun("a");
        let Step::Moved { next, .. } = before.clone().apply(at(100), Signal::Withdrawn(By::Caller))
        else {
            panic!()
        };
        observe(&Event::Moved { before: Some(&before), next: &next });
    });
    let samples: Vec<Sample> = samples::read(&page).collect();
    is_catalogued(&samples);
    let labels = [("country", "US"), ("status", "canceled")];
    assert_eq!(value(&samples, "octothorpe_country_settled_total", &labels), 1.0);
    let buckets = samples.iter().filter(|it| it.name == "octothorpe_verification_seconds_bucket");
    assert_eq!(buckets.count(), 16);
}

#[test]
fn calls_are_where_they_have_come_to() {
    let page = page(|| {
        let (dialing, ringing) = (AttemptState::Dialing, AttemptState::Ringing);
        for (from, to) in [
            (None, Some(dialing)),
            (None, Some(dialing)),
            (Some(dialing), Some(ringing)),
            (Some(dialing), None),
        ] {
            observe(&Event::Went { from, to });
        }
    });
    let samples: Vec<Sample> = samples::read(&page).collect();
    is_catalogued(&samples);
    let calls = |state| value(&samples, "octothorpe_calls", &[("state", state)]);
    assert_eq!([calls("dialing"), calls("ringing"), calls("listening")], [0.0, 1.0, 0.0]);
}

#[test]
fn a_trunk_is_in_one_state_and_one_that_is_gone_in_none() {
    let trunk = |state| Event::Trunk {
        trunk: "a",
        state,
        why: None,
        registered: Some(true),
        unregistered: None,
    };
    let page = page(|| {
        TRUNK_STATES.iter().for_each(|state| observe(&trunk(state)));
        observe(&trunk("paused"));
    });
    let read: Vec<Sample> = samples::read(&page).collect();
    is_catalogued(&read);
    let state = |state| value(&read, "octothorpe_trunk_state", &[("state", state)]);
    assert_eq!([state("paused"), state("up"), state("lost")], [1.0, 0.0, 0.0]);
    assert_eq!(value(&read, "octothorpe_trunk_up", &[]), 0.0);
    let gone = super::tests::page(|| {
        observe(&trunk("up"));
        observe(&Event::TrunkGone { trunk: "a" });
    });
    let gone: Vec<Sample> = samples::read(&gone).collect();
    assert!(value(&gone, "octothorpe_trunk_up", &[]).is_nan(), "no alarm goes on for it");
    let of = gone.iter().filter(|it| it.name == "octothorpe_trunk_state");
    assert!(of.clone().count() == 6 && of.map(|it| it.value).sum::<f64>() == 0.0);
}

#[test]
fn the_rest_says_what_the_catalogue_lets_it() {
    let from: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let why = std::io::Error::other("x");
    let page = page(|| {
        for event in [
            Event::Legs(1),
            Event::Remembered(1),
            Event::Pairs(1),
            Event::Strangers(2),
            Event::Engine { engine: 0, late: Duration::from_millis(1), busy: 0.5 },
            Event::Dropped(3),
            Event::Tasks(7),
            Event::Stray { from, is_trunk: true, kind: "INVITE", told: None },
            Event::Disconnected { peer: from, transport: "tls", why: &why },
            Event::Forged { carrier: "twilio", why: "token" },
            Event::IssuerSilent { why: "x" },
            Event::Session { carrier: "smsc", bound: true, error: None },
            Event::Written { carrier: "smsc", sense: "yes" },
            Event::Weighed { tenant: "acme", outcome: "allowed", unknown: None },
            Event::Used { tenant: "acme", cap: Cap::Tenant, ratio: 0.5 },
            Event::Budget { tenant: "acme", cap: Cap::Tenant, percent: 80 },
            Event::Unwelcome { tenant: "acme", code: "blocked" },
            Event::LowConversion { tenant: "a", about: About::Prefix, ended: 9, approved: 1 },
            Event::ToDeliver(2),
            Event::Delivering(1),
            Event::Delivered {
                event: "e",
                tries: 0,
                outcome: "delivered",
                age: Some(Duration::from_secs(1)),
                why: None,
            },
            Event::Endpoint { tenant: "acme", id: "ep", origin: "o", why: Some("gone") },
            Event::Tampered { table: "record", id: "x", why: "x" },
            Event::StoreReached { at: "x", replicas: 1, ahead_ms: 0 },
            Event::StoreLost { why: "x" },
            Event::Stored { verb: "commit", took: Duration::from_millis(3), failed: true },
            Event::StoreWorks(true),
            Event::Certificate { of: "api", ends: Some(at(0)) },
            Event::Certificate { of: "trunk a", ends: None },
            Event::Audited { no: 1, who: "x", what: "reload", hash: "" },
            Event::AuditBroken { found: "x" },
            Event::LeaseLapsed,
            Event::Fault { doing: "x", error: &why },
        ] {
            observe(&event);
        }
    });
    let samples: Vec<Sample> = samples::read(&page).collect();
    is_catalogued(&samples);
    assert_eq!(value(&samples, "octothorpe_store_seconds_count", &[("verb", "commit")]), 1.0);
    let ends = value(&samples, "octothorpe_certificate_not_after_seconds", &[("of", "api")]);
    assert_eq!(ends, 1_795_716_000.0);
    assert_eq!(value(&samples, "octothorpe_faults_total", &[]), 1.0);
    assert!(page.contains("# HELP octothorpe_store_seconds ") && !page.contains("quantile="));
}
