//! What each rule would say of a start now. Nothing is counted, kept or sent.

use super::replies::first_way;
use super::{Fault, Gateway};
use crate::ambient::Entropy;
use crate::verify::explain::{Facts, Word, explain};
use crate::verify::limits::Who;
use crate::verify::policy;
use crate::verify::request::Request;

impl Gateway {
    /// Every rule's word about a start; `None` where there is no such tenant.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn explain(
        &self,
        tenant: &str,
        request: &Request,
    ) -> Result<Option<Vec<Word>>, Fault> {
        let Some(tenant) = self.live_tenant(tenant) else { return Ok(None) };
        let orders = self.orders();
        let (rules, routes) = super::rules_for(&orders, &tenant);
        if tenant.test {
            return Ok(Some(explain(request, &Facts::default(), &rules, &tenant.fraud)));
        }
        let now = self.now();
        let who = Who::of(&self.0.vault, &tenant.name, request);
        let standing = self.standing(now, &tenant, &request.to).await?;
        let who = who.safely(standing.safe);
        // Where there is no way to the person, nobody can have opted out of it.
        let able = |via: &str, way| Self::able(&orders, via, way, request);
        let mut draws = Entropy::from_number(0);
        let planned = policy::decide(request, &rules)
            .ok()
            .and_then(|permit| routes.plan(request, &tenant.name, &permit, &able, &mut draws).ok());
        let opted_out = match &planned {
            Some(route) => Some(!self.is_willing(&tenant.name, request, first_way(route)).await?),
            None => None,
        };
        let facts = Facts {
            now,
            standing: Some(standing),
            opted_out,
            limits: self.limits_of(now, &tenant, &who).await?,
            conversion: self.conversion_of(now, &tenant, &who, request).await?,
        };
        Ok(Some(explain(request, &facts, &rules, &tenant.fraud)))
    }
}
