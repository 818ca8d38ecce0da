//! A module compiles: its tables are sane, and what is wrong with one is said where it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use tombolo_compile::vmctx::TrapCode;
use tombolo_compile::{CompileError, CompiledModule, Compiler, Config, OptLevel, TrampolineKind};
use tombolo_types::TypeRegistry;

/// Compiles a module in each way there is, and returns what the default way makes of it.
fn compile(wat: &str) -> Result<CompiledModule, CompileError> {
    let wasm = wat::parse_str(wat).unwrap();
    let mut outcome = None;
    for (opt_level, fuel, interruptible) in [
        (OptLevel::Speed, false, false),
        (OptLevel::None, false, false),
        (OptLevel::Speed, true, false),
        (OptLevel::Speed, false, true),
        (OptLevel::None, true, true),
    ] {
        let mut config = Config::default();
        config.verify = true;
        (config.opt_level, config.fuel, config.interruptible) = (opt_level, fuel, interruptible);
        let compiled = Compiler::new(&config).unwrap().compile_module(&wasm, &TypeRegistry::default());
        if let Ok(module) = &compiled {
            check(module);
        }
        let outcome = outcome.get_or_insert_with(|| compiled.clone());
        assert_eq!(outcome.is_ok(), compiled.is_ok());
    }
    outcome.unwrap()
}

/// What holds for every compiled module.
fn check(module: &CompiledModule) {
    let mut end = 0;
    for function in &module.functions {
        assert_eq!(function.start % 16, 0);
        assert!(function.start >= end && function.len > 0);
        end = function.start + function.len;
    }
    // The interrupt shim lies behind the functions.
    assert!(end as usize <= module.code.len());
    assert!(module.traps.is_sorted_by_key(|(at, _)| *at));
    assert!(module.traps.iter().all(|(at, _)| module.function_at(*at).is_some()));
    assert!(module.handlers.is_sorted_by_key(|handler| handler.return_offset));
    for handler in &module.handlers {
        assert_eq!(module.function_at(handler.return_offset - 1), module.function_at(handler.landing));
        assert_eq!(module.handler_at(handler.return_offset), Some(*handler));
    }
    assert!(module.addresses.is_sorted_by(|(a, was), (b, is)| a < b && was != is));
    let defined = module.info.functions.len() - module.info.imported_functions as usize;
    assert_eq!(module.functions.len(), defined);
}

fn error(wat: &str) -> CompileError {
    compile(wat).unwrap_err()
}

#[test]
fn an_empty_module_compiles() {
    let module = compile("(module $empty)").unwrap();
    assert_eq!(module.info.name.as_deref(), Some("empty"));
    assert!(module.code.is_empty());
}

#[test]
fn every_kind_of_control_flow_compiles() {
    compile(
        r#"(module
            (func (param i32) (result i32)
                (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.const 2))))
            (func (param i32 i32) (result i32 i32)
                local.get 0 local.get 1 (if (param i32) (result i32) (then) (else drop i32.const 4))
                local.get 0 local.get 1 (if (param i32) (result i32) (then)) br 0)
            (func (param i32) (local i64 f32 f64 funcref externref)
                (loop $again (br_if $again (local.get 0)) (block $out (br_table $out $again 1 (local.get 0)))))
            (func (param i32) (result i64 i32)
                (block (result i64 i32) (i64.const 1) (i32.const 2) (br_table 0 0 1 (local.get 0))))
            (func (result i32) unreachable (block (result i32) (loop br 0) unreachable (if (then) (else))) i32.add)
            (func (param i32) (if (local.get 0) (then unreachable) (else return)) (block))
            (func (param i32) (result i32)
                (block $a (block $b (br_if $b (local.get 0)) (br $a)) (return (i32.const 1))) i32.const 7)
        )"#,
    )
    .unwrap();
}

#[test]
fn calls_of_every_kind_compile() {
    let module = compile(
        r#"(module
            (type $t (func (param i32 i64 f32 f64) (result f64 i32)))
            (import "a" "f" (func $import (type $t)))
            (import "a" "t" (table $tab 1 funcref))
            (table $fixed 4 4 funcref)
            (table $typed 4 (ref null $t))
            (global $g (mut funcref) (ref.func $later))
            (func $f (export "f") (type $t)
                (call $import (local.get 0) (local.get 1) (local.get 2) (local.get 3)) drop drop
                (call_indirect $tab (type $t) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 0))
                drop drop
                (call_indirect $fixed (type $t) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 0))
                drop drop
                (call_indirect $typed (type $t) (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 0))
                drop drop
                (call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (func $later (type $t)
                (return_call $f (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
            (func $refs (type $t)
                (return_call_ref $t (local.get 0) (local.get 1) (local.get 2) (local.get 3) (ref.func $f)))
            (func $many (result i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 f32 i64) (return_call $many))
        )"#,
    )
    .unwrap();
    assert_eq!(module.info.escaping, [1, 2]);
    assert_eq!(module.info.function_names.get(&1).map(String::as_str), Some("f"));
    assert!(module.traps.iter().any(|(_, code)| *code == TrapCode::BadSignature));
    assert!(module.traps.iter().any(|(_, code)| *code == TrapCode::IndirectCallToNull));
}

#[test]
fn memories_and_tables_of_every_shape_compile() {
    let module = compile(
        r#"(module
            (memory $m 1) (memory $m64 i64 1) (memory $bytes 1 (pagesize 1))
            (table $t 1 10 externref) (table $t64 i64 1 funcref)
            (data $d "abc") (elem $e func 0)
            (func (param i32 i64 externref)
                (i32.store offset=4 (local.get 0) (i32.load8_s offset=0xffffffff (local.get 0)))
                (i64.store32 $m64 offset=0xffffffffffffffff (local.get 1) (i64.load $m64 offset=8 (local.get 1)))
                (i64.store16 $m64 offset=0xffffffff (local.get 1) (i64.load $m64 (local.get 1)))
                (f64.store $bytes offset=8 (local.get 0) (f64.load $bytes offset=10000 (local.get 0)))
                (memory.copy $m $m64 (local.get 0) (local.get 1) (local.get 0))
                (memory.fill $m64 (local.get 1) (local.get 0) (local.get 1))
                (memory.init $m $d (local.get 0) (local.get 0) (local.get 0)) (data.drop $d)
                (drop (memory.grow $m64 (memory.size $m64))) (drop (memory.grow $m (memory.size $bytes)))
                (table.set $t (local.get 0) (table.get $t (local.get 0)))
                (drop (table.grow $t64 (table.get $t64 (local.get 1)) (table.size $t64)))
                (table.fill $t (local.get 0) (local.get 2) (local.get 0))
                (table.init $t64 $e (local.get 1) (local.get 0) (local.get 0)) (elem.drop $e)
                (table.copy $t64 $t64 (local.get 1) (local.get 1) (local.get 1)))
        )"#,
    )
    .unwrap();
    assert!(module.traps.iter().any(|(_, code)| *code == TrapCode::TableOutOfBounds));
    let end = module.info.data[0].range.end;
    assert_eq!(module.info.data[0].range, end - 3..end);
}

#[test]
fn vectors_pass_every_kind_of_boundary() {
    compile(
        r#"(module
            (import "a" "f" (func $import (param v128) (result v128)))
            (global $g (mut v128) (v128.const i64x2 1 2)) (memory 1)
            (func (param v128 i32) (result v128 v128) (local v128)
                (local.set 2 (f32x4.add (local.get 0) (local.get 0)))
                (global.set $g (f64x2.mul (local.get 2) (global.get $g)))
                (block (result v128)
                    (br_if 0 (i16x8.add (local.get 0) (local.get 2)) (local.get 1))
                    (select (i32x4.neg) (i64x2.splat (i64.const 1)) (local.get 1)))
                (call $import (loop (param v128) (result v128) (br_if 0 (f32x4.sqrt) (local.get 1))))
                (block (result v128) (block (result v128) (block (result v128)
                    (br_table 0 1 2 (f64x2.abs (local.get 0)) (local.get 1)))))
                (if (param v128) (result v128 v128) (f32x4.abs (local.get 0)) (local.get 1)
                    (then (local.get 0)) (else (local.get 2)))
                drop drop drop
                (if (result v128) (local.get 1)
                    (then (i8x16.swizzle (local.get 0) (local.get 2)))
                    (else (v128.load8_lane 3 (local.get 1) (local.get 2)))))
        )"#,
    )
    .unwrap();
}

#[test]
fn exceptions_land() {
    let module = compile(
        r#"(module
            (import "a" "tag" (tag $imported (param i32 v128)))
            (tag $own (param externref)) (tag $empty)
            (import "a" "f" (func $f (param i32) (result i64 f32)))
            (func (param i32 externref) (result i32 v128 exnref) (local v128)
                (block $all (block $all_ref (result exnref) (block $own (result externref)
                    (try_table (result i32 v128 exnref)
                        (catch_ref $imported 3) (catch $own $own) (catch_all_ref $all_ref)
                        (try_table (catch $empty $all)
                            (drop (drop (call $f (local.get 0))))
                            (if (local.get 0) (then (throw $empty)))
                            (local.set 2 (f32x4.add (local.get 2) (local.get 2)))
                            (throw $imported (local.get 0) (f64x2.add (local.get 2) (local.get 2))))
                        (throw $own (local.get 1)))
                    (return))
                    (throw $own)) throw_ref) unreachable)
            (func (try_table (catch_all 0) (try_table (return_call 2)))))"#,
    )
    .unwrap();
    // The call and the two throws that can be reached.
    assert_eq!(module.handlers.len(), 3);
    assert!(module.traps.iter().any(|(_, code)| *code == TrapCode::NullReference));
}

#[test]
fn atomics_compile() {
    let module = compile(
        r#"(module (memory 1 1 shared)
            (func (param i32 i64) (result i32)
                (i64.atomic.store16 (local.get 0) (i64.atomic.rmw8.cmpxchg_u (local.get 0) (local.get 1) (local.get 1)))
                (i32.atomic.store (local.get 0) (i32.atomic.rmw.add offset=4 (local.get 0) (i32.const 1)))
                (drop (memory.atomic.notify (local.get 0) (i32.const 1)))
                (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 1)))
            (func (param i32) (result i32) (memory.atomic.wait32 (local.get 0) (local.get 0) (i64.const 1))))"#,
    )
    .unwrap();
    assert!(module.traps.iter().any(|(_, code)| *code == TrapCode::HeapMisaligned));
}

#[test]
fn a_function_compiled_alone_is_whole() {
    let mut config = Config::default();
    config.interruptible = true;
    let compiler = Compiler::new(&config).unwrap();
    let registry = TypeRegistry::default();
    let wasm = wat::parse_str("(module (func $f (loop (call $f) (br 0))) (func))").unwrap();
    let parsed = compiler.parse_module(&wasm, 0, &registry).unwrap();
    assert_eq!(parsed.defined_functions(), 2);
    let whole = compiler.compile_module(&wasm, &registry).unwrap();
    let alone = compiler.compile_function(&parsed, &wasm, 0).unwrap();
    // With an interrupt shim of its own behind it.
    assert!(alone.code.len() > whole.functions[0].len as usize);
    assert!(compiler.compile_function(&parsed, &wasm, 2).is_err());
}

#[test]
fn a_trap_leads_back_to_its_instruction() {
    let wat = "(module (func (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0))))";
    let module = compile(wat).unwrap();
    let (at, code) = module.traps[0];
    assert_eq!(code, TrapCode::IntegerDivisionByZero);
    let wasm = wat::parse_str(wat).unwrap();
    assert_eq!(wasm[module.address_at(at).unwrap() as usize], 0x6e);
    assert_eq!(module.trap_at(at), Some(code));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_return_is_shortened_and_a_constant_that_looks_like_one_is_not() {
    const LONG: [u8; 5] = [0x48, 0x89, 0xec, 0x5d, 0xc3];
    const SHORTENED: [u8; 5] = [0x0f, 0x1f, 0x00, 0x5d, 0xc3];
    let module = compile(
        r#"(module
            (func (result i64) (i64.const 0xc35dec8948_112233))
            (func (param i32) (result i64)
                (if (local.get 0) (then (return (call 1 (i32.sub (local.get 0) (i32.const 1))))))
                (i64.const 0xc35dec8948_445566)))"#,
    )
    .unwrap();
    let count = |sought: [u8; 5]| module.code.windows(5).filter(|bytes| *bytes == sought).count();
    assert_eq!(count(LONG), 2, "the constants are as they were");
    for function in &module.functions {
        let code = &module.code[function.start as usize..(function.start + function.len) as usize];
        assert!(code.windows(5).any(|bytes| bytes == SHORTENED));
    }
}

#[test]
fn trampolines_of_every_width_compile() {
    use tombolo_types::core::{FuncType, RefType, ValType};
    let compiler = Compiler::new(&Config::default()).unwrap();
    let all = [
        ValType::I32,
        ValType::I64,
        ValType::F32,
        ValType::F64,
        ValType::V128,
        ValType::Ref(RefType::FUNCREF),
    ];
    for count in [0, 1, 9, 100, 1000] {
        let types: Vec<_> = all.iter().copied().cycle().take(count).collect();
        for ty in [
            FuncType::new(types.clone(), []),
            FuncType::new([], types.clone()),
            FuncType::new(types.clone(), types),
        ] {
            assert!(!compiler.trampoline(TrampolineKind::Entry, &ty).unwrap().code.is_empty());
            assert!(!compiler.trampoline(TrampolineKind::Exit, &ty).unwrap().code.is_empty());
        }
    }
}

#[test]
fn an_invalid_function_is_named_with_its_place() {
    let error = error(r#"(module (func) (func $bad (result i32) (i64.const 0)) (func $worse i32.add))"#);
    let CompileError::Invalid { offset, function, .. } = &error else { panic!("{error}") };
    assert!(*offset > 0);
    let function = function.as_ref().unwrap();
    assert_eq!((function.index, function.name.as_deref()), (1, Some("bad")));
    assert!(error.to_string().contains("function 1 `bad`"), "{error}");
}

#[test]
fn offsets_count_from_the_start_of_the_file() {
    let compiler = Compiler::new(&Config::default()).unwrap();
    let wasm = wat::parse_str("(module (func (result i32) (i32.load (i32.const 0))))").unwrap();
    let at =
        |offset| compiler.compile_module_at(&wasm, offset, &TypeRegistry::default()).unwrap_err().offset();
    assert_eq!(at(1000).unwrap(), at(0).unwrap() + 1000);
}

#[test]
fn truncated_modules_are_refused() {
    let compiler = Compiler::new(&Config::default()).unwrap();
    let wasm = wat::parse_str(
        r#"(module (memory 1) (table 1 funcref) (elem (i32.const 0) 0) (data (i32.const 1) "abc")
            (func (export "f") (param i32) (local i32) (if (local.get 0) (then (br 0)))))"#,
    )
    .unwrap();
    for end in 0..wasm.len() {
        // Cut between sections, what is left may be a module.
        let _ = compiler.compile_module(&wasm[..end], &TypeRegistry::default());
    }
    assert!(compiler.compile_module(&wasm[..wasm.len() - 1], &TypeRegistry::default()).is_err());
    for at in 0..wasm.len() {
        for bit in 0..8 {
            let mut wasm = wasm.clone();
            wasm[at] ^= 1 << bit;
            let _ = compiler.compile_module(&wasm, &TypeRegistry::default());
        }
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (wat, what) in [
        ("(module (type (struct)))", "struct types (GC proposal)"),
        ("(module (type (array i32)))", "array types (GC proposal)"),
        ("(module (type (sub (func))))", "subtypes (GC proposal)"),
        ("(module (rec (type (func)) (type (func))))", "recursion groups of types (GC proposal)"),
        ("(module (type $t (func (param (ref $t)))))", "recursive types (GC proposal)"),
        ("(module (func (local anyref)))", "references to any (GC proposal)"),
        ("(module (table 1 i31ref))", "references to i31 (GC proposal)"),
        ("(module (global eqref (ref.null eq)))", "references to eq (GC proposal)"),
        ("(module (func (drop (ref.i31 (i32.const 0)))))", "RefI31 (GC proposal)"),
        ("(module (func (drop (ref.test nullfuncref (ref.null func)))))", "RefTestNullable (GC proposal)"),
        ("(module (func (drop (any.convert_extern (ref.null extern)))))", "AnyConvertExtern (GC proposal)"),
    ] {
        let error = error(wat);
        assert!(matches!(error, CompileError::Unsupported { .. }), "{wat}: {error}");
        assert!(error.to_string().contains(what), "{wat}: {error}");
    }
}

#[test]
fn a_component_is_refused_as_such() {
    assert!(error("(component)").to_string().contains("component"));
}

#[test]
fn a_large_branch_table_with_operands_stays_small() {
    let targets = "0 ".repeat(20_000);
    let wat = format!(
        "(module (func (param i32) (result i32 i32 i32)
            i32.const 1 i32.const 2 i32.const 3 local.get 0 br_table {targets}))"
    );
    let module = compile(&wat).unwrap();
    assert!(module.code.len() < 400_000);
}

#[test]
fn a_small_function_cannot_make_endless_work() {
    let wide = "i32 ".repeat(1000);
    let gets: String = (0..1000).map(|local| format!("local.get {local} ")).collect();
    let calls = "call $f ".repeat(2000);
    let wat = format!(
        "(module (type $t (func (param {wide}) (result {wide}))) (func $f (type $t) {gets} {calls}))"
    );
    assert!(matches!(error(&wat), CompileError::TooLarge { .. }));
    let wat = format!(
        "(module (type $t (func (param {wide}) (result {wide}))) (func $f (type $t) {gets} call $f call $f))"
    );
    compile(&wat).unwrap();
}

#[test]
fn references_to_exceptions_are_found_fast_or_refused() {
    // So many live through so many blocks.
    let function = |locals: usize, blocks: usize| {
        let locals_of = |before: &str, after: &str| -> String {
            (0..locals).map(|local| format!("{before} {local} {after} ")).collect()
        };
        format!(
            "(module (import \"\" \"\" (func $f (result exnref)))
                (global $g (mut exnref) (ref.null exn)) (func (local {}) {} {} {}))",
            "exnref ".repeat(locals),
            locals_of("call $f local.set", ""),
            "(if (i32.const 1) (then (drop (call $f))))".repeat(blocks),
            locals_of("local.get", "global.set $g"),
        )
    };
    let start = std::time::Instant::now();
    let module = compile(&function(50, 500)).unwrap();
    assert!(module.exception_refs.is_sorted_by_key(|(at, _)| *at));
    // All live through each of the calls in the blocks.
    assert!(module.exception_refs.len() > 50 * 500);
    assert!(matches!(error(&function(1_000, 2_000)), CompileError::TooLarge { .. }));
    assert!(start.elapsed().as_secs() < 60);
}

#[test]
fn a_function_with_many_values_at_once_compiles_fast() {
    let values: String = (0..20_000).map(|n| format!("local.get 0 i32.const {n} i32.add ")).collect();
    let wat = format!("(module (func (param i32) (result i32) {values} {}))", "i32.xor ".repeat(20_000 - 1));
    let start = std::time::Instant::now();
    compile(&wat).unwrap();
    // It would be minutes.
    assert!(start.elapsed().as_secs() < 30);
}
