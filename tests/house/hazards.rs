//! Where runtimes of this kind have failed, and the tests that this one does not. Each hazard names them, so that they can
//! be found and are not lost.

use std::collections::BTreeSet;
use std::fs;

use crate::tree::{assert_none, root, tracked_files};

/// What can go wrong, and the tests of it.
const HAZARDS: &[(&str, &[&str])] = &[
    // The Canonical ABI.
    (
        "transcoding a string reads or writes out of bounds when lengths grow between its passes",
        &[
            "transcoding_stays_in_bounds_when_the_source_changes_between_passes",
            "transcoding_into_a_misbehaving_realloc_traps",
            "strings_of_each_length_are_checked",
        ],
    ),
    ("a UTF-16 string is misaligned", &["string_with_misaligned_utf16_pointer_traps"]),
    (
        "flags with more than 32 members",
        &["flags_with_more_than_32_members_do_not_overflow", "flags_with_32_members_use_every_bit"],
    ),
    (
        "a list's size in bytes overflows",
        &[
            "list_lengths_whose_byte_size_overflows_trap",
            "a_list_that_grows_with_the_pointer_width_is_checked_again",
            "lowering_more_than_fits_a_32_bit_memory_traps",
        ],
    ),
    (
        "`realloc` returns a misaligned pointer or one out of bounds, grows memory, traps, re-enters",
        &[
            "realloc_that_returns_a_misaligned_pointer_traps",
            "realloc_that_returns_an_out_of_bounds_pointer_traps",
            "realloc_that_grows_memory_is_followed",
            "realloc_that_traps_ends_the_lowering",
            "realloc_of_the_target_that_misbehaves_traps",
            "a_caller_that_cannot_take_the_result_of_an_async_function_ends_alone",
            "nothing_is_called_blocks_or_yields_inside_realloc",
        ],
    ),
    (
        "the core signature of a callback or lifted function is not what the component's type needs",
        &["core_functions_of_another_signature_are_refused"],
    ),
    (
        "a stream or future has elements of another type",
        &[
            "kinds_and_element_types_are_checked",
            "streams_and_futures_without_types_are_given_some_closed_or_passed_on",
        ],
    ),
    (
        "types of different engines, stores or components are mixed up",
        &[
            "what_belongs_to_another_engine_is_refused",
            "modules_of_another_engine_are_refused",
            "resources_of_another_store_are_refused",
            "handles_of_another_store_are_refused",
            "types_of_another_structure_are_refused",
            "resources_of_another_type_trap",
        ],
    ),
    // Re-entrance.
    (
        "calls, blocking and yielding inside `realloc`, post-return, destructors and start functions",
        &[
            "nothing_is_called_blocks_or_yields_inside_realloc",
            "nothing_is_called_blocks_or_yields_inside_post_return",
            "a_destructor_may_call_out_and_yield_but_not_block",
            "a_start_function_may_call_out_and_yield_but_not_block",
            "built_ins_trap_inside_realloc_and_post_return",
            "threads_built_ins_trap_inside_realloc",
        ],
    ),
    // Concurrency.
    (
        "a call is dropped or cancelled at any point",
        &[
            "a_guest_is_asked_to_cancel_at_whichever_point_it_waits",
            "calls_that_have_not_begun_never_do",
            "a_guest_that_has_not_come_back_once_ends_when_its_time_is_up",
            "one_that_is_given_up_is_torn_down_wherever_it_is",
            "ten_thousand_that_are_given_up_leave_nothing",
            "instances_end_at_any_moment",
        ],
    ),
    (
        "an end of a stream or future is dropped while the other is at work",
        &[
            "closing_a_stream_stops_its_writer",
            "dropping_one_end_is_the_other_ends_last_event",
            "an_idle_end_learns_of_the_drop_when_it_looks",
            "a_busy_end_cannot_be_copied_dropped_or_passed_on",
            "a_futures_value_is_made_when_a_guest_reads_it",
        ],
    ),
    (
        "a subtask is cancelled before it started, while it waits, runs or has resolved",
        &[
            "before_it_has_started",
            "a_waiting_callback_is_told_at_once",
            "a_running_task_hears_of_it_at_its_next_turn",
            "a_resolved_subtask_is_delivered_by_it",
            "a_promoted_subtask_is_cancelled",
        ],
    ),
    (
        "a store is dropped while guests are suspended in it",
        &["a_store_with_suspended_guests_can_be_dropped", "a_store_with_a_guest_in_a_slice_can_be_dropped"],
    ),
    ("the wrong end of a stream is cancelled", &["what_is_done_with_the_wrong_end_of_a_stream_traps"]),
    ("reads and writes of no elements", &["zero_lengths_ask_for_readiness"]),
    (
        "work is left pending after a trap",
        &[
            "while_its_stack_is_suspended",
            "each_kind_of_trap_ends_its_own_island_alone",
            "a_hundred_instances_exchange_streams_while_others_end_in_each_way",
            "the_middle_one_ends",
            "one_that_another_called",
            "instances_end_at_any_moment",
            "a_budget_of_its_own_ends_one_wherever_it_is",
            "a_budget_of_its_own_ends_one_that_another_called_wherever_it_is",
        ],
    ),
    ("a sync-typed call blocks", &["a_sync_typed_call_that_blocks_traps"]),
    (
        "the host cancels one call while others go on; time-outs and `select!` around calls",
        &[
            "calls_inside_a_store_can_be_dropped_too",
            "a_guest_that_does_not_cancel_ends_when_its_time_is_up",
            "a_guest_that_runs_ends_when_its_time_is_up",
            "each_of_many_ends_at_its_own_deadline",
            "others_do_not_wait_for_one_that_was_given_up",
            "calls_wait_together",
        ],
    ),
    // Memory.
    (
        "handles, waitable sets, tasks, events, empty writes and the like make the host hold memory uncharged",
        &[
            "each_way_of_hoarding_traps_at_the_limit_and_memory_stays_flat",
            "what_is_given_back_is_given_back",
            "limits_hold_for_all_that_is_inside_a_root_instance",
            "stacks_of_calls_are_charged_before_anybody_asks",
            "a_deep_fiber_gives_back_what_it_does_not_need",
            "who_waits_deep_down_is_charged_for_it",
            "a_store_that_makes_and_ends_instances_stays_flat",
            "empty_frames_without_end_hold_nobody_up",
        ],
    ),
    (
        "a length that the guest chose is reserved before it is checked",
        &[
            "typed_list_lengths_are_checked_and_charged_before_allocating",
            "lifting_a_list_is_charged_before_it_is_allocated",
            "lifting_a_string_is_charged",
        ],
    ),
    (
        "one operation on much data runs beyond the deadline",
        &[
            "instructions_on_memories_and_tables",
            "interrupts_are_looked_for_in_every_pass",
            "interrupts_are_looked_for_in_long_lists",
        ],
    ),
];

#[test]
fn each_hazard_has_its_tests() {
    let mut tests = BTreeSet::new();
    for file in
        tracked_files().iter().filter(|file| file.ends_with(".rs") && !file.starts_with("tests/house/"))
    {
        let text = fs::read_to_string(root().join(file)).unwrap_or_default();
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.contains("::test]") || line.contains("::test(") {
                marked = true;
            } else if let Some((_, rest)) = line.split_once("fn ") {
                let name = rest.split('(').next().unwrap_or_default().to_owned();
                if std::mem::take(&mut marked) {
                    tests.insert(name);
                }
            }
        }
    }
    let missing: Vec<String> = HAZARDS
        .iter()
        .flat_map(|(hazard, names)| names.iter().map(move |name| (hazard, name)))
        .filter(|(_, name)| !tests.contains(**name))
        .map(|(hazard, name)| format!("`{name}`, of: {hazard}"))
        .collect();
    assert_none(&missing, "these tests are gone, or have other names now");
}
