//! Who may log in.

use super::*;
use crate::access::operator::{Password, Role};

const TOTP: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

fn phc() -> String {
    Password::of("correct horse", &[1; 16]).unwrap().phc()
}

#[test]
fn operators_are_read_and_their_secrets_stay_unseen() {
    let phc = phc();
    let text = format!(
        "{}\n[[operators]]\nname = \"eve\"\nrole = \"viewer\"\npassword = \"{phc}\"\n\
         totp = \"env:EVE\"\n[[operators]]\nname = \"bob\"\nrole = \"admin\"\npassword = \"env:BOB\"\n\
         totp = \"{TOTP}\"\n",
        good()
    );
    let env = |name: &str| match name {
        "EVE" => Some(TOTP.to_owned()),
        "BOB" => Some(phc.clone()),
        _ => None,
    };
    let loaded = parse(&text, "octothorpe.toml", Path::new("."), env).unwrap();
    let operators = &loaded.config.gateway.operators;
    let read: Vec<_> = operators.iter().map(|it| (it.name.as_str(), it.role)).collect();
    assert_eq!(read, [("eve", Role::Viewer), ("bob", Role::Admin)]);
    assert!(operators.iter().all(|it| it.password.is("correct horse")));
    assert_eq!(operators[0].totp.text().as_str(), TOTP);
    let shown = format!("{loaded:?}");
    assert!(!shown.contains(TOTP) && !shown.contains("argon2id$v"), "{shown}");
    // A hash may stand there openly, a secret is warned of.
    let warned: Vec<_> = loaded.warnings.iter().map(|it| it.key.as_str()).collect();
    assert!(warned.contains(&"operators[1].totp") && !warned.contains(&"operators[0].password"));
}

#[test]
fn what_is_wrong_with_an_operator_is_told_by_its_key() {
    let phc = phc();
    let weak = phc.replace("m=19456", "m=4096");
    let text = format!(
        "{}\n[[operators]]\n[[operators]]\nname = \"e v e\"\nrole = \"root\"\n\
         password = \"hunter2\"\ntotp = \"hunter2\"\n[[operators]]\nname = \"bob\"\nrole = \"admin\"\n\
         password = \"{weak}\"\ntotp = \"GEZDGNBVGY3TQOJQ\"\n[[operators]]\nname = \"bob\"\n\
         role = \"admin\"\npassword = \"{phc}\"\ntotp = \"{TOTP}\"\n",
        good()
    );
    let Complaints(all) = parsed(&text).unwrap_err();
    let mut keys: Vec<_> = all.iter().map(|it| it.key.as_str()).collect();
    keys.sort_unstable();
    let of = |i: usize, names: &[&str]| {
        names.iter().map(|name| format!("operators[{i}].{name}")).collect::<Vec<_>>()
    };
    let each = ["name", "password", "role", "totp"];
    let expected = [of(0, &each), of(1, &each), of(2, &["password", "totp"]), of(3, &["name"])];
    assert_eq!(keys, expected.concat());
    let told = format!("{all:?}");
    assert!(!told.contains("hunter2") && !told.contains("GEZDG"), "{told}");
}
