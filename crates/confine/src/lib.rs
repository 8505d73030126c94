//! What the kernel knows of a caller.
