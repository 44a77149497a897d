//! The course of an attempt: what happened on one call of our own, as it is kept for those who ask later.
//!
//! The thread that owns a call gathers it while the call lives; nothing is shared and nothing locked. It is
//! written when the call has ended, as a row of its own beside its verification, kept as long and erased with
//! it. It holds messages of SIP masked (`mask`), headers of RTP as runs (`streams`), and of each key that it was heard
//! and how, never which. It is bounded, whatever the far end sends.

pub(crate) mod mask;
pub(crate) mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use self::streams::{Flow, Line, Streams};
use super::engine::Command;
use super::tap::{Act, Packet, Protocol, Scene};
use super::{Fault, Gateway};
use crate::ambient::Timestamp;
use crate::sip::Transport;
use crate::store::record;
use crate::store::{Commit, Forgotten, RecordWrite};
use crate::telemetry::{self, Event};
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;

/// The group of these records. No tenant has this name.
pub(super) const GROUP: &str = "/courses";

/// What their names begin with.
pub(super) const COURSES: &str = "course/";

/// The most octets of SIP that are kept of a call: a usual one has a quarter of it.
const SIP_MOST: usize = 32 * 1024;

/// Stands for a key that is not told.
pub(super) const HIDDEN: char = '•';

/// The most moments that are kept of a call.
const MOMENTS_MOST: usize = 256;

/// What happened on one attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Which.
    pub(crate) attempt: AttemptNo,
    /// When it began.
    pub(crate) began: Timestamp,
    /// What happened, in its order.
    pub(crate) moments: Vec<Moment>,
    /// The RTP.
    pub(crate) streams: Streams,
    /// How many moments went without being kept.
    pub(crate) left_out: u32,
    /// How many octets of SIP are kept.
    octets: usize,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// When.
    pub(crate) at: Timestamp,
    /// What.
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// A SIP message, masked.
    Sip { sent: bool, by: By, from: SocketAddr, to: SocketAddr, message: String },
    /// The network worked at it, or the phone rang.
    Ringing { status: u16 },
    /// It was answered.
    Answered { status: u16 },
    /// The extension was dialled.
    Dialling,
    /// This was said.
    Saying(String),
    /// The question was over.
    Listening,
    /// A key was heard, first by this way.
    Key { path: String },
    /// More was known of who was there.
    Label { is: String, cue: String, percent: u8 },
}

/// A SIP transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum By {
    Udp,
    Tcp,
    Tls,
}

impl From<Transport> for By {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Udp => Self::Udp,
            Transport::Tcp => Self::Tcp,
            Transport::Tls => Self::Tls,
        }
    }
}

impl From<By> for Transport {
    fn from(by: By) -> Self {
        match by {
            By::Udp => Self::Udp,
            By::Tcp => Self::Tcp,
            By::Tls => Self::Tls,
        }
    }
}

/// A course while its call lives. What every packet touches lies with the call: whatever lies elsewhere is far from
/// the processor of a thread that has many calls.
#[derive(Debug)]
pub(super) struct Recorder {
    flow: Flow,
    course: Box<Course>,
}

impl Recorder {
    /// That of an attempt whose call begins.
    pub(super) fn new(attempt: AttemptNo, began: Timestamp) -> Self {
        Self { flow: Flow::default(), course: Box::new(Course::new(attempt, began)) }
    }

    /// Something happened.
    pub(super) fn add(&mut self, at: Timestamp, what: What) {
        self.course.add(at, what);
    }

    /// A SIP message went, which is masked already.
    pub(super) fn sip(&mut self, at: Timestamp, line: Line, by: Transport, message: &[u8]) {
        self.course.sip(at, line, by, message);
    }

    /// A packet of RTP went.
    pub(super) fn rtp(&mut self, at: Timestamp, line: &Line, datagram: &[u8]) {
        self.flow.add(&mut self.course.streams, at, line, datagram);
    }

    /// What happened so far.
    pub(super) fn so_far(&self) -> Box<Course> {
        let mut course = self.course.clone();
        course.streams.close(&self.flow);
        course
    }

    /// What happened.
    pub(super) fn end(mut self) -> Box<Course> {
        self.course.streams.close(&self.flow);
        self.course
    }
}

impl Course {
    /// That of an attempt whose call begins.
    fn new(attempt: AttemptNo, began: Timestamp) -> Self {
        let (moments, streams) = (Vec::new(), Streams::default());
        Self { attempt, began, moments, streams, left_out: 0, octets: 0 }
    }

    /// Something happened.
    fn add(&mut self, at: Timestamp, what: What) {
        if self.moments.len() < MOMENTS_MOST {
            self.moments.push(Moment { at, what });
        } else {
            self.left_out += 1;
        }
    }

    /// A SIP message went, which is masked already.
    fn sip(&mut self, at: Timestamp, line: Line, by: Transport, message: &[u8]) {
        let message = String::from_utf8_lossy(message).into_owned();
        // As it is written, with its escapes.
        let octets = self.octets + serde_json::to_string(&message).map_or(SIP_MOST, |it| it.len());
        if octets > SIP_MOST {
            self.left_out += 1;
            return;
        }
        self.octets = octets;
        let Line { sent, from, to } = line;
        self.add(at, What::Sip { sent, by: by.into(), from, to, message });
    }

    /// The same as it was shown to whoever looked on, so far as it was kept.
    #[must_use]
    pub fn scenes(&self, verification: &VerificationId) -> Vec<Scene> {
        let moments = self.moments.iter().filter_map(|it| Some((it.at, it.what.act()?)));
        let packets = self.streams.packets().into_iter().map(|(at, line, bytes)| {
            let Line { sent, from, to } = line;
            (at, Act::Packet(Packet { protocol: Protocol::Rtp, from, to, sent, bytes }))
        });
        let scene = |(at, act)| Scene { at, verification: verification.clone(), act };
        let mut scenes: Vec<Scene> = moments.chain(packets).map(scene).collect();
        scenes.sort_by_key(|scene| scene.at);
        scenes
    }
}

impl What {
    /// What it looked like.
    fn act(&self) -> Option<Act> {
        Some(match self {
            Self::Sip { sent, by, from, to, message } => Act::Packet(Packet {
                protocol: Protocol::Sip((*by).into()),
                from: *from,
                to: *to,
                sent: *sent,
                bytes: message.clone().into_bytes(),
            }),
            Self::Dialling => Act::Dialling,
            Self::Saying(text) => Act::Saying(text.as_str().into()),
            Self::Key { path } => Act::Key { digit: HIDDEN, path: path.clone().into() },
            Self::Label { is, cue, percent } => {
                let (is, cue) = (is.clone().into(), cue.clone().into());
                Act::Label { is, cue, percent: *percent }
            }
            Self::Ringing { .. } | Self::Answered { .. } | Self::Listening => return None,
        })
    }
}

/// Where courses go whose calls have ended. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Courses {
    ended: mpsc::UnboundedSender<(VerificationId, Box<Course>)>,
    waiting: Arc<AtomicUsize>,
}

/// Courses whose calls have ended.
pub(crate) type Ended = mpsc::UnboundedReceiver<(VerificationId, Box<Course>)>;

impl Courses {
    /// The way, and its end.
    pub(crate) fn new() -> (Self, Ended) {
        let (ended, receiver) = mpsc::unbounded_channel();
        (Self { ended, waiting: Arc::default() }, receiver)
    }

    /// A call has ended.
    pub(super) fn end(&self, verification: VerificationId, course: Box<Course>) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.ended.send((verification, course)).is_err() {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many are not written yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Gateway {
    /// Writes courses whose calls have ended, for as long as the gateway is there.
    pub(super) async fn keep_courses(self, courses: Courses, mut ended: Ended) {
        while let Some((id, course)) = ended.recv().await {
            if let Err(fault) = self.keep_course(&id, &course).await {
                telemetry::observe(&Event::Fault { doing: "keep a call's course", error: &fault });
            }
            courses.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn keep_course(&self, id: &VerificationId, course: &Course) -> Result<(), Fault> {
        let record = RecordWrite {
            id: name_of(id, course.attempt),
            expected: None,
            version: 1,
            bytes: record::encode_value(course)?,
            wake: None,
            group: GROUP.to_owned(),
            created: course.began,
        };
        let now = self.now();
        self.write(Commit { now, record: Some(record), ..Commit::default() }).await?;
        // Who was erased meanwhile stays so.
        if self.load(id).await?.is_none() {
            let names = vec![courses_of(id.as_str())];
            self.0.store.forget(Forgotten { names, ..Forgotten::default() }).await?;
        }
        Ok(())
    }

    /// The course of an attempt, so far as it is known: from its thread while the call lives on this node, from the
    /// store afterwards.
    pub(super) async fn course(
        &self,
        id: &VerificationId,
        attempt: AttemptNo,
    ) -> Result<Option<Course>, Fault> {
        if let Some(calls) = &self.0.calls
            && let Some(seat) = calls.of(&(id.clone(), attempt))
        {
            let (tell, told) = tokio::sync::oneshot::channel();
            calls.command(seat, Command::Course { leg: seat.leg, tell });
            if let Ok(course) = told.await {
                return Ok(Some(*course));
            }
        }
        let stored = self.0.store.load(&name_of(id, attempt)).await?;
        Ok(stored.map(|stored| record::decode_value(&stored.bytes)).transpose()?)
    }
}

/// How the names of the courses of a verification begin.
pub(super) fn courses_of(id: &str) -> String {
    format!("{COURSES}{id}/")
}

fn name_of(id: &VerificationId, attempt: AttemptNo) -> String {
    format!("{}{attempt}", courses_of(id.as_str()))
}

/// Whether a group has the records of courses.
pub(super) fn is_of_courses(group: &str) -> bool {
    group == GROUP
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(sent: bool) -> Line {
        let (a, b) = ("192.0.2.1:5060".parse().unwrap(), "192.0.2.2:5060".parse().unwrap());
        if sent { Line { sent, from: a, to: b } } else { Line { sent, from: b, to: a } }
    }

    #[test]
    fn a_course_comes_back_from_its_row_and_is_shown_in_order() {
        let began = Timestamp::from_secs(1_795_716_000);
        let at = |ms| began + Duration::from_millis(ms);
        let mut course = Recorder::new(AttemptNo::FIRST, began);
        let invite = mask::masked(b"INVITE sip:+12025550123@x SIP/2.0\r\n\r\n");
        course.sip(at(1), line(true), Transport::Udp, &invite);
        course.add(at(20), What::Ringing { status: 180 });
        course.add(at(80), What::Key { path: "info".to_owned() });
        course.rtp(at(50), &line(false), &[0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xff]);
        assert_eq!(course.so_far().streams.packets().len(), 1);
        let course = course.end();
        let bytes = record::encode_value(&course).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("2025550123"));
        let read: Course = record::decode_value(&bytes).unwrap();
        assert_eq!(read, *course);
        let id = VerificationId::parse("vf_01JDFZ8V6Q3K5T9W2R4Y7B0CDE").unwrap();
        let scenes = read.scenes(&id);
        let times: Vec<_> = scenes.iter().map(|scene| scene.at).collect();
        assert_eq!(times, [at(1), at(50), at(80)]);
        assert!(matches!(&scenes[2].act, Act::Key { digit: HIDDEN, path } if path == "info"));
    }

    #[test]
    fn whatever_the_far_end_sends_a_row_stays_small() {
        let mut course = Recorder::new(AttemptNo::FIRST, Timestamp::default());
        for n in 0..10_000_u64 {
            let at = Timestamp::from_micros(n);
            course.sip(at, line(false), Transport::Udp, &[7; 1_000]);
            course.add(at, What::Listening);
            let [.., high, low] = n.to_be_bytes();
            for payload_type in [0, 101] {
                let header = [0x80, 0x80 | payload_type, high, low, 0, 0, high, low, 1, 2, 3, 4];
                course.rtp(at, &line(n % 2 == 0), &[&header[..], &[high, low, 9, 9]].concat());
            }
        }
        let course = course.end();
        assert_eq!(course.left_out, 20_000 - 256);
        let bytes = record::encode_value(&course).unwrap();
        assert!(bytes.len() < 200_000, "{}", bytes.len());
    }
}
