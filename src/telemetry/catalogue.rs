//! Every metric: its name, its kind, what its labels may say, and what it means.
//!
//! What is counted elsewhere is named here first: `src/OPERATIONS.md` shows this table to operators, and
//! tests hold the code, the page and what a running gateway tells against it. No label has more values
//! than the configuration has entries, or than are told of here: what people send makes no series.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It only grows, from the start of the process.
    Counter,
    /// It stands for now.
    Gauge,
    /// How often something took how long: the upper bounds of its buckets, in seconds.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Its word in Prometheus' text format.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What a label may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of what this says, and of how many.
    Of(&'static str),
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, and what they may say.
    pub labels: &'static [(&'static str, Values)],
    /// What it means: its help text.
    pub what: &'static str,
}

impl Metric {
    /// The label sets that it can have, where words bound all of them and they are few: such a counter
    /// begins at 0, so that its first step is seen.
    #[must_use]
    pub fn all(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        let mut all = vec![Vec::new()];
        for (label, values) in self.labels {
            let Values::Words(words) = values else { return Vec::new() };
            if all.len() * words.len() > FEW {
                return Vec::new();
            }
            let longer = |set: &Vec<_>, word| {
                let mut set = set.clone();
                set.push((*label, word));
                set
            };
            all = all.iter().flat_map(|set| words.iter().map(|word| longer(set, *word))).collect();
        }
        all
    }
}

/// The most label sets of a metric that begins with all of them.
const FEW: usize = 130;

use Kind::{Counter, Gauge, Histogram};
use Values::{Of, Words};

const CHANNEL: (&str, Values) = ("channel", Words(&["voice", "sms"]));
const VIA: (&str, Values) = ("via", Of("a trunk or carrier of the configuration"));
const TRUNK: (&str, Values) = ("trunk", Of("a trunk of the configuration"));
const PATH: (&str, Values) = ("path", Words(&["rfc4733", "inband", "info"]));
const CARRIER: (&str, Values) = ("carrier", Of("a carrier of the configuration"));
const TENANT: (&str, Values) = ("tenant", Of("a tenant"));
const COUNTRY: (&str, Values) =
    ("country", Of("a country that a tenant may reach (ISO 3166), 250 at most"));
const ENGINE: (&str, Values) = ("engine", Of("a media thread, from 0: one for each core"));
const OUTCOME: (&str, Values) = ("outcome", Words(&["refused", "recorded"]));
const STATUS: (&str, Values) =
    ("status", Words(&["approved", "denied", "expired", "failed", "canceled"]));

/// From the start to the verdict: half a second to ten minutes.
const VERIFICATION: &[f64] =
    &[0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0];

/// What networks and people take on a call. A phone rings for half a minute.
const CALL: &[f64] =
    &[0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 45.0, 60.0];

/// A store on the next machine, to one that is on its way out.
const STORE: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Most requests take milliseconds; those that wait for news, a minute.
const HTTP: &[f64] = &[0.005, 0.02, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0];

/// From what happened to the endpoint that knows of it: at once, or after the tries of a day.
const WEBHOOK: &[f64] =
    &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0];

const fn metric(
    name: &'static str,
    kind: Kind,
    labels: &'static [(&'static str, Values)],
    what: &'static str,
) -> Metric {
    Metric { name, kind, labels, what }
}

/// All of them, by what they are about.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    metric("octothorpe_build_info", Gauge, &[("version", Of("the version that runs, one"))],
        "Always 1: which version this is."),
    metric("octothorpe_verifications_started_total", Counter, &[CHANNEL],
        "Verifications started."),
    metric("octothorpe_verifications_settled_total", Counter,
        &[STATUS, ("reason", Of("a reason of the API, fewer than 40"))],
        "Verifications settled, by verdict."),
    metric("octothorpe_verification_seconds", Histogram(VERIFICATION), &[],
        "From the start to the verdict."),
    metric("octothorpe_country_settled_total", Counter, &[COUNTRY, STATUS],
        "Verifications settled, by the number's country. Rehearsals of test tenants are none here, nor below."),
    metric("octothorpe_attempts_total", Counter,
        &[VIA, CHANNEL, ("reason", Of("a reason of the API, fewer than 40, or `none`"))],
        "Calls and texts that have ended, and why."),
    metric("octothorpe_attempts_approved_total", Counter, &[VIA, CHANNEL],
        "Verifications approved, by the way of their last attempt."),
    metric("octothorpe_calls_placed_total", Counter, &[VIA],
        "Ended calls that the other side had: seizures."),
    metric("octothorpe_calls_reached_total", Counter, &[VIA],
        "Those of them that came as far as the phone, as the network effectiveness ratio (NER) counts."),
    metric("octothorpe_calls_answered_total", Counter, &[VIA],
        "Those of them that were answered: with the seizures, the answer-seizure ratio (ASR)."),
    metric("octothorpe_calls_pressed_total", Counter, &[VIA],
        "Answered calls on which a press decided: key success."),
    metric("octothorpe_calls_voicemail_total", Counter, &[VIA],
        "Answered calls that a machine took, as far as was heard."),
    metric("octothorpe_call_pdd_seconds", Histogram(CALL), &[VIA],
        "Post-dial delay: from the INVITE to the first 18x, or to the answer where nothing rang before."),
    metric("octothorpe_call_answer_seconds", Histogram(CALL), &[VIA],
        "From the INVITE to the answer."),
    metric("octothorpe_call_key_seconds", Histogram(CALL), &[VIA],
        "From the answer to the press that decided."),
    metric("octothorpe_press_paths_total", Counter,
        &[("path", Words(&["rfc4733", "inband", "info", "carrier"]))],
        "Presses that decided, by each way in which they came."),
    metric("octothorpe_labels_total", Counter,
        &[("is", Words(&["human", "machine", "silence", "fax", "screening", "sit", "busy", "ringback", "echo"])),
          ("cue", Words(&["short_greeting", "long_greeting", "beep", "no_speech", "cng", "ced", "event", "vacant", "no_circuit", "busy_tone", "reorder_tone", "ringback_tone", "reflection", "repeats"]))],
        "Who answered calls, and what showed it."),
    metric("octothorpe_notes_total", Counter,
        &[("kind", Words(&["sip", "media", "key_before_ask", "script", "sdp_refused", "late"]))],
        "Oddities that calls saw and coped with."),
    metric("octothorpe_signals_ignored_total", Counter,
        &[("because", Words(&["duplicate", "late", "unrelated", "already_settled", "no_code", "too_soon", "no_sends_left"]))],
        "Signals that changed nothing."),
    metric("octothorpe_joined_total", Counter, &[],
        "Starts that joined a verification that asks the same."),

    metric("octothorpe_calls", Gauge,
        &[("state", Words(&["dialing", "ringing", "answered", "prompting", "listening"]))],
        "Calls of this node that live, by how far they have come."),
    metric("octothorpe_legs", Gauge, &[],
        "Calls that are up or ringing on this node."),
    metric("octothorpe_sip_calls", Gauge, &[],
        "Calls whose signalling is remembered: those, and the ones that owe the far end an answer."),
    metric("octothorpe_trunk_up", Gauge, &[TRUNK],
        "Whether a trunk can be used, as far as is known. NaN: it is no longer configured."),
    metric("octothorpe_trunk_state", Gauge,
        &[TRUNK, ("state", Words(super::TRUNK_STATES))],
        "1 for the state that a trunk is in, 0 for the others."),
    metric("octothorpe_trunk_registered", Gauge, &[TRUNK],
        "Whether a trunk knows where we are, where we register. NaN: it is no longer configured."),
    metric("octothorpe_selftest_works", Gauge, &[TRUNK, PATH],
        "Whether a key of our own numbers' phones came through a trunk when that was tried last, by how it was pressed; 0 after two calls in vain. NaN: it is tried no more."),
    metric("octothorpe_selftest_last_seconds", Gauge, &[TRUNK, PATH],
        "When that was tried last, in seconds since 1970."),
    metric("octothorpe_selftest_heard_seconds", Gauge, &[TRUNK, PATH],
        "When such a key was heard last, in seconds since 1970; 0 before the first."),
    metric("octothorpe_selftest_every_seconds", Gauge, &[TRUNK, PATH],
        "How often it is tried."),
    metric("octothorpe_selftest_calls_total", Counter,
        &[TRUNK, PATH, ("result", Words(&["heard", "unheard", "unreached", "busy", "unmade"]))],
        "Calls to our own numbers, by what they came to: `busy` and `unmade` were not made. No other metric of calls counts them."),
    metric("octothorpe_selftest_seconds", Histogram(CALL), &[TRUNK, PATH],
        "From the start of such a call to its end."),
    metric("octothorpe_smpp_bound", Gauge, &[CARRIER],
        "Whether the session with a message centre is bound."),
    metric("octothorpe_sip_stray_total", Counter,
        &[("from", Words(&["trunk", "stranger"])), ("kind", Of("a SIP method, `other`, `response`, `malformed`, `panic` or `flood`"))],
        "SIP messages that belong to no call, by source and kind."),
    metric("octothorpe_sip_disconnected_total", Counter, &[("transport", Words(&["tcp", "tls"]))],
        "SIP connections that ended, or could not be had."),
    metric("octothorpe_certificate_not_after_seconds", Gauge,
        &[("of", Of("`api`, `sip`, or `trunk` and the name of one of the configuration"))],
        "When the first certificate of a chain that this node shows ends, in seconds since 1970. NaN: it is shown no more."),

    metric("octothorpe_rtp_pairs", Gauge, &[],
        "Pairs of RTP and RTCP ports that are bound."),
    metric("octothorpe_rtp_sent_total", Counter, &[],
        "RTP packets sent."),
    metric("octothorpe_rtp_received_total", Counter, &[],
        "RTP packets accepted."),
    metric("octothorpe_rtp_anomalies_total", Counter,
        &[("anomaly", Words(&["address", "rtcpport", "source", "echo", "payloadtype", "malformed", "oversized", "sequence", "unauthentic", "replayed", "stranger"]))],
        "RTP and RTCP packets dropped or odd."),
    metric("octothorpe_rtp_late_seconds", Gauge, &[ENGINE],
        "What 99 of 100 frames of a media thread were not later than, in the last seconds."),
    metric("octothorpe_engine_busy", Gauge, &[ENGINE],
        "How much of its time a media thread works, 0 to 1."),
    metric("octothorpe_udp_dropped_total", Counter, &[],
        "Datagrams that the kernel dropped because a socket's receive buffer was full: of all programs that share this network."),

    metric("octothorpe_spent_ten_thousandths_total", Counter, &[VIA, CHANNEL],
        "What attempts cost, in ten-thousandths of the currency of the prices."),
    metric("octothorpe_country_spent_ten_thousandths_total", Counter, &[COUNTRY],
        "The same, by the number's country."),
    metric("octothorpe_budget_used_ratio", Gauge,
        &[("cap", Words(&["tenant", "day"])), ("tenant", Of("a tenant that has the cap; empty for `day`, which is everybody's"))],
        "How much of a cap the last day has spent or set aside, 0 to 1, as of the last minute."),
    metric("octothorpe_budget_reached_total", Counter,
        &[("cap", Words(&["tenant", "day"])), ("percent", Words(&["50", "80", "100"]))],
        "Times that a cap was half, four fifths or all spent."),
    metric("octothorpe_overspent_total", Counter,
        &[("cap", Words(&["call", "number", "tenant", "day", "price"])), OUTCOME],
        "Attempts that there was no money for, or would be none."),
    metric("octothorpe_limited_total", Counter,
        &[("by", Words(&["number", "subject", "client_ip", "prefix", "country", "tenant"])), OUTCOME],
        "Starts that a limit refused, or would refuse."),
    metric("octothorpe_unwelcome_total", Counter,
        &[("code", Of("a code of the API: `blocked`, `opted_out` and the like, fewer than 10"))],
        "Starts that a block or the person's word stood against."),
    metric("octothorpe_lists_total", Counter,
        &[("about", Words(&["number", "prefix", "country"])),
          ("reason", Words(&["fraud_reported", "low_conversion", "operator"])),
          ("done", Words(&["blocked", "safe", "lifted"]))],
        "Entries put on lists of blocks and safe numbers, or lifted."),
    metric("octothorpe_low_conversion_total", Counter, &[("about", Words(&["prefix", "country"]))],
        "Ranges and countries where few are approved."),
    metric("octothorpe_risk_total", Counter,
        &[("outcome", Words(&["allowed", "flagged", "denied", "unknown_flagged", "unknown_denied"]))],
        "Starts that a risk service was asked about, by what came of it."),
    metric("octothorpe_hooks_forged_total", Counter, &[CARRIER, ("why", Of("what was wrong with it, fewer than 10"))],
        "Requests in a carrier's name that were not believed."),
    metric("octothorpe_replies_total", Counter,
        &[CARRIER, ("sense", Words(&["code", "yes", "no", "fraud", "stop", "start", "help", "late", "unclear"]))],
        "Texts that people sent, by what they meant."),
    metric("octothorpe_tokens_refused_total", Counter,
        &[("why", Words(&["form", "stranger", "ambiguous", "algorithm", "key", "signature", "time", "life"]))],
        "Tokens of callers that open nothing."),
    metric("octothorpe_issuer_errors_total", Counter, &[],
        "Times that the keys which check tokens could not be had."),

    metric("octothorpe_webhook_events_total", Counter, &[],
        "Events that were to be delivered: one for each endpoint."),
    metric("octothorpe_webhooks_total", Counter,
        &[("outcome", Words(&["delivered", "failed", "given_up", "gone", "withheld"]))],
        "Tries to deliver an event, by what became of them. One that `failed` is tried again; the others are the end of it."),
    metric("octothorpe_webhook_pending", Gauge, &[],
        "Events that this node is delivering, or that wait in it for their turn. Those that are tried again later wait in the store."),
    metric("octothorpe_webhook_seconds", Histogram(WEBHOOK), &[],
        "From what happened to the endpoint's word that it knows of it."),
    metric("octothorpe_webhook_endpoint_off", Gauge, &[TENANT, ("endpoint", Of("one of the tenant's endpoints"))],
        "Whether an endpoint is switched off, since it was switched last."),
    metric("octothorpe_otlp_spans_total", Counter,
        &[("outcome", Words(&["sent", "rejected", "refused", "unreached"]))],
        "Spans that were to be told by OTLP: `rejected` are the part that the receiver would not have, `refused` went with a request that it would not have, and `unreached` were not taken for too long."),
    metric("octothorpe_otlp_untraced_total", Counter, &[("why", Words(&["queue_full", "unread"]))],
        "Settled verifications of which no trace was made, as too many waited or the store failed."),

    metric("octothorpe_store_works", Gauge, &[],
        "Whether the store could be used when this node last asked it for what is due."),
    metric("octothorpe_store_seconds", Histogram(STORE),
        &[("verb", Words(&["load", "answered", "commit", "claim", "held", "tally", "find", "holder", "list", "sweep", "forget"]))],
        "How long the store took, failed or not."),
    metric("octothorpe_store_errors_total", Counter,
        &[("verb", Words(&["load", "answered", "commit", "claim", "held", "tally", "find", "holder", "list", "sweep", "forget"]))],
        "How often it failed."),
    metric("octothorpe_store_reached", Gauge, &[],
        "Whether the store's server can be used, where it has one."),
    metric("octothorpe_store_lost_total", Counter, &[],
        "How often the store's server was lost."),
    metric("octothorpe_store_tampered_total", Counter,
        &[("table", Words(&["record", "effect", "answer", "alias", "hold"]))],
        "Stored rows that somebody else has changed."),
    metric("octothorpe_lease_lapsed_total", Counter, &[],
        "Times that this node could not renew its lease and gave its calls up."),
    metric("octothorpe_audited_total", Counter, &[("what", Of("an act of administrators, fewer than 20"))],
        "Administrative acts that were written down."),
    metric("octothorpe_audit_broken_total", Counter, &[],
        "Places where the audit log was changed."),
    metric("octothorpe_faults_total", Counter, &[],
        "Faults of this gateway."),
    metric("octothorpe_tasks", Gauge, &[],
        "Tasks of the runtime that have not ended."),

    metric("octothorpe_http_requests_total", Counter,
        &[("method", Words(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"])),
          ("route", Of("a path of the API or the operators' pages, without ids, fewer than 50, or `none`")),
          ("status", Of("an HTTP status that is answered, fewer than 30"))],
        "HTTP requests answered."),
    metric("octothorpe_http_request_seconds", Histogram(HTTP),
        &[("route", Of("as above"))],
        "From an HTTP request to its answer."),
    metric("octothorpe_http_requests_shed_total", Counter, &[],
        "HTTP requests refused, as too many were under way."),
    metric("octothorpe_http_panics_total", Counter, &[],
        "HTTP handlers that panicked."),
    metric("octothorpe_http_accept_errors_total", Counter, &[],
        "HTTP connections that could not be accepted."),
    metric("octothorpe_http_connections_refused_total", Counter, &[],
        "HTTP connections turned away, as there was no room."),
    metric("octothorpe_http_connections_displaced_total", Counter, &[],
        "HTTP connections ended because their client dawdled and there was no room."),
];

/// The table as operators read it.
#[cfg(test)]
pub(super) fn table() -> String {
    let label = |(name, values): &(&str, Values)| match values {
        Words(words) => format!("`{name}`: `{}`", words.join("`, `")),
        Of(what) => format!("`{name}`: {what}"),
    };
    let row = |metric: &Metric| {
        let labels: Vec<String> = metric.labels.iter().map(label).collect();
        let (name, kind, what) = (metric.name, metric.kind.as_str(), metric.what);
        format!("| `{name}` | {kind} | {} | {what} |\n", labels.join("; "))
    };
    let head =
        "| metric | kind | labels, and what they may say | what it says |\n|---|---|---|---|\n";
    METRICS.iter().map(row).fold(head.to_owned(), |all, row| all + &row)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The code that counts, without its tests.
    const CODE: [&str; 5] = [
        include_str!("../telemetry.rs"),
        include_str!("calls.rs"),
        include_str!("metrics.rs"),
        include_str!("trials.rs"),
        include_str!("../http/report.rs"),
    ];

    /// Every name of a metric in a text.
    fn names(text: &str) -> impl Iterator<Item = &str> {
        text.split('"').filter(|part| part.starts_with("octothorpe_"))
    }

    #[test]
    fn what_is_counted_is_in_the_table_and_nothing_else() {
        let code = CODE.map(|text| text.split("#[cfg(test)]").next().unwrap());
        let counted: BTreeSet<&str> = code.iter().flat_map(|text| names(text)).collect();
        let told: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(counted, told);
        assert_eq!(told.len(), METRICS.len(), "each stands once");
    }

    #[test]
    fn nothing_is_counted_elsewhere() {
        let mut folders =
            vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let name = path.display().to_string();
                if name.ends_with(".md")
                    || name.contains("telemetry")
                    || name.ends_with("report.rs")
                {
                    continue;
                }
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                for makes in ["counter!(", "gauge!(", "histogram!("] {
                    assert!(!text.contains(makes), "{name} counts by itself");
                }
            }
        }
    }

    #[test]
    fn operators_are_told_of_each() {
        let page = include_str!("../OPERATIONS.md");
        assert!(page.contains(&table()), "write this into src/OPERATIONS.md:\n{}", table());
    }

    #[test]
    fn names_say_what_prometheus_expects_of_their_kind() {
        for metric in METRICS {
            let total = metric.name.ends_with("_total");
            assert_eq!(total, metric.kind == Counter, "{}", metric.name);
            if let Histogram(bounds) = metric.kind {
                assert!(metric.name.ends_with("_seconds") && !bounds.is_empty(), "{}", metric.name);
                assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "{}", metric.name);
            }
            assert!(metric.what.ends_with('.') && !metric.what.contains('|'), "{}", metric.name);
        }
    }

    #[test]
    fn few_label_sets_are_all_told_at_once_and_many_are_not() {
        let find = |name: &str| METRICS.iter().find(|metric| metric.name == name).unwrap().all();
        assert_eq!(find("octothorpe_faults_total"), [Vec::new()]);
        assert_eq!(find("octothorpe_verifications_started_total").len(), 2);
        assert_eq!(find("octothorpe_overspent_total").len(), 10);
        assert!(find("octothorpe_country_settled_total").is_empty());
        assert!(find("octothorpe_sip_stray_total").is_empty());
    }
}
