//! Chains of components, as text.

use std::fmt::Write;

use super::types::{Core, Ty};
use crate::Bits;

/// The components of a chain, the one that calls the host first.
pub(super) struct Chain {
    pub(super) params: Vec<Ty>,
    pub(super) result: Option<Ty>,
    /// The string encoding of each component.
    pub(super) encodings: Vec<&'static str>,
    /// Which component lies, and how.
    pub(super) liar: Option<(usize, Bits)>,
}

const ENCODINGS: [&str; 3] = ["utf8", "utf16", "latin1+utf16"];

/// Core values beyond which parameters and results are passed in memory (`MAX_FLAT_PARAMS`, `MAX_FLAT_RESULTS`).
const MAX_FLAT_PARAMS: usize = 16;
const MAX_FLAT_RESULTS: usize = 1;

/// Where a component has its results put that are passed in memory, and where its allocations begin.
const RESULTS: u32 = 1 << 10;
const HEAP: u32 = 1 << 16;

impl Chain {
    pub(super) fn new(bits: &mut Bits) -> Chain {
        let params = match bits.below(8) {
            0 => (0..20).map(|_| Ty::arbitrary(bits, 0)).collect(),
            1 => Vec::new(),
            count => (0..=count / 3).map(|_| small(bits)).collect(),
        };
        let result = (bits.below(8) != 0).then(|| small(bits));
        let encodings =
            (0..1 + bits.below(3)).map(|_| ENCODINGS[bits.below(ENCODINGS.len())]).collect::<Vec<_>>();
        let liar = (bits.below(4) == 0).then(|| (bits.below(encodings.len()), Bits::new(bits.word())));
        Chain { params, result, encodings, liar }
    }

    /// The chain as a component that imports and exports `f`.
    pub(super) fn text(&self) -> String {
        let mut named = Vec::new();
        let mut ty = String::new();
        for (index, param) in self.params.iter().enumerate() {
            let _ = write!(ty, " (param \"p{index}\" {})", param.text(&mut named));
        }
        if let Some(result) = &self.result {
            let _ = write!(ty, " (result {})", result.text(&mut named));
        }
        // Records and the like must have names where they are imported or exported.
        let mut head = String::new();
        let mut with = String::new();
        for (index, definition) in named.iter().enumerate() {
            let _ = writeln!(head, "(type $d{index} {definition})");
            let _ = writeln!(head, "(import \"t{index}\" (type $t{index} (eq $d{index})))");
            let _ = write!(with, " (with \"t{index}\" (type $t{index}))");
        }
        let _ = writeln!(head, "(import \"f\" (func $f{ty}))");

        let mut text = format!("(component\n{head}");
        let mut below = "$f".to_owned();
        for (number, encoding) in self.encodings.iter().enumerate() {
            let lie = self.liar.as_ref().filter(|(liar, _)| *liar == number).map(|(_, bits)| bits.clone());
            let body = self.body(&ty, encoding, lie);
            let _ = writeln!(text, "(component $c{number}\n{head}{body})");
            let _ = writeln!(
                text,
                "(instance $i{number} (instantiate $c{number}{with} (with \"f\" (func {below}))))"
            );
            let _ = writeln!(text, "(alias export $i{number} \"f\" (func $f{number}))");
            below = format!("$f{number}");
        }
        let _ = writeln!(text, "(export \"f\" (func {below})))");
        text
    }

    /// What makes a component pass on its calls of `f`, or lie.
    fn body(&self, ty: &str, encoding: &str, lie: Option<Bits>) -> String {
        let params = spill(self.params.iter().flat_map(Ty::flat).collect(), MAX_FLAT_PARAMS);
        let results = self.result.as_ref().map(Ty::flat).unwrap_or_default();
        let in_memory = results.len() > MAX_FLAT_RESULTS;
        let results = spill(results, MAX_FLAT_RESULTS);
        let list = |word: &str, types: &[Core]| -> String {
            types.iter().map(|ty| format!(" ({word} {})", ty.name())).collect()
        };
        let lifted = format!("{}{}", list("param", &params), list("result", &results));
        let lowered =
            if in_memory { format!("{} (param i32)", list("param", &params)) } else { lifted.clone() };

        let mut data = String::new();
        let mut code = String::new();
        if let Some(mut bits) = lie {
            let bytes: String = lies(&mut bits).iter().map(|byte| format!("\\{byte:02x}")).collect();
            let _ = write!(data, "(data (i32.const 0) \"{bytes}\")");
            for ty in &results {
                let _ = write!(code, " ({}.const {})", ty.name(), lie_of(&mut bits));
            }
        } else {
            code.extend((0..params.len()).map(|index| format!(" local.get {index}")));
            if in_memory {
                let _ = write!(code, " i32.const {RESULTS} call $f i32.const {RESULTS}");
            } else {
                code.push_str(" call $f");
            }
        }
        format!(
            r#"(core module $memory
  (memory (export "memory") 3)
  (global $heap (mut i32) (i32.const {HEAP}))
  (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $new)))
    (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 0x10000)))
      (then (drop (memory.grow (i32.add (i32.shr_u (local.get $new) (i32.const 16)) (i32.const 1))))))
    (memory.copy (local.get $at) (local.get $old)
      (select (local.get $size) (local.get $new) (i32.lt_u (local.get $size) (local.get $new))))
    (local.get $at))
  {data})
(core instance $memory (instantiate $memory))
(alias core export $memory "memory" (core memory $m))
(alias core export $memory "realloc" (core func $realloc))
(core func $lowered (canon lower (func $f) (memory $m) (realloc (core func $realloc)) string-encoding={encoding}))
(core module $code
  (import "" "f" (func $f{lowered}))
  (func (export "f"){lifted}{code}))
(core instance $code (instantiate $code (with "" (instance (export "f" (func $lowered))))))
(func $passed{ty} (canon lift (core func $code "f") (memory $m) (realloc (core func $realloc)) string-encoding={encoding}))
(export "f" (func $passed))
"#
        )
    }
}

/// A type that is not too large for a component's results.
fn small(bits: &mut Bits) -> Ty {
    for _ in 0..8 {
        let ty = Ty::arbitrary(bits, 3);
        if ty.flat().len() < 1000 {
            return ty;
        }
    }
    Ty::arbitrary(bits, 0)
}

/// Core values as they are passed: by a pointer if there are too many.
fn spill(types: Vec<Core>, most: usize) -> Vec<Core> {
    if types.len() > most { vec![Core::I32] } else { types }
}

/// What a liar has in its memory: small words, so that some of it is believed.
fn lies(bits: &mut Bits) -> Vec<u8> {
    (0..1024).flat_map(|_| (lie_of(bits) as u32).to_le_bytes()).collect()
}

fn lie_of(bits: &mut Bits) -> u64 {
    match bits.below(16) {
        0 => bits.word() >> 33,
        1..8 => bits.below(3) as u64,
        // An address, aligned or not.
        8..14 => bits.below(512) as u64 * 4,
        _ => bits.below(0x3_0010) as u64,
    }
}
