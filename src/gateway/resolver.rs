//! Asks the DNS what [`Locate`] needs to know.
//!
//! `/etc/hosts` and the system's own ways are honoured as ever; `resolv.conf` and `hosts` are read anew
//! once a minute, so that a machine that moves to another network needs no restart.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use super::settings::Target;
use crate::ambient::{Clock, Timestamp};
use crate::sip::locate::{Answer, Locate, Located, Naptr, NotFound, Question, Srv};

/// How long one question may take.
pub(super) const QUESTION: Duration = Duration::from_secs(2);

/// How long a server may take before it is asked once more.
const TRY: Duration = Duration::from_millis(900);

/// How long the system's files are not read again.
const FILES: Duration = Duration::from_secs(60);

/// How long an answer holds that came by the system's own ways, which tell no time to live.
const UNTOLD: Duration = Duration::from_secs(30);

/// Who answers questions to the DNS.
pub(super) struct Resolver {
    clock: Clock,
    /// The server to ask, in place of the system's.
    server: Option<SocketAddr>,
    asker: Mutex<Option<(Timestamp, TokioResolver)>>,
}

impl Resolver {
    /// Asks this server, or those of `resolv.conf`.
    pub(super) fn new(clock: Clock, server: Option<SocketAddr>) -> Self {
        Self { clock, server, asker: Mutex::default() }
    }

    /// Where the servers of a target are.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) async fn locate(&self, target: &Target) -> Result<Located, NotFound> {
        let mut locate = Locate::new(&target.host, target.port, target.transport);
        while let Some(question) = locate.question() {
            let asked = tokio::time::timeout(QUESTION, self.ask(question)).await;
            locate.answer(self.clock.now(), &asked.unwrap_or(Answer::Failed));
        }
        locate.found()
    }

    /// The addresses of a name; `None`: it has none, or nobody tells.
    pub(super) async fn addresses_of(&self, name: &str) -> Option<Vec<IpAddr>> {
        let asker = self.asker()?;
        let asked = tokio::time::timeout(QUESTION, self.addresses(&asker, name)).await;
        match asked {
            Ok(Answer::Addresses(found, _)) if !found.is_empty() => Some(found),
            Ok(
                Answer::Addresses(..)
                | Answer::Naptr(..)
                | Answer::Srv(..)
                | Answer::Nothing
                | Answer::Failed,
            )
            | Err(_) => None,
        }
    }

    async fn ask(&self, question: Question) -> Answer {
        let Some(asker) = self.asker() else { return Answer::Failed };
        match question {
            Question::Naptr(name) => records(&asker, &name, RecordType::NAPTR, naptr)
                .await
                .map_or_else(|answer| answer, |(found, ttl)| Answer::Naptr(found, ttl)),
            Question::Srv(name) => records(&asker, &name, RecordType::SRV, srv)
                .await
                .map_or_else(|answer| answer, |(found, ttl)| Answer::Srv(found, ttl)),
            Question::Addresses(name) => self.addresses(&asker, &name).await,
        }
    }

    async fn addresses(&self, asker: &TokioResolver, name: &str) -> Answer {
        let answer = match asker.lookup_ip(name).await {
            Ok(found) => {
                let ttl = least(found.as_lookup().answers());
                Answer::Addresses(found.iter().collect(), ttl)
            }
            Err(error) => nothing(&error),
        };
        // What the system knows by other ways (nsswitch: a name of this machine, of the local network)
        // is no less true; where a server of one's own is asked, it alone is.
        if matches!(answer, Answer::Nothing)
            && self.server.is_none()
            && let Ok(found) = tokio::net::lookup_host((name, 0)).await
        {
            return Answer::Addresses(found.map(|address| address.ip()).collect(), UNTOLD);
        }
        answer
    }

    fn asker(&self) -> Option<TokioResolver> {
        let now = self.clock.now();
        let mut kept = self.asker.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, asker)) = &*kept
            && now.since(*since) < FILES
        {
            return Some(asker.clone());
        }
        match self.build() {
            Ok(asker) => *kept = Some((now, asker)),
            Err(error) => {
                let doing = "read how names are resolved";
                let event = crate::telemetry::Event::Fault { doing, error: &error };
                crate::telemetry::observe(&event);
            }
        }
        kept.as_ref().map(|(_, asker)| asker.clone())
    }

    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match self.server {
            None => TokioResolver::builder_tokio()?,
            Some(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                let connections = connections.map(|mut it| {
                    it.port = server.port();
                    it
                });
                let server = NameServerConfig::new(server.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        // What was told is kept by trunk, and asked anew before its time is over.
        options.cache_size = 0;
        // The system draws ports outside those that are set aside for media.
        options.os_port_selection = true;
        builder.build()
    }
}

/// The records of a name, and how long they hold.
async fn records<T>(
    asker: &TokioResolver,
    name: &str,
    kind: RecordType,
    read: fn(&RData) -> Option<T>,
) -> Result<(Vec<T>, Duration), Answer> {
    // A name that is whole: no search domain is tried behind it.
    let name = Name::from_ascii(format!("{name}.")).map_err(|_| Answer::Nothing)?;
    let found = asker.lookup(name, kind).await.map_err(|error| nothing(&error))?;
    let records: Vec<T> = found.answers().iter().filter_map(|it| read(&it.data)).collect();
    if records.is_empty() {
        return Err(Answer::Nothing);
    }
    Ok((records, least(found.answers())))
}

/// No records, or no answer: a server that cannot tell (SERVFAIL, REFUSED) has not answered.
fn nothing(error: &NetError) -> Answer {
    let NetError::Dns(DnsError::NoRecordsFound(none)) = error else { return Answer::Failed };
    if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        Answer::Nothing
    } else {
        Answer::Failed
    }
}

fn least(records: &[Record]) -> Duration {
    let least = records.iter().map(|record| record.ttl).min();
    Duration::from_secs(u64::from(least.unwrap_or_default()))
}

fn naptr(data: &RData) -> Option<Naptr> {
    let RData::NAPTR(record) = data else { return None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(Naptr {
        order: record.order,
        preference: record.preference,
        flags: text(&record.flags),
        services: text(&record.services),
        replacement: record.replacement.to_ascii(),
    })
}

fn srv(data: &RData) -> Option<Srv> {
    let RData::SRV(record) = data else { return None };
    Some(Srv {
        priority: record.priority,
        weight: record.weight,
        port: record.port,
        target: record.target.to_ascii(),
    })
}
