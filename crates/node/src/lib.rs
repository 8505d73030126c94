//! The helper on a node.
