//! What a start needs, over both stores: a question that is not asked yet, a phone that is not being called,
//! money; and what further attempts count.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod holds;
mod money;
mod site;
