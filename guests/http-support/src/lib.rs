//! What several HTTP services share.

use wasip3::http::types::{ErrorCode, Request};

/// The names and values of a request's query. Values that are missing are empty; `%` stands for itself.
pub fn query(request: &Request) -> Vec<(String, String)> {
    let path = request.get_path_with_query().unwrap_or_default();
    let Some((_, query)) = path.split_once('?') else { return Vec::new() };
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// An error that HTTP has no word for.
pub fn internal(error: impl std::fmt::Display) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}
