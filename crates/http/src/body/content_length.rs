//! What a message's `content-length` promises, kept.

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};

use crate::ErrorCode;
use crate::fields::has_repeated;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Request,
    Response,
}

/// Counts the bytes of a body against what its headers promise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ContentLength {
    direction: Direction,
    /// `None` if nothing was promised.
    promised: Option<u64>,
    seen: u64,
}

impl ContentLength {
    /// The promise that `headers` make.
    ///
    /// # Errors
    ///
    /// If they contradict themselves, or make no sense.
    pub fn of(headers: &HeaderMap, direction: Direction) -> Result<Self, ErrorCode> {
        let Some(value) = headers.get(CONTENT_LENGTH) else { return Ok(ContentLength::none(direction)) };
        let promised = parse(value).ok_or(ErrorCode::HttpProtocolError)?;
        let differs = |other| parse(other) != Some(promised);
        if has_repeated(headers) && headers.get_all(CONTENT_LENGTH).iter().any(differs) {
            return Err(ErrorCode::HttpProtocolError);
        }
        Ok(ContentLength { direction, promised: Some(promised), seen: 0 })
    }

    /// No promise: as in the answer to `HEAD`, whose length is that of another body.
    pub fn none(direction: Direction) -> Self {
        ContentLength { direction, promised: None, seen: 0 }
    }

    /// Which way the message goes.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Counts `bytes` more.
    ///
    /// # Errors
    ///
    /// If they are more than promised.
    pub fn add(&mut self, bytes: usize) -> Result<(), ErrorCode> {
        self.seen = self.seen.saturating_add(bytes as u64);
        match self.promised {
            Some(promised) if self.seen > promised => Err(self.broken()),
            _ => Ok(()),
        }
    }

    /// Looks at the end whether everything came.
    ///
    /// # Errors
    ///
    /// If less came than promised.
    pub fn finish(&self) -> Result<(), ErrorCode> {
        match self.promised {
            Some(promised) if self.seen < promised => Err(self.broken()),
            _ => Ok(()),
        }
    }

    /// How many bytes are still to come, if it was promised.
    pub fn remaining(&self) -> Option<u64> {
        self.promised.map(|promised| promised.saturating_sub(self.seen))
    }

    fn broken(&self) -> ErrorCode {
        match self.direction {
            Direction::Request => ErrorCode::HttpRequestBodySize(Some(self.seen)),
            Direction::Response => ErrorCode::HttpResponseBodySize(Some(self.seen)),
        }
    }
}

/// Digits, and nothing else: `str::parse` would take a sign.
fn parse(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?.trim();
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&'static str]) -> Result<ContentLength, ErrorCode> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
        }
        ContentLength::of(&headers, Direction::Request)
    }

    #[test]
    fn content_length_conflicting_or_senseless_is_refused() {
        for values in [&["5", "6"][..], &["+5"], &["-1"], &["5, 5"], &[""], &["99999999999999999999"]] {
            assert_eq!(of(values).unwrap_err(), ErrorCode::HttpProtocolError, "{values:?}");
        }
        assert_eq!(of(&["5", "5"]).unwrap().remaining(), Some(5));
        assert_eq!(of(&[]).unwrap().remaining(), None);
    }

    #[test]
    fn body_shorter_or_longer_than_promised_is_told() {
        let mut length = of(&["5"]).unwrap();
        length.add(3).unwrap();
        assert_eq!(length.finish().unwrap_err(), ErrorCode::HttpRequestBodySize(Some(3)));
        length.add(2).unwrap();
        assert_eq!((length.finish(), length.remaining()), (Ok(()), Some(0)));
        assert_eq!(length.add(1).unwrap_err(), ErrorCode::HttpRequestBodySize(Some(6)));
        let mut free = ContentLength::none(Direction::Response);
        free.add(100).unwrap();
        assert_eq!(free.finish(), Ok(()));
    }
}
