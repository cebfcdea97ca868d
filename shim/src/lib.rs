//! `libresshim.so`: the part of resshim that lives inside somebody else's production process.
mod caller;
mod config;
mod emit;
mod headroom;
mod hooks;
mod index;
mod label;
mod missing_std;
mod private;
mod real;
mod region;
mod stack;
mod start;
mod state;
mod sys;
mod table;
mod tls;
