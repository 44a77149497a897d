//! The one place that logs and counts. Everything else hands over a typed [`Event`].
//!
//! One line for each settled verification is the log's contract; the fields are named below. No
//! line and no label ever holds a number, a key or a code: the types mask themselves. What is counted is
//! named in [`catalogue`].

mod calls;
pub mod catalogue;
mod metrics;
pub mod samples;
mod trials;

use std::net::SocketAddr;
use std::time::Duration;

use ::metrics::{counter, gauge, histogram};

pub use self::metrics::Metrics;

use crate::access::token::Refused;
use crate::ambient::Timestamp;
use crate::verify::attempt::AttemptState;
use crate::verify::block::{About, Entry, List};
use crate::verify::limits::Limited;
use crate::verify::money::{Cap, Money, Overspent};
use crate::verify::number::Country;
use crate::verify::request::Channel;
use crate::verify::selftest::{Outcome, Path, Standing};
use crate::verify::signal::Because;
use crate::verify::trace::Traceparent;
use crate::verify::{Verification, selftest};
use crate::voice;
use crate::voice::Quality;

/// The states that a trunk can be in; those of [`Event::Trunk`].
const TRUNK_STATES: &[&str] = &["up", "unknown", "down", "paused", "open", "lost"];

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A verification moved.
    Moved {
        /// As it was; `None` when it was just born.
        before: Option<&'a Verification>,
        /// As it is.
        next: &'a Verification,
    },
    /// A signal changed nothing.
    Ignored {
        /// The verification.
        verification: &'a Verification,
        /// Why.
        because: Because,
    },
    /// A limit stands against a start, or would if it did more than count.
    Limited {
        /// Whose limit.
        tenant: &'a str,
        /// Which.
        limited: &'a Limited,
        /// Whether the start was refused.
        enforced: bool,
    },
    /// A start joined a verification that asks the same.
    Joined {
        /// That one.
        verification: &'a Verification,
    },
    /// A risk service was asked.
    Weighed {
        /// Whose.
        tenant: &'a str,
        /// What came of it.
        outcome: &'static str,
        /// Why it gave no answer.
        unknown: Option<&'a str>,
    },
    /// There is no money for an attempt, or would be none if the caps did more than count.
    Overspent {
        /// Whose attempt.
        tenant: &'a str,
        /// Why not.
        over: &'a Overspent,
        /// Whether it was refused.
        enforced: bool,
    },
    /// How much of a cap is spent or set aside.
    Used {
        /// Whose cap; empty where it is everybody's.
        tenant: &'a str,
        /// Which.
        cap: Cap,
        /// How much of it: 1 is all.
        ratio: f64,
    },
    /// So much of a cap is spent, or set aside.
    Budget {
        /// By whom.
        tenant: &'a str,
        /// Of which cap.
        cap: Cap,
        /// How much of it.
        percent: u8,
    },
    /// An attempt is over, and paid.
    Spent {
        /// By which trunk or carrier.
        via: &'a str,
        /// What it was.
        channel: Channel,
        /// Where the number is.
        country: &'a Country,
        /// What it cost.
        cost: Money,
    },
    /// A start that a block or the person's own word stands against.
    Unwelcome {
        /// Whose start.
        tenant: &'a str,
        /// The code of the refusal, whether the caller is told or not.
        code: &'static str,
    },
    /// Something was put on a list, or taken off.
    Listed {
        /// What.
        entry: &'a Entry,
    },
    /// Few are approved somewhere, and there is no block for it.
    LowConversion {
        /// Whose.
        tenant: &'a str,
        /// A range or a country.
        about: About,
        /// How many have ended within the hour.
        ended: u64,
        /// How many of them were approved.
        approved: u64,
    },
    /// A leg saw something odd.
    Noted {
        /// In which verification.
        verification: &'a str,
        /// What.
        note: &'a voice::Note,
    },
    /// More is known of who answered a call.
    Labelled {
        /// Who.
        label: &'a voice::Label,
    },
    /// A leg is gone.
    LegOver {
        /// How its media went.
        quality: &'a Quality,
    },
    /// A call of this node has come further.
    Went {
        /// From here, if it was there before.
        from: Option<AttemptState>,
        /// To there, unless it is over.
        to: Option<AttemptState>,
    },
    /// The calls that are up or ringing on this node.
    Legs(usize),
    /// So many calls are remembered: those, and the ones that owe the far end an answer.
    Remembered(usize),
    /// So many pairs of RTP and RTCP ports are bound.
    Pairs(usize),
    /// So many datagrams came to a shared RTP port from where no call has its far end.
    Strangers(u64),
    /// The system gives a socket less room than was asked for, in bytes.
    SmallBuffer {
        /// What was asked for.
        asked: usize,
        /// What was given.
        given: usize,
    },
    /// How a media thread did since the last time.
    Engine {
        /// Its number, from 0.
        engine: usize,
        /// Of a hundred frames, 99 were not later than this.
        late: Duration,
        /// How much of the time it worked, from 0 to 1.
        busy: f64,
    },
    /// So many datagrams were dropped by the kernel since it began, because a buffer was full.
    Dropped(u64),
    /// So many tasks of the runtime have not ended.
    Tasks(usize),
    /// Something came to a SIP socket that belongs to no call.
    Stray {
        /// Where it came from.
        from: SocketAddr,
        /// Whether a trunk is there; anybody else is not answered.
        is_trunk: bool,
        /// What it was: a method, `other`, `response`, `malformed`, or `flood`, which nobody looked at.
        kind: &'a str,
        /// How much came from there since the log told of it, where it is time to tell again.
        told: Option<u64>,
    },
    /// A SIP connection ended, or could not be had.
    Disconnected {
        /// The far end.
        peer: SocketAddr,
        /// TCP or TLS, in lower case.
        transport: &'static str,
        /// Why.
        why: &'a dyn std::error::Error,
    },
    /// A request that claims to be a carrier's is not believed.
    Forged {
        /// The carrier's name.
        carrier: &'a str,
        /// Why.
        why: &'static str,
    },
    /// A token opens nothing.
    TokenRefused {
        /// Why.
        why: Refused,
    },
    /// What is written of a tenant in the store is not taken by the configuration of today.
    TenantUnfit {
        /// Whose.
        tenant: &'a str,
        /// Which key of it.
        key: &'a str,
        /// What is wrong.
        told: &'a str,
    },
    /// The keys that check tokens cannot be had.
    IssuerSilent {
        /// Why.
        why: &'a str,
    },
    /// A session with a message centre was bound, or lost.
    Session {
        /// The carrier's name.
        carrier: &'a str,
        /// Whether it is bound now.
        bound: bool,
        /// What went wrong last.
        error: Option<&'a str>,
    },
    /// A trunk is otherwise than it was.
    Trunk {
        /// Its name.
        trunk: &'a str,
        /// How it is: `up`, `unknown`, `down`, `paused`, `open` or `lost`.
        state: &'static str,
        /// Why, as what follows its name.
        why: Option<&'a str>,
        /// Whether it knows where we are, if we register there.
        registered: Option<bool>,
        /// Why it does not.
        unregistered: Option<&'a str>,
    },
    /// A call to a number of our own is over, or was not made.
    Tried {
        /// The trunk that it tried.
        trunk: &'a str,
        /// How the far side was to press.
        path: Path,
        /// What it came to.
        outcome: &'a Outcome,
        /// How long it took.
        took: Duration,
    },
    /// It is known anew whether keys come through a trunk.
    Standing {
        /// Which, by which path, and whether.
        standing: &'a Standing,
        /// How often that is tried.
        every: Duration,
    },
    /// A path of a trunk is tried no more.
    TriedNoMore {
        /// The trunk.
        trunk: &'a str,
        /// The path.
        path: Path,
    },
    /// A trunk is no longer configured.
    TrunkGone {
        /// Its name.
        trunk: &'a str,
    },
    /// The DNS does not tell where a trunk is.
    Unlocated {
        /// Its name.
        trunk: &'a str,
        /// What the DNS says.
        error: &'a dyn std::error::Error,
        /// Whether an answer of before is still used.
        stale: bool,
    },
    /// A person wrote.
    Written {
        /// By which carrier it came.
        carrier: &'a str,
        /// What it turned out to be.
        sense: &'static str,
    },
    /// So many events are to be delivered.
    ToDeliver(usize),
    /// So many more events are in the hands of this node, or fewer.
    Delivering(i8),
    /// An event was delivered, or not.
    Delivered {
        /// The event's id.
        event: &'a str,
        /// How often it had been tried before.
        tries: u32,
        /// What became of it: `delivered`, `failed` and to be tried again, `given_up`, `gone`, or
        /// `withheld`, because its endpoint is switched off.
        outcome: &'static str,
        /// How long ago it happened that it tells of, where it was.
        age: Option<Duration>,
        /// Why it was not.
        why: Option<&'a str>,
    },
    /// So many spans were to be told by OTLP.
    Traced {
        /// How many.
        spans: usize,
        /// What became of them: `sent`, `rejected`, `refused` or `unreached`.
        outcome: &'static str,
        /// Why they were not taken.
        why: Option<&'a str>,
    },
    /// No trace is made of a verification that has settled.
    Untraced {
        /// Why not: `queue_full` or `unread`.
        why: &'static str,
    },
    /// An endpoint was switched off or on.
    Endpoint {
        /// Whose it is.
        tenant: &'a str,
        /// Its name.
        id: &'a str,
        /// Scheme, host and port.
        origin: &'a str,
        /// Why nothing is sent there any more; `None`: it is, again.
        why: Option<&'static str>,
    },
    /// Whether an endpoint is switched off, as it was found at the start.
    EndpointFound {
        /// Whose it is.
        tenant: &'a str,
        /// Its name.
        id: &'a str,
        /// Why nothing is sent there.
        off: Option<&'static str>,
    },
    /// A stored row is not what this gateway put there, and is not believed.
    Tampered {
        /// In which table.
        table: &'static str,
        /// Its name; a keyed hash where it would tell something.
        id: &'a str,
        /// How that is known.
        why: &'a str,
    },
    /// This node could not renew its lease, and takes itself for lost.
    LeaseLapsed,
    /// The store's server was found, or found again.
    StoreReached {
        /// Which one.
        at: &'a str,
        /// How many replicas must have what is told.
        replicas: u32,
        /// How far its clock is ahead of this machine's, in milliseconds.
        ahead_ms: i64,
    },
    /// There is no server of the store, as far as is known.
    StoreLost {
        /// Why.
        why: &'a str,
    },
    /// The store did something, or failed to.
    Stored {
        /// What.
        verb: &'static str,
        /// How long it took.
        took: Duration,
        /// Whether it failed.
        failed: bool,
    },
    /// Whether the store could be used when it was asked for what is due.
    StoreWorks(bool),
    /// The store has turned from good to bad, or back.
    Store {
        /// How it is.
        how: &'a str,
    },
    /// A certificate that this node shows, as it was read.
    Certificate {
        /// Where it is shown: `api`, `sip`, or `trunk` and its name.
        of: &'a str,
        /// When it ends; `None`: it is shown no more.
        ends: Option<Timestamp>,
    },
    /// Somebody did something to the gateway, and it was written down.
    Audited {
        /// The number of the entry; 0 where there is no file.
        no: u64,
        /// Who.
        who: &'a str,
        /// What.
        what: &'static str,
        /// The hash of the entry: with it, a log that is kept elsewhere shows whether the file was cut off.
        hash: &'a str,
    },
    /// The audit log was changed.
    AuditBroken {
        /// Where, and how that is known.
        found: &'a str,
    },
    /// Something of ours went wrong.
    Fault {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        error: &'a dyn std::error::Error,
    },
}

/// Counts and logs it.
pub fn observe(event: &Event<'_>) {
    match event {
        Event::Moved { before, next } => moved(*before, next),
        Event::Ignored { verification, because } => {
            let because = because.as_str();
            tracing::debug!(verification = %verification.id, because, "signal ignored");
            counter!("octothorpe_signals_ignored_total", "because" => because).increment(1);
        }
        Event::Noted { verification, note } => {
            tracing::debug!(verification, ?note, "oddity");
            counter!("octothorpe_notes_total", "kind" => note_kind(note)).increment(1);
        }
        Event::Labelled { label } => {
            let (is, cue) = (label.is.as_str(), label.cue.as_str());
            counter!("octothorpe_labels_total", "is" => is, "cue" => cue).increment(1);
        }
        Event::LegOver { quality } => leg_over(quality),
        Event::Went { from, to } => calls::went(*from, *to),
        Event::Legs(count) => gauge!("octothorpe_legs").set(size(*count)),
        Event::Remembered(count) => gauge!("octothorpe_sip_calls").set(size(*count)),
        Event::Pairs(count) => gauge!("octothorpe_rtp_pairs").set(size(*count)),
        Event::Strangers(count) => {
            counter!("octothorpe_rtp_anomalies_total", "anomaly" => "stranger").increment(*count);
        }
        Event::SmallBuffer { asked, given } => {
            tracing::warn!(asked, given, "small receive buffer: raise net.core.rmem_max");
        }
        Event::Engine { engine, late, busy } => {
            let engine = engine.to_string();
            gauge!("octothorpe_rtp_late_seconds", "engine" => engine.clone())
                .set(late.as_secs_f64());
            gauge!("octothorpe_engine_busy", "engine" => engine).set(*busy);
        }
        Event::Dropped(count) => counter!("octothorpe_udp_dropped_total").absolute(*count),
        Event::Tasks(count) => gauge!("octothorpe_tasks").set(size(*count)),
        Event::Stray { from, is_trunk, kind, told } => {
            if let Some(messages) = told {
                tracing::info!(%from, kind, messages, "SIP from a stranger, not answered");
            } else {
                tracing::debug!(%from, is_trunk, kind, "SIP outside any call");
            }
            let from = if *is_trunk { "trunk" } else { "stranger" };
            let kind = (*kind).to_owned();
            counter!("octothorpe_sip_stray_total", "from" => from, "kind" => kind).increment(1);
        }
        Event::Disconnected { peer, transport, why } => {
            tracing::debug!(%peer, transport, %why, "SIP connection ended");
            counter!("octothorpe_sip_disconnected_total", "transport" => *transport).increment(1);
        }
        Event::TokenRefused { why } => {
            tracing::debug!(%why, "a token was refused");
            counter!("octothorpe_tokens_refused_total", "why" => why.as_str()).increment(1);
        }
        Event::TenantUnfit { tenant, key, told } => {
            tracing::error!(
                tenant,
                key,
                "a tenant in the store is not taken by this configuration: {told}"
            );
        }
        Event::IssuerSilent { why } => {
            tracing::warn!(why, "the keys of an issuer of tokens cannot be had");
            counter!("octothorpe_issuer_errors_total").increment(1);
        }
        Event::Forged { carrier, why } => {
            tracing::warn!(carrier, why, "hook not believed");
            let carrier = (*carrier).to_owned();
            counter!("octothorpe_hooks_forged_total", "carrier" => carrier, "why" => *why)
                .increment(1);
        }
        Event::Session { carrier, bound, error } => {
            tracing::info!(carrier, bound, error, "message centre");
            let carrier = (*carrier).to_owned();
            gauge!("octothorpe_smpp_bound", "carrier" => carrier).set(f64::from(*bound));
        }
        Event::Trunk { trunk, state, why, registered, unregistered } => {
            trunk_changed(trunk, state, *why, *registered, *unregistered);
        }
        Event::Tried { trunk, path, outcome, took } => trials::tried(trunk, *path, outcome, *took),
        Event::Standing { standing, every } => trials::standing(standing, *every),
        Event::TriedNoMore { trunk, path } => trials::no_more(trunk, *path),
        Event::TrunkGone { trunk } => {
            tracing::info!(trunk, "trunk is no longer used");
            gauge!("octothorpe_trunk_up", "trunk" => (*trunk).to_owned()).set(f64::NAN);
            gauge!("octothorpe_trunk_registered", "trunk" => (*trunk).to_owned()).set(f64::NAN);
            trunk_state(trunk, None);
        }
        Event::Unlocated { trunk, error, stale } => {
            tracing::warn!(trunk, %error, stale, "trunk is not found");
        }
        Event::Written { carrier, sense } => {
            tracing::debug!(carrier, sense, "a person wrote");
            let carrier = (*carrier).to_owned();
            counter!("octothorpe_replies_total", "carrier" => carrier, "sense" => *sense)
                .increment(1);
        }
        Event::ToDeliver(count) => {
            counter!("octothorpe_webhook_events_total")
                .increment(u64::try_from(*count).unwrap_or(0));
        }
        Event::Delivering(more) => {
            gauge!("octothorpe_webhook_pending").increment(f64::from(*more));
        }
        Event::Delivered { event, tries, outcome, age, why } => {
            match why {
                None => tracing::debug!(event, tries, "event delivered"),
                Some(why) => tracing::warn!(event, tries, outcome, why, "event not delivered"),
            }
            counter!("octothorpe_webhooks_total", "outcome" => *outcome).increment(1);
            if let Some(age) = age {
                histogram!("octothorpe_webhook_seconds").record(age.as_secs_f64());
            }
        }
        Event::Traced { spans, outcome, why } => {
            if let Some(why) = why {
                tracing::warn!(spans, outcome, why, "traces not taken");
            }
            counter!("octothorpe_otlp_spans_total", "outcome" => *outcome)
                .increment(u64::try_from(*spans).unwrap_or(0));
        }
        Event::Untraced { why } => {
            counter!("octothorpe_otlp_untraced_total", "why" => *why).increment(1);
        }
        Event::Endpoint { tenant, id, origin, why } => {
            match why {
                Some(why) => tracing::warn!(tenant, id, origin, why, "endpoint switched off"),
                None => tracing::info!(tenant, id, origin, "endpoint switched on"),
            }
            endpoint_off(tenant, id, why.is_some());
        }
        Event::EndpointFound { tenant, id, off } => {
            if let Some(why) = off {
                tracing::warn!(tenant, id, why, "endpoint is switched off");
            }
            endpoint_off(tenant, id, off.is_some());
        }
        Event::Limited { tenant, limited, enforced } => {
            let (by, rate) = (limited.by.as_str(), limited.rate);
            tracing::warn!(tenant, by, %rate, counted = limited.counted, enforced, "limit");
            let outcome = if *enforced { "refused" } else { "recorded" };
            counter!("octothorpe_limited_total", "by" => by, "outcome" => outcome).increment(1);
        }
        Event::Joined { verification } => {
            tracing::debug!(verification = %verification.id, "joined");
            counter!("octothorpe_joined_total").increment(1);
        }
        Event::Tampered { table, id, why } => {
            tracing::error!(table, id, why, "ALARM: what is stored is not what was put there");
            counter!("octothorpe_store_tampered_total", "table" => *table).increment(1);
        }
        Event::StoreReached { at, replicas, ahead_ms } => {
            tracing::info!(at, replicas, ahead_ms, "the store is reached");
            gauge!("octothorpe_store_reached").set(1.0);
        }
        Event::StoreLost { why } => {
            tracing::error!(why, "the store cannot be used");
            counter!("octothorpe_store_lost_total").increment(1);
            gauge!("octothorpe_store_reached").set(0.0);
        }
        Event::Stored { verb, took, failed } => {
            histogram!("octothorpe_store_seconds", "verb" => *verb).record(took.as_secs_f64());
            if *failed {
                counter!("octothorpe_store_errors_total", "verb" => *verb).increment(1);
            }
        }
        Event::StoreWorks(works) => gauge!("octothorpe_store_works").set(f64::from(*works)),
        Event::Store { how } => tracing::warn!(how, "store"),
        Event::Weighed { tenant, outcome, unknown } => {
            if unknown.is_some() {
                tracing::warn!(tenant, outcome, unknown, "risk service");
            } else {
                tracing::debug!(tenant, outcome, "risk service");
            }
            counter!("octothorpe_risk_total", "outcome" => *outcome).increment(1);
        }
        Event::Overspent { tenant, over, enforced } => {
            tracing::warn!(tenant, %over, enforced, "no money");
            let outcome = if *enforced { "refused" } else { "recorded" };
            let cap = match over {
                Overspent::Cap { cap, .. } => cap.as_str(),
                Overspent::Unpriced { .. } => "price",
            };
            counter!("octothorpe_overspent_total", "cap" => cap, "outcome" => outcome).increment(1);
        }
        Event::Budget { tenant, cap, percent } => {
            let cap = cap.as_str();
            tracing::warn!(tenant, cap, percent, "budget");
            let percent = percent.to_string();
            counter!("octothorpe_budget_reached_total", "cap" => cap, "percent" => percent)
                .increment(1);
        }
        Event::Spent { via, channel, country, cost } => {
            let (via, channel, country) =
                ((*via).to_owned(), channel.as_str(), country.to_string());
            counter!("octothorpe_spent_ten_thousandths_total", "via" => via, "channel" => channel)
                .increment(cost.count());
            counter!("octothorpe_country_spent_ten_thousandths_total", "country" => country)
                .increment(cost.count());
        }
        Event::Used { tenant, cap, ratio } => {
            let (cap, tenant) = (cap.as_str(), (*tenant).to_owned());
            gauge!("octothorpe_budget_used_ratio", "cap" => cap, "tenant" => tenant).set(*ratio);
        }
        Event::Certificate { of, ends } => {
            let until = ends.map(Timestamp::to_rfc3339);
            tracing::debug!(of, until, "certificate");
            gauge!("octothorpe_certificate_not_after_seconds", "of" => (*of).to_owned())
                .set(ends.map_or(f64::NAN, seconds));
        }
        Event::Audited { no, who, what, hash } => {
            tracing::info!(no, who, what, hash, "audited");
            counter!("octothorpe_audited_total", "what" => *what).increment(1);
        }
        Event::AuditBroken { found } => {
            tracing::error!(found, "ALARM: the audit log was changed");
            counter!("octothorpe_audit_broken_total").increment(1);
        }
        Event::Unwelcome { tenant, code } => {
            tracing::info!(tenant, code, "start is not welcome");
            counter!("octothorpe_unwelcome_total", "code" => *code).increment(1);
        }
        Event::Listed { entry } => listed(entry),
        Event::LowConversion { tenant, about, ended, approved } => {
            let about = about.as_str();
            tracing::warn!(tenant, about, ended, approved, "few are approved");
            counter!("octothorpe_low_conversion_total", "about" => about).increment(1);
        }
        Event::LeaseLapsed => {
            tracing::warn!(
                "the store was not reached in time: other nodes take over what this one held, and its \
                 calls are ended"
            );
            counter!("octothorpe_lease_lapsed_total").increment(1);
        }
        Event::Fault { doing, error } => {
            tracing::error!(doing, %error, "fault");
            counter!("octothorpe_faults_total").increment(1);
        }
    }
}

fn endpoint_off(tenant: &str, id: &str, off: bool) {
    let (tenant, id) = (tenant.to_owned(), id.to_owned());
    gauge!("octothorpe_webhook_endpoint_off", "tenant" => tenant, "endpoint" => id)
        .set(f64::from(off));
}

/// A list changed. What is on it is told by its name alone, a keyed hash.
fn listed(entry: &Entry) {
    let (about, why, id) = (entry.about.as_str(), entry.why.as_str(), entry.id.as_str());
    let done = match (entry.list, entry.lifted) {
        (List::Blocks, None) => "blocked",
        (List::Safe, None) => "safe",
        (List::Blocks | List::Safe, Some(_)) => "lifted",
    };
    let until = entry.until.map(Timestamp::to_rfc3339);
    tracing::warn!(tenant = entry.tenant, id, about, why, until, done, "list");
    counter!("octothorpe_lists_total", "about" => about, "reason" => why, "done" => done)
        .increment(1);
}

fn moved(before: Option<&Verification>, next: &Verification) {
    calls::ended(before, next);
    // A trunk that is tried is nobody's verification.
    let is_counted = !selftest::is_tenant(&next.tenant);
    if before.is_none() && is_counted {
        let channel = next.request.way.channel.as_str();
        counter!("octothorpe_verifications_started_total", "channel" => channel).increment(1);
    }
    let was_settled = before.is_some_and(|before| before.verdict().is_some());
    let Some(verdict) = next.verdict().filter(|_| !was_settled) else {
        let state = next.running().map(|attempt| attempt.state.as_str());
        tracing::debug!(verification = %next.id, version = next.version, state, "moved");
        return;
    };
    let (status, reason) = (verdict.status().as_str(), verdict.reason().as_str());
    let took = next.settled_at().unwrap_or(next.created_at).since(next.created_at);
    let last = next.attempts.last();
    tracing::info!(
        verification = %next.id,
        tenant = next.tenant,
        to = %next.request.to,
        status,
        reason,
        attempts = next.attempts.len(),
        route = last.map(|attempt| attempt.route.as_str()),
        call_id = last.and_then(|attempt| attempt.call_id.as_deref()),
        sip_status = last.and_then(|attempt| attempt.sip_status),
        q850 = last.and_then(|attempt| attempt.q850),
        detail = last.and_then(|attempt| attempt.detail.as_deref()),
        seconds = took.as_secs_f64(),
        trace_id = next.request.traceparent.as_ref().map(Traceparent::trace_id),
        "verification settled"
    );
    if !is_counted {
        return;
    }
    counter!("octothorpe_verifications_settled_total", "status" => status, "reason" => reason)
        .increment(1);
    histogram!("octothorpe_verification_seconds").record(took.as_secs_f64());
    calls::settled(next, verdict.status());
}

fn trunk_changed(
    trunk: &str,
    state: &str,
    why: Option<&str>,
    registered: Option<bool>,
    unregistered: Option<&str>,
) {
    let is_up = matches!(state, "up" | "unknown");
    if is_up && unregistered.is_none() {
        tracing::info!(trunk, state, registered, "trunk");
    } else {
        tracing::warn!(trunk, state, why, registered, unregistered, "trunk");
    }
    gauge!("octothorpe_trunk_up", "trunk" => trunk.to_owned()).set(f64::from(is_up));
    trunk_state(trunk, Some(state));
    if let Some(registered) = registered {
        let value = f64::from(registered);
        gauge!("octothorpe_trunk_registered", "trunk" => trunk.to_owned()).set(value);
    }
}

fn trunk_state(trunk: &str, state: Option<&str>) {
    for one in TRUNK_STATES {
        let is = state == Some(*one);
        gauge!("octothorpe_trunk_state", "trunk" => trunk.to_owned(), "state" => *one)
            .set(f64::from(is));
    }
}

fn leg_over(quality: &Quality) {
    for (anomaly, count) in &quality.anomalies {
        let anomaly = format!("{anomaly:?}").to_lowercase();
        counter!("octothorpe_rtp_anomalies_total", "anomaly" => anomaly)
            .increment(u64::from(*count));
    }
    counter!("octothorpe_rtp_sent_total").increment(u64::from(quality.packets_sent));
    counter!("octothorpe_rtp_received_total").increment(u64::from(quality.packets_received));
}

const fn note_kind(note: &voice::Note) -> &'static str {
    match note {
        voice::Note::Sip(_) => "sip",
        voice::Note::Media(_) => "media",
        voice::Note::KeyBeforeAsk => "key_before_ask",
        voice::Note::Script(_) => "script",
        voice::Note::Refused(_) => "sdp_refused",
        voice::Note::Late(_) => "late",
    }
}

#[expect(clippy::cast_precision_loss, reason = "no node has 2^52 of anything")]
const fn size(count: usize) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "the year 9999 is before 2^52 seconds")]
const fn seconds(at: Timestamp) -> f64 {
    at.as_secs() as f64
}

#[cfg(test)]
mod tests;
