//! What is made of inputs that did something: pieces cut, copied, exchanged with those of others, bytes
//! changed, and words of the trade put in.

use octothorpe::ambient::Entropy;

/// Words that readers look for.
const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\r\n ",
    "\n",
    "\0",
    "\t",
    "\"",
    "\\",
    "<",
    ">",
    ";",
    ",",
    ":",
    "@",
    "=",
    "%00",
    "%0d%0a",
    "?",
    "*",
    "[::1]",
    "[",
    "]",
    "\u{fc}",
    "\u{ff}",
    " ",
    "SIP/2.0",
    "sip:",
    "sips:",
    "tel:",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "UPDATE",
    "INFO",
    "NOTIFY",
    "REGISTER",
    "Via: ",
    "v: ",
    "From: ",
    "f: ",
    "To: ",
    "t: ",
    "Call-ID: ",
    "i: ",
    "CSeq: ",
    "Contact: ",
    "m: ",
    "Record-Route: ",
    "Route: ",
    "Content-Length: ",
    "l: ",
    "Content-Type: ",
    "c: ",
    "application/sdp",
    "multipart/mixed",
    "boundary=",
    "Require: ",
    "100rel",
    "Reason: Q.850;cause=",
    "Retry-After: ",
    "WWW-Authenticate: ",
    "Proxy-Authenticate: ",
    "Digest ",
    "realm=",
    "nonce=",
    "qop=",
    "auth",
    "auth-int",
    "algorithm=",
    "MD5",
    "SHA-256",
    "SHA-512-256",
    "stale=true",
    "opaque=",
    "charset=UTF-8",
    ";tag=",
    ";branch=z9hG4bK",
    ";rport",
    ";received=",
    ";maddr=",
    ";ttl=",
    ";lr",
    ";transport=tcp",
    ";transport=tls",
    ";user=phone",
    "-1",
    "0",
    "4294967295",
    "4294967296",
    "2147483648",
    "99999999999999999999",
    "65535",
    "65536",
    "v=0\r\n",
    "o=- 1 1 IN IP4 192.0.2.7\r\n",
    "s=-\r\n",
    "c=IN IP4 192.0.2.7\r\n",
    "c=IN IP6 ::1\r\n",
    "c=IN IP4 0.0.0.0\r\n",
    "t=0 0\r\n",
    "m=audio 4000 RTP/AVP 0 8 101\r\n",
    "m=audio 0 RTP/AVP 0\r\n",
    "m=audio 4000 RTP/SAVP 0\r\n",
    "m=video 4000 RTP/AVP 96\r\n",
    "a=rtpmap:101 telephone-event/8000\r\n",
    "a=fmtp:101 0-16\r\n",
    "a=sendonly\r\n",
    "a=recvonly\r\n",
    "a=inactive\r\n",
    "a=ptime:20\r\n",
    "a=rtcp:4001\r\n",
    "a=rtcp-mux\r\n",
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:",
];

/// An input that was not tried yet, as far as chance goes.
pub(crate) fn next(kept: &[Vec<u8>], longest: usize, entropy: &mut Entropy) -> Vec<u8> {
    let mut input = match kept {
        [] => Vec::new(),
        _ if entropy.below(64) == 0 => Vec::new(),
        kept => kept[below(entropy, kept.len())].clone(),
    };
    for _ in 0..=entropy.below(8) {
        let at = below(entropy, input.len() + 1);
        let until = (at + below(entropy, 33)).min(input.len());
        match entropy.below(9) {
            0 => drop(input.drain(at..until)),
            1 => {
                let piece = input[at..until].to_vec();
                for _ in 0..=entropy.below(4) {
                    drop(input.splice(at..at, piece.iter().copied()));
                }
            }
            2 => {
                let word = WORDS[below(entropy, WORDS.len())].as_bytes();
                let until = if entropy.below(2) == 0 { at } else { until };
                drop(input.splice(at..until, word.iter().copied()));
            }
            3 if !kept.is_empty() => {
                let other = &kept[below(entropy, kept.len())];
                let from = below(entropy, other.len() + 1);
                let to = (from + below(entropy, 257)).min(other.len());
                drop(input.splice(at..until, other[from..to].iter().copied()));
            }
            4 => {
                let piece = input[at..until].to_vec();
                let to = below(entropy, input.len() + 1);
                drop(input.splice(to..to, piece));
            }
            5 => {
                let bit = 1 << entropy.below(8);
                input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
            }
            6 => {
                let more: Vec<u8> =
                    (0..entropy.below(8)).map(|_| entropy.bytes::<1>()[0]).collect();
                drop(input.splice(at..at, more));
            }
            7 => input.truncate(at),
            _ => {
                let [byte] = entropy.bytes();
                input.iter_mut().skip(at).take(1).for_each(|it| *it = byte);
            }
        }
    }
    input.truncate(longest);
    input
}

/// A number below `bound`; zero when there is none.
pub(crate) fn below(entropy: &mut Entropy, bound: usize) -> usize {
    let bound = u64::try_from(bound.max(1)).unwrap();
    usize::try_from(entropy.below(bound)).unwrap()
}
