//! Taking paths apart.

/// A path in two: the way to a directory, and what is meant there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SplitPath<'a> {
    /// The way to the directory; none if it is the one that the path starts from.
    pub(super) parent: Option<&'a str>,
    /// What is meant, with the slashes at its end.
    pub(super) name: &'a str,
    /// The last component's nature.
    pub(super) last: Last,
}

/// What the last component of a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// A name and nothing else.
    Name,
    /// A name with a slash behind it, which only a directory can answer to.
    NameSlash,
    /// `.`
    Dot,
    /// `..`
    DotDot,
}

impl<'a> SplitPath<'a> {
    /// Splits a path that is neither empty nor absolute.
    pub(super) fn new(path: &'a str) -> Self {
        let without_slashes = path.trim_end_matches('/');
        let (parent, name) = match without_slashes.rfind('/') {
            Some(slash) => (path.get(..slash), path.get(slash + 1..).unwrap_or_default()),
            None => (None, path),
        };
        let last = match name.trim_end_matches('/') {
            "." => Last::Dot,
            ".." => Last::DotDot,
            bare if bare.len() < name.len() => Last::NameSlash,
            _ => Last::Name,
        };
        SplitPath { parent, name, last }
    }

    /// The name, if it is all there is.
    pub(super) fn only_name(&self) -> Option<&'a str> {
        (self.parent.is_none() && self.last == Last::Name).then_some(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(path: &str) -> (Option<&str>, &str, Last) {
        let SplitPath { parent, name, last } = SplitPath::new(path);
        (parent, name, last)
    }

    #[test]
    fn paths_come_apart_at_the_last_name() {
        assert_eq!(split("a"), (None, "a", Last::Name));
        assert_eq!(split("a/"), (None, "a/", Last::NameSlash));
        assert_eq!(split("a/b"), (Some("a"), "b", Last::Name));
        assert_eq!(split("a//b//"), (Some("a/"), "b//", Last::NameSlash));
        assert_eq!(split("."), (None, ".", Last::Dot));
        assert_eq!(split("./"), (None, "./", Last::Dot));
        assert_eq!(split("a/.."), (Some("a"), "..", Last::DotDot));
        assert_eq!(split("../a"), (Some(".."), "a", Last::Name));
        assert_eq!(split("..."), (None, "...", Last::Name));
        assert_eq!(split("é/ü"), (Some("é"), "ü", Last::Name));
    }

    #[test]
    fn a_name_alone() {
        assert_eq!(SplitPath::new("a").only_name(), Some("a"));
        for path in ["a/", "./a", ".", "..", "a/b"] {
            assert_eq!(SplitPath::new(path).only_name(), None, "{path}");
        }
    }
}
