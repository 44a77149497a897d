#![doc = include_str!("ARCHITECTURE.md")]

pub mod ambient;

pub mod failpoint;

pub mod verify;

pub mod access;

pub mod media;
pub mod sip;
pub mod voice;

pub mod carrier;

pub mod telemetry;

pub mod store;

pub mod gateway;

pub mod http;

pub mod config;

pub mod cli;

#[doc = include_str!("SECURITY.md")]
pub mod security {}

#[doc = include_str!("OPERATIONS.md")]
pub mod operations {}
