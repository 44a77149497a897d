//! What certificates of clients are known by, their names of DNS and of URIs; and until when any is good.

use std::fmt;

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::ambient::Timestamp;

/// The longest name that is known: DNS has no longer ones, and a SPIFFE ID ends at 2,048 bytes.
const LONGEST: usize = 2_048;

/// The longest name of DNS (RFC 1035 section 2.3.4), as text.
const LONGEST_DOMAIN: usize = 253;

/// A name of a certificate: a subject alternative name of the kind dNSName, in small letters, or
/// uniformResourceIdentifier, to the letter (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Reads a name as an admin writes it.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "write a name as the certificate has it among its subject alternative \
                            names: of DNS, as login.acme.example, or a URI, as spiffe://acme/login";
        if text.contains('*') {
            return Err("a certificate is known by a whole name: write each, without *");
        }
        let is_uri = text.contains("://") || text.starts_with("urn:");
        if is_uri && text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        let is_label = |label: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(fits)
        };
        let is_domain = text.len() <= LONGEST_DOMAIN && text.split('.').all(is_label);
        // An address is no name, although it is written as one.
        let is_address = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if is_domain && !is_address { Ok(Self::of_domain(text)) } else { Err(FORM) }
    }

    fn of_domain(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The names of a certificate that has been verified; none of one that cannot be read.
#[must_use]
pub fn names(certificate: &CertificateDer<'_>) -> Vec<Name> {
    let Ok(leaf) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let uris = leaf.valid_uri_names().map(|uri| Name(uri.to_owned()));
    leaf.valid_dns_names().map(Name::of_domain).chain(uris).collect()
}

/// When a certificate ends: the `notAfter` of RFC 5280 section 4.1; `None` of one that cannot be read.
///
/// `TBSCertificate ::= SEQUENCE { version [0] EXPLICIT Version DEFAULT v1, serialNumber
/// CertificateSerialNumber, signature AlgorithmIdentifier, issuer Name, validity Validity, … }`, and
/// `Validity ::= SEQUENCE { notBefore Time, notAfter Time }`.
#[must_use]
pub fn ends(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate)?;
    let (_, to_be_signed, _) = element(certificate)?;
    let (first, _, after) = element(to_be_signed)?;
    let mut rest = if first == VERSION { after } else { to_be_signed };
    for _before_validity in ["serialNumber", "signature", "issuer"] {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _not_before, rest) = element(validity)?;
    let (tag, not_after, _) = element(rest)?;
    time(tag, std::str::from_utf8(not_after).ok()?)
}

/// An element of DER (X.690 section 8.1): its tag, its contents, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        let digits = digits
            .iter()
            .try_fold(0_usize, |sum, &digit| sum.checked_mul(256)?.checked_add(usize::from(digit)));
        (digits?, rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// A `Time` of RFC 5280 section 4.1.2.5: UTCTime is `YYMMDDHHMMSSZ`, GeneralizedTime has four digits of a year.
fn time(tag: u8, text: &str) -> Option<Timestamp> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let (year, rest) = match tag {
        UTC_TIME => {
            // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY; and where YY is
            // less than 50, the year SHALL be interpreted as 20YY."
            let (year, rest) = text.split_at_checked(2)?;
            (format!("{}{year}", if year >= "50" { "19" } else { "20" }), rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.to_owned(), rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2);
    let (month, day, hour, minute, second) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    Timestamp::from_rfc3339(&format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z"))
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_are_read_as_certificates_have_them() {
        for (written, read) in [
            ("login.acme.example", "login.acme.example"),
            ("Login.ACME.example", "login.acme.example"),
            ("client-7", "client-7"),
            ("spiffe://acme.example/Login", "spiffe://acme.example/Login"),
            (
                "urn:uuid:0190163d-8694-739b-aea5-966c26f8ad91",
                "urn:uuid:0190163d-8694-739b-aea5-966c26f8ad91",
            ),
        ] {
            assert_eq!(Name::parse(written).unwrap().as_str(), read);
        }
        let long = format!("{}.example", "a".repeat(64));
        for bad in
            ["", ".", "a..b", "a b", "*.acme.example", "10.0.0.1", "me@acme.example", "a:80", &long]
        {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
        let remedy = Name::parse("*.acme.example").unwrap_err();
        assert!(remedy.contains("write each"), "{remedy}");
    }

    #[test]
    fn a_certificate_has_its_names_of_dns_and_of_uris_and_no_others() {
        let mut params = CertificateParams::new(vec!["Login.acme.example".to_owned()]).unwrap();
        let text = |text: &str| Ia5String::try_from(text).unwrap();
        params.subject_alt_names.extend([
            SanType::URI(text("spiffe://acme/login")),
            SanType::Rfc822Name(text("me@acme.example")),
            SanType::IpAddress("10.0.0.1".parse().unwrap()),
        ]);
        params.distinguished_name.push(rcgen::DnType::CommonName, "common.acme.example");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let found: Vec<String> = names(made.der()).iter().map(Name::to_string).collect();
        assert_eq!(found, ["login.acme.example", "spiffe://acme/login"]);
        assert!(names(&CertificateDer::from(vec![1, 2, 3])).is_empty());
    }

    #[test]
    fn a_certificate_says_when_it_ends() {
        for (year, ends_at) in
            [(2027, "2027-03-09T00:00:00.000Z"), (2050, "2050-03-09T00:00:00.000Z")]
        {
            let mut params = CertificateParams::new(vec!["acme.example".to_owned()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 3, 9);
            let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            assert_eq!(ends(made.der()).unwrap().to_rfc3339(), ends_at);
            // Cut off anywhere, it says nothing that is not so.
            for length in 0..made.der().len() {
                let part = CertificateDer::from(made.der()[..length].to_vec());
                assert_eq!(ends(&part), None, "{length} bytes");
            }
        }
        assert_eq!(time(0x17, "991231235959Z").unwrap().to_rfc3339(), "1999-12-31T23:59:59.000Z");
        for bad in ["", "9", "99123123595", "991331235959Z", "ä91231235959Z"] {
            assert_eq!(time(0x17, bad), None, "{bad}");
        }
    }
}
