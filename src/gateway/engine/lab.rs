//! An engine by itself: real legs on real sockets, and no gateway around it. What `bench media`
//! measures.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use super::gauge::{Account, Gauge, Meter};
pub(crate) use super::wire::{Inbox, MANY};
use super::{Command, EngineHandle, Occupant, Shared, start};
use crate::ambient::{Clock, Entropy};
pub(crate) use crate::gateway::course::Courses;
use crate::gateway::line::{Exit, Net};
use crate::gateway::ports::{Berth, Ports};
use crate::gateway::settings::{RtpPort, Tls};
use crate::gateway::tap::Tap;
use crate::media::prompt::{Pack, PackError};
use crate::media::script::{Kind, Lines, Question};
use crate::media::{Codec, Protection, script};
use crate::sip::message::{self, Incoming};
use crate::sip::{Hop, NameAddr, Uri, Way, call};
use crate::verify::VerificationId;
use crate::verify::attempt::AttemptNo;
use crate::verify::signal::Signal;
use crate::voice::{self, Leg, Speech, Tongue};

/// Nothing in a lab ends by itself.
const FOREVER: Duration = Duration::from_secs(3_600);

/// The engine, and what reaches it.
pub(crate) struct Lab {
    shared: Arc<Shared>,
    /// What is said.
    pack: Arc<Pack>,
    handle: EngineHandle,
    thread: Option<JoinHandle<()>>,
    exit: Exit,
    trunk: Hop,
    local: SocketAddr,
    entropy: Entropy,
    /// The legs, by their Call-ID.
    legs: HashMap<String, u64>,
    /// What legs learn is of no use here.
    _signals: tokio::sync::mpsc::UnboundedReceiver<(VerificationId, Signal)>,
}

impl Lab {
    /// Starts an engine whose calls go to this trunk, within a runtime.
    ///
    /// # Errors
    /// When the system refuses a socket or a thread.
    pub(crate) fn start(
        clock: Clock,
        pack: Arc<Pack>,
        ports: (u16, u16),
        trunk: SocketAddr,
        tap: Option<Tap>,
        courses: Option<Courses>,
    ) -> io::Result<Self> {
        let mut entropy = Entropy::system();
        let listen = Hop::udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let bound = Net::bind(&[listen], None, clock.clone());
        let (net, _) = bound.map_err(|(_, error)| error)?;
        let local = net.bound().first().map_or(listen.address, |hop| hop.address);
        let exit = net.exit(&Tls::default(), "bench");
        let (signals, receiver) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            clock,
            ports: Ports::new(ports, entropy.fork()),
            calls: OnceLock::new(),
            signals,
            tap,
            courses,
            hep: None,
        });
        let (handle, thread) = start(0, Arc::clone(&shared))?;
        Ok(Self {
            shared,
            pack,
            handle,
            thread: Some(thread),
            exit,
            trunk: Hop::udp(trunk),
            local,
            entropy,
            legs: HashMap::new(),
            _signals: receiver,
        })
    }

    /// Begins a call that talks until it is stopped: its INVITE goes to the trunk.
    ///
    /// # Errors
    /// When no port is free, or the prompts lack a phrase.
    pub(crate) fn call(&mut self, port: RtpPort, srtp: Protection) -> anyhow::Result<()> {
        let (ip, now) = (IpAddr::V4(Ipv4Addr::LOCALHOST), self.shared.clock.now());
        let (ports, handle) = (&self.shared.ports, &self.handle);
        let berth = match port {
            RtpPort::PerCall => Berth::Own(ports.take(ip, now)?),
            RtpPort::Shared => {
                Berth::Common(ports.share(0, ip, now, |pair| handle.send(Command::Share { pair }))?)
            }
        };
        let leg = self.leg(berth.address(), srtp)?;
        let name = u64::try_from(self.legs.len()).unwrap_or_default() + 1;
        self.legs.insert(leg.call_id().to_owned(), name);
        let seat = Box::new(Occupant {
            leg,
            verification: VerificationId::new(now, &mut self.entropy),
            attempt: AttemptNo::FIRST,
            trunk: "bench".to_owned(),
            exit: self.exit.clone(),
            local: self.local,
            berth,
        });
        self.handle.send(Command::Begin { leg: name, seat });
        Ok(())
    }

    fn leg(&mut self, rtp: SocketAddr, srtp: Protection) -> Result<Leg, PackError> {
        let call = call::Order {
            ring_timeout: FOREVER,
            ..call::Order::new(
                call::Target {
                    is_phone: true,
                    ..call::Target::new("+12025550123", "trunk.example")
                },
                vec![Way { hop: self.trunk, local: self.local }],
                NameAddr::new(Uri::sip("+12025550100", "trunk.example", None)),
            )
        };
        let question = Question::Confirm;
        let codecs = Codec::USUAL.to_vec();
        let order = voice::Order { call, rtp, srtp, codecs, question, extension: None };
        let script = script::Settings {
            listen: Duration::from_secs(1),
            rounds: None,
            ..script::Settings::default()
        };
        let settings = voice::Settings {
            script,
            call_limit: FOREVER,
            media_grace: FOREVER,
            ..voice::Settings::default()
        };
        let pack = Arc::clone(&self.pack);
        let lines = Lines::of(&pack, None, Kind::Confirm)?;
        let speech = Speech { own: Tongue { pack, lines }, offers: Vec::new() };
        Ok(Leg::new(order, speech, self.entropy.fork(), settings))
    }

    /// Hands a leg what its trunk answers.
    pub(crate) fn answer(&self, datagram: Vec<u8>) {
        let Ok(Incoming::Message(message)) = message::read(&datagram) else { return };
        if let Some(leg) = self.legs.get(message.call_id()) {
            let leg = *leg;
            self.handle.send(Command::Sip { leg, from: self.trunk, datagram, message });
        }
    }

    /// What the engine did since the last time this was asked.
    pub(crate) fn account(&self) -> Account {
        self.handle.gauge().take()
    }

    /// How many legs have media.
    pub(crate) fn legs(&self) -> usize {
        self.handle.gauge().legs()
    }

    /// Hangs up every call.
    pub(crate) fn hang_up(&self) {
        self.handle.send(Command::StopAll);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.handle.send(Command::Exit);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
