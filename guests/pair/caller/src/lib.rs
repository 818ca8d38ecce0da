//! The half of the pair that calls: it checks everything that comes back and prints `pair: ok`, or says on
//! stderr what differs and fails. By argument it checks one interface only: `values`, `counters` or `flow`.

mod counters;
mod flow;
mod report;
mod values;

use report::Report;

wit_bindgen::generate!({
    path: "../wit",
    world: "caller",
    additional_derives: [PartialEq, Clone],
});

struct Caller;

impl wasip3::exports::cli::run::Guest for Caller {
    async fn run() -> Result<(), ()> {
        let only = support::args().into_iter().next();
        let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
        let mut report = Report::default();
        if wanted("values") {
            values::check(&mut report);
        }
        if wanted("counters") {
            counters::check(&mut report).await;
        }
        if wanted("flow") {
            flow::check(&mut report).await;
        }
        report.finish().await
    }
}

wasip3::cli::command::export!(Caller);
