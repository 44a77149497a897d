//! The registry of this process, and how it is read.

use metrics::{Label, counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::catalogue::{Kind, METRICS, Metric};

/// What was counted in this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Begins to count. Once a process.
    ///
    /// # Errors
    /// When something counts already.
    pub fn install() -> Result<Self, BuildError> {
        let handle = builder()?.install_recorder()?;
        begin();
        Ok(Self(handle))
    }

    /// As Prometheus reads it.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds samples into their buckets. Whoever installs calls this every few seconds: samples
    /// would pile up in a process that nobody scrapes.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Without buckets a histogram would turn into a summary.
pub(super) fn builder() -> Result<PrometheusBuilder, BuildError> {
    METRICS.iter().try_fold(PrometheusBuilder::new(), |builder, metric| match metric.kind {
        Kind::Histogram(bounds) => {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)
        }
        Kind::Counter | Kind::Gauge => Ok(builder),
    })
}

/// Tells what each metric means, and begins those at 0 that would else come into being with their
/// first step: a rate does not see that.
pub(super) fn begin() {
    for metric in METRICS {
        let Metric { name, what, .. } = *metric;
        match metric.kind {
            Kind::Counter => {
                describe_counter!(name, what);
                for labels in sets(metric) {
                    counter!(name, labels).increment(0);
                }
            }
            Kind::Gauge => describe_gauge!(name, what),
            Kind::Histogram(_) => describe_histogram!(name, what),
        }
    }
    for state in super::calls::LIVE {
        gauge!("octothorpe_calls", "state" => state.as_str()).set(0.0);
    }
    gauge!("octothorpe_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

fn sets(metric: &Metric) -> impl Iterator<Item = Vec<Label>> {
    let label = |(name, word)| Label::from_static_parts(name, word);
    metric.all().into_iter().map(move |set| set.into_iter().map(label).collect())
}
