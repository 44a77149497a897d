//! Limits: exactly as many as they allow, whoever asks at once; and what callers are told.

use std::sync::{Barrier, Mutex};

use serde_json::{Value, json};

use crate::phone::{Manner, Phone};
use crate::serve::Gateway;
use crate::tools::{NUMBER, octothorpe};

#[test]
fn a_limit_is_kept_to_the_last_start_and_says_when_to_come_back() {
    let phone = Phone::start(Manner::Ring);
    let trunk = format!(
        "[[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{};transport=udp\"\n",
        phone.port()
    );
    let own = "limits = { tenant = [\"5/10m\"], prefix = [\"2/h\"], record_only = [\"prefix\"] }";
    let gateway = Gateway::with(&trunk, own);
    gateway.hide(NUMBER.trim_start_matches("+1"));
    // A rehearsal counts for nothing.
    let dry = json!({"to": NUMBER, "dry_run": true});
    for _ in 0..10 {
        assert_eq!(gateway.post("/v1/verifications", &dry).status, 200);
    }
    let (together, answers) = (Barrier::new(40), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        // None of them is the number of the rehearsals, which would else be one that is being called.
        for n in 40..80 {
            let (gateway, together, answers) = (&gateway, &together, &answers);
            scope.spawn(move || {
                together.wait();
                let to = format!("+120255501{n:02}");
                let answer = gateway.post("/v1/verifications", &json!({"to": to}));
                answers.lock().unwrap().push(answer);
            });
        }
    });
    let answers = answers.into_inner().unwrap();
    let (begun, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 201);
    assert_eq!((begun.len(), refused.len()), (5, 35));
    let mut left: Vec<_> = begun.iter().map(|it| it.header("ratelimit").unwrap()).collect();
    left.sort_unstable();
    let expected: Vec<_> = (0..5).map(|n| format!("\"tenant\";q=5;w=600;r={n}")).collect();
    assert_eq!(left, expected);
    for answer in refused {
        let told = answer.json();
        assert_eq!((answer.status, &told["code"]), (429, &"rate_limited".into()), "{told}");
        assert_eq!(told["detail"], "tenant allows 5/10m and has had 5");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((500..=660).contains(&wait), "{wait}");
    }
    // What only records refuses nothing, and is told.
    assert_eq!(gateway.metric("octothorpe_limited_total{by=\"prefix\",outcome=\"recorded\"}"), 3);
    assert_eq!(gateway.metric("octothorpe_limited_total{by=\"tenant\",outcome=\"refused\"}"), 35);
    // A rehearsal is refused as well.
    assert_eq!(gateway.post("/v1/verifications", &dry).status, 429);
}

#[test]
fn out_of_the_box_nothing_is_sent_and_the_refusal_names_the_lines_to_add() {
    let phone = Phone::start(Manner::Ring);
    let trunk = format!(
        "[[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{};transport=udp\"\n\
         options_secs = 0\n",
        phone.port()
    );
    // A key alone: no countries, and nothing to reach them by.
    let gateway = Gateway::closed();
    for (channel, entry) in [("voice", "[[trunks]]"), ("sms", "[[carriers]]")] {
        let refused = gateway.post("/v1/verifications", &json!({"to": NUMBER, "channel": channel}));
        let told = refused.json();
        assert_eq!((refused.status, &told["code"]), (403, &"country_denied".into()), "{told}");
        let detail = told["detail"].as_str().unwrap();
        let list = format!("{channel}_countries = [\"US\"]");
        for line in ["[[tenants]]", &list, entry, "[[routes]]"] {
            assert!(detail.contains(line), "{detail}");
        }
    }
    // What it says is done, and the phone rings.
    gateway.rewrite(|before| {
        let route = "[[routes]]\nchannel = \"voice\"\nvia = [\"phone\"]\n";
        let opened = before.replace("#here\n", "voice_countries = [\"US\"]\n");
        format!("{opened}\n{trunk}{route}")
    });
    assert_eq!(gateway.reload().status, 200);
    let id = gateway.ask();
    gateway.reaches(&id, "ringing");
}

#[test]
fn operators_block_and_lift_by_command_and_see_what_each_rule_says() {
    let phone = Phone::start(Manner::Ring);
    let trunk = format!(
        "[[trunks]]\nname = \"phone\"\ntarget = \"sip:127.0.0.1:{};transport=udp\"\n\
         options_secs = 0\n",
        phone.port()
    );
    let gateway = Gateway::with(&trunk, "");
    gateway.hide(NUMBER.trim_start_matches("+1"));
    let admin = format!("http://{}", gateway.admin_address());
    let run = |args: &[&str]| {
        let mut command = octothorpe();
        command.args(args).args(["--admin", &admin, "--json"]);
        let output = command.output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        let json: Value = out.lines().last().map_or(Value::Null, |line| {
            serde_json::from_str(line).unwrap_or_else(|_| panic!("{out}"))
        });
        (output.status.code().unwrap(), json)
    };
    let explain = || run(&["policy", "explain", NUMBER, "--tenant", "e2e"]);
    assert_eq!(explain().0, 0, "{}", explain().1);
    let (code, block) =
        run(&["block", NUMBER, "--tenant", "e2e", "--hours", "2", "--reason", "a test"]);
    assert_eq!(
        (code, &block["about"], &block["reason"]),
        (0, &"number".into(), &"operator".into())
    );
    let refused = gateway.post("/v1/verifications", &json!({"to": NUMBER}));
    let told = refused.json();
    assert_eq!((refused.status, &told["code"]), (403, &"blocked".into()), "{told}");
    assert!(told["detail"].as_str().unwrap().starts_with("operator: this number is blocked until"));
    let (code, words) = explain();
    assert_eq!((code, &words["passes"]), (1, &false.into()));
    let rules = words["rules"].as_array().unwrap();
    let refuses: Vec<_> = rules.iter().filter(|it| it["says"] == "refuses").collect();
    assert_eq!((refuses.len(), &refuses[0]["rule"]), (1, &"blocks".into()), "{words}");
    let (_, listed) = run(&["blocks", "--tenant", "e2e"]);
    assert_eq!(listed["blocks"][0]["id"], block["id"]);
    assert!(!listed.to_string().contains(NUMBER.trim_start_matches("+1")));
    assert_eq!(run(&["unblock", NUMBER, "--tenant", "e2e"]).0, 0);
    assert_eq!(run(&["unblock", block["id"].as_str().unwrap()]).0, 2, "it is lifted already");
    // Ranges and countries, for everybody.
    for (what, about) in [("+1202", "prefix"), ("US", "country")] {
        let (_, block) = run(&["block", what]);
        assert_eq!((&block["about"], &block["until"]), (&about.into(), &Value::Null));
        let refused = gateway.post("/v1/verifications", &json!({"to": NUMBER}));
        assert_eq!(refused.status, 403, "{refused:?}");
        assert_eq!(run(&["unblock", block["id"].as_str().unwrap()]).0, 0);
    }
    assert_eq!(run(&["block", "12"]).0, 2);
    assert_eq!(run(&["block", "US", "--tenant", "nobody"]).0, 2);
    let id = gateway.ask();
    gateway.reaches(&id, "ringing");
    assert_eq!(gateway.metric("octothorpe_unwelcome_total{code=\"blocked\"}"), 3);
}
