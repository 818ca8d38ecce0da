//! Headers and trailers as the host holds them.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::header::{CONNECTION, Entry, HeaderName};
use http::{HeaderMap, HeaderValue};

/// How many headers and trailers are held for the guests of a store.
///
/// A field takes the bytes of its name and value, and 32 more, as in HTTP/2 (RFC 9113, section 6.5.2).
#[derive(Clone, Copy, Debug)]
pub struct FieldLimits {
    /// Fields in one set of headers or trailers. 1,000 by default; 20,000 at most.
    pub count: usize,
    /// Bytes of one set. 128 KiB by default.
    pub bytes: usize,
    /// Bytes of all sets together. 64 MiB by default.
    pub total_bytes: usize,
}

impl Default for FieldLimits {
    fn default() -> Self {
        FieldLimits { count: 1000, bytes: 128 << 10, total_bytes: 64 << 20 }
    }
}

/// What a [`HeaderMap`] takes without panicking, and then some less.
const MOST_FIELDS: usize = 20_000;

/// What is held already for the guests of one store, of what may be.
///
/// It is atomic so that whoever shares it needs no unsafe code; one thread at a time runs a store.
#[derive(Clone)]
pub(crate) struct FieldBudget(Arc<Budget>);

struct Budget {
    limits: FieldLimits,
    held: AtomicUsize,
}

impl FieldBudget {
    pub fn new(limits: FieldLimits) -> Self {
        FieldBudget(Arc::new(Budget { limits, held: AtomicUsize::new(0) }))
    }

    /// So many bytes of it.
    fn share(&self, bytes: usize) -> Result<Share, FieldError> {
        let mut share = Share { bytes: 0, budget: self.clone() };
        share.grow(bytes)?;
        Ok(share)
    }

    /// One with the same limits, for another store.
    pub fn another(&self) -> Self {
        FieldBudget::new(self.0.limits)
    }
}

/// What one set of fields takes of the budget, until it is dropped.
struct Share {
    bytes: usize,
    budget: FieldBudget,
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), FieldError> {
        let Budget { limits, held } = &*self.budget.0;
        let all = held.load(Ordering::Relaxed).saturating_add(bytes);
        if all > limits.total_bytes {
            return Err(FieldError::SizeExceeded);
        }
        held.store(all, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    fn shrink(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        let held = &self.budget.0.held;
        held.store(held.load(Ordering::Relaxed).saturating_sub(bytes), Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// Why fields are not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldError {
    InvalidSyntax,
    Forbidden,
    SizeExceeded,
}

/// Headers or trailers, which are shared from when somebody else looks at them too.
pub(crate) enum Headers {
    Own(FieldMap),
    Shared(Arc<FieldMap>),
}

impl Headers {
    /// The same for somebody else.
    pub fn share(&mut self) -> Headers {
        let shared = match self {
            Headers::Shared(map) => map.clone(),
            Headers::Own(map) => {
                let none = FieldMap::new(&map.share.budget);
                Arc::new(std::mem::replace(map, none))
            }
        };
        *self = Headers::Shared(shared.clone());
        Headers::Shared(shared)
    }

    /// The fields, to be sent.
    pub fn into_headers(self) -> HeaderMap {
        match self {
            Headers::Own(map) => map.into_headers(),
            Headers::Shared(map) => match Arc::try_unwrap(map) {
                Ok(map) => map.into_headers(),
                Err(map) => map.headers().clone(),
            },
        }
    }

    /// The fields, unless somebody else looks at them too.
    pub fn into_own(self) -> Option<FieldMap> {
        match self {
            Headers::Own(map) => Some(map),
            Headers::Shared(map) => Arc::into_inner(map),
        }
    }
}

impl Deref for Headers {
    type Target = FieldMap;

    fn deref(&self) -> &FieldMap {
        match self {
            Headers::Own(map) => map,
            Headers::Shared(map) => map,
        }
    }
}

/// Names that were written in another case than is sent, if any were.
type Spelling = Option<Box<HeaderMap<Box<str>>>>;

/// A set of headers or trailers: lower case as HTTP/2 has it, and beside it the names as the guest wrote them.
pub(crate) struct FieldMap {
    headers: HeaderMap,
    spelling: Spelling,
    share: Share,
}

impl FieldMap {
    pub fn new(budget: &FieldBudget) -> Self {
        let share = Share { bytes: 0, budget: budget.clone() };
        FieldMap { headers: HeaderMap::new(), spelling: None, share }
    }

    /// Fields that came from elsewhere, without those that are between two ends of a connection only.
    ///
    /// # Errors
    /// Their size, if it exceeds a limit.
    pub fn incoming(mut headers: HeaderMap, budget: &FieldBudget) -> Result<Self, usize> {
        if headers.keys().any(is_forbidden) {
            strip(&mut headers);
        }
        let bytes = headers.iter().map(|(name, value)| cost(name, value)).sum();
        let limits = &budget.0.limits;
        match budget.share(bytes) {
            Ok(share) if bytes <= limits.bytes && headers.len() <= limits.count => {
                Ok(FieldMap { headers, spelling: None, share })
            }
            _ => Err(bytes),
        }
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// How many fields it can have before it grows.
    pub fn room(&self) -> usize {
        self.headers.capacity()
    }

    /// Removes all fields, but not the room for them.
    pub fn clear(&mut self) {
        self.headers.clear();
        self.spelling = None;
        self.share.shrink(self.share.bytes);
    }

    /// The fields, to be sent.
    pub fn into_headers(self) -> HeaderMap {
        self.headers
    }

    /// The values under a name, none if the name is no name.
    pub fn get(&self, name: &str) -> impl Iterator<Item = &HeaderValue> {
        HeaderName::from_bytes(name.as_bytes()).ok().into_iter().flat_map(|name| self.headers.get_all(name))
    }

    pub fn has(&self, name: &str) -> bool {
        HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| self.headers.contains_key(name))
    }

    /// All fields, in the order in which they are sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &HeaderValue)> {
        self.headers.iter().map(|(name, value)| (self.spelled(name), value))
    }

    /// Adds a value.
    pub fn append(&mut self, name: &str, value: Vec<u8>) -> Result<(), FieldError> {
        let field = checked_name(name)?;
        let value = checked_value(value)?;
        self.add(field, name, value)
    }

    /// Replaces all values under a name. Nothing is changed if that fails.
    pub fn set(&mut self, name: &str, values: Vec<Vec<u8>>) -> Result<(), FieldError> {
        let field = checked_name(name)?;
        let values = values.into_iter().map(checked_value).collect::<Result<Vec<HeaderValue>, _>>()?;
        let (old, new) =
            (self.cost_of(&field), values.iter().map(|value| cost(&field, value)).sum::<usize>());
        let count = self.headers.len().saturating_sub(self.headers.get_all(&field).iter().count());
        let bytes = self.share.bytes.saturating_sub(old).saturating_add(new);
        self.check(bytes, count.saturating_add(values.len()))?;
        self.share.grow(new)?;
        self.remove(&field);
        spell(&mut self.spelling, &field, name);
        for value in values {
            self.headers.append(field.clone(), value);
        }
        Ok(())
    }

    /// Removes all values under a name.
    pub fn delete(&mut self, name: &str) -> Result<(), FieldError> {
        let field = checked_name(name)?;
        self.remove(&field);
        Ok(())
    }

    fn add(&mut self, field: HeaderName, name: &str, value: HeaderValue) -> Result<(), FieldError> {
        let cost = cost(&field, &value);
        self.check(self.share.bytes.saturating_add(cost), self.headers.len().saturating_add(1))?;
        self.share.grow(cost)?;
        match self.headers.entry(field) {
            Entry::Occupied(mut values) => values.append(value),
            Entry::Vacant(place) => {
                spell(&mut self.spelling, place.key(), name);
                place.insert(value);
            }
        }
        Ok(())
    }

    fn check(&self, bytes: usize, count: usize) -> Result<(), FieldError> {
        let limits = &self.share.budget.0.limits;
        match bytes > limits.bytes || count > limits.count.min(MOST_FIELDS) {
            true => Err(FieldError::SizeExceeded),
            false => Ok(()),
        }
    }

    fn cost_of(&self, field: &HeaderName) -> usize {
        self.headers.get_all(field).iter().map(|value| cost(field, value)).sum()
    }

    fn remove(&mut self, field: &HeaderName) {
        let freed = self.cost_of(field);
        self.headers.remove(field);
        if let Some(spelling) = &mut self.spelling {
            spelling.remove(field);
        }
        self.share.shrink(freed);
    }

    fn spelled<'a>(&'a self, field: &'a HeaderName) -> &'a str {
        let spelling = self.spelling.as_ref().and_then(|spelling| spelling.get(field));
        spelling.map_or(field.as_str(), |spelling| spelling)
    }

    /// The same once more.
    pub fn try_clone(&self) -> Result<Self, FieldError> {
        let share = self.share.budget.share(self.share.bytes)?;
        Ok(FieldMap { headers: self.headers.clone(), spelling: self.spelling.clone(), share })
    }
}

fn spell(spelling: &mut Spelling, field: &HeaderName, name: &str) {
    if field.as_str() != name {
        spelling.get_or_insert_default().insert(field, name.into());
    }
}

fn cost(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len().saturating_add(value.len()).saturating_add(32)
}

fn checked_name(name: &str) -> Result<HeaderName, FieldError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldError::InvalidSyntax)?;
    if is_forbidden(&name) { Err(FieldError::Forbidden) } else { Ok(name) }
}

/// The value, without the white space around it that is not part of it (RFC 9110, section 5.5).
fn checked_value(value: Vec<u8>) -> Result<HeaderValue, FieldError> {
    let trimmed = value.trim_ascii();
    let value = match trimmed.len() == value.len() {
        true => HeaderValue::from_maybe_shared(Bytes::from(value)),
        false => HeaderValue::from_bytes(trimmed),
    };
    value.map_err(|_| FieldError::InvalidSyntax)
}

/// Headers that belong to the connection (RFC 9110, section 7.6.1), or say what the request says elsewhere.
fn is_forbidden(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether any name has several values. Mostly none has, and nobody has to look for them.
pub(crate) fn has_repeated(headers: &HeaderMap) -> bool {
    headers.len() > headers.keys_len()
}

/// Fields that a recipient needs before the contents, or that are about the connection: not to be sent as trailers
/// (RFC 9110, section 6.5.1).
pub(crate) fn is_forbidden_in_trailers(name: &HeaderName) -> bool {
    let needed_before = matches!(
        name.as_str(),
        "authorization"
            | "cache-control"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "max-forwards"
            | "set-cookie"
            | "trailer"
    );
    needed_before || is_forbidden(name)
}

/// Takes out what is between two ends of a connection.
fn strip(headers: &mut HeaderMap) {
    let connection: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
        .collect();
    let forbidden: Vec<HeaderName> = headers.keys().filter(|name| is_forbidden(name)).cloned().collect();
    for name in forbidden.into_iter().chain(connection) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(count: usize, bytes: usize, total_bytes: usize) -> FieldBudget {
        FieldBudget::new(FieldLimits { count, bytes, total_bytes })
    }

    fn all(map: &FieldMap) -> Vec<(&str, &[u8])> {
        map.iter().map(|(name, value)| (name, value.as_bytes())).collect()
    }

    #[test]
    fn fields_keep_the_case_they_were_written_in() {
        let mut map = FieldMap::new(&budget(10, 1000, 1000));
        map.append("X-One", b"1".to_vec()).unwrap();
        map.append("two", b"2".to_vec()).unwrap();
        map.append("x-ONE", b" 3 ".to_vec()).unwrap();
        assert_eq!(all(&map), [("X-One", &b"1"[..]), ("X-One", b"3"), ("two", b"2")]);
        assert!(map.has("x-one") && map.has("TWO") && !map.has("no name"));
        assert_eq!(map.get("X-ONE").count(), 2);
        map.set("x-one", vec![b"4".to_vec()]).unwrap();
        assert_eq!(all(&map), [("two", &b"2"[..]), ("x-one", b"4")]);
        assert_eq!(all(&map.try_clone().unwrap()), all(&map));
        map.delete("X-one").unwrap();
        assert!(!map.has("x-one"));
    }

    #[test]
    fn forbidden_headers_are_refused_and_taken_out() {
        let mut map = FieldMap::new(&budget(10, 1000, 1000));
        for name in
            ["Connection", "host", "TE", "Transfer-Encoding", "upgrade", "Keep-Alive", "HTTP2-Settings"]
        {
            assert_eq!(map.append(name, b"x".to_vec()), Err(FieldError::Forbidden), "{name}");
        }
        for (name, value) in [("a b", &b"x"[..]), ("", b"x"), ("a", b"x\r\ny"), ("a", b"\0")] {
            assert_eq!(map.append(name, value.to_vec()), Err(FieldError::InvalidSyntax), "{name}");
        }
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Hop"), ("x-hop", "1"), ("host", "here"), ("accept", "*/*")]
        {
            headers.append(name, HeaderValue::from_static(value));
        }
        let map = FieldMap::incoming(headers, &budget(10, 1000, 1000)).unwrap();
        assert_eq!(all(&map), [("accept", &b"*/*"[..])]);
    }

    #[test]
    fn header_count_and_size_limits_hold() {
        let budget = budget(3, 150, 220);
        let mut map = FieldMap::new(&budget);
        map.append("a", vec![b'x'; 17]).unwrap();
        map.append("b", vec![b'x'; 17]).unwrap();
        map.append("b", vec![b'x'; 17]).unwrap();
        assert_eq!(map.append("c", b"".to_vec()), Err(FieldError::SizeExceeded), "too many");
        assert_eq!(map.set("b", vec![vec![b'x'; 70]]), Err(FieldError::SizeExceeded), "too large");
        assert_eq!(all(&map).len(), 3, "nothing was changed");
        assert!(map.try_clone().is_err(), "too much together");
        map.delete("b").unwrap();
        let other = map.try_clone().unwrap();
        assert_eq!(FieldMap::incoming(other.headers().clone(), &budget).map(drop), Ok(()));
        let mut large = HeaderMap::new();
        large.append("large", HeaderValue::from_bytes(&[b'x'; 200]).unwrap());
        assert_eq!(FieldMap::incoming(large, &budget).map(drop), Err(237));
        drop((map, other));
        assert_eq!(budget.0.held.load(Ordering::Relaxed), 0);
    }
}
