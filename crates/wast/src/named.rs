//! What a script has made so far, by its names for it.

use std::collections::HashMap;

use wast::token::Id;

use crate::report::Wrong;

/// Things in the order in which they were made. What a script means without naming it is the latest.
pub(crate) struct Named<T> {
    what: &'static str,
    /// `None` where one could not be made.
    items: Vec<Option<T>>,
    names: HashMap<String, usize>,
}

impl<T> Named<T> {
    pub fn new(what: &'static str) -> Self {
        Named { what, items: Vec::new(), names: HashMap::new() }
    }

    pub fn put(&mut self, name: Option<Id<'_>>, item: Option<T>) {
        if let Some(name) = name {
            self.names.insert(name.name().to_owned(), self.items.len());
        }
        self.items.push(item);
    }

    /// Whether there is one of this name, be it one that could not be made.
    pub fn has(&self, name: Option<Id<'_>>) -> bool {
        self.position(name).is_some()
    }

    pub fn get(&self, name: Option<Id<'_>>) -> Result<&T, Wrong> {
        let what = self.what;
        match (self.position(name).and_then(|at| self.items.get(at)), name) {
            (Some(Some(item)), _) => Ok(item),
            (Some(None), _) => Err(Wrong::Before),
            (None, Some(name)) => Err(Wrong::Here(format!("there is no {what} `${}`", name.name()))),
            (None, None) => Err(Wrong::Here(format!("there is no {what} yet"))),
        }
    }

    fn position(&self, name: Option<Id<'_>>) -> Option<usize> {
        match name {
            Some(name) => self.names.get(name.name()).copied(),
            None => self.items.len().checked_sub(1),
        }
    }
}
