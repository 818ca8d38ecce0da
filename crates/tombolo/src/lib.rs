//! An implementation of the WebAssembly Component Model: the embedding API.
