//! The daemon: thin drivers around `pulse-core`.
