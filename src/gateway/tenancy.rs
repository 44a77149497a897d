//! Tenants that are made, changed and removed while the gateway runs: one record for each, which says what a
//! `[[tenants]]` entry of the configuration says.
//!
//! One that was removed has no callers any more. What was begun for it is finished by what it said: its
//! attempts go on, its endpoints are told.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use super::audit::Act;
use super::orders::Orders;
use super::settings::tenancy::{Form, Mistake, Read, Written};
use super::settings::{Settings, Tenant};
use super::{ALIAS_LIFE, Change, Fault, Gateway};
use crate::ambient::Timestamp;
use crate::store::{ListQuery, PAGE_MOST, record};
use crate::telemetry::{self, Event};

/// The group of the records that keep tenants: no tenant can have this name.
const TENANTS: &str = "/tenants";

/// Before the tenant's name in the id of its record.
const PLACE: &str = "tenants/";

/// The most tenants that are kept in the store.
const MOST: usize = 1_000;

/// Whether the tenant of this record is kept in memory.
pub(super) fn is_kept(record: &str) -> bool {
    record.starts_with(PLACE)
}

/// A tenant as the store keeps it. It has no `Debug`: what is written holds secrets.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    written: Written,
    created: Timestamp,
    changed: Timestamp,
    /// When it was removed.
    removed: Option<Timestamp>,
}

impl Kept {
    /// Whether something that was begun for it can still be under way.
    fn matters(&self, now: Timestamp) -> bool {
        self.removed.is_none_or(|removed| now < removed + ALIAS_LIFE)
    }
}

/// A tenant that was made.
struct Made {
    kept: Kept,
    /// What it means; `None`: the configuration of today does not take it.
    tenant: Option<Arc<Tenant>>,
}

impl Made {
    /// Read as the form has it, or else left as it was before.
    fn read(kept: Kept, form: Option<&dyn Form>, before: Option<Arc<Tenant>>) -> Self {
        let read = form.map(|form| form.read(&kept.written));
        let tenant = match read {
            Some(Ok(Read { tenant, .. })) => Some(Arc::new(tenant)),
            Some(Err(mistakes)) => {
                let name = kept.written.get("name").and_then(|name| name.as_str());
                for Mistake { key, told } in &mistakes {
                    let tenant = name.unwrap_or_default();
                    telemetry::observe(&Event::TenantUnfit { tenant, key, told });
                }
                before
            }
            None => before,
        };
        let leaving = kept.removed.is_some();
        let tenant = tenant.map(|tenant| match tenant.leaving == leaving {
            true => tenant,
            false => Arc::new(Tenant { leaving, ..Tenant::clone(&tenant) }),
        });
        Self { kept, tenant }
    }
}

/// Everybody for whom is asked.
pub(super) struct Tenancy {
    known: Mutex<Known>,
    /// Held by whoever changes tenants in the store: what is known here follows in the same order.
    changing: tokio::sync::Mutex<()>,
}

struct Known {
    configured: Vec<Arc<Tenant>>,
    form: Option<Arc<dyn Form>>,
    made: BTreeMap<String, Made>,
}

impl fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenancy").finish_non_exhaustive()
    }
}

impl Tenancy {
    /// Those of the settings.
    pub(super) fn new(settings: &Settings) -> Self {
        let configured = settings.tenants.iter().cloned().map(Arc::new).collect();
        let known = Known { configured, form: settings.form.clone(), made: BTreeMap::new() };
        Self { known: Mutex::new(known), changing: tokio::sync::Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn is_configured(&self, name: &str) -> bool {
        self.configured.iter().any(|tenant| tenant.name == name)
    }

    /// All of them. Where the configuration has one of the same name, its word counts.
    fn all(&self, now: Timestamp) -> Vec<Arc<Tenant>> {
        let made = self.made.iter().filter(|(name, _)| !self.is_configured(name));
        let made = made.filter(|(_, made)| made.kept.matters(now));
        let made = made.filter_map(|(_, made)| made.tenant.clone());
        self.configured.iter().cloned().chain(made).collect()
    }

    /// Whether a certificate's name already stands for another tenant.
    fn is_named_twice(&self, now: Timestamp, tenant: &Tenant) -> bool {
        let others = self.all(now).into_iter().filter(|it| it.name != tenant.name && !it.leaving);
        let mut theirs = others.flat_map(|it| it.clients.clone());
        theirs.any(|client| tenant.clients.iter().any(|own| own.name == client.name))
    }
}

/// A tenant as an operator sees it.
#[derive(Clone, Debug)]
pub struct TenantView {
    /// Its name.
    pub name: String,
    /// What it means; `None`: what is written is not taken by the configuration of today.
    pub tenant: Option<Arc<Tenant>>,
    /// What is written, without secrets, of one that was made while the gateway ran.
    pub written: Option<Written>,
    /// When that was made.
    pub created: Option<Timestamp>,
    /// When it was last changed.
    pub changed: Option<Timestamp>,
    /// What should be looked at.
    pub warnings: Vec<Mistake>,
}

/// Why a tenant was not made, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// What is written cannot be meant.
    #[error("what is written has mistakes")]
    Mistakes(Vec<Mistake>),
    /// It stands in the configuration.
    #[error(
        "this tenant stands in the configuration: change it there, and reload (SIGHUP, or POST \
         /admin/v1/reload)"
    )]
    Configured,
    /// There is one of this name.
    #[error("there is a tenant of this name: change it, or take another name")]
    Taken,
    /// There is none.
    #[error("there is no tenant of this name")]
    Unknown,
    /// There are as many as there may be.
    #[error(
        "there are {MOST} tenants beside those of the configuration: remove those that nobody needs"
    )]
    Full,
    /// Ours.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What is to be done with a tenant.
#[derive(Clone)]
enum Edit {
    Make(Written),
    /// By RFC 7396: what is given takes the place of what was there, `null` takes it away.
    Change(Written),
    Remove,
}

impl Gateway {
    /// The tenants, those of the configuration first.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantView> {
        let known = self.0.tenancy.known();
        let configured = known.configured.iter().map(|tenant| TenantView {
            name: tenant.name.clone(),
            tenant: Some(Arc::clone(tenant)),
            written: None,
            created: None,
            changed: None,
            warnings: Vec::new(),
        });
        let live = |(name, made): &(&String, &Made)| {
            made.kept.removed.is_none() && !known.is_configured(name)
        };
        let made = known.made.iter().filter(live).map(|(name, made)| TenantView {
            name: name.clone(),
            tenant: made.tenant.clone(),
            written: known.form.as_ref().map(|form| form.masked(&made.kept.written)),
            created: Some(made.kept.created),
            changed: Some(made.kept.changed),
            warnings: Vec::new(),
        });
        configured.chain(made).collect()
    }

    /// Makes a tenant. `act` is what is written down before, about what was asked.
    ///
    /// # Errors
    /// When it cannot be meant, its name is taken, or the store fails.
    pub async fn make_tenant(
        &self,
        written: Written,
        act: impl Fn(Written) -> Act,
    ) -> Result<TenantView, TenantError> {
        let name = written.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let name = name.to_owned();
        self.edit(&name, Edit::Make(written), act).await
    }

    /// Changes a tenant by a merge patch (RFC 7396).
    ///
    /// # Errors
    /// As [`make_tenant`](Self::make_tenant), and when there is none of this name.
    pub async fn change_tenant(
        &self,
        name: &str,
        patch: Written,
        act: impl Fn(Written) -> Act,
    ) -> Result<TenantView, TenantError> {
        self.edit(name, Edit::Change(patch), act).await
    }

    /// Removes a tenant with its keys: nobody asks for it from now on, and what was begun is finished.
    ///
    /// # Errors
    /// When there is none of this name, or the store fails.
    pub async fn remove_tenant(
        &self,
        name: &str,
        act: impl Fn(Written) -> Act,
    ) -> Result<(), TenantError> {
        self.edit(name, Edit::Remove, act).await.map(|_| ())
    }

    async fn edit(
        &self,
        name: &str,
        edit: Edit,
        act: impl Fn(Written) -> Act,
    ) -> Result<TenantView, TenantError> {
        let _changing = self.0.tenancy.changing.lock().await;
        let (id, now) = (format!("{PLACE}{name}"), self.now());
        let step = |bytes: Option<&[u8]>| {
            let before = bytes.map(record::decode_value::<Kept>).transpose();
            self.edited(now, name, before.map_err(Fault::from)?, edit.clone())
        };
        // Nothing is written down as done that cannot be done.
        let stored = self.0.store.load(&id).await.map_err(Fault::from)?;
        step(stored.as_ref().map(|stored| stored.bytes.as_slice()))?;
        let form = self.0.tenancy.known().form.clone();
        let asked = match &edit {
            Edit::Make(written) | Edit::Change(written) => form.map(|form| form.masked(written)),
            Edit::Remove => None,
        };
        self.audit(act(asked.unwrap_or_default())).await?;
        if matches!(edit, Edit::Remove) {
            // Whoever gets the name after it gets no keys with it.
            self.revoke_all(name).await?;
        }
        let refused = OnceLock::new();
        let written = self.change(&id, TENANTS, |bytes| match step(bytes) {
            Ok((kept, warnings)) => {
                let bytes = record::encode_value(&kept)?;
                Ok(Some(Change { bytes, duties: Vec::new(), result: (kept, warnings) }))
            }
            Err(TenantError::Fault(fault)) => Err(fault),
            Err(error) => {
                let _ = refused.set(error);
                Ok(None)
            }
        });
        let Some((kept, warnings)) = written.await? else {
            return Err(refused.into_inner().unwrap_or(TenantError::Unknown));
        };
        let mut known = self.0.tenancy.known();
        let before = known.made.remove(name).and_then(|made| made.tenant);
        let made = Made::read(kept.clone(), known.form.as_deref(), before);
        let view = TenantView {
            name: name.to_owned(),
            tenant: made.tenant.clone(),
            written: known.form.as_ref().map(|form| form.masked(&kept.written)),
            created: Some(kept.created),
            changed: Some(kept.changed),
            warnings,
        };
        known.made.insert(name.to_owned(), made);
        self.arrange(&known);
        drop(known);
        self.seat();
        Ok(view)
    }

    /// A tenant as it is to be kept, and what should be looked at.
    fn edited(
        &self,
        now: Timestamp,
        name: &str,
        before: Option<Kept>,
        edit: Edit,
    ) -> Result<(Kept, Vec<Mistake>), TenantError> {
        let known = self.0.tenancy.known();
        if known.is_configured(name) {
            return Err(TenantError::Configured);
        }
        let before = before.filter(|kept| kept.removed.is_none());
        let (written, created) = match (edit, before) {
            (Edit::Make(_), Some(_)) => return Err(TenantError::Taken),
            (Edit::Make(written), None) => {
                let live = known.made.values().filter(|made| made.kept.removed.is_none());
                if live.count() >= MOST {
                    return Err(TenantError::Full);
                }
                (written, now)
            }
            (Edit::Change(_) | Edit::Remove, None) => return Err(TenantError::Unknown),
            (Edit::Change(patch), Some(before)) => {
                let renamed = patch.get("name").is_some_and(|given| given.as_str() != Some(name));
                if renamed {
                    let told = "a tenant keeps its name: make another one".to_owned();
                    let mistake = Mistake { key: "name".to_owned(), told };
                    return Err(TenantError::Mistakes(vec![mistake]));
                }
                (merged(before.written, patch), before.created)
            }
            (Edit::Remove, Some(before)) => {
                return Ok((Kept { changed: now, removed: Some(now), ..before }, Vec::new()));
            }
        };
        // Where nobody reads what is written, there are no tenants to be made.
        let form = known.form.as_ref().ok_or(TenantError::Unknown)?;
        let Read { tenant, warnings } = form.read(&written).map_err(TenantError::Mistakes)?;
        if known.is_named_twice(now, &tenant) {
            let told = "a certificate of one of these names speaks for another tenant".to_owned();
            let mistake = Mistake { key: "client_names".to_owned(), told };
            return Err(TenantError::Mistakes(vec![mistake]));
        }
        Ok((Kept { written, created, changed: now, removed: None }, warnings))
    }

    /// Puts other orders in the place of those that hold, by these settings, and reads the tenants that were
    /// made anew by them. One that they do not take stays as it was.
    pub(super) fn order(&self, orders: Orders, settings: &Settings) {
        let mut known = self.0.tenancy.known();
        known.configured.clone_from(&orders.tenants);
        known.form.clone_from(&settings.form);
        let form = known.form.clone();
        for made in known.made.values_mut() {
            let before = made.tenant.take();
            *made = Made::read(made.kept.clone(), form.as_deref(), before);
        }
        // Held to the end, so that of two who do this the later one has the last word.
        let tenants = known.all(self.now());
        self.0.present.set(Orders { tenants, ..orders });
    }

    /// The same orders, for these tenants.
    fn arrange(&self, known: &Known) {
        let tenants = known.all(self.now());
        self.0.present.set(Orders { tenants, ..Orders::clone(&self.orders()) });
    }

    /// Reads the tenants and keys that the store keeps: before anybody asks, and when another node has changed
    /// them.
    ///
    /// # Errors
    /// When the store fails, or a record cannot be read.
    pub async fn take_up(&self) -> Result<(), Fault> {
        self.take_up_tenants().await?;
        self.take_up_keys().await
    }

    async fn take_up_tenants(&self) -> Result<(), Fault> {
        let _changing = self.0.tenancy.changing.lock().await;
        let mut found = BTreeMap::new();
        let mut query =
            ListQuery { group: TENANTS.to_owned(), limit: PAGE_MOST, ..ListQuery::default() };
        loop {
            let page = self.0.store.list(&query).await?;
            for row in page.rows {
                let name = row.id.strip_prefix(PLACE).unwrap_or(&row.id).to_owned();
                found.insert(name, record::decode_value::<Kept>(&row.bytes)?);
            }
            query.cursor = page.next;
            if query.cursor.is_none() {
                break;
            }
        }
        let mut known = self.0.tenancy.known();
        let form = known.form.clone();
        let mut before = std::mem::take(&mut known.made);
        for (name, kept) in found {
            let made = match before.remove(&name) {
                Some(made) if made.kept.changed == kept.changed => made,
                before => Made::read(kept, form.as_deref(), before.and_then(|it| it.tenant)),
            };
            known.made.insert(name, made);
        }
        self.arrange(&known);
        Ok(())
    }

    /// The tenant of this name, if anybody may ask for it.
    #[must_use]
    pub fn live_tenant(&self, name: &str) -> Option<Arc<Tenant>> {
        self.tenant(name).filter(|tenant| !tenant.leaving)
    }
}

/// A merge patch over what was there.
fn merged(mut before: Written, patch: Written) -> Written {
    use serde_json::Value;
    for (key, value) in patch {
        match (value, before.remove(&key)) {
            (Value::Null, _) => {}
            (Value::Object(patch), Some(Value::Object(inner))) => {
                before.insert(key, Value::Object(merged(inner, patch)));
            }
            (Value::Object(patch), _) => {
                before.insert(key, Value::Object(merged(Written::new(), patch)));
            }
            (
                value @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)),
                _,
            ) => {
                before.insert(key, value);
            }
        }
    }
    before
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::access::Terms;
    use crate::ambient::{Clock, Entropy};
    use crate::carrier::Receipt;
    use crate::gateway::settings::ApiKey;
    use crate::gateway::{Failure, Hands, Turns, Wanted};
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

    /// Takes any name, and brands up to what is the fashion.
    #[derive(Debug)]
    struct Plain(usize);

    impl Form for Plain {
        fn read(&self, written: &Written) -> Result<Read, Vec<Mistake>> {
            let text = |key: &str| written.get(key).and_then(Value::as_str).unwrap_or_default();
            if text("name").is_empty() || text("brand").len() > self.0 {
                return Err(vec![Mistake { key: "brand".to_owned(), told: String::new() }]);
            }
            let brand = text("brand").to_owned().try_into().ok();
            let tenant = Tenant { brand, ..Tenant::new(text("name")) };
            Ok(Read { tenant, warnings: Vec::new() })
        }

        fn masked(&self, written: &Written) -> Written {
            written.clone()
        }
    }

    fn settings(longest: usize) -> Settings {
        let form: Arc<dyn Form> = Arc::new(Plain(longest));
        Settings { tenants: vec![Tenant::new("acme")], form: Some(form), ..Settings::bare() }
    }

    async fn gateway(folder: &Path, clock: &Clock, longest: usize) -> (Gateway, Turns<Nobody>) {
        let vault = Vault::of("a");
        let store = Store::open(folder, &vault).unwrap();
        let (settings, entropy) = (settings(longest), Entropy::from_number(1));
        let (gateway, turns) =
            Gateway::assemble(store, &settings, vault, clock.clone(), entropy, Nobody);
        gateway.take_up().await.unwrap();
        (gateway, turns)
    }

    fn object(value: Value) -> Written {
        value.as_object().cloned().unwrap()
    }

    fn act(_: Written) -> Act {
        Act { who: "somebody".to_owned(), what: "tenant.add", about: Value::Null }
    }

    async fn make(gateway: &Gateway, name: &str, brand: &str) -> Result<TenantView, TenantError> {
        gateway.make_tenant(object(json!({ "name": name, "brand": brand })), act).await
    }

    fn brand(gateway: &Gateway, name: &str) -> Option<String> {
        let tenant = gateway.tenant(name)?;
        tenant.brand.as_ref().map(|brand| brand.as_str().to_owned())
    }

    async fn key(gateway: &Gateway, tenant: &str) -> Option<ApiKey> {
        let wanted = Wanted { name: "login".to_owned(), terms: Terms::default() };
        let made = gateway.make_key(tenant, wanted).await.unwrap();
        made.map(|(fresh, _)| ApiKey::of(&fresh.text))
    }

    #[tokio::test]
    async fn a_tenant_is_made_changed_kept_and_removed_and_its_keys_go_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let opens = |gateway: &Gateway, key: &ApiKey| gateway.caller_of(key, None).is_some();
        let first = {
            let (gateway, _turns) = gateway(folder.path(), &clock, 10).await;
            assert!(key(&gateway, "globex").await.is_none());
            make(&gateway, "globex", "Globex").await.unwrap();
            let first = key(&gateway, "globex").await.unwrap();
            assert!(opens(&gateway, &first));
            assert!(matches!(make(&gateway, "globex", "x").await, Err(TenantError::Taken)));
            assert!(matches!(make(&gateway, "acme", "x").await, Err(TenantError::Configured)));
            let refused = make(&gateway, "initech", "a brand that is too long").await;
            assert!(matches!(refused, Err(TenantError::Mistakes(_))));
            let patch = object(json!({ "brand": "Other" }));
            gateway.change_tenant("globex", patch, act).await.unwrap();
            assert_eq!(brand(&gateway, "globex").as_deref(), Some("Other"));
            let renamed = object(json!({ "name": "other" }));
            let refused = gateway.change_tenant("globex", renamed, act).await;
            assert!(matches!(refused, Err(TenantError::Mistakes(_))));
            let refused = gateway.change_tenant("nobody", Written::new(), act).await;
            assert!(matches!(refused, Err(TenantError::Unknown)));
            let refused = gateway.remove_tenant("acme", act).await;
            assert!(matches!(refused, Err(TenantError::Configured)));
            first
        };
        // The use that was noted held the file.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (gateway, _turns) = gateway(folder.path(), &clock, 10).await;
        assert!(opens(&gateway, &first));
        assert_eq!(brand(&gateway, "globex").as_deref(), Some("Other"));
        // What a later configuration does not take stays as it was.
        gateway.reload(&settings(2));
        assert_eq!(brand(&gateway, "globex").as_deref(), Some("Other"));
        gateway.reload(&settings(10));
        gateway.remove_tenant("globex", act).await.unwrap();
        assert!(!opens(&gateway, &first));
        assert!(!gateway.knows_tenant("globex") && gateway.keys_of("globex").is_none());
        assert!(key(&gateway, "globex").await.is_none());
        assert_eq!(gateway.tenants().len(), 1);
        // What was begun for it is finished by what it said, and then it is forgotten.
        assert_eq!(brand(&gateway, "globex").as_deref(), Some("Other"));
        clock.advance(ALIAS_LIFE);
        gateway.reload(&settings(10));
        assert!(gateway.tenant("globex").is_none());
        // Another one of its name has nothing of it.
        make(&gateway, "globex", "").await.unwrap();
        assert_eq!(brand(&gateway, "globex"), None);
        assert!(!opens(&gateway, &first));
        assert_eq!(gateway.keys_of("globex").unwrap().len(), 0);
    }

    #[tokio::test]
    async fn the_configuration_s_word_counts_where_both_have_one_of_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let (gateway, _turns) = gateway(folder.path(), &clock, 10).await;
        make(&gateway, "globex", "Stored").await.unwrap();
        let tenants = vec![Tenant::new("acme"), Tenant::new("globex")];
        gateway.reload(&Settings { tenants, ..settings(10) });
        assert_eq!(brand(&gateway, "globex"), None);
        assert_eq!(gateway.tenants().len(), 2);
        let refused = gateway.remove_tenant("globex", act).await;
        assert!(matches!(refused, Err(TenantError::Configured)));
        gateway.reload(&settings(10));
        assert_eq!(brand(&gateway, "globex").as_deref(), Some("Stored"));
    }

    #[test]
    fn a_patch_is_merged_key_by_key() {
        // Of RFC 7396, Appendix A.
        for (before, patch, after) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            assert_eq!(merged(object(before), object(patch)), object(after));
        }
    }
}
