//! Where Redis is, and how it is spoken to.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

/// A store in Redis.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisSettings {
    /// Where it is.
    pub place: RedisPlace,
    /// Whether it is spoken to by TLS; certificates are judged by the roots of the system.
    pub tls: bool,
    /// The ACL user; `None`: the default one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Zeroizing<String>>,
    /// What all keys begin with, in braces, which makes it their hash tag.
    pub prefix: String,
    /// How many replicas must have what is told. `None`: one, where there are any.
    pub min_replicas: Option<u32>,
    /// The folder for what is this node's own: its audit log.
    pub folder: PathBuf,
}

impl RedisSettings {
    /// All that there is to know of it, without the password.
    #[must_use]
    pub fn told(&self) -> String {
        let replicas = match self.min_replicas {
            Some(0) => "none of its replicas need confirm".to_owned(),
            Some(1) => "one replica confirms".to_owned(),
            Some(least) => format!("{least} replicas confirm"),
            None => "one replica confirms, where there are any".to_owned(),
        };
        format!("{self} (keys begin with {{{}}}; {replicas})", self.prefix)
    }
}

/// Where a primary is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
    /// It is always this one.
    Alone {
        /// Where it listens.
        server: RedisServer,
        /// The number of its database.
        database: u32,
    },
    /// Sentinels know which one it is.
    Sentinels {
        /// Where they listen.
        servers: Vec<RedisServer>,
        /// What they call it.
        service: String,
    },
    /// The nodes of a cluster know which of them has our hash slot.
    Cluster {
        /// Where some of them listen.
        servers: Vec<RedisServer>,
    },
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisServer {
    /// Host name or IP address; an IPv6 address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for RedisServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The address as it is written, without the password.
impl fmt::Display for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, servers, path) = match &self.place {
            RedisPlace::Alone { server, database } => {
                ("", std::slice::from_ref(server), format!("/{database}"))
            }
            RedisPlace::Sentinels { servers, service } => {
                ("+sentinel", servers.as_slice(), format!("/{service}"))
            }
            RedisPlace::Cluster { servers } => ("+cluster", servers.as_slice(), String::new()),
        };
        write!(f, "redis{}{kind}://", if self.tls { "s" } else { "" })?;
        match (&self.user, &self.password) {
            (Some(user), Some(_)) => write!(f, "{user}:•@")?,
            (Some(user), None) => write!(f, "{user}@")?,
            (None, Some(_)) => f.write_str(":•@")?,
            (None, None) => {}
        }
        let servers: Vec<String> = servers.iter().map(RedisServer::to_string).collect();
        write!(f, "{}{path}", servers.join(","))
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisSettings({})", self.told())
    }
}
