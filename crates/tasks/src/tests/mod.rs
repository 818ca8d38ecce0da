//! Tests of the state machine as a whole, by the specification's nouns.

mod support;

mod scheduling;
