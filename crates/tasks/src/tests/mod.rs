//! Tests of the state machine as a whole, by the specification's nouns.

mod support;

mod cancellation;
mod futures;
mod host_ends;
mod instances;
mod properties;
mod reference;
mod resources;
mod runtime;
mod scheduling;
mod streams;
mod subtasks;
mod threads;
mod waitable_sets;
