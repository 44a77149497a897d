//! Routes, written and implied.

use super::*;
use crate::verify::number::NumberKind;
use crate::verify::request::Channel;
use crate::verify::route::Via;

/// Appended to [`good`], which has 7 lines: the first line here is line 8.
const MISTAKES: &[Row] = &[
    ("[[routes]]", &["o.toml:8: routes[0].via: write the trunks or carriers to try, in order"]),
    (
        "[[routes]]\nvia = []",
        &["o.toml:9: routes[0].via = []: write the trunks or carriers to try"],
    ),
    (
        "[[routes]]\nvia = ['ome']",
        &[
            "o.toml:9: routes[0].via[0] = \"ome\": there is no trunk or carrier that places calls of this name; did you mean \"one\"? (there are: one)",
        ],
    ),
    (
        "[[routes]]\nvia = ['one', 'one']",
        &["o.toml:9: routes[0].via[1] = \"one\": this route tries it already"],
    ),
    (
        "[[routes]]\nvia = [{ name = 'one', weight = 3 }]",
        &["o.toml:9: routes[0].via[0].name: no such key (known here: trunk, weight)"],
    ),
    (
        "[[routes]]\nvia = [{ weight = 3 }, { trunk = 'one' }]",
        &[
            "o.toml:9: routes[0].via[0].trunk: the name is missing: write { trunk = ",
            "o.toml:9: routes[0].via[1].weight: write a whole number from 1 to 1000",
        ],
    ),
    (
        "[[routes]]\nvia = [{ trunk = 'one', weight = 0 }]",
        &["o.toml:9: routes[0].via[0].weight = 0: write a whole number from 1 to 1000"],
    ),
    (
        "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\n[[routes]]\nvia = ['one', { trunk = 'two', weight = 1 }]",
        &["o.toml:12: routes[0].via: write a weight for all of them"],
    ),
    (
        "[[routes]]\nvia = [3]",
        &[
            "o.toml:9: routes[0].via[0] = 3: this is of type integer: write the name of a trunk or carrier, in quotes, or { trunk = ",
        ],
    ),
    (
        "[[routes]]\nvia = ['one']\ntenants = ['acm', 'acme']\nnumber_types = ['mobil', 'premium']\ncountries = ['UK']",
        &[
            "o.toml:10: routes[0].tenants[0] = \"acm\": there is no tenant of this name; did you mean \"acme\"? (there are: acme)",
            "o.toml:11: routes[0].number_types[0] = \"mobil\": write one of mobile, fixed, fixed_or_mobile, voip, unknown; did you mean \"mobile\"?",
            "o.toml:11: routes[0].number_types[1] = \"premium\": write one of",
            "o.toml:12: routes[0].countries[0] = \"UK\": there is no such country; did you mean \"GB\"?",
        ],
    ),
    (
        "[[routes]]\nvia = ['one']\ntenants = []",
        &["o.toml:10: routes[0].tenants = []: the list is empty: leave it out"],
    ),
    (
        "[[routes]]\nvia = ['one']\ncountries = ['DE', 'AT']\n[[routes]]\nvia = ['one']\ncountries = ['AT']",
        &["o.toml:11: routes[1].prefix = \"+\": the route on line 8 takes all of these already"],
    ),
    (
        "[[routes]]\nchannel = 'sms'\nvia = ['one']",
        &[
            "o.toml:10: routes[0].via[0] = \"one\": there is no carrier that sends texts of this name (there are: none)",
        ],
    ),
    (
        "[[routes]]\nchannel = 'push'\nvia = ['one']",
        &["o.toml:9: routes[0].channel = \"push\": the channel push is not supported by this"],
    ),
    (
        "[[routes]]\nchannel = 'vocie'\nvia = ['one']",
        &[
            "o.toml:9: routes[0].channel = \"vocie\": there is no such channel: write voice or sms; did you mean \"voice\"?",
        ],
    ),
    (
        "[[routes]]\nprefix = '0044'\nvia = ['one']",
        &[
            "o.toml:9: routes[0].prefix = \"0044\": write how the numbers begin: + and up to 15 digits",
        ],
    ),
    (
        "[[routes]]\nvia = ['one']\n[[routes]]\nprefix = '+'\nvia = ['one']",
        &[
            "o.toml:11: routes[1].prefix = \"+\": the route on line 8 has this channel and prefix already",
        ],
    ),
];

#[test]
fn each_mistake_of_a_route_is_named() {
    each_is_told(MISTAKES);
}

#[test]
fn routes_are_implied_or_written() {
    let two = "[[trunks]]\nname = 'two'\ntarget = 'sip:h'\n";
    let implied = parsed(&format!("{}{two}", good())).unwrap();
    let rule = Rule::every(Channel::Voice, ["one", "two"]);
    assert_eq!(implied.routes, [rule]);
    assert_eq!(implied.config.gateway.routes, Table::new(implied.routes));
    let text = format!(
        "{}{two}[[routes]]\nprefix = '+44'\ntenants = ['acme']\nnumber_types = ['mobile', 'voip']\n\
         countries = ['GB']\nvia = ['two']\n\
         [[routes]]\nvia = [{{ trunk = 'one', weight = 3 }}, {{ trunk = 'two', weight = 1 }}]\n",
        good()
    );
    let written = parsed(&text).unwrap().routes;
    let expected = Rule {
        prefix: "+44".to_owned(),
        tenants: vec!["acme".to_owned()],
        kinds: vec![NumberKind::Mobile, NumberKind::Voip],
        countries: vec!["GB".parse().unwrap()],
        ..Rule::every(Channel::Voice, ["two"])
    };
    assert_eq!(written[0], expected);
    let shares = [("one", 3), ("two", 1)].map(|(name, weight)| (name.to_owned(), weight));
    assert_eq!(written[1].via, Via::ByWeight(shares.to_vec()));
}
