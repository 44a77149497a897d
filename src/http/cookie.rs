//! The cookie of a session: read, set, taken away.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// Where the browser speaks TLS. "If a cookie's name begins with … `__Host-`, then the cookie will have been set
/// with a Secure attribute, a Path attribute with a value of /, and no Domain attribute." (RFC 6265bis section
/// 4.1.3.2)
const SECURE: &str = "__Host-octothorpe";

/// In the clear, on this machine.
const PLAIN: &str = "octothorpe";

/// What the session's cookie says, where there is one of that name; `secure`: all that are asked under TLS.
pub(super) fn presented(headers: &HeaderMap, secure: bool) -> Option<&str> {
    let named = |name: &str| {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
        // Of two with one name, one is somebody else's.
        values.next().filter(|_| values.next().is_none())
    };
    named(SECURE).or_else(|| if secure { None } else { named(PLAIN) })
}

/// Sets it.
pub(super) fn set(id: &str, secure: bool) -> Option<HeaderValue> {
    written(id, secure, "")
}

/// Takes it away.
pub(super) fn removed(secure: bool) -> Option<HeaderValue> {
    written("", secure, "; Max-Age=0")
}

fn written(value: &str, secure: bool, more: &str) -> Option<HeaderValue> {
    let (name, marked) = if secure { (SECURE, "; Secure") } else { (PLAIN, "") };
    let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{marked}{more}");
    let mut line = HeaderValue::from_str(&line).ok()?;
    line.set_sensitive(true);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str], secure: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, line.parse().unwrap());
        }
        presented(&headers, secure).map(str::to_owned)
    }

    #[test]
    fn the_one_cookie_of_the_session_is_read() {
        for line in
            ["octothorpe=abc", "a=b; octothorpe=abc", "octothorpe=abc;c=d", "x; octothorpe=abc"]
        {
            assert_eq!(read(&[line], false).as_deref(), Some("abc"), "{line}");
            assert_eq!(read(&[line], true), None, "{line}");
        }
        let both = "octothorpe=abc; __Host-octothorpe=def";
        assert_eq!(read(&[both], false).as_deref(), Some("def"));
        assert_eq!(read(&[both], true).as_deref(), Some("def"));
        assert_eq!(read(&["a=b", "octothorpe=abc"], false).as_deref(), Some("abc"));
        for bad in [
            &["octothorpe=a; octothorpe=b"][..],
            &["octothorpe=a", "octothorpe=b"],
            &["OCTOTHORPE=a"],
            &[],
        ] {
            assert_eq!(read(bad, false), None, "{bad:?}");
        }
    }

    #[test]
    fn it_is_for_this_host_and_no_script() {
        let text = |it: Option<HeaderValue>| it.unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            text(set("abc", true)),
            "__Host-octothorpe=abc; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(text(set("abc", false)), "octothorpe=abc; Path=/; HttpOnly; SameSite=Strict");
        assert_eq!(
            text(removed(false)),
            "octothorpe=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
        );
        assert!(set("abc", true).unwrap().is_sensitive() && set("a\nb", true).is_none());
    }
}
