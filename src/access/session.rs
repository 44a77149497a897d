//! Who is logged in: sessions that end by themselves, known by what only the browser has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::operator::{Operator, Role};
use crate::ambient::Timestamp;

/// How long a session lasts without anything done in it.
pub const IDLE: Duration = Duration::from_secs(15 * 60);

/// How long a session lasts, whatever is done in it.
pub const LONGEST: Duration = Duration::from_secs(12 * 60 * 60);

/// The most sessions of one operator: a further one takes the place of the one that was idle for the longest.
pub const MOST_EACH: usize = 8;

/// The sessions of a node. Of what a browser presents, a keyed hash is kept alone.
#[derive(Debug)]
pub struct Sessions {
    key: [u8; 32],
    kept: HashMap<[u8; 32], Session>,
}

#[derive(Debug)]
struct Session {
    operator: Arc<Operator>,
    began: Timestamp,
    used: Timestamp,
}

impl Session {
    fn ends(&self) -> Timestamp {
        (self.began + LONGEST).min(self.used + IDLE)
    }
}

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Who.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What every request of theirs that changes something must say, which no other site's page can know.
    pub csrf: String,
    /// When it ends, if nothing is done until then.
    pub until: Timestamp,
}

impl Sessions {
    /// None yet; what is presented is hashed by `key`.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, kept: HashMap::new() }
    }

    /// Begins one that is presented by `id`.
    pub fn begin(&mut self, now: Timestamp, operator: &Arc<Operator>, id: &str) -> Present {
        self.kept.retain(|_, session| session.ends() > now);
        let theirs = self.kept.iter().filter(|(_, it)| it.operator.name == operator.name);
        let mut theirs: Vec<_> = theirs.map(|(hash, it)| (it.used, *hash)).collect();
        theirs.sort_unstable();
        for (_, hash) in theirs.iter().rev().skip(MOST_EACH - 1) {
            self.kept.remove(hash);
        }
        let session = Session { operator: Arc::clone(operator), began: now, used: now };
        let present = self.present(&session, id);
        self.kept.insert(self.hash("session", id), session);
        present
    }

    /// Who presents this, if their session holds and they are one of those who may log in, as they were then.
    /// `is_done`: a person has done something, which their session goes on for.
    pub fn of(
        &mut self,
        now: Timestamp,
        operators: &[Arc<Operator>],
        id: &str,
        is_done: bool,
    ) -> Option<Present> {
        let hash = self.hash("session", id);
        let session = self.kept.get_mut(&hash)?;
        if session.ends() <= now || !operators.contains(&session.operator) {
            self.kept.remove(&hash);
            return None;
        }
        if is_done {
            session.used = session.used.max(now);
        }
        let session = self.kept.get(&hash)?;
        Some(self.present(session, id))
    }

    /// Ends the one that is presented by this.
    pub fn end(&mut self, id: &str) {
        self.kept.remove(&self.hash("session", id));
    }

    fn present(&self, session: &Session, id: &str) -> Present {
        let Operator { name, role, .. } = &*session.operator;
        let csrf = BASE64.encode(self.hash("csrf", id));
        Present { name: name.clone(), role: *role, csrf, until: session.ends() }
    }

    fn hash(&self, purpose: &str, id: &str) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            // HMAC takes keys of any length.
            return [0; 32];
        };
        mac.update(purpose.as_bytes());
        mac.update(&[0]);
        mac.update(id.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::operator::tests::operator;
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn everybody() -> [Arc<Operator>; 2] {
        [operator("eve", Role::Viewer), operator("bob", Role::Admin)].map(Arc::new)
    }

    #[test]
    fn a_session_ends_when_nothing_is_done_and_after_half_a_day() {
        let (all, mut sessions) = (everybody(), Sessions::new([1; 32]));
        let begun = sessions.begin(NOW, &all[1], "one");
        assert_eq!((begun.name.as_str(), begun.role), ("bob", Role::Admin));
        assert_eq!(begun.until, NOW + IDLE);
        let last = NOW + IDLE - Duration::from_secs(1);
        // Who only looks on stays no longer.
        let seen = sessions.of(last, &all, "one", false).unwrap();
        assert_eq!((seen.until, &seen.csrf), (NOW + IDLE, &begun.csrf));
        assert!(sessions.of(NOW + IDLE, &all, "one", false).is_none());
        sessions.begin(NOW, &all[1], "two");
        let mut at = NOW;
        while let Some(present) = sessions.of(at, &all, "two", true) {
            assert!(present.until <= NOW + LONGEST);
            at = at + IDLE - Duration::from_secs(1);
        }
        assert!(at >= NOW + LONGEST && at < NOW + LONGEST + IDLE);
    }

    #[test]
    fn a_session_is_known_by_its_own_id_alone_and_ends_when_it_is_ended() {
        let (all, mut sessions) = (everybody(), Sessions::new([1; 32]));
        let (one, two) = (sessions.begin(NOW, &all[0], "one"), sessions.begin(NOW, &all[0], "two"));
        assert_ne!(one.csrf, two.csrf);
        assert!(sessions.of(NOW, &all, "", true).is_none());
        sessions.end("one");
        assert!(sessions.of(NOW, &all, "one", true).is_none());
        assert_eq!(sessions.of(NOW, &all, "two", true), Some(two));
        let mut others = Sessions::new([2; 32]);
        assert!(others.of(NOW, &all, "two", true).is_none());
        assert!(!format!("{sessions:?}").contains("two"));
    }

    #[test]
    fn whoever_is_changed_or_removed_is_out() {
        let (all, mut sessions) = (everybody(), Sessions::new([1; 32]));
        for changed in [
            Operator { role: Role::Operator, ..(*all[0]).clone() },
            Operator { password: all[1].password.clone(), ..(*all[0]).clone() },
            Operator { totp: all[1].totp.clone(), ..(*all[0]).clone() },
        ] {
            sessions.begin(NOW, &all[0], "one");
            // Read anew and the same: they stay.
            let same = [Arc::new((*all[0]).clone())];
            assert!(sessions.of(NOW, &same, "one", true).is_some());
            assert!(sessions.of(NOW, &[Arc::new(changed)], "one", true).is_none());
            assert!(sessions.of(NOW, &all, "one", true).is_none(), "and stays out");
        }
        sessions.begin(NOW, &all[0], "one");
        assert!(sessions.of(NOW, &all[1..], "one", true).is_none());
    }

    #[test]
    fn there_are_only_so_many_and_the_idle_ones_go() {
        let (all, mut sessions) = (everybody(), Sessions::new([1; 32]));
        sessions.begin(NOW, &all[1], "bob's");
        for no in 0..MOST_EACH {
            sessions.begin(NOW, &all[0], &format!("{no}"));
        }
        let later = NOW + Duration::from_secs(60);
        assert!(sessions.of(later, &all, "0", true).is_some());
        sessions.begin(later, &all[0], "another");
        assert_eq!(sessions.kept.len(), MOST_EACH + 1);
        for there in ["0", "another", "bob's"] {
            assert!(sessions.of(later, &all, there, false).is_some(), "{there}");
        }
        sessions.begin(NOW + LONGEST, &all[1], "next");
        assert_eq!(sessions.kept.len(), 1);
    }
}
