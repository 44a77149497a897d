//! What stands before the SIP sockets: how much is spent on what belongs to no call, and who is
//! answered.
//!
//! Nobody calls us. What belongs to a live call is handed to it, wherever it comes from. Of the rest,
//! that of a trunk's address gets the stateless answer that it is due, and that of anybody else gets
//! none: a scanner does not even learn that somebody listens. Each source may send so much and no
//! more before it is read at all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::ambient::{Clock, Timestamp};
use crate::gateway::settings::Trunk;
use crate::telemetry::{self, Event};

/// What one stranger may send: 20 messages a second, 50 at once.
const STRANGER: Rate = Rate { each: Duration::from_millis(50), burst: 50 };

/// What all strangers together may send, whose addresses cost them nothing: 500 a second, 1,000 at
/// once.
const STRANGERS: Rate = Rate { each: Duration::from_millis(2), burst: 1_000 };

/// What the address of a trunk may send that belongs to no call: 1,000 a second, 2,000 at once.
const TRUNK: Rate = Rate { each: Duration::from_millis(1), burst: 2_000 };

/// How many lines the log has of strangers: one a second, 10 at once.
const LINES: Rate = Rate { each: Duration::from_secs(1), burst: 10 };

/// How long a source that was told of in the log is not told of again.
const TOLD: Duration = Duration::from_secs(60);

/// How many sources are kept apart. Those beyond share what is left for all together.
const MOST_SOURCES: usize = 4_096;

/// How often sources that are quiet are looked for, to forget them.
const SWEEP: Duration = Duration::from_secs(1);

/// How many addresses a trunk is known by. The one that was learned first is forgotten first.
const MOST_ADDRESSES: usize = 64;

/// The addresses of trunks. Cheap to clone; every clone is the same.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Known(Arc<RwLock<HashMap<String, Vec<IpAddr>>>>);

impl Known {
    /// Learns that a trunk is at this address.
    pub(in crate::gateway) fn learn(&self, trunk: &str, address: IpAddr) {
        let address = address.to_canonical();
        let has = |trunks: &HashMap<String, Vec<IpAddr>>| {
            trunks.get(trunk).is_some_and(|addresses| addresses.contains(&address))
        };
        // Nearly always it is known, and nobody waits.
        if has(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut trunks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let addresses = trunks.entry(trunk.to_owned()).or_default();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
        if addresses.len() > MOST_ADDRESSES {
            addresses.remove(0);
        }
    }

    /// These trunks from now on. Addresses that are written as such are known at once, those of names as
    /// soon as they are resolved; whoever stays is known as before.
    pub(in crate::gateway) fn set(&self, trunks: &[Trunk]) {
        let stays = |name: &String| trunks.iter().any(|trunk| trunk.name == *name);
        self.0.write().unwrap_or_else(PoisonError::into_inner).retain(|name, _| stays(name));
        for trunk in trunks {
            for place in trunk.proxy.iter().chain([&trunk.target]) {
                let _ = place.host.parse().map(|address| self.learn(&trunk.name, address));
            }
        }
    }

    /// Whether a trunk is there.
    fn has(&self, address: IpAddr) -> bool {
        let trunks = self.0.read().unwrap_or_else(PoisonError::into_inner);
        trunks.values().any(|addresses| addresses.contains(&address))
    }
}

/// The guard of all SIP sockets.
#[derive(Debug)]
pub(in crate::gateway) struct Guard {
    clock: Clock,
    known: Known,
    door: Mutex<Door>,
}

impl Guard {
    /// A guard who knows these.
    pub(in crate::gateway) fn new(clock: Clock, known: Known) -> Self {
        Self { clock, known, door: Mutex::new(Door::default()) }
    }

    /// Whether something is read that belongs to no call, as far as one can see.
    pub(super) fn admits(&self, from: SocketAddr) -> bool {
        let address = from.ip().to_canonical();
        let is_trunk = self.known.has(address);
        let admitted = {
            let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
            door.admits(self.clock.now(), address, is_trunk)
        };
        if !admitted {
            self.observe(from, is_trunk, "flood");
        }
        admitted
    }

    /// Takes note of something that belongs to no call; whether it may be answered.
    pub(super) fn answers(&self, from: SocketAddr, kind: &str) -> bool {
        let is_trunk = self.known.has(from.ip().to_canonical());
        self.observe(from, is_trunk, kind);
        is_trunk
    }

    fn observe(&self, from: SocketAddr, is_trunk: bool, kind: &str) {
        let told = if is_trunk {
            None
        } else {
            let mut door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
            door.tells(self.clock.now(), from.ip().to_canonical())
        };
        telemetry::observe(&Event::Stray { from, is_trunk, kind, told });
    }
}

/// A rate, as the generic cell rate algorithm takes it.
#[derive(Clone, Copy, Debug)]
struct Rate {
    /// The time that one takes.
    each: Duration,
    /// How many may come at once.
    burst: u32,
}

/// What is left of a rate: the time at which all of it will be back.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    full_at: Timestamp,
}

impl Bucket {
    fn takes(&mut self, now: Timestamp, rate: Rate) -> bool {
        let full_at = self.full_at.max(now) + rate.each;
        let fits = full_at.since(now) <= rate.each * rate.burst;
        if fits {
            self.full_at = full_at;
        }
        fits
    }
}

/// What is known of one source.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    bucket: Bucket,
    told: Option<Timestamp>,
    /// What was seen of it since.
    untold: u64,
}

impl Source {
    /// Whether forgetting it changes nothing.
    fn is_quiet(&self, now: Timestamp) -> bool {
        self.bucket.full_at <= now && self.told.is_none_or(|told| now.since(told) >= TOLD)
    }
}

/// The guard's memory: who came how often.
#[derive(Debug, Default)]
struct Door {
    trunks: Sources,
    strangers: Sources,
    together: Bucket,
    lines: Bucket,
}

impl Door {
    fn admits(&mut self, now: Timestamp, from: IpAddr, is_trunk: bool) -> bool {
        if is_trunk {
            let source = self.trunks.find(now, from);
            return source.is_none_or(|source| source.bucket.takes(now, TRUNK));
        }
        let source = self.strangers.find(now, from);
        source.is_none_or(|source| source.bucket.takes(now, STRANGER))
            && self.together.takes(now, STRANGERS)
    }

    /// How often this stranger was seen since the log told of it last, where it is time to tell.
    fn tells(&mut self, now: Timestamp, from: IpAddr) -> Option<u64> {
        let source = self.strangers.find(now, from)?;
        source.untold += 1;
        let is_due = source.told.is_none_or(|told| now.since(told) >= TOLD);
        if !is_due || !self.lines.takes(now, LINES) {
            return None;
        }
        source.told = Some(now);
        Some(std::mem::take(&mut source.untold))
    }
}

/// Sources that are kept apart.
#[derive(Debug, Default)]
struct Sources {
    known: HashMap<IpAddr, Source>,
    swept: Timestamp,
}

impl Sources {
    /// A source; `None` when there is no place for another one.
    fn find(&mut self, now: Timestamp, from: IpAddr) -> Option<&mut Source> {
        let from = network(from);
        if self.known.len() >= MOST_SOURCES && !self.known.contains_key(&from) {
            if now.since(self.swept) < SWEEP {
                return None;
            }
            self.swept = now;
            self.known.retain(|_, source| !source.is_quiet(now));
            if self.known.len() >= MOST_SOURCES {
                return None;
            }
        }
        Some(self.known.entry(from).or_default())
    }
}

/// What one owner has: an IPv4 address, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::settings::Target;

    const NOW: Timestamp = Timestamp::from_secs(1_000);

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_gets_a_burst_and_then_its_rate() {
        let mut door = Door::default();
        let mut many = |now, from: &str, is_trunk, count| {
            (0..count).filter(|_| door.admits(now, ip(from), is_trunk)).count()
        };
        assert_eq!(many(NOW, "192.0.2.1", false, 200), 50);
        assert_eq!(many(NOW + Duration::from_secs(1), "192.0.2.1", false, 200), 20);
        assert_eq!(many(NOW + Duration::from_secs(60), "192.0.2.1", false, 200), 50);
        let later = NOW + Duration::from_secs(60);
        // Others are not held up by it, nor is a trunk.
        assert_eq!(many(later, "192.0.2.2", false, 10), 10);
        assert_eq!(many(later, "192.0.2.1", true, 5_000), 2_000);
        // The addresses of one network are one source.
        assert_eq!(many(later, "2001:db8::1", false, 30), 30);
        assert_eq!(many(later, "2001:db8::2", false, 30), 20);
        assert_eq!(many(later, "2001:db8:0:1::2", false, 30), 30);
    }

    #[test]
    fn addresses_that_cost_nothing_fill_neither_memory_nor_time() {
        let mut door = Door::default();
        let flood = |door: &mut Door, now, from: u32| {
            let all = (from..from + 100_000).map(|bits| IpAddr::from(bits.to_be_bytes()));
            all.filter(|&address| door.admits(now, address, false)).count()
        };
        assert_eq!(flood(&mut door, NOW, 0x0a00_0000), 1_000);
        assert_eq!(door.strangers.known.len(), MOST_SOURCES);
        // Once they are quiet, there is a place for others.
        let later = NOW + SWEEP;
        assert!(door.admits(later, ip("192.0.2.1"), false));
        assert_eq!(door.strangers.known.len(), 1);
    }

    #[test]
    fn a_source_is_forgotten_once_nothing_is_held_against_it() {
        let at = |seconds| NOW + Duration::from_secs(seconds);
        let quiet = |full_at, told| {
            Source { bucket: Bucket { full_at }, told, untold: 0 }.is_quiet(NOW + TOLD)
        };
        assert!(quiet(at(60), None) && quiet(at(60), Some(NOW)));
        assert!(!quiet(at(61), None) && !quiet(at(61), Some(NOW)));
        assert!(!quiet(at(60), Some(at(1))));
    }

    #[test]
    fn the_log_has_a_line_for_each_source_and_minute_and_not_one_for_each_of_a_million() {
        let mut door = Door::default();
        let at = |seconds| NOW + Duration::from_secs(seconds);
        assert_eq!(door.tells(NOW, ip("192.0.2.1")), Some(1));
        let mut told = |seconds| door.tells(at(seconds), ip("192.0.2.1"));
        assert_eq!([told(1), told(59), told(60)], [None, None, Some(3)]);
        let lines = (0..1_000_u32)
            .filter(|bits| door.tells(at(61), IpAddr::from(bits.to_be_bytes())).is_some());
        assert_eq!(lines.count(), 10);
    }

    #[test]
    fn the_guard_tells_trunks_from_strangers_by_their_plain_addresses() {
        let known = Known::default();
        known.learn("one", ip("192.0.2.7"));
        let guard = Guard::new(Clock::manual(NOW), known);
        let read = |from: &str| {
            let from = from.parse().unwrap();
            (0..60).filter(|_| guard.admits(from)).count()
        };
        assert_eq!((read("192.0.2.7:5060"), read("192.0.2.9:5060")), (60, 50));
        assert_eq!(read("[::ffff:192.0.2.9]:1024"), 0);
    }

    #[test]
    fn trunks_that_are_gone_are_strangers_and_those_that_stay_are_known_as_before() {
        let trunk = |name: &str, host: &str| {
            Trunk::new(name, Target { host: host.to_owned(), port: None, transport: None })
        };
        let proxied =
            Trunk { proxy: Some(trunk("", "192.0.2.3").target), ..trunk("b", "b.example") };
        let known = Known::default();
        known.set(&[trunk("a", "192.0.2.1"), proxied.clone()]);
        let are_known = |last: [u8; 4]| last.map(|last| known.has([192, 0, 2, last].into()));
        assert_eq!(are_known([1, 2, 3, 4]), [true, false, true, false]);
        known.learn("b", ip("192.0.2.4"));
        known.set(&[trunk("c", "192.0.2.2"), proxied]);
        assert_eq!(are_known([1, 2, 3, 4]), [false, true, true, true]);
    }

    #[test]
    fn a_trunk_is_known_by_each_address_and_answered() {
        let known = Known::default();
        known.learn("one", ip("192.0.2.7"));
        known.learn("one", ip("::ffff:192.0.2.8"));
        let guard = Guard::new(Clock::manual(NOW), known.clone());
        let answers = |from: &str| guard.answers(from.parse().unwrap(), "OPTIONS");
        assert!(answers("192.0.2.7:5060") && answers("192.0.2.8:1024"));
        assert!(answers("[::ffff:192.0.2.7]:5060"));
        assert!(!answers("192.0.2.9:5060"));
        // The one that was learned first is forgotten first.
        for n in 2..u32::try_from(MOST_ADDRESSES).unwrap() {
            known.learn("one", IpAddr::from(n.to_be_bytes()));
        }
        assert!(answers("192.0.2.7:5060"));
        known.learn("one", ip("192.0.2.10"));
        assert!(!answers("192.0.2.7:5060") && answers("192.0.2.8:1024"));
    }
}
