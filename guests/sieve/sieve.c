// A guest in C: counts the primes below a number (the argument, or a million) and prints the result.
//
// It is written against WASI 0.3.0, where the Rust guests use 0.3.2, and it is its own executor: `run` starts
// the write to stdout and returns to the event loop, which calls `run_callback` when there is news.

#include "sieve.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char text[128];
    size_t length;
    size_t written;
    wasi_cli_stdout_stream_u8_writer_t writer;
    wasi_cli_stdout_future_result_void_error_code_t done;
    wasi_cli_stdout_result_void_error_code_t result;
    sieve_waitable_set_t set;
} output;

static uint32_t limit_from_arguments(uint32_t otherwise);
static bool sieve(uint32_t limit, uint32_t *count, uint32_t *largest);
static void put_text(const char *text);
static void put_number(uint32_t number);
static void print_start(void);
static sieve_callback_code_t print_continue(void);
static sieve_callback_code_t print_written(sieve_waitable_status_t status);
static sieve_callback_code_t print_done(void);
static void finish(bool failed);

sieve_callback_code_t exports_wasi_cli_run_run(void) {
    uint32_t limit = limit_from_arguments(1000000);
    uint32_t count, largest;
    if (!sieve(limit, &count, &largest)) {
        finish(true);
        return SIEVE_CALLBACK_CODE_EXIT;
    }
    put_number(count);
    put_text(" primes below ");
    put_number(limit);
    if (count > 0) {
        put_text(", the largest ");
        put_number(largest);
    }
    put_text("\n");
    print_start();
    return print_continue();
}

sieve_callback_code_t exports_wasi_cli_run_run_callback(sieve_event_t *event) {
    switch (event->event) {
    case SIEVE_EVENT_STREAM_WRITE:
        return print_written(event->code);
    case SIEVE_EVENT_FUTURE_READ:
        return print_done();
    default:
        abort();
    }
}

static uint32_t limit_from_arguments(uint32_t otherwise) {
    sieve_list_string_t arguments;
    wasi_cli_environment_get_arguments(&arguments);
    uint32_t limit = otherwise;
    if (arguments.len > 1) {
        limit = 0;
        for (size_t i = 0; i < arguments.ptr[1].len; i++) {
            limit = limit * 10 + (arguments.ptr[1].ptr[i] - '0');
        }
    }
    sieve_list_string_free(&arguments);
    return limit;
}

// The sieve of Eratosthenes over the odd numbers: `composite[i]` is about 2i + 1.
static bool sieve(uint32_t limit, uint32_t *count, uint32_t *largest) {
    size_t odds = limit / 2;
    uint8_t *composite = calloc(odds + 1, 1);
    if (composite == NULL) {
        return false;
    }
    *count = limit > 2;
    *largest = 2;
    for (size_t i = 1; i < odds; i++) {
        if (composite[i]) {
            continue;
        }
        size_t prime = 2 * i + 1;
        *count += 1;
        *largest = prime;
        if (prime <= limit / prime) {
            for (size_t j = prime * prime / 2; j < odds; j += prime) {
                composite[j] = 1;
            }
        }
    }
    free(composite);
    return true;
}

static void put_text(const char *text) {
    size_t length = strlen(text);
    memcpy(output.text + output.length, text, length);
    output.length += length;
}

static void put_number(uint32_t number) {
    char digits[11];
    char *first = digits + sizeof digits - 1;
    *first = 0;
    do {
        *--first = '0' + number % 10;
        number /= 10;
    } while (number > 0);
    put_text(first);
}

static void print_start(void) {
    wasi_cli_stdout_stream_u8_t reader = wasi_cli_stdout_stream_u8_new(&output.writer);
    output.done = wasi_cli_stdout_write_via_stream(reader);
    output.set = sieve_waitable_set_new();
}

// Writes what is left; when it is all written, or nobody takes it, closes the stream and waits for the verdict.
static sieve_callback_code_t print_continue(void) {
    while (output.written < output.length) {
        sieve_waitable_status_t status = wasi_cli_stdout_stream_u8_write(
            output.writer, (const uint8_t *)output.text + output.written, output.length - output.written);
        if (status == SIEVE_WAITABLE_STATUS_BLOCKED) {
            sieve_waitable_join(output.writer, output.set);
            return SIEVE_CALLBACK_CODE_WAIT(output.set);
        }
        output.written += SIEVE_WAITABLE_COUNT(status);
        if (SIEVE_WAITABLE_STATE(status) == SIEVE_WAITABLE_DROPPED) {
            break;
        }
    }
    wasi_cli_stdout_stream_u8_drop_writable(output.writer);
    sieve_waitable_status_t status =
        wasi_cli_stdout_future_result_void_error_code_read(output.done, &output.result);
    if (status == SIEVE_WAITABLE_STATUS_BLOCKED) {
        sieve_waitable_join(output.done, output.set);
        return SIEVE_CALLBACK_CODE_WAIT(output.set);
    }
    return print_done();
}

static sieve_callback_code_t print_written(sieve_waitable_status_t status) {
    sieve_waitable_join(output.writer, 0);
    output.written += SIEVE_WAITABLE_COUNT(status);
    if (SIEVE_WAITABLE_STATE(status) == SIEVE_WAITABLE_DROPPED) {
        output.length = output.written;
    }
    return print_continue();
}

static sieve_callback_code_t print_done(void) {
    wasi_cli_stdout_future_result_void_error_code_drop_readable(output.done);
    sieve_waitable_set_drop(output.set);
    finish(output.result.is_err);
    return SIEVE_CALLBACK_CODE_EXIT;
}

static void finish(bool failed) {
    exports_wasi_cli_run_run_return((exports_wasi_cli_run_result_void_void_t){.is_err = failed});
}
