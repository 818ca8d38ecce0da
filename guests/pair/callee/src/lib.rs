//! The half of the pair that is called: one module for each interface of `pair.wit`.

mod counters;
mod flow;
mod values;

wit_bindgen::generate!({
    path: "../wit",
    world: "callee",
    additional_derives: [PartialEq, Clone],
});

struct Callee;

export!(Callee);
