//! Settled verifications, told as traces by OTLP: to the OpenTelemetry Collector, Jaeger, Tempo, and whatever else takes
//! it. Only a build with the feature `otlp` tells any; without it nothing here does anything.
//!
//! What has settled waits here until its call has said goodbye and its endpoints were told, as a rule; then its timeline
//! becomes spans (`spans`, values), which go in batches (`export`, a loop). Nobody waits for it: what does not fit in the
//! queue, and what is not taken after some tries, is lost, and counted.

#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod spans;

#[cfg(feature = "otlp")]
pub(super) use self::export::Traces;

#[cfg(not(feature = "otlp"))]
pub(super) use self::none::Traces;

use super::Gateway;
use crate::verify::{Verification, selftest};

impl Gateway {
    /// A verification has settled on this node. A trace that its caller does not sample is not told, and neither are
    /// the calls that try trunks.
    pub(super) fn tell_trace(&self, settled: &Verification) {
        let Some(traces) = &self.0.traces else { return };
        let trace = settled.request.traceparent.as_ref();
        if trace.is_none_or(|it| it.is_sampled()) && !selftest::is_tenant(&settled.tenant) {
            traces.settled(&settled.id);
        }
    }
}

/// What stands here in a build that tells no traces.
#[cfg(not(feature = "otlp"))]
mod none {
    use tokio::task::JoinSet;

    use crate::gateway::Gateway;
    use crate::gateway::settings::OtlpSettings;
    use crate::verify::VerificationId;

    /// There is none.
    #[derive(Clone, Debug)]
    pub(in crate::gateway) enum Traces {}

    /// Its other end; there is none.
    #[derive(Debug)]
    pub(in crate::gateway) enum Exporter {}

    impl Traces {
        pub(in crate::gateway) fn new(_: Option<&OtlpSettings>) -> Option<(Self, Exporter)> {
            None
        }

        pub(in crate::gateway) fn settled(&self, _: &VerificationId) {
            match *self {}
        }

        pub(in crate::gateway) async fn drain(&self) {
            match *self {}
        }
    }

    impl Exporter {
        pub(in crate::gateway) fn start(self, _: Gateway, _: &mut JoinSet<()>) {
            match self {}
        }
    }
}
