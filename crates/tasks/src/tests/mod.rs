//! Tests of the state machine as a whole, by the specification's nouns.

mod runtime;
mod support;

mod properties;
mod reference;
mod scheduling;
