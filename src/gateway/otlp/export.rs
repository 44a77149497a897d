//! Sends spans: the loop.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use super::spans::{Known, spans, text};
use crate::ambient::Entropy;
use crate::carrier::wire::HttpRequest;
use crate::gateway::settings::OtlpSettings;
use crate::gateway::webhook::Handed;
use crate::gateway::{Fault, Gateway};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;

/// The most verifications that wait.
const WAITING_MOST: usize = 2_048;

/// How long each waits: until a call has said goodbye and its endpoints were told, as a rule.
const HOLD: Duration = Duration::from_secs(5);

/// The most spans of a request, and how long the first of them waits for others.
const BATCH: usize = 512;
const BATCH_HOLD: Duration = Duration::from_secs(5);

/// How often a batch is sent, and the longest that is waited before it is sent again.
const TRIES: u32 = 6;
const PAUSE_MOST: Duration = Duration::from_secs(300);

/// How long what is left may take when the gateway ends.
const DRAIN: Duration = Duration::from_secs(5);

/// Where settled verifications wait. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Traces {
    waiting: mpsc::Sender<Settled>,
    stage: Arc<watch::Sender<Stage>>,
}

/// The other end.
#[derive(Debug)]
pub(in crate::gateway) struct Exporter {
    settings: OtlpSettings,
    waiting: mpsc::Receiver<Settled>,
    stage: Arc<watch::Sender<Stage>>,
}

/// A verification that has settled.
#[derive(Debug)]
struct Settled {
    id: VerificationId,
    due: Instant,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Runs,
    /// It tells what it has, by then.
    Drains(Instant),
    Over,
}

/// Spans that wait for others.
#[derive(Default)]
struct Batch {
    spans: Vec<Span>,
    due: Option<Instant>,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It was taken, but for so many spans.
    Taken(usize),
    /// It never will be.
    Refused(String),
    /// It is sent once more, after this.
    Again(Duration),
}

impl Traces {
    /// The way, and its end. `None`: nobody is to be told.
    pub(in crate::gateway) fn new(settings: Option<&OtlpSettings>) -> Option<(Self, Exporter)> {
        let settings = settings?.clone();
        let (sender, waiting) = mpsc::channel(WAITING_MOST);
        let stage = Arc::new(watch::Sender::new(Stage::Runs));
        let exporter = Exporter { settings, waiting, stage: Arc::clone(&stage) };
        Some((Self { waiting: sender, stage }, exporter))
    }

    /// A verification has settled.
    pub(in crate::gateway) fn settled(&self, id: &VerificationId) {
        let settled = Settled { id: id.clone(), due: Instant::now() + HOLD };
        if self.waiting.try_send(settled).is_err() {
            telemetry::observe(&Event::Untraced { why: "queue_full" });
        }
    }

    /// Has what waits be told at once, and waits until it was.
    pub(in crate::gateway) async fn drain(&self) {
        let end = Instant::now() + DRAIN;
        self.stage.send_if_modified(|stage| {
            let runs = *stage == Stage::Runs;
            if runs {
                *stage = Stage::Drains(end);
            }
            runs
        });
        let mut stage = self.stage.subscribe();
        // What is left of a request that is under way has its own end.
        let end = end + Duration::from_secs(1);
        let _ = timeout_at(end, stage.wait_for(|stage| *stage == Stage::Over)).await;
    }
}

impl Exporter {
    /// Tells what comes, for as long as the gateway is there.
    pub(in crate::gateway) fn start(self, gateway: Gateway, tasks: &mut JoinSet<()>) {
        let entropy = Entropy::system();
        tasks.spawn(self.tell(gateway, entropy));
    }

    async fn tell(mut self, gateway: Gateway, mut entropy: Entropy) {
        let stage = Arc::clone(&self.stage);
        let mut drains = stage.subscribe();
        let (mut batch, mut next): (Batch, Option<Settled>) = (Batch::default(), None);
        let mut draining = false;
        loop {
            let now = Instant::now();
            let due = next.as_ref().map_or(now, |next| if draining { now } else { next.due });
            tokio::select! {
                () = ended(&mut drains), if !draining => {
                    draining = true;
                    self.waiting.close();
                }
                came = self.waiting.recv(), if next.is_none() => match came {
                    Some(settled) => next = Some(settled),
                    None => break,
                },
                () = sleep_until(due), if next.is_some() => {
                    let Some(settled) = next.take() else { continue };
                    let spans = match gateway.spans_of(&settled.id, &mut entropy).await {
                        Ok(spans) => spans,
                        Err(error) => {
                            telemetry::observe(&Event::Untraced { why: "unread" });
                            let doing = "read what a trace tells";
                            telemetry::observe(&Event::Fault { doing, error: &error });
                            continue;
                        }
                    };
                    if let Some(full) = batch.add(Instant::now(), spans) {
                        self.send(&gateway, full, &mut entropy).await;
                    }
                }
                () = sleep_until(batch.due.unwrap_or(now)), if batch.due.is_some() => {
                    self.send(&gateway, batch.take(), &mut entropy).await;
                }
            }
        }
        self.send(&gateway, batch.take(), &mut entropy).await;
        stage.send_replace(Stage::Over);
    }

    /// Sends spans until they are taken, refused, or not taken for too long.
    async fn send(&self, gateway: &Gateway, spans: Vec<Span>, entropy: &mut Entropy) {
        let many = spans.len();
        if many == 0 {
            return;
        }
        let body = request(spans, gateway.0.owner.as_str()).encode_to_vec();
        for tries in 1..=TRIES {
            let answer = self.post(gateway, &body).await;
            let why = answer.as_ref().err().cloned();
            match next(answer, tries, entropy.below(1_000)) {
                Next::Taken(rejected) => {
                    let rejected = rejected.min(many);
                    tell(many - rejected, "sent", None);
                    if rejected > 0 {
                        tell(rejected, "rejected", Some("the receiver takes a part of them"));
                    }
                    return;
                }
                Next::Refused(why) => {
                    tell(many, "refused", Some(&why));
                    return;
                }
                Next::Again(pause) => {
                    let why = why.as_deref().unwrap_or("the receiver is busy");
                    let again = tries < TRIES && self.waits(pause).await;
                    if !again {
                        tell(many, "unreached", Some(why));
                        return;
                    }
                }
            }
        }
    }

    /// Waits; whether it is worth it.
    async fn waits(&self, pause: Duration) -> bool {
        // When the gateway ends while this waits, it is worth it once more, at once, and not again.
        let was_running = *self.stage.borrow() == Stage::Runs;
        if was_running {
            let mut stage = self.stage.subscribe();
            let _ = tokio::time::timeout(pause, ended(&mut stage)).await;
        }
        was_running
    }

    async fn post(&self, gateway: &Gateway, body: &[u8]) -> Result<Handed, String> {
        let OtlpSettings { endpoint, headers } = &self.settings;
        let kind = ("content-type".to_owned(), "application/x-protobuf".to_owned().into());
        let request = HttpRequest {
            method: "POST",
            url: format!("{endpoint}/v1/traces"),
            headers: headers.iter().cloned().chain([kind]).collect(),
            body: Zeroizing::new(body.to_vec()),
        };
        let courier = gateway.0.courier.as_ref().ok_or("this gateway reaches nobody")?;
        let taken = courier.hand_in(request, gateway.now());
        let stage = *self.stage.borrow();
        match stage {
            Stage::Drains(end) => timeout_at(end, taken).await.map_err(|_| "it ends".to_owned())?,
            Stage::Runs | Stage::Over => taken.await,
        }
    }
}

impl Gateway {
    /// What a settled verification tells; nothing where it was erased meanwhile.
    async fn spans_of(
        &self,
        id: &VerificationId,
        entropy: &mut Entropy,
    ) -> Result<Vec<Span>, Fault> {
        let Some(found) = self.load(id).await? else { return Ok(Vec::new()) };
        let (courses, tries) = (self.courses(&found).await?, self.tries(&found).await?);
        let orders = self.orders();
        let ways = found.attempts.iter().map(|attempt| attempt.route.as_str());
        let carriers: BTreeSet<&str> = ways.filter(|it| orders.carrier(it).is_some()).collect();
        let known = Known { found: &found, courses: &courses, tries: &tries, carriers: &carriers };
        Ok(spans(known, entropy))
    }
}

/// Tells what became of so many spans.
fn tell(spans: usize, outcome: &'static str, why: Option<&str>) {
    telemetry::observe(&Event::Traced { spans, outcome, why });
}

/// Waits until the gateway ends.
async fn ended(stage: &mut watch::Receiver<Stage>) {
    // The sender is the exporter's own.
    let _ = stage.wait_for(|stage| *stage != Stage::Runs).await;
}

impl Batch {
    /// Takes the spans of a trace; what must be sent first, where they do not fit with it.
    fn add(&mut self, now: Instant, spans: Vec<Span>) -> Option<Vec<Span>> {
        if spans.is_empty() {
            return None;
        }
        let full = self.spans.len() + spans.len() > BATCH;
        let full = full.then(|| self.take()).filter(|full| !full.is_empty());
        self.spans.extend(spans);
        let due = if self.spans.len() < BATCH { now + BATCH_HOLD } else { now };
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
        full
    }

    fn take(&mut self) -> Vec<Span> {
        self.due = None;
        std::mem::take(&mut self.spans)
    }
}

/// A request, as this node makes it.
fn request(spans: Vec<Span>, node: &str) -> ExportTraceServiceRequest {
    let (name, version) = ("octothorpe", env!("CARGO_PKG_VERSION"));
    let attributes = vec![
        text("service.name", name),
        text("service.version", version),
        text("service.instance.id", node),
    ];
    let scope = InstrumentationScope {
        name: name.to_owned(),
        version: version.to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() };
    let resource = Resource { attributes, ..Resource::default() };
    let resource_spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

/// What becomes of a request after so many tries, by the answer and by chance, from 0 to 999.
///
/// OTLP/HTTP: 429, 502, 503 and 504 are "retryable", "other 4xx or 5xx MUST NOT be retried"; "the client SHOULD honor the
/// waiting interval specified in the Retry-After header"; "if the client cannot connect, or no response is received, it
/// SHOULD retry … with an exponential backoff … and random jitter".
fn next(answer: Result<Handed, String>, tries: u32, chance: u64) -> Next {
    let pause = Duration::from_secs(1 << tries.min(5)) / 2;
    let pause = pause + pause * u32::try_from(chance).unwrap_or_default() / 1_000;
    match answer {
        Ok(Handed { status: 200..=299, body, .. }) => {
            let told = ExportTraceServiceResponse::decode(body.as_slice()).unwrap_or_default();
            let rejected = told.partial_success.map_or(0, |part| part.rejected_spans);
            Next::Taken(usize::try_from(rejected).unwrap_or_default())
        }
        Ok(Handed { status: 429 | 502 | 503 | 504, wish, .. }) => {
            Next::Again(wish.unwrap_or(pause).min(PAUSE_MOST))
        }
        Ok(Handed { status, .. }) => Next::Refused(format!("answered {status}")),
        Err(_) => Next::Again(pause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(many: usize) -> Vec<Span> {
        vec![Span::default(); many]
    }

    fn answered(status: u16, wish: Option<u64>) -> Result<Handed, String> {
        Ok(Handed { status, wish: wish.map(Duration::from_secs), body: Vec::new() })
    }

    #[test]
    fn what_may_be_taken_later_is_sent_again_and_nothing_else_is() {
        let again = |secs| Next::Again(Duration::from_millis(secs));
        for status in [429, 502, 503, 504] {
            assert_eq!(next(answered(status, None), 1, 0), again(1_000), "{status}");
            assert_eq!(next(answered(status, Some(7)), 1, 500), again(7_000), "{status}");
            assert_eq!(next(answered(status, Some(0)), 1, 500), again(0), "{status}");
            assert_eq!(next(answered(status, Some(86_400)), 1, 500), again(300_000));
        }
        assert_eq!(next(Err("cannot connect".to_owned()), 1, 999), again(1_999));
        assert_eq!(next(Err("cannot connect".to_owned()), 4, 500), again(12_000));
        assert_eq!(next(Err("cannot connect".to_owned()), 9, 0), again(16_000));
        for status in [301, 400, 401, 404, 413, 500, 501] {
            let refused = Next::Refused(format!("answered {status}"));
            assert_eq!(next(answered(status, Some(1)), 1, 0), refused);
        }
        assert_eq!(next(answered(200, None), 1, 0), Next::Taken(0));
        // {"partial_success": {"rejected_spans": 3}}, in protobuf.
        let body = vec![0x0a, 0x02, 0x08, 0x03];
        assert_eq!(next(Ok(Handed { status: 200, wish: None, body }), 1, 0), Next::Taken(3));
    }

    #[test]
    fn traces_wait_for_each_other_and_stay_whole() {
        let (mut batch, first) = (Batch::default(), Instant::now());
        let later = first + Duration::from_secs(1);
        assert_eq!((batch.add(first, Vec::new()), batch.due), (None, None));
        assert_eq!(batch.add(first, spans(500)), None);
        assert_eq!(batch.add(later, spans(11)), None);
        assert_eq!(batch.due, Some(first + BATCH_HOLD), "the first waits no longer for the last");
        assert_eq!(batch.add(later, spans(3)).map(|full| full.len()), Some(511));
        assert_eq!(batch.due, Some(later + BATCH_HOLD));
        assert_eq!(batch.add(later, spans(509)), None);
        assert_eq!(batch.due, Some(later), "a full one goes at once");
        assert_eq!((batch.take().len(), batch.due), (512, None));
        assert_eq!(batch.add(first, spans(600)), None, "one that is too long goes alone");
        assert_eq!((batch.spans.len(), batch.due), (600, Some(first)));
    }

    #[tokio::test]
    async fn the_queue_has_an_end_and_nobody_waits_for_it() {
        let settings =
            OtlpSettings { endpoint: "http://127.0.0.1:9".to_owned(), headers: Vec::new() };
        let (traces, exporter) = Traces::new(Some(&settings)).unwrap();
        let id = VerificationId::parse("vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE").unwrap();
        for _ in 0..=WAITING_MOST {
            traces.settled(&id);
        }
        assert_eq!(exporter.waiting.len(), WAITING_MOST);
        assert!(Traces::new(None).is_none());
    }
}
