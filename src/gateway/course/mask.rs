//! SIP messages as they may be kept, shown and sent elsewhere: without phone numbers, passwords, keys of media,
//! names of people, and without what was pressed.
//!
//! What is overwritten keeps its length, so that what is kept still dissects as what was on the wire. A
//! header that is not known here is overwritten whole: what it holds nobody can tell.

use std::net::Ipv4Addr;

use crate::media::sdes;

/// As many digits in a row may be a phone number.
const NUMBER: usize = 7;

/// How many of its digits stay.
const SHOWN: usize = 4;

/// What becomes of a header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Treatment {
    /// It stays: it has numbers that are none of a phone.
    Whole,
    /// It stays but for the numbers and passwords in it.
    Masked,
    /// It is overwritten.
    Hidden,
}

/// A message as it may be seen by others.
#[must_use]
pub(crate) fn masked(message: &[u8]) -> Vec<u8> {
    let mut out = message.to_vec();
    sdes::mask(&mut out);
    let end = out.windows(4).position(|end| end == b"\r\n\r\n").map_or(out.len(), |at| at + 4);
    let (head, body) = out.split_at_mut(end);
    let mut is_sdp = false;
    let mut treatment = Treatment::Masked;
    for (n, line) in head.split_mut(|byte| *byte == b'\n').enumerate() {
        let is_folded = line.first().is_some_and(|byte| b" \t".contains(byte));
        // What stands behind the name of a header, or all of the first line and of a continuation.
        let colon = line.iter().position(|byte| *byte == b':').filter(|_| n > 0 && !is_folded);
        let (name, value) = line.split_at_mut(colon.map_or(0, |at| at + 1));
        if let Some((_, name)) = name.split_last() {
            let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
            treatment = of(&name);
            let value = value.trim_ascii().to_ascii_lowercase();
            is_sdp |=
                matches!(&*name, "content-type" | "c") && value.starts_with(b"application/sdp");
        }
        match treatment {
            Treatment::Whole => {}
            Treatment::Masked => {
                hide_passwords(value);
                hide_numbers(value);
            }
            Treatment::Hidden => hide(value),
        }
    }
    if is_sdp {
        body.split_mut(|byte| *byte == b'\n').for_each(description);
    } else {
        hide(body);
    }
    out
}

/// What becomes of the header of this name (RFC 3261 section 20 and its successors).
fn of(name: &str) -> Treatment {
    match name {
        "call-id" | "i" | "cseq" | "date" | "content-length" | "l" | "timestamp" | "rseq"
        | "rack" => Treatment::Whole,
        "via"
        | "v"
        | "from"
        | "f"
        | "to"
        | "t"
        | "contact"
        | "m"
        | "route"
        | "record-route"
        | "path"
        | "service-route"
        | "content-type"
        | "c"
        | "content-encoding"
        | "e"
        | "content-disposition"
        | "mime-version"
        | "max-forwards"
        | "allow"
        | "supported"
        | "k"
        | "require"
        | "proxy-require"
        | "unsupported"
        | "accept"
        | "accept-encoding"
        | "accept-language"
        | "user-agent"
        | "server"
        | "reason"
        | "warning"
        | "retry-after"
        | "expires"
        | "min-expires"
        | "session-expires"
        | "x"
        | "min-se"
        | "privacy"
        | "allow-events"
        | "u"
        | "event"
        | "o"
        | "info-package"
        | "recv-info"
        | "p-preferred-identity"
        | "diversion"
        | "www-authenticate"
        | "proxy-authenticate" => Treatment::Masked,
        // Credentials, tokens that have numbers in them, names of who was called, and what is not known.
        _ => Treatment::Hidden,
    }
}

/// A line of a session description (RFC 8866): who it is of may be a number, streams are none.
fn description(line: &mut [u8]) {
    match line.split_first_mut() {
        // The user's name, before the numbers of the session.
        Some((b'o', rest)) => {
            let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
            rest.split_at_mut(end).0.split_mut(|byte| *byte == b'=').for_each(hide_numbers);
        }
        Some((b's' | b'i' | b'u' | b'e' | b'p', rest)) => hide_numbers(rest),
        Some(_) | None => {}
    }
}

fn hide(text: &mut [u8]) {
    let shown = text.iter_mut().filter(|byte| !byte.is_ascii_whitespace());
    shown.for_each(|byte| *byte = b'x');
}

/// Overwrites all but the last digits of whatever may be a phone number, with the separators of RFC 3966 in it
/// or without.
fn hide_numbers(text: &mut [u8]) {
    let part = |byte: &u8| byte.is_ascii_digit() || b"-.()".contains(byte);
    for run in text.split_mut(|byte| !part(byte)) {
        let digits = run.iter().filter(|byte| byte.is_ascii_digit()).count();
        if digits < NUMBER || is_address(run) {
            continue;
        }
        let digits = run.iter_mut().filter(|byte| byte.is_ascii_digit()).rev();
        digits.skip(SHOWN).for_each(|digit| *digit = b'*');
    }
}

fn is_address(run: &[u8]) -> bool {
    std::str::from_utf8(run).is_ok_and(|run| run.parse::<Ipv4Addr>().is_ok())
}

/// Overwrites the password of a URI (`sip:user:password@host`).
fn hide_passwords(text: &mut [u8]) {
    let Some(at) = text.iter().position(|byte| *byte == b'@') else { return };
    let (user, host) = text.split_at_mut(at);
    let start = user.iter().rposition(|byte| b"<\" ,".contains(byte)).map_or(0, |at| at + 1);
    let mut parts = user.get_mut(start..).unwrap_or_default().splitn_mut(3, |byte| *byte == b':');
    // The scheme, and the user.
    let (_, _) = (parts.next(), parts.next());
    if let Some(password) = parts.next() {
        hide(password);
    }
    hide_passwords(host.get_mut(1..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(message: &str) -> String {
        let shown = String::from_utf8(masked(message.as_bytes())).unwrap();
        assert_eq!(shown.len(), message.len());
        shown
    }

    #[test]
    fn numbers_and_secrets_go_and_what_tells_of_the_call_stays() {
        let sent = "INVITE sip:+12025550123@192.168.100.200:5060 SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.168.100.201:5060;branch=z9hG4bKabc\r\n\
            From: \"Acme\" <sip:acme:hunter2@trunk.example>;tag=a1\r\n\
            t: <tel:+1-202-555-0123>\r\n\
            Call-ID: 12345678901234567890\r\n\
            CSeq: 4711471147 INVITE\r\n\
            Proxy-Authorization: Digest username=\"acme\",\r\n \
            response=\"0123456789abcdef\"\r\n\
            Identity: eyJ0IjoiMTIwMjU1NTAxMjMifQ\r\n\
            X-Account: secret\r\n\
            Content-Type: application/sdp\r\n\
            Content-Length: 1\r\n\r\n\
            v=0\r\no=12025550123 3141592653 3141592653 IN IP4 192.168.100.201\r\n\
            s=+12025550123\r\nm=audio 10000 RTP/SAVP 0 101\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0\r\n";
        let wanted = "INVITE sip:+*******0123@192.168.100.200:5060 SIP/2.0\r\n\
            Via: SIP/2.0/UDP 192.168.100.201:5060;branch=z9hG4bKabc\r\n\
            From: \"Acme\" <sip:acme:xxxxxxx@trunk.example>;tag=a1\r\n\
            t: <tel:+*-***-***-0123>\r\n\
            Call-ID: 12345678901234567890\r\n\
            CSeq: 4711471147 INVITE\r\n\
            Proxy-Authorization: xxxxxx xxxxxxxxxxxxxxxx\r\n \
            xxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\
            Identity: xxxxxxxxxxxxxxxxxxxxxxxxxx\r\n\
            X-Account: xxxxxx\r\n\
            Content-Type: application/sdp\r\n\
            Content-Length: 1\r\n\r\n\
            v=0\r\no=*******0123 3141592653 3141592653 IN IP4 192.168.100.201\r\n\
            s=+*******0123\r\nm=audio 10000 RTP/SAVP 0 101\r\n\
            a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:********\r\n";
        assert_eq!(shown(sent), wanted);
    }

    #[test]
    fn what_was_pressed_is_not_told() {
        let info =
            "INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\n";
        let wanted =
            "INFO sip:a@b SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nxxxxxxxx\r\n";
        assert_eq!(shown(info), wanted);
    }

    #[test]
    fn whatever_came_is_masked_without_a_panic() {
        for odd in ["", "@", ":@:@", "\r\n\r\n", "a\r\n :\r\n12345678", "x:\r\n\r\n\u{e4}"] {
            shown(odd);
        }
    }
}
