//! Passes values of generated types through chains of generated components.
//!
//! The host calls the last component of a chain, which calls the one before it, and so on; the first calls the host,
//! which gives the value back the same way. Each component has its own string encoding. On the way a value is lowered
//! and lifted by the host twice, and translated from guest to guest as often as the chain is long; it must arrive
//! unchanged at both ends.
//!
//! In some chains a component is a liar: instead of passing on what it got, it answers with numbers and memory full of
//! anything. Then the call returns some value of the type, or traps.

mod chain;
mod types;
mod values;

use std::sync::{Arc, Mutex, PoisonError};

use tombolo::{Component, Config, Engine, ErrorKind, Feature, Linker, Store, Val};

use crate::{Bits, Counts, Finding, Target};
use chain::Chain;

/// The target.
pub struct Components {
    /// With and without optimisation, with interpreted calls between components and with compiled ones.
    engines: [Engine; 4],
    /// How many inputs the engines are still good for: they keep every type that they ever saw.
    left: u32,
}

const INPUTS_PER_ENGINE: u32 = 500;

/// How many values pass each chain.
const VALUES: usize = 4;

impl Target for Components {
    const NAME: &'static str = "component";
    const LONGEST: usize = 16;

    fn new() -> anyhow::Result<Self> {
        Ok(Components { engines: engines()?, left: INPUTS_PER_ENGINE })
    }

    fn run(&mut self, input: &[u8], counts: &mut Counts) -> Result<(), Finding> {
        if self.left == 0 {
            *self = Components::new().map_err(|error| Finding::while_doing("making an engine", error))?;
        }
        self.left -= 1;
        let mut bits = Bits::of(input);
        let engine = &self.engines[bits.below(4)];
        let chain = Chain::new(&mut bits);
        counts.count(if chain.liar.is_some() { "chains with a liar" } else { "honest chains" });
        counts.add("components", chain.encodings.len() as u64);
        let wrong = |what: &str, error: tombolo::Error| Finding(format!("{what}: {error}"));
        let component =
            Component::new(engine, chain.text()).map_err(|error| wrong("making the component", error))?;

        let host = Arc::new(Mutex::new(Host { bits: bits.clone(), seen: Vec::new(), gives: None }));
        let mut linker = Linker::<()>::new(engine);
        let (shared, result) = (host.clone(), chain.result.clone());
        linker
            .root()
            .func_dynamic("f", move |_, params, _| {
                let mut host = shared.lock().unwrap_or_else(PoisonError::into_inner);
                host.seen = params.to_vec();
                let value = result.as_ref().map(|ty| values::value(ty, &mut host.bits));
                host.gives.clone_from(&value);
                Ok(value)
            })
            .map_err(|error| wrong("defining the import", error))?;

        let mut store = Store::new(engine, ());
        let instance =
            linker.instantiate(&mut store, &component).map_err(|error| wrong("instantiating", error))?;
        let func = instance.func("f").ok_or_else(|| Finding("the export is missing".into()))?;
        for _ in 0..VALUES {
            let arguments: Vec<Val> = chain.params.iter().map(|ty| values::value(ty, &mut bits)).collect();
            let outcome = func.call(&mut store, &arguments);
            let host = host.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(_) if chain.liar.is_some() => counts.count("lies that were values"),
                Err(error) if chain.liar.is_some() && matches!(error.kind(), ErrorKind::Trap(_)) => {
                    counts.count("lies that trapped");
                    return Ok(());
                }
                Err(error) => return Err(wrong("calling", error)),
                Ok(_) if host.seen != arguments => {
                    return Err(Finding(format!("sent {arguments:?}\narrived {:?}", host.seen)));
                }
                Ok(result) if result != host.gives => {
                    return Err(Finding(format!("returned {:?}\narrived {result:?}", host.gives)));
                }
                Ok(_) => counts.count("values that arrived"),
            }
        }
        Ok(())
    }

    fn show(&mut self, input: &[u8]) -> String {
        let mut bits = Bits::of(input);
        bits.below(4);
        Chain::new(&mut bits).text()
    }
}

/// The host's end of a chain.
struct Host {
    bits: Bits,
    /// The arguments that arrived.
    seen: Vec<Val>,
    /// The result that it gave.
    gives: Option<Val>,
}

fn engines() -> anyhow::Result<[Engine; 4]> {
    let engine = |optimize, adapters_after| {
        let mut config = Config::new();
        config.optimize(optimize).adapters_after(adapters_after).compile_threads(1);
        for feature in Feature::ALL {
            config.feature(*feature, true);
        }
        Engine::new(&config)
    };
    Ok([engine(false, u32::MAX)?, engine(true, u32::MAX)?, engine(false, 1)?, engine(true, 1)?])
}
