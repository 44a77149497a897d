//! The scripts, one for each verb that takes more than a command.

/// A verb that is a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Load,
    Commit,
    Claim,
    Tally,
    List,
    Answers,
    Sweep,
    Forget,
}

macro_rules! text {
    ($($file:literal),+) => { concat!($(include_str!($file)),+) };
}

impl Verb {
    pub(super) const ALL: [Self; 8] = [
        Self::Load,
        Self::Commit,
        Self::Claim,
        Self::Tally,
        Self::List,
        Self::Answers,
        Self::Sweep,
        Self::Forget,
    ];

    /// Its script.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Load => text!("common.lua", "load.lua"),
            Self::Commit => text!("common.lua", "queue.lua", "commit.lua"),
            Self::Claim => text!("common.lua", "queue.lua", "claim.lua"),
            Self::Tally => text!("common.lua", "tally.lua"),
            Self::List => text!("common.lua", "list.lua"),
            Self::Answers => text!("common.lua", "answers.lua"),
            Self::Sweep => text!("common.lua", "queue.lua", "sweep.lua"),
            Self::Forget => text!("common.lua", "queue.lua", "forget.lua"),
        }
    }
}

/// The hashes by which a server knows the scripts that it was given.
pub(super) struct Loaded(pub(super) Vec<String>);

impl Loaded {
    pub(super) fn hash(&self, verb: Verb) -> &str {
        let loaded = Verb::ALL.iter().zip(&self.0);
        loaded.into_iter().find(|(it, _)| **it == verb).map_or("", |(_, hash)| hash)
    }
}
