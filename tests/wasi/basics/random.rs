//! `wasi:random`.

use tombolo_wasi::WasiCtx;
use tombolo_wasi::random::{REQUEST_LIMIT, SeededRandom};

use crate::guest::run;

#[tokio::test]
async fn as_many_bytes_as_asked_for_within_reason() {
    let most = format!("{REQUEST_LIMIT} varied");
    for source in ["bytes", "insecure-bytes"] {
        let operations =
            ["0", "1", "1000", "18446744073709551615"].map(|count| format!("random {source} {count}"));
        let outcomes = run(WasiCtx::builder(), &operations.each_ref().map(String::as_str)).await;
        assert_eq!(outcomes, ["0 uniform", "1 uniform", "1000 varied", most.as_str()]);
    }
}

#[tokio::test]
async fn fresh_data_each_time_but_one_seed() {
    for pair in [["random u64"; 2], ["random insecure-u64"; 2], ["random hex 16"; 2]] {
        let outcomes = run(WasiCtx::builder(), &pair).await;
        assert_ne!(outcomes[0], outcomes[1], "{pair:?}");
        assert_ne!(outcomes, run(WasiCtx::builder(), &pair).await, "{pair:?}");
    }
    let seeds = run(WasiCtx::builder(), &["random seed"; 2]).await;
    assert_eq!(seeds[0], seeds[1]);
    assert_ne!(seeds, run(WasiCtx::builder(), &["random seed"; 2]).await);
}

#[tokio::test]
async fn an_embedder_that_wants_the_same_again_gets_it() {
    let operations = ["random u64", "random hex 8", "random insecure-u64", "random seed"];
    let seeded = || {
        WasiCtx::builder()
            .secure_random(SeededRandom::new(1))
            .insecure_random(SeededRandom::new(2))
            .insecure_random_seed(7, 9)
    };
    let once = run(seeded(), &operations).await;
    assert_eq!(once, run(seeded(), &operations).await);
    assert_eq!(once[3], format!("{:016x}{:016x}", 9, 7));
}
