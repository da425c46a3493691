//! The kit as its clients and operators see it, through a running program.

mod cli;
mod faults;
mod hostile;
mod http;
mod network;
mod operators;
mod overload;
mod stop;
mod storm;
mod support;
mod trace;
