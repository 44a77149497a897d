//! Methods: those we have a name for, and any other token.

/// A request's method.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of its name")]
pub enum Method {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Info,
    Prack,
    Update,
    Subscribe,
    Notify,
    Refer,
    Message,
    Publish,
    /// A method we have no name for.
    Other(Token),
}

const METHODS: [(Method, &str); 14] = [
    (Method::Invite, "INVITE"),
    (Method::Ack, "ACK"),
    (Method::Bye, "BYE"),
    (Method::Cancel, "CANCEL"),
    (Method::Register, "REGISTER"),
    (Method::Options, "OPTIONS"),
    (Method::Info, "INFO"),
    (Method::Prack, "PRACK"),
    (Method::Update, "UPDATE"),
    (Method::Subscribe, "SUBSCRIBE"),
    (Method::Notify, "NOTIFY"),
    (Method::Refer, "REFER"),
    (Method::Message, "MESSAGE"),
    (Method::Publish, "PUBLISH"),
];

impl Method {
    /// The method of that name; `None` when it is no token. Names are case-sensitive.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match METHODS.iter().find(|(_, known)| *known == name) {
            Some((method, _)) => Some(method.clone()),
            None => Token::parse(name).map(Self::Other),
        }
    }

    /// Its name on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        if let Self::Other(name) = self {
            return name.as_str();
        }
        METHODS.iter().find(|(method, _)| method == self).map_or("", |(_, name)| name)
    }
}

/// A word of RFC 3261's token characters, at most 64 of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// `None` when `text` is not a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_token = (1..=64).contains(&text.len()) && text.chars().all(super::uri::is_token);
        is_token.then(|| Self(text.to_owned()))
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
