//! A package of its own, so that the other implementation is built for these tests only.
