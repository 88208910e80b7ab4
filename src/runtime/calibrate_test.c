/* calibrate_test.c: which stretches of an instance's work become observations. Times are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "runtime/calibrate.h"

enum { ENOUGH = 5,
       MS = 1000000 }; /* observations before a model is corrected; ns */

struct world {
    struct tl_calibration calibration;
    struct tl_cost *cost;
    uint64_t now;
};

static void begin(struct world *world) {
    *world = (struct world){.cost = tl_cost_create(), .now = 77};
    tl_cost_add_default(world->cost, "e");
}

static void near(double found, double expected, int line) {
    if (!(fabs(found - expected) < 1e-6 * expected))
        fail_msg("line %d: %.6f, expected %.6f", line, found, expected);
}
#define assert_near(found, expected) near((found), (expected), __LINE__)

static void quantum(struct world *world, struct tl_item *const *items, size_t count, uint64_t ms) {
    tl_calibration_ordered(&world->calibration, items, count, world->now);
    world->now += ms * MS;
}

static void end_quantum(struct world *world) {
    tl_calibration_stepped(&world->calibration, world->cost, "e", world->now);
    world->now += 3 * MS; /* idle */
}

static double predicted(const struct world *world, struct tl_cost_work work) {
    return tl_cost_call(world->cost, "e", &work, 1);
}

/* Two items in one batch of three quanta. */
static void embed_batch(struct world *world, uint64_t ms, bool failed) {
    struct tl_item a = {.op = TL_OP_EMBED}, b = {.op = TL_OP_EMBED}, *both[] = {&a, &b};
    struct tl_usage usage = {.units = 4, .tokens_computed = 400};
    quantum(world, both, 2, ms);
    end_quantum(world);
    quantum(world, NULL, 0, ms);
    tl_calibration_outcome(&world->calibration, &a, &usage, failed, (struct tl_calibration_mark){0});
    end_quantum(world);
    quantum(world, NULL, 0, ms);
    tl_calibration_outcome(&world->calibration, &b, &usage, false, (struct tl_calibration_mark){0});
    end_quantum(world);
}

static void a_batch_is_the_sum_of_its_quanta(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    for (int i = 0; i < ENOUGH; i++)
        embed_batch(&world, 30, false);
    assert_near(predicted(&world, (struct tl_cost_work){TL_OP_EMBED, 8, 800, 0, 0}), 90);
    tl_cost_unref(world.cost);
}

static void a_batch_with_a_failure_is_none(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    struct tl_cost_work work = {TL_OP_EMBED, 8, 800, 0, 0};
    double before = predicted(&world, work);
    for (int i = 0; i < 3 * ENOUGH; i++)
        embed_batch(&world, 900, true);
    assert_near(predicted(&world, work), before);
    tl_cost_unref(world.cost);
}

static void a_batch_to_which_something_was_added_is_none(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    struct tl_cost_work work = {TL_OP_EMBED, 4, 400, 0, 0};
    double before = predicted(&world, work);
    struct tl_item a = {.op = TL_OP_EMBED}, b = {.op = TL_OP_EMBED}, *first[] = {&a}, *second[] = {&b};
    struct tl_usage usage = {.units = 4, .tokens_computed = 400};
    for (int i = 0; i < 3 * ENOUGH; i++) {
        quantum(&world, first, 1, 500);
        end_quantum(&world);
        quantum(&world, second, 1, 500);
        tl_calibration_outcome(&world.calibration, &a, &usage, false, (struct tl_calibration_mark){0});
        tl_calibration_outcome(&world.calibration, &b, &usage, false, (struct tl_calibration_mark){0});
        end_quantum(&world);
    }
    assert_near(predicted(&world, work), before);
    tl_cost_unref(world.cost);
}

static void nothing_computed_says_nothing(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    struct tl_cost_work work = {TL_OP_PREFILL, 1, 100, 0, 0};
    double before = predicted(&world, work);
    struct tl_item item = {.op = TL_OP_PREFILL}, *items[] = {&item};
    struct tl_usage usage = {.tokens_in = 200, .tokens_reused = 200};
    for (int i = 0; i < 3 * ENOUGH; i++) {
        quantum(&world, items, 1, 0);
        tl_calibration_outcome(&world.calibration, &item, &usage, false, (struct tl_calibration_mark){0});
        end_quantum(&world);
    }
    assert_near(predicted(&world, work), before);
    tl_cost_unref(world.cost);
}

/* Two decodes of the same prompt; with `prompt`, a third one's prefill comes in between. */
static void decode_two(struct world *world, uint64_t ms, bool prompt) {
    struct tl_item a = {.op = TL_OP_DECODE}, b = {.op = TL_OP_DECODE}, c = {.op = TL_OP_PREFILL};
    struct tl_item *both[] = {&a, &b}, *third[] = {&c};
    struct tl_usage usage = {.tokens_in = 90, .tokens_out = 20};
    struct tl_calibration_mark since = world->calibration.sum;
    quantum(world, both, 2, ms);
    end_quantum(world);
    for (int i = 0; i < 7; i++) {
        quantum(world, third, prompt && i == 3, ms);
        if (prompt && i == 3)
            tl_calibration_outcome(&world->calibration, &c, &usage, false, since);
        if (i == 6) {
            tl_calibration_outcome(&world->calibration, &a, &usage, false, since);
            tl_calibration_outcome(&world->calibration, &b, &usage, false, since);
        }
        end_quantum(world);
    }
}

static void a_decode_is_the_mean_of_its_quanta(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    struct tl_cost_work two = {TL_OP_DECODE, 2, 0, 100, 20}, prompt = {TL_OP_PREFILL, 1, 100, 0, 0};
    double prefill = predicted(&world, prompt);
    for (int i = 0; i < ENOUGH; i++)
        decode_two(&world, 40, false);
    assert_near(predicted(&world, two), 40);
    assert_near(predicted(&world, prompt), prefill);
    tl_cost_unref(world.cost);
}

static void a_decode_during_which_a_prompt_came_is_none(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    struct tl_cost_work two = {TL_OP_DECODE, 2, 0, 100, 20}, prompt = {TL_OP_PREFILL, 1, 100, 0, 0};
    double decode = predicted(&world, two), prefill = predicted(&world, prompt);
    for (int i = 0; i < 3 * ENOUGH; i++)
        decode_two(&world, 400, true);
    assert_near(predicted(&world, two), decode);
    assert_near(predicted(&world, prompt), prefill);
    tl_cost_unref(world.cost);
}

static void prompts_alone_are_a_call(void **state) {
    (void)state;
    struct world world;
    begin(&world);
    struct tl_item item = {.op = TL_OP_FULL_PREFILL}, *items[] = {&item};
    struct tl_usage usage = {.tokens_in = 500, .tokens_reused = 300, .tokens_computed = 200};
    for (int i = 0; i < ENOUGH; i++) {
        quantum(&world, items, 1, 600);
        end_quantum(&world);
        quantum(&world, NULL, 0, 200);
        tl_calibration_outcome(&world.calibration, &item, &usage, false, (struct tl_calibration_mark){0});
        end_quantum(&world);
    }
    assert_near(predicted(&world, (struct tl_cost_work){TL_OP_PREFILL, 1, 200, 300, 0}), 800);
    tl_cost_unref(world.cost);
}

static void documents_are_counted_by_the_input(void **state) {
    (void)state;
    struct tl_value *documents[2];
    for (int i = 0; i < 2; i++)
        documents[i] = tl_value_document(&(struct tl_document){.uri = "a"});
    struct tl_value *list = tl_value_list(TL_TYPE_OF(DOCUMENT, 0), documents, 2);
    struct tl_item item = {.op = TL_OP_CHUNK, .inputs = &list, .input_count = 1};
    struct tl_usage usage = {.units = 31};
    assert_int_equal(tl_calibration_work(&item, &usage).units, 2);
    tl_value_unref(list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_is_the_sum_of_its_quanta),
        cmocka_unit_test(a_batch_with_a_failure_is_none),
        cmocka_unit_test(a_batch_to_which_something_was_added_is_none),
        cmocka_unit_test(nothing_computed_says_nothing),
        cmocka_unit_test(a_decode_is_the_mean_of_its_quanta),
        cmocka_unit_test(a_decode_during_which_a_prompt_came_is_none),
        cmocka_unit_test(prompts_alone_are_a_call),
        cmocka_unit_test(documents_are_counted_by_the_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
