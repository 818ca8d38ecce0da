//! Which calls are good in which state, which addresses and values are taken, and what errors say.

use crate::guest::passes;

#[tokio::test]
async fn tcp_states_allow_what_the_standard_says() {
    passes(&["tcp-states"]).await;
}

#[tokio::test]
async fn tcp_refuses_addresses_that_make_no_sense() {
    passes(&["tcp-addresses"]).await;
}

#[tokio::test]
async fn tcp_addresses_in_use_are_refused_and_their_remains_are_not_in_the_way() {
    passes(&["tcp-in-use"]).await;
}

#[tokio::test]
async fn tcp_sockets_are_closed_after_a_connection_was_refused() {
    passes(&["tcp-refused"]).await;
}

#[tokio::test]
async fn tcp_backlog_is_set_before_and_after_listening() {
    passes(&["tcp-backlog"]).await;
}

#[tokio::test]
async fn tcp_options_are_set_and_read_in_every_state() {
    passes(&["tcp-options"]).await;
}

#[tokio::test]
async fn tcp_connections_inherit_the_options_of_their_listener() {
    passes(&["tcp-inherit"]).await;
}

#[tokio::test]
async fn udp_states_allow_what_the_standard_says() {
    passes(&["udp-states"]).await;
}

#[tokio::test]
async fn udp_refuses_addresses_that_make_no_sense() {
    passes(&["udp-addresses"]).await;
}

#[tokio::test]
async fn udp_options_are_set_and_read_in_every_state() {
    passes(&["udp-options"]).await;
}

#[tokio::test]
async fn names_and_addresses_are_looked_up_and_others_refused() {
    passes(&["lookup"]).await;
}
