//! `octothorpe key webhook`: what signs for a webhook.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;
use zeroize::Zeroizing;

use super::Report;
use crate::ambient;
use crate::gateway::settings::WebhookSecret;

/// A fresh one.
pub(super) fn new(ed25519: bool, json: bool) -> Report {
    let key = Zeroizing::new(ambient::secret::<32>());
    let prefix = if ed25519 { "whsk_" } else { "whsec_" };
    let secret = Zeroizing::new(format!("{prefix}{}", BASE64.encode(*key)));
    let pair = ed25519.then(|| WebhookSecret::ed25519(&*key)).flatten();
    let public = pair.and_then(|pair| pair.public());
    if json {
        let object = json!({ "secret": secret.as_str(), "public": public });
        return Report { out: format!("{object}\n"), err: String::new(), code: 0 };
    }
    let receivers = match public {
        Some(public) => {
            format!("Receivers check by the public key, which is no secret:\n\n{public}")
        }
        None => "The receiver checks by the same secret.".to_owned(),
    };
    let err = format!(
        "What signs, shown this once. Set a variable to it where the server is started, and write \
         it as secret = \"env:NAME\" of the webhook. {receivers}\n"
    );
    Report { out: format!("{}\n", secret.as_str()), err, code: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_printed_with_its_public_half_apart() {
        let report = new(true, false);
        let encoded = report.out.trim_end().strip_prefix("whsk_").unwrap();
        let key = WebhookSecret::ed25519(&BASE64.decode(encoded).unwrap()).unwrap();
        assert!(report.err.contains(&key.public().unwrap()), "{}", report.err);
        assert!(!report.err.contains(encoded));
        assert!(new(false, false).out.starts_with("whsec_"));
        let object: serde_json::Value = serde_json::from_str(&new(true, true).out).unwrap();
        assert!(object["public"].as_str().unwrap().starts_with("whpk_"));
        assert_ne!(new(true, false).out, report.out);
    }
}
