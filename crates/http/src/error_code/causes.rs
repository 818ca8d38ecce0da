//! Which code the errors of the libraries below stand for.

use std::error::Error;
use std::io;

use h2::Reason;
use rustls::Error as TlsError;

use super::{ErrorCode, TlsAlertReceivedPayload};

/// What was going on when something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A client sends a request and waits for the head of its response.
    Awaiting,
    /// A client receives the body of a response.
    #[allow(dead_code, reason = "the client, which does, is on its way")]
    ResponseBody,
    /// A server receives the body of a request.
    RequestBody,
}

impl ErrorCode {
    /// What an error of `hyper`, or of whoever it called, means.
    ///
    /// An error code that was given to it, by a body or by a connection underneath, is found again.
    pub(crate) fn of(error: &(dyn Error + 'static), phase: Phase) -> ErrorCode {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(code) = known(error, phase) {
                return code;
            }
            next = error.source();
        }
        match error.downcast_ref() {
            Some(error) => of_hyper(error, phase),
            None => ErrorCode::other(error),
        }
    }

    /// An error that no other case is for.
    fn other(error: &dyn Error) -> ErrorCode {
        ErrorCode::InternalError(Some(error.to_string()))
    }
}

impl From<&io::Error> for ErrorCode {
    /// What it means that a connection could not be made, or broke while a client waited.
    fn from(error: &io::Error) -> Self {
        of_io(error, Phase::Awaiting)
    }
}

/// The code of an error that says enough on its own.
fn known(error: &(dyn Error + 'static), phase: Phase) -> Option<ErrorCode> {
    if let Some(code) = error.downcast_ref::<ErrorCode>() {
        return Some(code.clone());
    }
    if let Some(error) = error.downcast_ref::<TlsError>() {
        return Some(of_tls(error));
    }
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        return Some(of_h2(error, phase));
    }
    error.downcast_ref::<io::Error>().map(|error| of_io(error, phase))
}

fn of_hyper(error: &hyper::Error, phase: Phase) -> ErrorCode {
    if error.is_parse_too_large() {
        match phase {
            Phase::Awaiting | Phase::ResponseBody => ErrorCode::HttpResponseHeaderSectionSize(None),
            Phase::RequestBody => ErrorCode::HttpRequestHeaderSectionSize(None),
        }
    } else if error.is_parse() {
        ErrorCode::HttpProtocolError
    } else if error.is_body_write_aborted() {
        ErrorCode::HttpRequestBodySize(None)
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        cut_short(phase)
    } else if error.is_timeout() {
        ErrorCode::ConnectionReadTimeout
    } else if error.is_user() || phase == Phase::Awaiting {
        ErrorCode::other(error)
    } else {
        cut_short(phase)
    }
}

fn of_h2(error: &h2::Error, phase: Phase) -> ErrorCode {
    if let Some(error) = error.get_io() {
        return of_io(error, phase);
    }
    match error.reason() {
        // The peer gave the stream up, or is leaving.
        Some(
            Reason::NO_ERROR
            | Reason::CANCEL
            | Reason::REFUSED_STREAM
            | Reason::INTERNAL_ERROR
            | Reason::ENHANCE_YOUR_CALM
            | Reason::STREAM_CLOSED,
        ) if error.is_remote() => cut_short(phase),
        Some(_) => ErrorCode::HttpProtocolError,
        None => ErrorCode::other(error),
    }
}

fn of_tls(error: &TlsError) -> ErrorCode {
    match error {
        TlsError::AlertReceived(alert) => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: Some((*alert).into()),
            alert_message: alert.as_str().map(str::to_owned),
        }),
        TlsError::InvalidCertificate(_)
        | TlsError::NoCertificatesPresented
        | TlsError::UnsupportedNameType
        | TlsError::InvalidCertRevocationList(_) => ErrorCode::TlsCertificateError,
        TlsError::FailedToGetCurrentTime | TlsError::FailedToGetRandomBytes => ErrorCode::other(error),
        _ => ErrorCode::TlsProtocolError,
    }
}

fn of_io(error: &io::Error, phase: Phase) -> ErrorCode {
    // An `io::Error` is not among its own sources: what it wraps has to be asked for.
    if let Some(code) = error.get_ref().and_then(|inner| known(inner, phase)) {
        return code;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ErrorCode::ConnectionRefused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => cut_short(phase),
        io::ErrorKind::TimedOut => ErrorCode::ConnectionTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
            ErrorCode::DestinationIpUnroutable
        }
        io::ErrorKind::PermissionDenied => ErrorCode::DestinationIpProhibited,
        // What `hyper` says of chunks: that they are none, and that trailers are more than it takes.
        io::ErrorKind::InvalidData if error.to_string().starts_with("chunk trailers") => match phase {
            Phase::Awaiting | Phase::ResponseBody => ErrorCode::HttpResponseTrailerSectionSize(None),
            Phase::RequestBody => ErrorCode::HttpRequestTrailerSectionSize(None),
        },
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => ErrorCode::HttpProtocolError,
        _ => ErrorCode::other(error),
    }
}

/// The connection, or the peer's part of the exchange, ended too early.
fn cut_short(phase: Phase) -> ErrorCode {
    match phase {
        Phase::ResponseBody => ErrorCode::HttpResponseIncomplete,
        Phase::Awaiting | Phase::RequestBody => ErrorCode::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError};

    use super::*;

    #[test]
    fn a_code_is_found_again_however_it_was_wrapped() {
        let code = ErrorCode::HttpRequestBodySize(Some(7));
        let wrapped = io::Error::other(io::Error::other(code.clone()));
        assert_eq!(ErrorCode::from(&wrapped), code);
        assert_eq!(ErrorCode::of(&wrapped, Phase::ResponseBody), code);
    }

    #[test]
    fn tls_says_more_than_the_stream_below_it() {
        let of = |error| ErrorCode::from(&io::Error::new(io::ErrorKind::InvalidData, error));
        assert_eq!(
            of(TlsError::InvalidCertificate(CertificateError::Expired)),
            ErrorCode::TlsCertificateError
        );
        assert_eq!(of(TlsError::DecryptError), ErrorCode::TlsProtocolError);
        let alert =
            TlsAlertReceivedPayload { alert_id: Some(112), alert_message: Some("UnrecognisedName".into()) };
        assert_eq!(
            of(TlsError::AlertReceived(AlertDescription::UnrecognisedName)),
            ErrorCode::TlsAlertReceived(alert)
        );
    }

    #[test]
    fn what_an_early_end_means_depends_on_who_waits() {
        let error = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(ErrorCode::of(&error, Phase::ResponseBody), ErrorCode::HttpResponseIncomplete);
        assert_eq!(ErrorCode::of(&error, Phase::Awaiting), ErrorCode::ConnectionTerminated);
        assert_eq!(ErrorCode::of(&error, Phase::RequestBody), ErrorCode::ConnectionTerminated);
    }
}
