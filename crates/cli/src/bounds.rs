//! What a program may take up, and which parts of the Component Model it may use.

use clap::Args;
use tombolo::{Config, Feature, Limits};

use crate::units::{parse_size, parse_stack_size};

/// The options that say so.
#[derive(Debug, Args)]
pub(crate) struct BoundArgs {
    /// Let the program have so much memory, and no more: 64M, 1G, or a number of bytes
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,

    /// Let the program use so much stack: 512K by default
    #[arg(long, value_name = "SIZE", value_parser = parse_stack_size)]
    max_stack: Option<usize>,

    /// Let components use a part of the Component Model that is off by default (repeat for several)
    #[arg(long = "feature", value_name = "NAME", value_parser = parse_feature)]
    features: Vec<Feature>,
}

impl BoundArgs {
    /// Has an engine keep to them.
    pub(crate) fn bind(&self, config: &mut Config) {
        config.limits(self.limits());
        for feature in &self.features {
            config.feature(*feature, true);
        }
    }

    /// What the program may take up.
    fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            memory_bytes: self.max_memory.unwrap_or(default.memory_bytes),
            stack_bytes: self.max_stack.unwrap_or(default.stack_bytes),
            ..default
        }
    }
}

/// Reads the name of a feature.
fn parse_feature(text: &str) -> Result<Feature, String> {
    text.parse().map_err(|_| {
        let names: Vec<_> = Feature::ALL.iter().map(|feature| feature.name()).collect();
        format!("there are: {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_that_are_none_are_told_those_that_are() {
        let error = parse_feature("magic").unwrap_err();
        assert!(error.contains("fixed-length-lists"), "{error}");
    }
}
