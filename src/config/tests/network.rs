//! SIP, calls, the store and the log.

use super::*;

/// Appended to [`good`], which has 7 lines: the first line here is line 8.
const MISTAKES: &[Row] = &[
    (
        "[store]\nurl = 'redis://u:canary@host'",
        &[
            "o.toml: store.secret: it is missing, and all nodes that share a store need the same",
            "o.toml:9: store.url = \"redis://…@host\": leave the password out of the address, and write password",
        ],
    ),
    (
        "[store]\nurl = 'redis+sentinel://host'",
        &[
            "o.toml:9: store.url = \"redis+sentinel://host\": behind the sentinels stands what they call",
        ],
    ),
    (
        "[store]\nurl = 'redis://host'\nprefix = '{a}'\nmin_replicas = 11",
        &[
            "o.toml:10: store.prefix = \"{a}\": the prefix of keys is a name",
            "o.toml:11: store.min_replicas = 11: write a whole number from 0 to 10",
        ],
    ),
    ("[store]\nurl = 'memory'", &["o.toml:9: store.url = ", "write memory:, file:FOLDER"]),
    ("[store]\nurl = 'file:'", &["o.toml:9: store.url = \"file:\": write memory:, file:FOLDER"]),
    ("[store]\nurl = 'file://host/data'", &["o.toml:9: store.url = \"file://host/data\": write"]),
    (
        "[sip]\nlisten = ['ws:127.0.0.1:5060']",
        &["o.toml:9: sip.listen[0] = \"ws:127.0.0.1:5060\": SIP over ws is not supported"],
    ),
    (
        "[sip]\nlisten = ['udp:127.0.0.1:0',\n'tls:::1:5061']",
        &["o.toml:10: sip.listen[1] = \"tls:::1:5061\": write udp:"],
    ),
    ("[sip]\nlisten = []", &["o.toml:9: sip.listen = []: SIP needs a place to listen"]),
    (
        "[sip]\nlisten = ['udp:127.0.0.1:5060', 'udp:0.0.0.0:5060']",
        &[
            "o.toml:9: sip.listen[1] = \"udp:0.0.0.0:5060\": udp:127.0.0.1:5060 takes this port already",
        ],
    ),
    (
        "[sip]\nlisten = 'udp:127.0.0.1:5060'",
        &[
            "o.toml:9: sip.listen = 'udp:127.0.0.1:5060': this is of type string: write an array, in [ ]",
        ],
    ),
    (
        "[sip]\nrtp_ports = [30000, 20000]",
        &["o.toml:9: sip.rtp_ports = [30000, 20000]: the range is empty"],
    ),
    (
        "[sip]\nrtp_ports = [20001, 20002]",
        &[
            "o.toml:9: sip.rtp_ports = [20001, 20002]: the range is empty, it holds no pair of ports",
            "as [20000, 29999]",
        ],
    ),
    (
        "[sip]\nrtp_ports = [20000]",
        &["o.toml:9: sip.rtp_ports = [20000]: write the first and the last port"],
    ),
    (
        "[sip]\nrtp_ports = [0, 70000]",
        &["o.toml:9: sip.rtp_ports = [0, 70000]: write the first and the last port"],
    ),
    (
        "[sip]\nrtp_ports = [5000, 5999]",
        &[
            "o.toml:9: sip.listen[0] = \"udp:127.0.0.1:5060\": this port lies in rtp_ports (5000 to 5999)",
        ],
    ),
    (
        "[sip]\ndns = \"192.0.2.53\"",
        &["o.toml:9: sip.dns = \"192.0.2.53\": write udp:ADDRESS:PORT"],
    ),
    (
        "[sip]\nadvertise = \"everywhere\"",
        &["o.toml:9: sip.advertise = \"everywhere\": write the IP address that trunks reach"],
    ),
    (
        "[sip]\nengines = 1000",
        &["o.toml:9: sip.engines = 1000: write a whole number from 0 to 256"],
    ),
    (
        "[call]\nring_timeout_secs = 0\nlimit_secs = -1",
        &[
            "o.toml:9: call.ring_timeout_secs = 0: write a whole number from 1 to 120",
            "o.toml:10: call.limit_secs = -1: write a whole number from 1 to 300",
        ],
    ),
    (
        "[call]\nfraud_keys = \"#\"\npin_digits = 3\npin_tries = 0\nmatch_digits = 7",
        &[
            "o.toml:9: call.fraud_keys = \"#\": write one to three digits and #, as \"0#\"",
            "o.toml:10: call.pin_digits = 3: write a whole number from 4 to 16",
            "o.toml:11: call.pin_tries = 0: write a whole number from 1 to 5",
            "o.toml:12: call.match_digits = 7: write a whole number from 2 to 6",
        ],
    ),
    ("[call]\nfraud_keys = \"4821#\"", &["o.toml:9: call.fraud_keys = \"4821#\": write one to"]),
    ("[call]\nfraud_keys = \"*#\"", &["o.toml:9: call.fraud_keys = \"*#\": write one to"]),
    (
        "[call]\nlimit_secs = 99999999999999999999",
        &["o.toml:9: call.limit_secs = 99999999999999999999: the number is too large"],
    ),
    ("[log]\nfilter = 'loud'", &["o.toml:9: log.filter = \"loud\": write a level"]),
    (
        "[log]\nformat = 'jsn'",
        &["o.toml:9: log.format = \"jsn\": write auto, text or json; did you mean \"json\"?"],
    ),
    (
        "[store]\nsecret = 'canary'",
        &["o.toml:9: store.secret: it has 6 characters, and could be guessed below 32: make one"],
    ),
    (
        "[store]\nsecret = 'env:LONG'\nolder_secrets = ['file:x', 'canary']",
        &[
            "o.toml:10: store.older_secrets[0] = \"file:x\": the file",
            "store.older_secrets[1]: it has 6",
        ],
    ),
    (
        "[store]\nolder_secrets = ['canary-canary-canary-canary-canary-canary']",
        &["o.toml:9: store.older_secrets: there is no store.secret that came after them: write it"],
    ),
];

#[test]
fn each_mistake_of_sip_calls_store_and_log_is_named() {
    each_is_told(MISTAKES);
}
