//! `request`.

use http::uri::{Authority, PathAndQuery};
use tombolo::{Error, FutureReader, LinkerInstance, Resource, Result, StoreMut, StreamReader};

use crate::HttpView;
use crate::authority::{Addressee, names_a_host};
use crate::body::Sent;
use crate::contents::{Contents, Trailers};
use crate::message::Request;

use super::request_options::Options;
use super::{Fields, Method, Scheme, find, push, take};

/// What a guest is answered that sets something.
type Answer = Result<std::result::Result<(), ()>>;

type This = Resource<Request>;

/// Bytes of an authority, and of a path with a query, at most: what [`http::Uri`] can tell apart.
const LONGEST: usize = u16::MAX as usize - 1;

pub(super) fn add<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.resource::<Request>("request", |mut store, request| {
        let http = store.data_mut().http();
        let Request { headers, contents, .. } = *take(http.table, request)?;
        http.ctx.drop_fields(headers);
        contents.drop(store)
    })?;
    types.func("[static]request.new", new)?;
    types.func(
        "[static]request.consume-body",
        |mut store, (this, handled): (This, FutureReader<Sent>)| {
            let http = store.data_mut().http();
            let Request { headers, contents, .. } = *take(http.table, this)?;
            http.ctx.drop_fields(headers);
            contents.consume(store, handled)
        },
    )?;
    types.func("[method]request.get-headers", |mut store, (this,): (This,)| {
        let headers = find(&mut store, &this)?.headers.share();
        push(store.data_mut().http().table, Fields::immutable(headers))
    })?;
    types.func("[method]request.get-options", |mut store, (this,): (This,)| {
        let http = store.data_mut().http();
        match http.table.get(&this).map_err(Error::host)?.options {
            Some(values) => push(http.table, Options { values, mutable: false }).map(Some),
            None => Ok(None),
        }
    })?;
    add_method_and_scheme(types)?;
    add_target(types)
}

type Parameters =
    (Resource<Fields>, Option<StreamReader<u8>>, FutureReader<Trailers>, Option<Resource<Options>>);

fn new<T: HttpView + 'static>(
    mut store: StoreMut<'_, T>,
    (headers, stream, trailers, options): Parameters,
) -> Result<(This, FutureReader<Sent>)> {
    let table = store.data_mut().http().table;
    let headers = take(table, headers)?.into_inner();
    let options = options.map(|options| take(table, options)).transpose()?;
    let (contents, fate) = Contents::of_guest(store.as_mut(), stream, trailers)?;
    let request = Request {
        method: http::Method::GET,
        scheme: None,
        authority: None,
        path_with_query: None,
        headers,
        options: options.map(|options| options.values),
        contents,
    };
    Ok((push(store.data_mut().http().table, request)?, fate))
}

fn add_method_and_scheme<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func("[method]request.get-method", |mut store, (this,): (This,)| {
        Ok(Method::from(&find(&mut store, &this)?.method))
    })?;
    types.func("[method]request.set-method", |mut store, (this, method): (This, Method)| -> Answer {
        let request = find(&mut store, &this)?;
        Ok(method.try_into().map(|method| request.method = method))
    })?;
    types.func("[method]request.get-scheme", |mut store, (this,): (This,)| {
        Ok(find(&mut store, &this)?.scheme.as_ref().map(Scheme::from))
    })?;
    types.func(
        "[method]request.set-scheme",
        |mut store, (this, scheme): (This, Option<Scheme>)| -> Answer {
            let request = find(&mut store, &this)?;
            Ok(scheme.map(TryInto::try_into).transpose().map(|scheme| request.scheme = scheme))
        },
    )?;
    Ok(())
}

fn add_target<T: HttpView + 'static>(types: &mut LinkerInstance<'_, T>) -> Result<()> {
    types.func("[method]request.get-path-with-query", |mut store, (this,): (This,)| {
        Ok(find(&mut store, &this)?.path_with_query.as_ref().map(|path| path.as_str().to_owned()))
    })?;
    types.func(
        "[method]request.set-path-with-query",
        |mut store, (this, path): (This, Option<String>)| -> Answer {
            let request = find(&mut store, &this)?;
            // Nothing and the empty path mean the same.
            let path = path.filter(|path| !path.is_empty()).map(parse_path).transpose();
            Ok(path.map(|path| request.path_with_query = path))
        },
    )?;
    types.func("[method]request.get-authority", |mut store, (this,): (This,)| {
        Ok(find(&mut store, &this)?.authority.as_ref().map(|authority| authority.as_str().to_owned()))
    })?;
    types.func(
        "[method]request.set-authority",
        |mut store, (this, authority): (This, Option<String>)| -> Answer {
            let request = find(&mut store, &this)?;
            let authority = authority.map(parse_authority).transpose();
            Ok(authority.map(|authority| request.authority = authority.map(Addressee::Parsed)))
        },
    )?;
    Ok(())
}

/// A path with perhaps a query: of ASCII, and without a fragment (RFC 3986).
fn parse_path(path: String) -> std::result::Result<PathAndQuery, ()> {
    let begins = path.starts_with(['/', '?']) || path == "*";
    if !begins || !path.is_ascii() || path.contains('#') || path.len() > LONGEST {
        return Err(());
    }
    path.try_into().map_err(|_| ())
}

fn parse_authority(authority: String) -> std::result::Result<Authority, ()> {
    if authority.len() > LONGEST {
        return Err(());
    }
    Authority::try_from(authority).ok().filter(names_a_host).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_that_are_none_are_refused() {
        for path in ["/", "/a/b?c=d", "*", "?q", "/%20"] {
            assert_eq!(parse_path(path.to_owned()).unwrap().as_str(), path);
        }
        for path in ["a", "/a b", "/a#b", "/\u{e9}", "/\r\n", "//a\0", "http://a/"] {
            parse_path(path.to_owned()).unwrap_err();
        }
        parse_path(format!("/{}?q", "a".repeat(LONGEST))).unwrap_err();
        for authority in ["example.org", "example.org:80", "[::1]:8080", "user@host"] {
            assert_eq!(parse_authority(authority.to_owned()).unwrap().as_str(), authority);
        }
        for authority in ["", "a b", "a/b", "a\r\nb", "[::1", "a:b:c", "host:99999"] {
            parse_authority(authority.to_owned()).map(drop).unwrap_err();
        }
    }
}
