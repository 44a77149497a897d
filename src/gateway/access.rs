//! Who asks: keys that the configuration names, keys that are made while the gateway runs, tokens and
//! certificates.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::settings::{ApiKey, Pinned, Tenant};
use super::{Change, Fault, Gateway};
use crate::access::certificate::Name;
use crate::access::key::{Fresh, Full, Kept, Keys, Ring, USE_NOTED};
use crate::access::token::{Admitted, Cache, KeySet, Need, Refused, Token};
use crate::access::{Scope, Terms};
use crate::ambient::{self, Timestamp};
use crate::carrier::wire::HttpRequest;
use crate::store::{ListQuery, PAGE_MOST, record};
use crate::telemetry::{self, Event};

/// The group of the records that keep keys: no tenant can have this name.
const KEYS: &str = "/keys";

/// Before the tenant's name in the id of the record of its keys.
const PLACE: &str = "keys/";

/// Whether the keys of this record are kept in memory.
pub(super) fn is_kept(record: &str) -> bool {
    record.starts_with(PLACE)
}

/// By what somebody who asks is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A key of ours.
    Key,
    /// A token (JWT) that somebody else has signed.
    Token,
    /// A certificate that the connection was made by.
    Certificate,
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Certificate => "certificate",
        })
    }
}

/// Somebody who may ask.
#[derive(Debug)]
pub struct Caller {
    /// For whom.
    pub tenant: Arc<Tenant>,
    /// By what they are known.
    pub by: Credential,
    /// What that is called: a key's id or fingerprint, the subject of a token, the name of a certificate.
    pub id: String,
    /// What it opens, when and from where.
    pub terms: Terms,
    /// When it was last used, in microseconds since the epoch; zero is never.
    used: AtomicU64,
    /// How it stands in the store; `None` is a key of the configuration.
    kept: Option<Kept>,
}

impl Caller {
    /// Whether this is allowed.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.terms.scopes.contains(&scope)
    }

    /// What the audit log calls them: `key acme/1a2b3c4d`.
    #[must_use]
    pub fn who(&self) -> String {
        format!("{} {}/{}", self.by, self.tenant.name, self.id)
    }

    /// Somebody who is known by what is not kept here.
    fn of(tenant: &Arc<Tenant>, by: Credential, id: String, terms: Terms) -> Arc<Self> {
        let (tenant, used) = (Arc::clone(tenant), AtomicU64::default());
        Arc::new(Self { tenant, by, id, terms, used, kept: None })
    }

    fn used(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > 0).then(|| Timestamp::from_micros(used))
    }

    /// Whether a use at this time should be noted.
    fn is_news(&self, now: Timestamp) -> bool {
        now >= Timestamp::from_micros(self.used.load(Ordering::Relaxed)) + USE_NOTED
    }
}

/// Everybody who may ask, and the keys of the store by tenant.
#[derive(Debug)]
pub(super) struct Callers {
    ring: RwLock<Arc<Ring<Arc<Caller>>>>,
    stored: Mutex<BTreeMap<String, Keys>>,
    /// Held by whoever changes keys in the store: what is kept here follows in the same order.
    changing: tokio::sync::Mutex<()>,
    /// The issuers of tokens that publish their keys, by address.
    issuers: Mutex<HashMap<String, Arc<Issuer>>>,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            ring: RwLock::new(Arc::new(Ring::new(Vec::new()))),
            stored: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            issuers: Mutex::default(),
        }
    }
}

impl Callers {
    fn ring(&self) -> Arc<Ring<Arc<Caller>>> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn issuer(&self, url: &str) -> Arc<Issuer> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(issuers.entry(url.to_owned()).or_default())
    }
}

/// An issuer that publishes its keys.
#[derive(Debug, Default)]
struct Issuer {
    cache: Mutex<Cache>,
    /// Held by whoever asks for its keys: the others wait for the answer.
    asking: tokio::sync::Mutex<()>,
}

impl Issuer {
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn need(&self, now: Timestamp, kid: &str) -> Need {
        self.cache().need(now, kid)
    }

    fn keys(&self, now: Timestamp) -> Option<KeySet> {
        self.cache().keys(now).cloned()
    }
}

/// What a key is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What it is for.
    pub name: String,
    /// What it opens, until when, and from where.
    pub terms: Terms,
}

/// A key as an operator sees it.
#[derive(Clone, Debug)]
pub struct KeyView {
    /// What it is called: of a key of the configuration its fingerprint.
    pub id: String,
    /// What it is for; `None` is a key of the configuration.
    pub name: Option<String>,
    /// What it opens, until when, and from where.
    pub terms: Terms,
    /// When it was made; `None` is a key of the configuration.
    pub created: Option<Timestamp>,
    /// When it was last used, to a minute; of a key of the configuration, since this node was started.
    pub last_used: Option<Timestamp>,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// There are as many as there may be.
    #[error(transparent)]
    Full(#[from] Full),
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What became of a key that was to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// It opens nothing any more.
    Yes,
    /// It stands in the configuration, and is taken out there.
    Configured,
    /// There is none.
    Unknown,
}

impl Gateway {
    /// Whose key is nearest to this one, and whether it is this one and may be used from this address
    /// now. Whatever is presented, the same is done, so that the time it takes tells nothing. `None`:
    /// there is no key at all.
    #[must_use]
    pub fn nearest(&self, presented: &ApiKey, from: Option<IpAddr>) -> Option<(bool, Arc<Caller>)> {
        let ring = self.0.callers.ring();
        // A key that was made under an older secret of the gateway is found under that.
        let mut nearest: Option<(bool, &Arc<Caller>)> = None;
        for vault in self.0.vault.live() {
            let found = ring.nearest(&vault.api_key(presented.as_bytes()))?;
            nearest = nearest.filter(|(is_it, _)| *is_it).or(Some(found));
        }
        let (is_it, caller) = nearest?;
        let (caller, now) = (Arc::clone(caller), self.now());
        let may_ask = is_it & caller.terms.hold(now, from);
        if may_ask & caller.is_news(now) {
            self.note_use(&caller, now);
        }
        Some((may_ask, caller))
    }

    /// Who presents this key from this address.
    #[must_use]
    pub fn caller_of(&self, presented: &ApiKey, from: Option<IpAddr>) -> Option<Arc<Caller>> {
        self.nearest(presented, from).and_then(|(may_ask, caller)| may_ask.then_some(caller))
    }

    /// Who presents this token: the one tenant that takes tokens of its issuer, audience and subject.
    pub async fn caller_by_token(&self, text: &str) -> Option<Arc<Caller>> {
        let admitted = self.admit_token(text).await;
        admitted.inspect_err(|why| telemetry::observe(&Event::TokenRefused { why: *why })).ok()
    }

    async fn admit_token(&self, text: &str) -> Result<Arc<Caller>, Refused> {
        let token = Token::read(text)?;
        let orders = self.orders();
        let mut takers = orders.live().filter_map(|tenant| {
            let tokens = tenant.tokens.as_ref()?;
            token.is_for(&tokens.rules).then_some((tenant, tokens))
        });
        let (tenant, tokens) = takers.next().ok_or(Refused::Stranger)?;
        if takers.next().is_some() {
            return Err(Refused::Ambiguous);
        }
        let keys = match &tokens.keys {
            Pinned::File(keys) => keys.clone(),
            Pinned::Url(url) => self.keys_at(url, token.kid()).await.ok_or(Refused::Key)?,
        };
        let Admitted { subject, scopes, expires } =
            token.admit(&tokens.rules, &keys, self.now())?;
        let terms = Terms { scopes, expires: Some(expires), allow: Vec::new() };
        Ok(Caller::of(tenant, Credential::Token, subject, terms))
    }

    /// Who shows a certificate of these names from this address: the one tenant that knows one of them.
    #[must_use]
    pub fn caller_by_certificate(
        &self,
        names: &[Name],
        from: Option<IpAddr>,
    ) -> Option<Arc<Caller>> {
        let (orders, now) = (self.orders(), self.now());
        let mut clients = orders.live().flat_map(|tenant| {
            let known = tenant.clients.iter().filter(|client| names.contains(&client.name));
            known.map(move |client| (tenant, client))
        });
        let (tenant, client) = clients.next()?;
        // A certificate that two tenants know says of neither that it asks.
        let is_clear = clients.all(|(other, _)| other.name == tenant.name);
        let may_ask = is_clear && client.terms.hold(now, from);
        let (id, terms) = (client.name.to_string(), client.terms.clone());
        may_ask.then(|| Caller::of(tenant, Credential::Certificate, id, terms))
    }

    /// The keys that an issuer publishes, for a token that names this one of them.
    async fn keys_at(&self, url: &str, kid: &str) -> Option<KeySet> {
        let issuer = self.0.callers.issuer(url);
        match issuer.need(self.now(), kid) {
            Need::Nothing => {}
            Need::Renew => {
                let (gateway, issuer) = (self.clone(), Arc::clone(&issuer));
                let url = url.to_owned();
                // Whoever asks is served by the keys at hand.
                issuer.cache().asked(self.now());
                tokio::spawn(async move { gateway.ask_issuer(&issuer, &url).await });
            }
            Need::Ask => {
                let _one = issuer.asking.lock().await;
                // Another may have asked meanwhile.
                if issuer.need(self.now(), kid) == Need::Ask {
                    self.ask_issuer(&issuer, url).await;
                }
            }
        }
        issuer.keys(self.now())
    }

    async fn ask_issuer(&self, issuer: &Issuer, url: &str) {
        issuer.cache().asked(self.now());
        let answer = match &self.0.courier {
            Some(courier) => {
                courier.ask(HttpRequest::get(url)).await.map_err(|why| why.to_string())
            }
            None => Err("this gateway reaches nobody".to_owned()),
        };
        let keys = answer.and_then(|(status, body)| match status {
            200 => KeySet::read(&body).map_err(str::to_owned),
            _ => Err(format!("answered {status}")),
        });
        match keys {
            Ok(keys) => issuer.cache().had(self.now(), keys),
            Err(why) => telemetry::observe(&Event::IssuerSilent { why: &why }),
        }
    }

    fn note_use(&self, caller: &Arc<Caller>, now: Timestamp) {
        caller.used.store(now.as_micros(), Ordering::Relaxed);
        let Some(kept) = &caller.kept else { return };
        let (gateway, tenant, id) = (self.clone(), caller.tenant.name.clone(), kept.id.clone());
        tokio::spawn(async move {
            let noted =
                gateway.change_keys(&tenant, |keys| Ok::<_, Full>(keys.used(&id, now))).await;
            if let Err(MakeError::Fault(fault)) = noted {
                telemetry::observe(&Event::Fault { doing: "note the use of a key", error: &fault });
            }
        });
    }

    /// Reads the keys that the store keeps.
    pub(super) async fn take_up_keys(&self) -> Result<(), Fault> {
        let _changing = self.0.callers.changing.lock().await;
        let mut found = BTreeMap::new();
        let mut query =
            ListQuery { group: KEYS.to_owned(), limit: PAGE_MOST, ..ListQuery::default() };
        loop {
            let page = self.0.store.list(&query).await?;
            for row in page.rows {
                let tenant = row.id.strip_prefix(PLACE).unwrap_or(&row.id).to_owned();
                found.insert(tenant, record::decode_keys(&row.bytes)?);
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        *self.0.callers.stored.lock().unwrap_or_else(PoisonError::into_inner) = found;
        self.seat();
        Ok(())
    }

    /// Puts everybody in their places, by the settings and the store as they are now.
    pub(super) fn seat(&self) {
        let callers = &self.0.callers;
        // Held to the end, so that of two who do this the later one has the last word.
        let stored = callers.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let (orders, before) = (self.orders(), callers.ring());
        let mut places = Vec::new();
        for tenant in orders.live() {
            let configured = tenant.keys.iter().map(|it| {
                let hash = self.0.vault.api_key(it.key.as_bytes());
                (hash, it.key.fingerprint(), &it.terms, None)
            });
            let kept = stored.get(&tenant.name).into_iter().flat_map(|keys| &keys.keys);
            let kept = kept.map(|it| (it.hash.clone(), it.id.clone(), &it.terms, Some(it)));
            for (hash, id, terms, kept) in configured.chain(kept) {
                let known = before.nearest(&hash).filter(|(is_it, _)| *is_it);
                let used = known.and_then(|(_, caller)| caller.used());
                let used = used.max(kept.and_then(|it| it.last_used)).unwrap_or_default();
                let caller = Caller {
                    tenant: Arc::clone(tenant),
                    by: Credential::Key,
                    id,
                    terms: terms.clone(),
                    used: AtomicU64::new(used.as_micros()),
                    kept: kept.cloned(),
                };
                places.push((hash, Arc::new(caller)));
            }
        }
        *callers.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Ring::new(places));
    }

    /// The keys of a tenant, the oldest first; `None`: there is no such tenant.
    #[must_use]
    pub fn keys_of(&self, tenant: &str) -> Option<Vec<KeyView>> {
        self.live_tenant(tenant)?;
        let ring = self.0.callers.ring();
        let theirs = ring.iter().map(|(_, caller)| caller).filter(|it| it.tenant.name == tenant);
        let mut views: Vec<KeyView> = theirs
            .map(|caller| KeyView {
                id: caller.id.clone(),
                name: caller.kept.as_ref().map(|it| it.name.clone()),
                terms: caller.terms.clone(),
                created: caller.kept.as_ref().map(|it| it.created),
                last_used: caller.used(),
            })
            .collect();
        views.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Some(views)
    }

    /// Makes a key; what is given back holds its text, which nobody can have again. `None`: there is
    /// no such tenant.
    ///
    /// # Errors
    /// When there are as many as there may be, or the store fails.
    pub async fn make_key(
        &self,
        tenant: &str,
        wanted: Wanted,
    ) -> Result<Option<(Fresh, KeyView)>, MakeError> {
        if self.live_tenant(tenant).is_none() {
            return Ok(None);
        }
        let fresh = Fresh::draw(|| ambient::secret::<1>()[0]);
        let Wanted { name, terms } = wanted;
        let (id, created) = (fresh.id.clone(), self.now());
        let hash = self.0.vault.api_key(ApiKey::of(&fresh.text).as_bytes());
        let kept = Kept { id, name, hash, terms, created, last_used: None };
        self.change_keys(tenant, |keys| keys.add(kept.clone()).map(|()| true)).await?;
        let Kept { id, name, terms, .. } = kept;
        let view = KeyView { id, name: Some(name), terms, created: Some(created), last_used: None };
        Ok(Some((fresh, view)))
    }

    /// Takes a key away: from now on it opens nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke_key(&self, tenant: &str, id: &str) -> Result<Revoked, Fault> {
        let is_configured = |view: &KeyView| view.id == id && view.created.is_none();
        if self.keys_of(tenant).is_some_and(|keys| keys.iter().any(is_configured)) {
            return Ok(Revoked::Configured);
        }
        match self.change_keys(tenant, |keys| Ok(keys.revoke(id))).await {
            Ok(true) => Ok(Revoked::Yes),
            // A list that only loses keys is never too full.
            Ok(false) | Err(MakeError::Full(_)) => Ok(Revoked::Unknown),
            Err(MakeError::Fault(fault)) => Err(fault),
        }
    }

    /// Takes all keys away that the store keeps for a tenant.
    pub(super) async fn revoke_all(&self, tenant: &str) -> Result<(), Fault> {
        let taken = |keys: &mut Keys| Ok(!std::mem::take(&mut keys.keys).is_empty());
        match self.change_keys(tenant, taken).await {
            // A list that only loses keys is never too full.
            Ok(_) | Err(MakeError::Full(_)) => Ok(()),
            Err(MakeError::Fault(fault)) => Err(fault),
        }
    }

    /// Changes the keys that the store keeps for a tenant, and lets the change hold here; whether
    /// anything was changed.
    async fn change_keys(
        &self,
        tenant: &str,
        change: impl Fn(&mut Keys) -> Result<bool, Full>,
    ) -> Result<bool, MakeError> {
        let callers = &self.0.callers;
        let _changing = callers.changing.lock().await;
        let refused = OnceLock::new();
        let changed = |before: Option<&[u8]>| {
            let mut keys = before.map_or(Ok(Keys::default()), record::decode_keys)?;
            let changed = change(&mut keys).unwrap_or_else(|full| {
                let _ = refused.set(full);
                false
            });
            let change = |bytes| Change { bytes, duties: Vec::new(), result: keys.clone() };
            Ok(changed.then(|| record::encode_keys(&keys)).transpose()?.map(change))
        };
        let written = self.change(&format!("{PLACE}{tenant}"), KEYS, changed).await?;
        if let Some(full) = refused.into_inner() {
            return Err(full.into());
        }
        let Some(keys) = written else { return Ok(false) };
        let mut stored = callers.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.insert(tenant.to_owned(), keys);
        drop(stored);
        self.seat();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ambient::{Clock, Entropy};
    use crate::carrier::Receipt;
    use crate::gateway::settings::{Settings, StoreSettings, Tenant};
    use crate::gateway::{Failure, Hands, Turns};
    use crate::store::Store;
    use crate::store::record::Delivery;
    use crate::verify::Verification;
    use crate::verify::attempt::AttemptNo;
    use crate::verify::code::Vault;
    use crate::verify::signal::{Cause, Farewell, Reason};

    struct Nobody;

    impl Hands for Nobody {
        async fn place(&self, _: &Verification, _: AttemptNo) -> Receipt {
            Receipt::Refused(Cause::plain(Reason::Congested))
        }

        async fn close(&self, _: &Verification, _: AttemptNo, _: Option<&str>, _: Farewell) {}

        async fn deliver(&self, _: &Delivery) -> Result<(), Failure> {
            Ok(())
        }
    }

    fn settings(tenants: &[&str]) -> Settings {
        let tenants = tenants.iter().map(|name| Tenant::new(name)).collect();
        Settings { tenants, store: StoreSettings::Memory, ..Settings::bare() }
    }

    /// A gateway, and what nobody does for it.
    async fn gateway(store: &Store, clock: &Clock, vault: &str) -> (Gateway, Turns<Nobody>) {
        let entropy = Entropy::from_number(1);
        let (settings, vault) = (settings(&["acme", "globex"]), Vault::of(vault));
        let (gateway, turns) =
            Gateway::assemble(store.clone(), &settings, vault, clock.clone(), entropy, Nobody);
        gateway.take_up().await.unwrap();
        (gateway, turns)
    }

    async fn make(gateway: &Gateway, tenant: &str, name: &str) -> (String, ApiKey) {
        let expires = Some(gateway.now() + Duration::from_secs(3_600));
        let terms = Terms { expires, ..Terms::default() };
        let wanted = Wanted { name: name.to_owned(), terms };
        let (fresh, view) = gateway.make_key(tenant, wanted).await.unwrap().unwrap();
        (view.id, ApiKey::of(&fresh.text))
    }

    #[tokio::test]
    async fn keys_outlive_a_restart_and_a_reload_and_are_worth_nothing_under_another_secret() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let (id, key) = {
            let store = Store::open(folder.path(), &Vault::of("a")).unwrap();
            let (gateway, _turns) = gateway(&store, &clock, "a").await;
            let made = make(&gateway, "acme", "login").await;
            make(&gateway, "globex", "login").await;
            assert_eq!(gateway.caller_of(&made.1, None).unwrap().tenant.name, "acme");
            made
        };
        // The use that was noted held the file.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let store = Store::open(folder.path(), &Vault::of("a")).unwrap();
        let (again, _turns) = gateway(&store, &clock, "a").await;
        assert_eq!(again.caller_of(&key, None).unwrap().id, id);
        assert!(again.keys_of("acme").unwrap()[0].last_used.is_some());
        again.reload(&settings(&["globex"]));
        assert!(again.caller_of(&key, None).is_none());
        again.reload(&settings(&["acme"]));
        assert!(again.caller_of(&key, None).is_some());
        assert_eq!(again.revoke_key("acme", &id).await.unwrap(), Revoked::Yes);
        assert!(again.caller_of(&key, None).is_none());
        assert_eq!(again.revoke_key("acme", &id).await.unwrap(), Revoked::Unknown);
        let (_, kept) = make(&again, "acme", "login").await;
        assert!(again.caller_of(&kept, None).is_some());
        let (other, _turns) = gateway(&store, &clock, "b").await;
        assert!(other.caller_of(&kept, None).is_none());
    }

    #[tokio::test]
    async fn a_key_ends_when_it_was_to_end() {
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let (gateway, _turns) = gateway(&Store::memory(), &clock, "a").await;
        let (_, key) = make(&gateway, "acme", "login").await;
        clock.advance(Duration::from_secs(3_599));
        assert!(gateway.caller_of(&key, None).is_some());
        clock.advance(Duration::from_secs(1));
        assert!(gateway.caller_of(&key, None).is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_many_who_make_a_key_of_one_name_at_once_two_have_one() {
        let (gateway, _turns) = gateway(&Store::memory(), &Clock::system(), "a").await;
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let gateway = gateway.clone();
            tasks.spawn(async move {
                let wanted = Wanted { name: "login".to_owned(), terms: Terms::default() };
                gateway.make_key("acme", wanted).await.is_ok()
            });
        }
        assert_eq!(tasks.join_all().await.into_iter().filter(|made| *made).count(), 2);
        assert_eq!(gateway.keys_of("acme").unwrap().len(), 2);
    }
}
