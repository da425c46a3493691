//! The kit as its clients and operators see it, through a running program.

mod cli;
mod hostile;
mod http;
mod network;
mod operators;
mod stop;
mod storm;
mod support;
mod trace;
