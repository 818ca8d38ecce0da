;; What calls and streams between components cost when no bindings and no executors are in the way.
;;
;; Prints a line `KIND ITERATIONS NANOSECONDS` for each kind: `hand-sync` a sync call, `hand-ready` an async call
;; that returns at once, `hand-100` one of 100 concurrent async calls that yield once each, `hand-stream-64k`,
;; `hand-stream-4k` and `hand-stream-64` one write to a stream that the callee reads.
;;
;; The async calls are few, because wasmtime keeps something of each until the caller ends and traps at a million.
(component
  (import "wasi:cli/types@0.3.2" (instance $types
    (type $error (enum "io" "illegal-byte-sequence" "pipe"))
    (export "error-code" (type (eq $error)))))
  (alias export $types "error-code" (type $error))
  (import "wasi:cli/stdout@0.3.2" (instance $stdout
    (alias outer 1 $error (type $outer))
    (export "error-code" (type $error (eq $outer)))
    (type $result (result (error $error)))
    (type $data (stream u8))
    (type $done (future $result))
    (export "write-via-stream" (func (param "data" $data) (result $done)))))
  (import "wasi:clocks/monotonic-clock@0.3.2" (instance $clock
    (export "now" (func (result u64)))))

  (component $callee
    (type $bytes (stream u8))
    (core module $memory (memory (export "memory") 2))
    (core instance $memory (instantiate $memory))
    (core func $return-n (canon task.return (result u32)))
    (core func $return (canon task.return))
    (core func $return-total (canon task.return (result u64)))
    (core func $read (canon stream.read $bytes async (memory (core memory $memory "memory"))))
    (core func $drop-readable (canon stream.drop-readable $bytes))
    (core func $set-new (canon waitable-set.new))
    (core func $set-drop (canon waitable-set.drop))
    (core func $join (canon waitable.join))
    (core module $callee
      (import "" "return-n" (func $return-n (param i32)))
      (import "" "return" (func $return))
      (import "" "return-total" (func $return-total (param i64)))
      (import "" "read" (func $read (param i32 i32 i32) (result i32)))
      (import "" "drop-readable" (func $drop-readable (param i32)))
      (import "" "set-new" (func $set-new (result i32)))
      (import "" "set-drop" (func $set-drop (param i32)))
      (import "" "join" (func $join (param i32 i32)))
      (global $stream (mut i32) (i32.const 0))
      (global $set (mut i32) (i32.const 0))
      (global $total (mut i64) (i64.const 0))

      (func (export "sync") (param $n i32) (result i32)
        (local.get $n))

      (func (export "ready") (param $n i32) (result i32)
        (call $return-n (local.get $n))
        (i32.const 0)) ;; EXIT
      (func (export "ready-callback") (param i32 i32 i32) (result i32)
        unreachable)

      (func (export "yield") (result i32)
        (i32.const 1)) ;; YIELD
      (func (export "yield-callback") (param i32 i32 i32) (result i32)
        (call $return)
        (i32.const 0)) ;; EXIT

      (func (export "drain") (param $stream i32) (result i32)
        (global.set $stream (local.get $stream))
        (global.set $total (i64.const 0))
        (global.set $set (call $set-new))
        (call $join (local.get $stream) (global.get $set))
        (call $drain-on (call $read (local.get $stream) (i32.const 65536) (i32.const 65536))))
      (func (export "drain-callback") (param $event i32) (param $index i32) (param $code i32) (result i32)
        (if (i32.ne (local.get $event) (i32.const 2)) (then unreachable)) ;; STREAM_READ
        (call $drain-on (local.get $code)))
      (func $drain-on (param $code i32) (result i32)
        (loop $again
          (if (i32.eq (local.get $code) (i32.const -1)) ;; BLOCKED
            (then (return (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4)))))) ;; WAIT
          (global.set $total (i64.add (global.get $total)
            (i64.extend_i32_u (i32.shr_u (local.get $code) (i32.const 4)))))
          (if (i32.eqz (i32.and (local.get $code) (i32.const 15))) ;; COMPLETED
            (then
              (local.set $code (call $read (global.get $stream) (i32.const 65536) (i32.const 65536)))
              (br $again))))
        (call $drop-readable (global.get $stream))
        (call $set-drop (global.get $set))
        (call $return-total (global.get $total))
        (i32.const 0))) ;; EXIT
    (core instance $i (instantiate $callee (with "" (instance
      (export "return-n" (func $return-n))
      (export "return" (func $return))
      (export "return-total" (func $return-total))
      (export "read" (func $read))
      (export "drop-readable" (func $drop-readable))
      (export "set-new" (func $set-new))
      (export "set-drop" (func $set-drop))
      (export "join" (func $join))))))
    (func (export "sync") (param "n" u32) (result u32) (canon lift (core func $i "sync")))
    (func (export "ready") async (param "n" u32) (result u32)
      (canon lift (core func $i "ready") async (callback (core func $i "ready-callback"))))
    (func (export "yield") async
      (canon lift (core func $i "yield") async (callback (core func $i "yield-callback"))))
    (func (export "drain") async (param "data" $bytes) (result u64)
      (canon lift (core func $i "drain") async (callback (core func $i "drain-callback")))))

  (component $caller
    (import "wasi:cli/types@0.3.2" (instance $types
      (type $error (enum "io" "illegal-byte-sequence" "pipe"))
      (export "error-code" (type (eq $error)))))
    (alias export $types "error-code" (type $error))
    (import "wasi:cli/stdout@0.3.2" (instance $stdout
      (alias outer 1 $error (type $outer))
      (export "error-code" (type $error (eq $outer)))
      (type $result (result (error $error)))
      (type $data (stream u8))
      (type $done (future $result))
      (export "write-via-stream" (func (param "data" $data) (result $done)))))
    (import "wasi:clocks/monotonic-clock@0.3.2" (instance $clock
      (export "now" (func (result u64)))))
    (import "callee" (instance $callee
      (export "sync" (func (param "n" u32) (result u32)))
      (export "ready" (func async (param "n" u32) (result u32)))
      (export "yield" (func async))
      (export "drain" (func async (param "data" (stream u8)) (result u64)))))

    (core module $memory
      (memory (export "memory") 4)
      (data (i32.const 0) "hand-sync \00")
      (data (i32.const 32) "hand-ready \00")
      (data (i32.const 64) "hand-100 \00")
      (data (i32.const 96) "hand-stream-64k \00")
      (data (i32.const 128) "hand-stream-4k \00")
      (data (i32.const 160) "hand-stream-64 \00"))
    (core instance $memory (instantiate $memory))
    (type $bytes (stream u8))
    (type $result (result (error $error)))
    (type $done (future $result))
    (core func $now (canon lower (func $clock "now")))
    (core func $write-via-stream (canon lower (func $stdout "write-via-stream")))
    (core func $sync (canon lower (func $callee "sync")))
    (core func $ready (canon lower (func $callee "ready") async (memory (core memory $memory "memory"))))
    (core func $yield (canon lower (func $callee "yield") async))
    (core func $drain (canon lower (func $callee "drain") async (memory (core memory $memory "memory"))))
    (core func $stream-new (canon stream.new $bytes))
    (core func $write (canon stream.write $bytes async (memory (core memory $memory "memory"))))
    (core func $drop-writable (canon stream.drop-writable $bytes))
    (core func $read-done (canon future.read $done async (memory (core memory $memory "memory"))))
    (core func $drop-done (canon future.drop-readable $done))
    (core func $set-new (canon waitable-set.new))
    (core func $wait (canon waitable-set.wait (memory (core memory $memory "memory"))))
    (core func $join (canon waitable.join))
    (core func $subtask-drop (canon subtask.drop))
    (core module $main
      (import "" "now" (func $now (result i64)))
      (import "" "write-via-stream" (func $write-via-stream (param i32) (result i32)))
      (import "" "sync" (func $sync (param i32) (result i32)))
      (import "" "ready" (func $ready (param i32 i32) (result i32)))
      (import "" "yield" (func $yield (result i32)))
      (import "" "drain" (func $drain (param i32 i32) (result i32)))
      (import "" "stream-new" (func $stream-new (result i64)))
      (import "" "write" (func $write (param i32 i32 i32) (result i32)))
      (import "" "drop-writable" (func $drop-writable (param i32)))
      (import "" "read-done" (func $read-done (param i32 i32) (result i32)))
      (import "" "drop-done" (func $drop-done (param i32)))
      (import "" "set-new" (func $set-new (result i32)))
      (import "" "wait" (func $wait (param i32 i32) (result i32)))
      (import "" "join" (func $join (param i32 i32)))
      (import "" "subtask-drop" (func $subtask-drop (param i32)))
      (import "memory" "memory" (memory 4))
      ;; Memory: 0 names, 256 results and events, 1024 the line being made, 65536 what is streamed.
      (global $set (mut i32) (i32.const 0))
      (global $end (mut i32) (i32.const 0))
      (type $kind (func (param $n i32)))
      (table funcref (elem $syncs $readies $yields $streams-64k $streams-4k $streams-64))

      (func (export "run") (result i32)
        (global.set $set (call $set-new))
        (call $measure (i32.const 0) (i32.const 20000000))
        (call $measure (i32.const 1) (i32.const 200000))
        (call $measure (i32.const 2) (i32.const 200000))
        (call $measure (i32.const 3) (i32.const 50000))
        (call $measure (i32.const 4) (i32.const 500000))
        (call $measure (i32.const 5) (i32.const 2000000))
        (i32.const 0))

      (func $measure (param $kind i32) (param $n i32)
        (local $nanoseconds i64)
        (call_indirect (type $kind) (i32.const 100) (local.get $kind))
        (local.set $nanoseconds (call $now))
        (call_indirect (type $kind) (local.get $n) (local.get $kind))
        (local.set $nanoseconds (i64.sub (call $now) (local.get $nanoseconds)))
        (global.set $end (i32.const 1024))
        (call $put-name (i32.shl (local.get $kind) (i32.const 5)))
        (call $put-number (i64.extend_i32_u (local.get $n)))
        (call $put (i32.const 32)) ;; space
        (call $put-number (local.get $nanoseconds))
        (call $put (i32.const 10)) ;; end of line
        (call $print))

      (func $syncs (type $kind)
        (loop $again
          (drop (call $sync (local.get 0)))
          (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))

      (func $readies (type $kind)
        (loop $again
          (if (i32.ne (call $ready (local.get 0) (i32.const 256)) (i32.const 2)) (then unreachable)) ;; RETURNED
          (if (i32.ne (i32.load (i32.const 256)) (local.get 0)) (then unreachable))
          (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))

      (func $yields (type $kind)
        (local $i i32)
        (loop $again
          (local.set $i (i32.const 100))
          (loop $next
            (call $join (i32.shr_u (call $yield) (i32.const 4)) (global.get $set))
            (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
          (local.set $i (i32.const 100))
          (loop $next
            (if (i32.ne (call $wait (global.get $set) (i32.const 256)) (i32.const 1)) (then unreachable)) ;; SUBTASK
            (if (i32.ne (i32.load (i32.const 260)) (i32.const 2)) (then unreachable)) ;; RETURNED
            (call $subtask-drop (i32.load (i32.const 256)))
            (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
          (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 100))))))

      (func $streams-64k (type $kind) (call $streams (local.get 0) (i32.const 65536)))
      (func $streams-4k (type $kind) (call $streams (local.get 0) (i32.const 4096)))
      (func $streams-64 (type $kind) (call $streams (local.get 0) (i32.const 64)))

      (func $streams (param $n i32) (param $size i32)
        (local $ends i64) (local $writer i32) (local $subtask i32) (local $bytes i64)
        (local.set $bytes (i64.mul (i64.extend_i32_u (local.get $n)) (i64.extend_i32_u (local.get $size))))
        (local.set $ends (call $stream-new))
        (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
        (local.set $subtask (i32.shr_u (call $drain (i32.wrap_i64 (local.get $ends)) (i32.const 272)) (i32.const 4)))
        (loop $again
          (call $write-all (local.get $writer) (i32.const 65536) (local.get $size))
          (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (call $drop-writable (local.get $writer))
        (call $join (local.get $subtask) (global.get $set))
        (if (i32.ne (call $wait (global.get $set) (i32.const 256)) (i32.const 1)) (then unreachable)) ;; SUBTASK
        (call $subtask-drop (local.get $subtask))
        (if (i64.ne (i64.load (i32.const 272)) (local.get $bytes)) (then unreachable)))

      ;; Writes so many bytes from there, and waits for the reader when it has to.
      (func $write-all (param $writer i32) (param $from i32) (param $size i32)
        (local $code i32)
        (loop $again
          (local.set $code (call $write (local.get $writer) (local.get $from) (local.get $size)))
          (if (i32.eq (local.get $code) (i32.const -1)) ;; BLOCKED
            (then
              (call $join (local.get $writer) (global.get $set))
              (if (i32.ne (call $wait (global.get $set) (i32.const 256)) (i32.const 3)) (then unreachable)) ;; STREAM_WRITE
              (local.set $code (i32.load (i32.const 260)))
              (call $join (local.get $writer) (i32.const 0))))
          (if (i32.and (local.get $code) (i32.const 15)) (then return)) ;; DROPPED
          (local.set $from (i32.add (local.get $from) (i32.shr_u (local.get $code) (i32.const 4))))
          (local.set $size (i32.sub (local.get $size) (i32.shr_u (local.get $code) (i32.const 4))))
          (br_if $again (local.get $size))))

      (func $print
        (local $ends i64) (local $writer i32) (local $done i32)
        (local.set $ends (call $stream-new))
        (local.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
        (local.set $done (call $write-via-stream (i32.wrap_i64 (local.get $ends))))
        (call $write-all (local.get $writer) (i32.const 1024) (i32.sub (global.get $end) (i32.const 1024)))
        (call $drop-writable (local.get $writer))
        (if (i32.eq (call $read-done (local.get $done) (i32.const 264)) (i32.const -1)) ;; BLOCKED
          (then
            (call $join (local.get $done) (global.get $set))
            (drop (call $wait (global.get $set) (i32.const 256)))))
        (call $drop-done (local.get $done)))

      (func $put (param $byte i32)
        (i32.store8 (global.get $end) (local.get $byte))
        (global.set $end (i32.add (global.get $end) (i32.const 1))))

      (func $put-name (param $from i32)
        (loop $again
          (call $put (i32.load8_u (local.get $from)))
          (local.set $from (i32.add (local.get $from) (i32.const 1)))
          (br_if $again (i32.load8_u (local.get $from)))))

      (func $put-number (param $n i64)
        (if (i64.ge_u (local.get $n) (i64.const 10))
          (then (call $put-number (i64.div_u (local.get $n) (i64.const 10)))))
        (call $put (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $n) (i64.const 10)))))))
    (core instance $main (instantiate $main (with "memory" (instance $memory)) (with "" (instance
      (export "now" (func $now))
      (export "write-via-stream" (func $write-via-stream))
      (export "sync" (func $sync))
      (export "ready" (func $ready))
      (export "yield" (func $yield))
      (export "drain" (func $drain))
      (export "stream-new" (func $stream-new))
      (export "write" (func $write))
      (export "drop-writable" (func $drop-writable))
      (export "read-done" (func $read-done))
      (export "drop-done" (func $drop-done))
      (export "set-new" (func $set-new))
      (export "wait" (func $wait))
      (export "join" (func $join))
      (export "subtask-drop" (func $subtask-drop))))))
    (func (export "run") async (result (result)) (canon lift (core func $main "run"))))

  (instance $callee (instantiate $callee))
  (instance $caller (instantiate $caller
    (with "wasi:cli/types@0.3.2" (instance $types))
    (with "wasi:cli/stdout@0.3.2" (instance $stdout))
    (with "wasi:clocks/monotonic-clock@0.3.2" (instance $clock))
    (with "callee" (instance $callee))))
  (instance $run (export "run" (func $caller "run")))
  (export "wasi:cli/run@0.3.2" (instance $run)))
