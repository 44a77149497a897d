//! `[store]` where it is in Redis.

use super::address::{Target, is_loopback_name, peer};
use super::complaint::quoted;
use super::raw::Raw;
use super::reader::{At, Reader};
use super::routing::secret;
use crate::gateway::settings::{RedisPlace, RedisServer, RedisSettings};

/// How an address is written.
const FITTING: &str = "write redis://HOST:PORT, redis+sentinel://HOST,HOST/SERVICE or \
                       redis+cluster://HOST,HOST (with TLS: rediss…), USER@ before the hosts where there is one";

const URL: &str = "store.url";

/// Reads all that is written of a store in Redis; `None` after what is wrong was told.
pub(super) fn redis(
    reader: &mut Reader<'_>,
    written: &Raw,
    defaults: &Raw,
    url: &At<String>,
) -> Option<RedisSettings> {
    let (raw, default) = (&written.store, &defaults.store);
    let password = raw
        .password
        .as_ref()
        .and_then(|it| secret(reader, reader.place(it), "store.password", it.get_ref().expose()));
    let prefix = reader.text("store.prefix", raw.prefix.as_ref(), default.prefix.as_ref());
    let prefix = prefix.and_then(|it| prefix_of(reader, it));
    let replicas = raw.min_replicas.as_ref();
    let (key, by_default) = ("store.min_replicas", default.min_replicas.as_ref());
    let min_replicas = reader.number(key, replicas, by_default, 0, 10);
    let folder = reader.text("store.folder", raw.folder.as_ref(), default.folder.as_ref());
    if raw.secret.is_none() {
        let message = "it is missing, and all nodes that share a store need the same: write secret = \
                       \"env:NAME\" in [store] (`openssl rand -hex 32` makes one)";
        reader.complain_of_file("store.secret", message);
    }
    let address = match read(&url.value) {
        Ok(address) => address,
        Err(why) => {
            reader.complain(url.place, URL, Some(shown(&url.value)), why);
            return None;
        }
    };
    if !address.tls && !address.servers().iter().all(|it| is_loopback_name(&it.host)) {
        let message = "Redis is spoken to without encryption, the password too: write rediss:// where \
                       anybody else can read along";
        reader.warn(url.place, URL, Some(shown(&url.value)), message);
    }
    Some(RedisSettings {
        place: address.place,
        tls: address.tls,
        user: address.user,
        password,
        prefix: prefix?,
        min_replicas,
        folder: folder.map(|it| it.value.into()).unwrap_or_default(),
    })
}

/// All keys begin with it, in braces; it is part of the names that an ACL user may use.
fn prefix_of(reader: &mut Reader<'_>, prefix: At<String>) -> Option<String> {
    if super::is_name(&prefix.value) {
        return Some(prefix.value);
    }
    let message = format!("the prefix of keys is a name: {}", super::NAME_RULE);
    reader.complain(prefix.place, "store.prefix", Some(quoted(&prefix.value)), message);
    None
}

/// An address, read.
struct Address {
    tls: bool,
    user: Option<String>,
    place: RedisPlace,
}

impl Address {
    fn servers(&self) -> &[RedisServer] {
        match &self.place {
            RedisPlace::Alone { server, .. } => std::slice::from_ref(server),
            RedisPlace::Sentinels { servers, .. } | RedisPlace::Cluster { servers } => servers,
        }
    }
}

fn read(url: &str) -> Result<Address, String> {
    let (scheme, rest) = url.split_once("://").ok_or(FITTING)?;
    let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
    let tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return Err(FITTING.to_owned()),
    };
    if rest.contains(['?', '#']) {
        return Err(format!("nothing follows behind \"?\" or \"#\": {FITTING}"));
    }
    let (user, rest) =
        rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    if user.is_some_and(|user| user.contains(':')) {
        return Err("leave the password out of the address, and write password = \"env:NAME\" in \
                    [store]"
            .to_owned());
    }
    if user.is_some_and(|user| !super::is_name(user)) {
        return Err(format!("the user before \"@\" is no name: {}", super::NAME_RULE));
    }
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let servers = |port| {
        let server = |text: &str| {
            let Target { host, port } = peer(text, port)?;
            Ok(RedisServer { host, port })
        };
        hosts.split(',').map(server).collect::<Result<Vec<_>, String>>()
    };
    let told = |why: String| format!("{why}: {FITTING}");
    let place = match kind {
        "" => {
            let servers = servers(6_379).map_err(told)?;
            let [server] = <[RedisServer; 1]>::try_from(servers).map_err(|_| {
                "these are several servers: write redis+sentinel:// or redis+cluster://".to_owned()
            })?;
            let database = if path.is_empty() { "0" } else { path };
            let database = database.parse().map_err(|_| {
                "behind the host stands the number of a database, as redis://HOST/0".to_owned()
            })?;
            RedisPlace::Alone { server, database }
        }
        "sentinel" => {
            let servers = servers(26_379).map_err(told)?;
            if !super::is_name(path) {
                return Err("behind the sentinels stands what they call the primary, as \
                            redis+sentinel://HOST,HOST/mymaster"
                    .to_owned());
            }
            RedisPlace::Sentinels { servers, service: path.to_owned() }
        }
        "cluster" if path.is_empty() => {
            RedisPlace::Cluster { servers: servers(6_379).map_err(told)? }
        }
        "cluster" => {
            return Err("a cluster has one database: leave out what is behind the hosts".into());
        }
        _ => return Err(FITTING.to_owned()),
    };
    Ok(Address { tls, user: user.map(str::to_owned), place })
}

/// What of an address may be shown: a password may stand before the hosts.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("…", ""));
    match rest.rsplit_once('@') {
        Some((_, hosts)) => quoted(&format!("{scheme}://…@{hosts}")),
        None if rest.is_empty() => quoted("…"),
        None => quoted(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_of(url: &str) -> String {
        let Address { tls, user, place } = read(url).unwrap();
        let (prefix, folder) = ("octothorpe".to_owned(), "data".into());
        let password = Some("canary".to_owned().into());
        let min_replicas = None;
        let it = RedisSettings { place, tls, user, password, prefix, min_replicas, folder };
        assert!(!format!("{it:?}").contains("canary"));
        it.to_string()
    }

    #[test]
    fn addresses_of_redis_are_read_strictly_and_shown_without_passwords() {
        for (url, expected) in [
            ("redis://redis.example", "redis://:•@redis.example:6379/0"),
            ("rediss://gateway@[::1]:7000/3", "rediss://gateway:•@[::1]:7000/3"),
            ("redis+sentinel://a,b:7/m", "redis+sentinel://:•@a:26379,b:7/m"),
            (
                "rediss+cluster://u@a.example,10.0.0.1:7",
                "rediss+cluster://u:•@a.example:6379,10.0.0.1:7",
            ),
        ] {
            assert_eq!(shown_of(url), expected, "{url}");
        }
        for (url, why) in [
            ("redis:host", "write redis://HOST:PORT"),
            ("redis+proxy://host", "write redis://HOST:PORT"),
            ("redis://", "neither a host name"),
            ("redis://u:canary@host", "leave the password out"),
            ("redis://u:canary@host@x", "leave the password out"),
            ("redis://u u@host", "no name"),
            ("redis://a,b", "several servers"),
            ("redis://host:0", "1 to 65535"),
            ("redis://host/x", "the number of a database"),
            ("redis://host/-1", "the number of a database"),
            ("redis+sentinel://host", "what they call the primary"),
            ("redis+sentinel://host/a/b", "what they call the primary"),
            ("redis+cluster://host/0", "one database"),
            ("redis://host?x=y", "behind \"?\""),
        ] {
            let Err(told) = read(url) else { panic!("{url}") };
            assert!(told.contains(why), "{url}: {told}");
            assert!(!shown(url).contains("canary"), "{url}");
        }
    }
}
