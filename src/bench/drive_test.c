/* drive_test.c: when requests are sent and what is noted of them, against a target with a clock of its own that serves
 * one request after the other; and the numbers that follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "bench/summary.h"

enum { MOST = 64, PIECE = 10 };

/* Each piece takes 10 ms of its clock; requests are served in the order in which they came. */
struct slow {
    struct tl_bench_target base;
    uint64_t clock;
    size_t queue[MOST], count, most_waiting;
    uint32_t left; /* pieces of the first */
    size_t fails;  /* the number of a request that fails; MOST: none */
    bool broken, abandoned;
};

static uint64_t slow_now(struct tl_bench_target *target) {
    return ((struct slow *)target)->clock;
}

static void slow_start(struct tl_bench_target *target, struct tl_bench_drive *drive, size_t number) {
    struct slow *slow = (struct slow *)target;
    if (number == slow->fails) {
        tl_bench_drive_failed(drive, number, "it did not want to");
        return;
    }
    slow->queue[slow->count++] = number;
    if (slow->count == 1)
        slow->left = drive->load->requests[number].output;
    if (slow->count > slow->most_waiting)
        slow->most_waiting = slow->count;
}

static enum tl_status slow_wait(struct tl_bench_target *target, struct tl_bench_drive *drive, uint64_t until,
                                struct tl_error *error) {
    struct slow *slow = (struct slow *)target;
    if (slow->broken)
        return tl_error_set(error, TL_ERR_IO, "it broke");
    if (slow->count == 0) {
        assert_true(until != UINT64_MAX);
        slow->clock = until;
        return TL_OK;
    }
    size_t number = slow->queue[0];
    slow->clock += PIECE * TL_NS_PER_MS;
    tl_bench_drive_piece(drive, number);
    if (--slow->left > 0)
        return TL_OK;
    memmove(slow->queue, slow->queue + 1, --slow->count * sizeof *slow->queue);
    if (slow->count > 0)
        slow->left = drive->load->requests[slow->queue[0]].output;
    tl_bench_drive_done(drive, number, &(struct tl_bench_usage){.asked = 5, .reused = 2, .computed = 3, .written = 4});
    return TL_OK;
}

static void slow_abandon(struct tl_bench_target *target) {
    ((struct slow *)target)->abandoned = true;
}

static struct slow slow_make(void) {
    return (struct slow){
        .base = {.start = slow_start, .wait = slow_wait, .abandon = slow_abandon, .now = slow_now},
        .clock = 1000,
        .fails = MOST,
    };
}

static struct tl_bench_load load_of(const struct tl_bench_mix *mix) {
    struct tl_bench_load load;
    assert_int_equal(tl_bench_load_make(mix, 1, 0, &load, NULL), TL_OK);
    return load;
}

static bool near(double a, double b) {
    return fabs(a - b) < 1e-6;
}

static void test_closed_loop(void **state) {
    (void)state;
    const struct tl_bench_mix mix = {.requests = 6, .prompt = {5, 5}, .output = {4, 4}, .concurrency = 2};
    struct tl_bench_load load = load_of(&mix);
    struct slow slow = slow_make();
    struct tl_bench_drive drive;
    struct tl_bench_summary summary;
    assert_int_equal(tl_bench_drive_run(&drive, &load, 2, &slow.base, NULL, NULL), TL_OK);
    assert_int_equal(slow.most_waiting, 2);
    assert_true(drive.records[2].sent == drive.records[0].finished);
    tl_bench_summarize(&drive, &summary);
    assert_true(near(summary.seconds, 0.24) && near(summary.requests, 6) && near(summary.failed, 0));
    assert_true(near(summary.asked, 30) && near(summary.reused, 12) && near(summary.computed, 18));
    assert_true(near(summary.written_rate, 24 / 0.24) && near(summary.request_rate, 25));
    /* The first begins at once, each other one waits for the 40 ms of the one before. */
    assert_true(near(summary.ttft_p50, 50) && near(summary.latency_p50, 80) && near(summary.gap_p95, 10));
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
}

/* A server that falls behind is not spared: latency counts from the time that was meant. */
static void test_open_loop(void **state) {
    (void)state;
    const struct tl_bench_mix mix = {.requests = 3, .prompt = {5, 5}, .output = {4, 4}, .rate = 1};
    struct tl_bench_load load = load_of(&mix);
    load.requests[0].arrival = 100 * TL_NS_PER_MS;
    load.requests[1].arrival = 101 * TL_NS_PER_MS;
    load.requests[2].arrival = 500 * TL_NS_PER_MS;
    struct slow slow = slow_make();
    struct tl_bench_drive drive;
    assert_int_equal(tl_bench_drive_run(&drive, &load, 0, &slow.base, NULL, NULL), TL_OK);
    const uint64_t expected[] = {40, 79, 40};
    for (size_t i = 0; i < 3; i++) {
        assert_true(drive.records[i].intended == drive.start + load.requests[i].arrival);
        assert_int_equal((drive.records[i].finished - drive.records[i].intended) / TL_NS_PER_MS, expected[i]);
    }
    assert_int_equal((drive.end - drive.start) / TL_NS_PER_MS, 540);
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
}

static void test_intruders(void **state) {
    (void)state;
    const struct tl_bench_mix mix = {.requests = 2,
                                     .prompt = {5, 5},
                                     .output = {40, 40},
                                     .concurrency = 2,
                                     .intruders = 2,
                                     .intruder_prompt = 50,
                                     .intruder_output = 3,
                                     .intruder_pieces = 10};
    struct tl_bench_load load = load_of(&mix);
    struct slow slow = slow_make();
    struct tl_bench_drive drive;
    struct tl_bench_summary summary;
    assert_int_equal(tl_bench_drive_run(&drive, &load, 2, &slow.base, NULL, NULL), TL_OK);
    /* After 16 pieces for each client, and 10 more. */
    assert_int_equal((drive.records[2].sent - drive.start) / TL_NS_PER_MS, 320);
    assert_int_equal((drive.records[3].sent - drive.start) / TL_NS_PER_MS, 420);
    tl_bench_summarize(&drive, &summary);
    assert_true(summary.intruded && near(summary.during_p95, 10) && near(summary.requests, 4));
    assert_true(near(summary.intruder_ttft_p50, (490 + 420) / 2.0));
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
}

static void test_failures(void **state) {
    (void)state;
    const struct tl_bench_mix mix = {.requests = 3, .prompt = {5, 5}, .output = {4, 4}, .concurrency = 1};
    struct tl_bench_load load = load_of(&mix);
    struct slow slow = slow_make();
    struct tl_bench_drive drive;
    struct tl_bench_summary summary;
    struct tl_error error;
    slow.fails = 1;
    assert_int_equal(tl_bench_drive_run(&drive, &load, 1, &slow.base, NULL, &error), TL_OK);
    tl_bench_summarize(&drive, &summary);
    assert_true(near(summary.requests, 2) && near(summary.failed, 1) && near(summary.written, 8));
    assert_string_equal(drive.records[1].message, "it did not want to");
    tl_bench_drive_fini(&drive);

    slow = slow_make();
    slow.broken = true;
    assert_int_equal(tl_bench_drive_run(&drive, &load, 1, &slow.base, NULL, &error), TL_ERR_IO);
    assert_true(slow.abandoned);
    tl_bench_drive_fini(&drive);

    slow = slow_make();
    volatile sig_atomic_t stop = 1;
    assert_int_equal(tl_bench_drive_run(&drive, &load, 1, &slow.base, &stop, &error), TL_ERR_CANCELLED);
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
}

static void test_percentiles(void **state) {
    (void)state;
    double values[] = {5, 1, 4, 2, 3};
    assert_true(near(tl_bench_percentile(values, 5, 0.5), 3));
    assert_true(near(tl_bench_percentile(values, 5, 0), 1) && near(tl_bench_percentile(values, 5, 1), 5));
    assert_true(near(tl_bench_percentile(values, 5, 0.95), 4.8));
    assert_true(near(tl_bench_percentile(values, 1, 0.95), 1) && near(tl_bench_percentile(values, 0, 0.5), 0));
    struct tl_bench_summary passes[3] = {{.seconds = 3, .computed = 10},
                                         {.seconds = 1, .computed = 30},
                                         {.seconds = 2}};
    struct tl_bench_summary median;
    double least, most;
    tl_bench_median(passes, 3, &median, &least, &most);
    assert_true(near(median.seconds, 2) && near(median.computed, 10) && near(least, 1) && near(most, 3));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_loop), cmocka_unit_test(test_open_loop),   cmocka_unit_test(test_intruders),
        cmocka_unit_test(test_failures),    cmocka_unit_test(test_percentiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
