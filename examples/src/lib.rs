//! How Tombolo is embedded: the examples beside this folder.
