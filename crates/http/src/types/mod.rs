//! `wasi:http/types`, as components import it.

mod fields;
mod request;
mod request_options;
mod response;

use tombolo::{ComponentType, Error, Lift, Linker, Lower, Resource, ResourceTable, Result, StoreMut};

use crate::HttpView;

pub use fields::Fields;

pub(crate) fn add_to_linker<T: HttpView + 'static>(linker: &mut Linker<T>) -> Result<()> {
    let mut types = linker.instance("wasi:http/types@0.3.2")?;
    fields::add(&mut types)?;
    request_options::add(&mut types)?;
    request::add(&mut types)?;
    response::add(&mut types)
}

/// `method`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    Other(String),
}

impl From<&http::Method> for Method {
    fn from(method: &http::Method) -> Self {
        match *method {
            http::Method::GET => Method::Get,
            http::Method::HEAD => Method::Head,
            http::Method::POST => Method::Post,
            http::Method::PUT => Method::Put,
            http::Method::DELETE => Method::Delete,
            http::Method::CONNECT => Method::Connect,
            http::Method::OPTIONS => Method::Options,
            http::Method::TRACE => Method::Trace,
            http::Method::PATCH => Method::Patch,
            _ => Method::Other(method.as_str().to_owned()),
        }
    }
}

impl TryFrom<Method> for http::Method {
    type Error = ();

    fn try_from(method: Method) -> std::result::Result<Self, ()> {
        Ok(match method {
            Method::Get => http::Method::GET,
            Method::Head => http::Method::HEAD,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
            Method::Connect => http::Method::CONNECT,
            Method::Options => http::Method::OPTIONS,
            Method::Trace => http::Method::TRACE,
            Method::Patch => http::Method::PATCH,
            Method::Other(name) if name.len() > LONGEST_METHOD => return Err(()),
            Method::Other(name) => http::Method::from_bytes(name.as_bytes()).map_err(|_| ())?,
        })
    }
}

/// Bytes of a method at most.
const LONGEST_METHOD: usize = 256;

/// `scheme`.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(variant)]
enum Scheme {
    #[component(name = "HTTP")]
    Http,
    #[component(name = "HTTPS")]
    Https,
    Other(String),
}

impl From<&http::uri::Scheme> for Scheme {
    fn from(scheme: &http::uri::Scheme) -> Self {
        if *scheme == http::uri::Scheme::HTTP {
            Scheme::Http
        } else if *scheme == http::uri::Scheme::HTTPS {
            Scheme::Https
        } else {
            Scheme::Other(scheme.as_str().to_owned())
        }
    }
}

impl TryFrom<Scheme> for http::uri::Scheme {
    type Error = ();

    fn try_from(scheme: Scheme) -> std::result::Result<Self, ()> {
        match scheme {
            Scheme::Http => Ok(http::uri::Scheme::HTTP),
            Scheme::Https => Ok(http::uri::Scheme::HTTPS),
            Scheme::Other(name) => name.parse().map_err(|_| ()),
        }
    }
}

/// What a resource stands for.
#[inline]
fn find<'a, T: HttpView + 'static, R: Send + 'static>(
    store: &'a mut StoreMut<'_, T>,
    this: &Resource<R>,
) -> Result<&'a mut R> {
    store.data_mut().http().table.get_mut(this).map_err(Error::host)
}

#[inline]
fn push<R: Send + 'static>(table: &mut ResourceTable, value: R) -> Result<Resource<R>> {
    table.push(value).map_err(Error::host)
}

/// Takes what a resource stands for out of the table.
#[inline]
fn take<R: Send + 'static>(table: &mut ResourceTable, this: Resource<R>) -> Result<Box<R>> {
    table.take(this).map_err(Error::host)
}
