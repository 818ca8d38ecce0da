//! The server: requests from the network.
