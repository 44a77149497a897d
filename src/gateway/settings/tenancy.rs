//! Tenants that are made while the gateway runs, as they are written: by the keys that a tenant of the
//! configuration has.

use std::fmt;

use serde_json::{Map, Value};

use super::Tenant;

/// A tenant as it is written: by the keys of `[[tenants]]`.
pub type Written = Map<String, Value>;

/// What is wrong with a configuration, or should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key: `trunks[1].target`.
    pub key: String,
    /// What was written, and what would be right; of a file, where it stands, too.
    pub told: String,
}

/// A tenant that can be meant.
#[derive(Clone, Debug)]
pub struct Read {
    /// The tenant.
    pub tenant: Tenant,
    /// What is allowed, and should be looked at.
    pub warnings: Vec<Mistake>,
}

/// Reads tenants as the configuration reads its own, by what the configuration says of all of them.
pub trait Form: fmt::Debug + Send + Sync {
    /// From what is written to what is meant.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    fn read(&self, written: &Written) -> Result<Read, Vec<Mistake>>;

    /// What is written, without secrets and whole numbers, as it may be shown.
    fn masked(&self, written: &Written) -> Written;
}
