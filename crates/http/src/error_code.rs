//! `wasi:http/types.error-code`: how an exchange of HTTP fails.

mod causes;

pub(crate) use causes::Phase;

use tombolo::{ComponentType, Lift, Lower};

/// Why a request or a response did not make it (`error-code`).
///
/// What a case is about, if it says so, is known only sometimes: hence the options.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower, thiserror::Error)]
#[component(variant)]
#[expect(missing_docs, reason = "the messages say it, and the names are the standard's")]
pub enum ErrorCode {
    #[component(name = "DNS-timeout")]
    #[error("looking up the host took too long")]
    DnsTimeout,
    #[component(name = "DNS-error")]
    #[error("the host could not be looked up{}", told(&.0.rcode))]
    DnsError(DnsErrorPayload),
    #[error("there is no such destination")]
    DestinationNotFound,
    #[error("the destination is not available")]
    DestinationUnavailable,
    #[component(name = "destination-IP-prohibited")]
    #[error("connecting to the destination's address is not allowed")]
    DestinationIpProhibited,
    #[component(name = "destination-IP-unroutable")]
    #[error("there is no route to the destination's address")]
    DestinationIpUnroutable,
    #[error("connection refused")]
    ConnectionRefused,
    #[error("the connection was closed before the exchange was over")]
    ConnectionTerminated,
    #[error("connecting took too long")]
    ConnectionTimeout,
    #[error("nothing was received for too long")]
    ConnectionReadTimeout,
    #[error("nothing could be sent for too long")]
    ConnectionWriteTimeout,
    #[error("there are too many connections")]
    ConnectionLimitReached,
    #[component(name = "TLS-protocol-error")]
    #[error("the peer broke the rules of TLS")]
    TlsProtocolError,
    #[component(name = "TLS-certificate-error")]
    #[error("the peer's certificate is not to be trusted")]
    TlsCertificateError,
    #[component(name = "TLS-alert-received")]
    #[error("the peer ended TLS with an alert{}", told(&.0.alert_message))]
    TlsAlertReceived(TlsAlertReceivedPayload),
    #[component(name = "HTTP-request-denied")]
    #[error("the request is not allowed")]
    HttpRequestDenied,
    #[component(name = "HTTP-request-length-required")]
    #[error("the request needs a content-length")]
    HttpRequestLengthRequired,
    #[component(name = "HTTP-request-body-size")]
    #[error("the request's body has the wrong size{}", bytes(.0))]
    HttpRequestBodySize(Option<u64>),
    #[component(name = "HTTP-request-method-invalid")]
    #[error("the request's method is not valid")]
    HttpRequestMethodInvalid,
    #[component(name = "HTTP-request-URI-invalid")]
    #[error("the request's URI is not valid")]
    HttpRequestUriInvalid,
    #[component(name = "HTTP-request-URI-too-long")]
    #[error("the request's URI is too long")]
    HttpRequestUriTooLong,
    #[component(name = "HTTP-request-header-section-size")]
    #[error("the request's headers are too large{}", bytes(.0))]
    HttpRequestHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-request-header-size")]
    #[error("a header of the request is too large{}", field(.0.as_ref()))]
    HttpRequestHeaderSize(Option<FieldSizePayload>),
    #[component(name = "HTTP-request-trailer-section-size")]
    #[error("the request's trailers are too large{}", bytes(.0))]
    HttpRequestTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-request-trailer-size")]
    #[error("a trailer of the request is too large{}", field(Some(.0)))]
    HttpRequestTrailerSize(FieldSizePayload),
    #[component(name = "HTTP-response-incomplete")]
    #[error("the response is incomplete")]
    HttpResponseIncomplete,
    #[component(name = "HTTP-response-header-section-size")]
    #[error("the response's headers are too large{}", bytes(.0))]
    HttpResponseHeaderSectionSize(Option<u32>),
    #[component(name = "HTTP-response-header-size")]
    #[error("a header of the response is too large{}", field(Some(.0)))]
    HttpResponseHeaderSize(FieldSizePayload),
    #[component(name = "HTTP-response-body-size")]
    #[error("the response's body has the wrong size{}", bytes(.0))]
    HttpResponseBodySize(Option<u64>),
    #[component(name = "HTTP-response-trailer-section-size")]
    #[error("the response's trailers are too large{}", bytes(.0))]
    HttpResponseTrailerSectionSize(Option<u32>),
    #[component(name = "HTTP-response-trailer-size")]
    #[error("a trailer of the response is too large{}", field(Some(.0)))]
    HttpResponseTrailerSize(FieldSizePayload),
    #[component(name = "HTTP-response-transfer-coding")]
    #[error("the response's transfer coding is not understood{}", told(.0))]
    HttpResponseTransferCoding(Option<String>),
    #[component(name = "HTTP-response-content-coding")]
    #[error("the response's content coding is not understood{}", told(.0))]
    HttpResponseContentCoding(Option<String>),
    #[component(name = "HTTP-response-timeout")]
    #[error("the response took too long")]
    HttpResponseTimeout,
    #[component(name = "HTTP-upgrade-failed")]
    #[error("the connection could not be upgraded")]
    HttpUpgradeFailed,
    #[component(name = "HTTP-protocol-error")]
    #[error("the peer broke the rules of HTTP")]
    HttpProtocolError,
    #[error("the request goes round in a loop")]
    LoopDetected,
    #[error("the configuration is wrong")]
    ConfigurationError,
    /// Anything else, in words.
    #[error("internal error{}", told(.0))]
    InternalError(Option<String>),
}

/// What a resolver said (`DNS-error-payload`).
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct DnsErrorPayload {
    /// The name of the response code, such as `NXDOMAIN`.
    pub rcode: Option<String>,
    /// The code of the extended error (RFC 8914).
    pub info_code: Option<u16>,
}

/// The alert that ended TLS (`TLS-alert-received-payload`).
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct TlsAlertReceivedPayload {
    /// Its number (RFC 8446, section 6).
    pub alert_id: Option<u8>,
    /// Its name.
    pub alert_message: Option<String>,
}

/// The header or trailer that was too large (`field-size-payload`).
#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct FieldSizePayload {
    /// Its name.
    pub field_name: Option<String>,
    /// Its size, in bytes.
    pub field_size: Option<u32>,
}

fn told(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(": {text}")).unwrap_or_default()
}

fn bytes(size: &Option<impl std::fmt::Display>) -> String {
    size.as_ref().map(|size| format!(": {size} bytes")).unwrap_or_default()
}

fn field(field: Option<&FieldSizePayload>) -> String {
    let Some(FieldSizePayload { field_name, field_size }) = field else { return String::new() };
    told(field_name) + &bytes(field_size)
}
