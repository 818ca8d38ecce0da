//! What goes through sockets, how it ends, and giving it up.

use tombolo_wasi::WasiCtx;
use tombolo_wasi::filesystem::DescriptorLimit;

use crate::guest::{passes, run_limited};

#[tokio::test]
async fn tcp_carries_megabytes_in_both_directions_at_once() {
    passes(&["tcp-echo"]).await;
}

#[tokio::test]
async fn tcp_directions_are_closed_one_by_one() {
    passes(&["tcp-half-close"]).await;
}

#[tokio::test]
async fn tcp_sends_and_receives_once() {
    passes(&["tcp-once"]).await;
}

#[tokio::test]
async fn tcp_streams_outlive_their_socket() {
    passes(&["tcp-shared"]).await;
}

#[tokio::test]
async fn tcp_streams_end_with_the_error_of_their_future() {
    passes(&["tcp-broken"]).await;
}

#[tokio::test]
async fn tcp_connections_are_relayed_past_the_guest() {
    passes(&["tcp-relay"]).await;
}

#[tokio::test]
async fn tcp_writers_wait_for_slow_readers() {
    passes(&["tcp-full"]).await;
}

#[tokio::test]
async fn tcp_accept_is_cancelled_and_loses_no_connection() {
    passes(&["tcp-cancel-accept"]).await;
}

#[tokio::test]
async fn tcp_receive_is_cancelled_and_loses_nothing() {
    passes(&["tcp-cancel-receive"]).await;
}

#[tokio::test]
async fn tcp_send_is_cancelled_and_what_was_taken_arrives() {
    passes(&["tcp-cancel-send"]).await;
}

#[tokio::test]
async fn udp_datagrams_stay_apart_and_know_their_sender() {
    passes(&["udp-transfer"]).await;
}

#[tokio::test]
async fn udp_datagrams_that_are_too_large_are_refused() {
    passes(&["udp-sizes"]).await;
}

#[tokio::test]
async fn udp_sockets_are_tied_to_a_peer_and_untied() {
    passes(&["udp-connect"]).await;
}

#[tokio::test]
async fn udp_learns_that_nobody_is_there() {
    passes(&["udp-refused"]).await;
}

#[tokio::test]
async fn udp_receives_for_several_who_wait() {
    passes(&["udp-wait"]).await;
}

#[tokio::test]
async fn a_guest_that_opens_sockets_until_it_is_refused_gets_an_error() {
    let limit = DescriptorLimit::new(50);
    let outcome = run_limited(WasiCtx::builder().inherit_network(), limit, &["hoard"]).await;
    assert!(outcome.succeeded, "{}", outcome.complaints);
    // It was the guest's limit, and not the process's.
    std::net::TcpListener::bind("127.0.0.1:0").unwrap();
}
