//! Uses TCP, UDP and name lookup in every way and checks what comes back.
//!
//! `sockets CASE [ARGUMENT...]` runs one case and prints `ok`, or says on stderr what differs and fails. The cases of
//! `attempt` print what they got instead, one line for each attempt.

mod address;
mod attempt;
mod lookup;
mod peer;
mod report;
mod tcp;
mod tcp_cancel;
mod tcp_options;
mod tcp_streams;
mod udp;

use report::Report;

struct Sockets;

impl wasip3::exports::cli::run::Guest for Sockets {
    async fn run() -> Result<(), ()> {
        let args = support::args();
        let (case, rest) = match args.split_first() {
            Some((case, rest)) => (case.as_str(), rest),
            None => ("", &[][..]),
        };
        if case == "attempt" {
            return attempt::run(rest).await;
        }
        let mut report = Report::default();
        let outcome = match case {
            "tcp-states" => tcp::states(&mut report).await,
            "tcp-addresses" => tcp::addresses(&mut report).await,
            "tcp-in-use" => tcp::in_use(&mut report).await,
            "tcp-refused" => tcp::refused(&mut report).await,
            "tcp-backlog" => tcp::backlog(&mut report).await,
            "tcp-options" => tcp_options::options(&mut report).await,
            "tcp-inherit" => tcp_options::inherit(&mut report).await,
            "tcp-echo" => tcp_streams::echo(&mut report).await,
            "tcp-half-close" => tcp_streams::half_close(&mut report).await,
            "tcp-once" => tcp_streams::once(&mut report).await,
            "tcp-shared" => tcp_streams::shared(&mut report).await,
            "tcp-broken" => tcp_streams::broken(&mut report).await,
            "tcp-relay" => tcp_streams::relay(&mut report).await,
            "tcp-full" => tcp_streams::full(&mut report).await,
            "tcp-cancel-accept" => tcp_cancel::accept(&mut report).await,
            "tcp-cancel-receive" => tcp_cancel::receive(&mut report).await,
            "tcp-cancel-send" => tcp_cancel::send(&mut report).await,
            "tcp-cancel-connect" => tcp_cancel::connect(&mut report, rest).await,
            "udp-states" => udp::states(&mut report).await,
            "udp-addresses" => udp::addresses(&mut report).await,
            "udp-options" => udp::options(&mut report).await,
            "udp-transfer" => udp::transfer(&mut report).await,
            "udp-sizes" => udp::sizes(&mut report).await,
            "udp-connect" => udp::connect(&mut report).await,
            "udp-refused" => udp::refused(&mut report).await,
            "udp-wait" => udp::wait(&mut report).await,
            "lookup" => lookup::names(&mut report).await,
            "peer-resets" => peer::resets(&mut report, rest).await,
            "peer-closes" => peer::closes(&mut report, rest).await,
            "peer-stops-reading" => peer::stops_reading(&mut report, rest).await,
            "hoard" => peer::hoard(&mut report).await,
            _ => {
                report.fail("there is no such case");
                Ok(())
            }
        };
        if let Err(error) = outcome {
            report.fail(&format!("gave up: {error:?}"));
        }
        report.finish(case).await
    }
}

wasip3::cli::command::export!(Sockets);
