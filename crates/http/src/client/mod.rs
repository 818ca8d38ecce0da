//! The client: requests over the network.
