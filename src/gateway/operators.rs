//! Operators log in: limits and one-time codes count for all nodes, sessions are those of this one.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde_json::json;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::audit::Act;
use super::{Fault, Gateway};
use crate::access::operator::{CODE_LIFE, Known, Login, Operator};
use crate::access::session::{Present, Sessions};
use crate::ambient::{self, Timestamp};
use crate::store::Counter;
use crate::verify::limits::network;

/// Within how long wrong logins are counted.
const WINDOW: Duration = Duration::from_secs(15 * 60);

/// The most wrong logins of a name, and from an address, within that.
const MOST: (u64, u64) = (10, 20);

/// The most passwords that are computed at once: each takes megabytes.
const AT_ONCE: usize = 2;

/// The most logins that are under way; whoever comes then is turned away.
const UNDER_WAY: usize = 32;

/// The tenant of these counters: no tenant can have this name.
const OPERATORS: &str = "/operators";

/// Who is in, and how many may knock at once.
pub(super) struct Entrance {
    sessions: Mutex<Sessions>,
    computing: Arc<Semaphore>,
    under_way: Semaphore,
}

impl Default for Entrance {
    fn default() -> Self {
        Self {
            sessions: Mutex::new(Sessions::new(ambient::secret())),
            computing: Arc::new(Semaphore::new(AT_ONCE)),
            under_way: Semaphore::new(UNDER_WAY),
        }
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entrance").finish_non_exhaustive()
    }
}

impl Entrance {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody came in.
#[derive(Clone)]
pub struct Entered {
    /// What they present from now on; kept nowhere here.
    pub id: Zeroizing<String>,
    /// Who they are.
    pub present: Present,
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").field("present", &self.present).finish_non_exhaustive()
    }
}

/// Why somebody did not come in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Name, password or code: which of them is not told.
    #[error("name, password or code is wrong")]
    Wrong,
    /// Wrong too often, in this name or from this address.
    #[error("there were too many wrong logins")]
    TooOften {
        /// In how long it may be tried again.
        wait: Duration,
    },
    /// Too many knock at once.
    #[error("too many log in at once")]
    Busy,
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Gateway {
    /// Whether anybody may log in at all.
    #[must_use]
    pub fn has_operators(&self) -> bool {
        !self.orders().operators.is_empty()
    }

    /// Lets an operator in who comes from this address. What was tried in vain stands in the audit log, and
    /// counts against the name and the address.
    ///
    /// # Errors
    /// Why they do not come in.
    pub async fn log_in(&self, login: Login, from: Option<IpAddr>) -> Result<Entered, LoginError> {
        let entrance = &self.0.entrance;
        let _under_way = entrance.under_way.try_acquire().map_err(|_| LoginError::Busy)?;
        let (now, operators) = (self.now(), Arc::clone(&self.orders().operators));
        let counters = self.wrong_logins(&login.name, from);
        let tally = self.0.store.tally(now, &counters).await.map_err(Fault::from)?;
        if !tally.granted {
            let room = tally.counts.iter().filter_map(|count| count.room_at).max();
            let wait = room.map_or(WINDOW, |room| room.since(now));
            return Err(LoginError::TooOften { wait });
        }
        let named = operators.iter().any(|it| it.name == login.name).then(|| login.name.clone());
        let place = from.map_or_else(|| "nowhere".to_owned(), |from| from.to_string());
        let Some(known) = self.known(now, login, operators).await? else {
            // A name that nobody has may be a password in the wrong field.
            let about = json!({ "name": named });
            let who = format!("somebody@{place}");
            self.audit(Act { who, what: "operator.refused", about }).await?;
            return Err(LoginError::Wrong);
        };
        let who = format!("operator {}", known.name);
        let about = json!({ "from": place });
        self.audit(Act { who, what: "operator.login", about }).await?;
        let back: Vec<_> = counters.into_iter().map(|it| Counter { add: -1, ..it }).collect();
        let _taken_back = self.0.store.tally(now, &back).await.map_err(Fault::from)?;
        let id = Zeroizing::new(BASE64.encode(ambient::secret::<32>()));
        let present = entrance.sessions().begin(self.now(), &known, &id);
        Ok(Entered { id, present })
    }

    /// Who it is, if it is one of them, and their code was not used before.
    async fn known(
        &self,
        now: Timestamp,
        login: Login,
        operators: Arc<[Arc<Operator>]>,
    ) -> Result<Option<Arc<Operator>>, LoginError> {
        let computing = Arc::clone(&self.0.entrance.computing).acquire_owned().await;
        let computing = computing.map_err(|_| LoginError::Busy)?;
        // The same for a name each time, so that how long it takes tells nothing.
        let name = self.0.vault.counted(OPERATORS, "draw", &login.name);
        let draw = name.bytes().fold(0_u64, |draw, byte| draw.rotate_left(8) ^ u64::from(byte));
        let decided = tokio::task::spawn_blocking(move || {
            // Whoever asked may hang up; what was begun holds its place.
            let _computing = computing;
            login.decide(now, &operators, draw)
        });
        let Ok(Some(Known { operator, step })) = decided.await else { return Ok(None) };
        // "The verifier MUST NOT accept the second attempt of the OTP after the successful validation has been
        // issued for the first OTP, which ensures one-time only use of an OTP." (RFC 6238 section 5.2)
        let key = self.0.vault.counted(OPERATORS, "code", &format!("{}/{step}", operator.name));
        let code = Counter { key, window: CODE_LIFE, add: 1, most: Some(1) };
        let tally = self.0.store.tally(now, &[code]).await.map_err(Fault::from)?;
        Ok(tally.granted.then_some(operator))
    }

    /// What a login counts as until it is known to be right.
    fn wrong_logins(&self, name: &str, from: Option<IpAddr>) -> Vec<Counter> {
        let counter = |kind, value: &str, most| {
            let key = self.0.vault.counted(OPERATORS, kind, value);
            Counter { key, window: WINDOW, add: 1, most: Some(most) }
        };
        let (of_name, of_address) = MOST;
        let address = from.map(|from| counter("address", &network(from), of_address));
        [counter("name", name, of_name)].into_iter().chain(address).collect()
    }

    /// Who presents this. `is_done`: a person has done something, which their session goes on for.
    #[must_use]
    pub fn present(&self, id: &str, is_done: bool) -> Option<Present> {
        let operators = Arc::clone(&self.orders().operators);
        self.0.entrance.sessions().of(self.now(), &operators, id, is_done)
    }

    /// Ends a session.
    pub fn log_out(&self, id: &str) {
        self.0.entrance.sessions().end(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::operator::{Password, Role, Totp};
    use crate::ambient::{Clock, Entropy};
    use crate::gateway::settings::Settings;

    const START: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn totp() -> Totp {
        Totp::of(&[7; 20])
    }

    fn gateway() -> (Gateway, Clock) {
        let operator = |name: &str| {
            let password = Password::of(name, &[1; 16]).unwrap();
            Arc::new(Operator { name: name.into(), role: Role::Viewer, password, totp: totp() })
        };
        let operators = [operator("eve"), operator("bob")].into();
        let (clock, entropy) = (Clock::manual(START), Entropy::from_number(1));
        let settings = Settings { operators, ..Settings::bare() };
        let (gateway, _) = Gateway::start(settings, clock.clone(), entropy, None).unwrap();
        (gateway, clock)
    }

    fn login(name: &str, password: &str, code: String) -> Login {
        Login { name: name.into(), password: Zeroizing::new(password.into()), code }
    }

    #[tokio::test]
    async fn a_code_lets_in_once_and_each_way_of_being_wrong_is_answered_alike() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (gateway, clock) = gateway();
        let from = Some("192.0.2.1".parse().unwrap());
        let code = totp().code(START);
        let entered = gateway.log_in(login("eve", "eve", code.clone()), from).await.unwrap();
        let present = gateway.present(&entered.id, true).unwrap();
        assert_eq!((present.name.as_str(), present.role), ("eve", Role::Viewer));
        // The same code of the same secret is another operator's own.
        assert!(gateway.log_in(login("bob", "bob", code.clone()), from).await.is_ok());
        clock.advance(Duration::from_secs(30));
        let next = totp().code(START + Duration::from_secs(60));
        for wrong in [
            login("eve", "eve", code),
            login("eve", "bob", next.clone()),
            login("eve", "eve", "000000".into()),
            login("mallory", "eve", next.clone()),
        ] {
            let refused = gateway.log_in(wrong, from).await.unwrap_err();
            assert!(matches!(refused, LoginError::Wrong), "{refused}");
        }
        assert!(gateway.log_in(login("eve", "eve", next), from).await.is_ok());
        gateway.log_out(&entered.id);
        assert!(gateway.present(&entered.id, true).is_none());
    }

    #[tokio::test]
    async fn a_name_is_guessed_at_ten_times_in_a_quarter_of_an_hour_from_wherever() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (gateway, clock) = gateway();
        for no in 0..MOST.0 {
            let from = Some(format!("192.0.2.{no}").parse().unwrap());
            let refused = gateway.log_in(login("eve", "wrong", "000000".into()), from).await;
            assert!(matches!(refused, Err(LoginError::Wrong)), "{no}: {refused:?}");
        }
        let (from, right) = (Some("198.51.100.1".parse().unwrap()), || totp().code(START));
        let Err(LoginError::TooOften { wait }) =
            gateway.log_in(login("eve", "eve", right()), from).await
        else {
            panic!("the eleventh is let in")
        };
        assert!(!wait.is_zero() && wait <= WINDOW + WINDOW / 12);
        // Others are not kept out by it.
        assert!(gateway.log_in(login("bob", "bob", right()), from).await.is_ok());
        clock.advance(wait);
        let later = totp().code(START + wait);
        assert!(gateway.log_in(login("eve", "eve", later), from).await.is_ok());
    }

    #[tokio::test]
    async fn an_address_guesses_at_twenty_names_and_who_comes_in_is_not_counted() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let (gateway, clock) = gateway();
        let from = Some("2001:db8::1".parse().unwrap());
        for no in 0..MOST.1 {
            clock.advance(Duration::from_secs(30));
            if no % 7 == 0 {
                let code = totp().code(gateway.now());
                assert!(gateway.log_in(login("eve", "eve", code), from).await.is_ok());
            }
            let near = Some(format!("2001:db8::{no}").parse().unwrap());
            let refused = gateway.log_in(login(&format!("n{no}"), "x", String::new()), near).await;
            assert!(matches!(refused, Err(LoginError::Wrong)), "{no}: {refused:?}");
        }
        let refused = gateway.log_in(login("n", "x", String::new()), from).await;
        assert!(matches!(refused, Err(LoginError::TooOften { .. })), "{refused:?}");
    }
}
