/* What takes over the place of the item before it goes before all that wait for a place. In virtual time; the scheduler's
 * invariants are checked after every step by the world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "plan/plan_test_support.h"
#include "sched/policy.h"
#include "sched/world_test_support.h"

static const char *const engines[] = {"llm"};

static struct tl_plan *plan_of(const char *decode) {
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(&text,
                  "graph \"answer\" {\n"
                  "  parameters (question:text)\n"
                  "  %%1: prompt = render \"render\" (question: $question) {template=\"x\"}\n"
                  "  %%2: kv = prefill \"prefill\" @llm (prompt: %%1)\n"
                  "  %%3: text = decode \"decode\" @llm (kv: %%2) {%s}\n"
                  "  results (text: %%3)\n"
                  "}\n",
                  decode);
    struct tl_plan *plan = tl_plan_test_parse(text.data);
    tl_str_fini(&text);
    return plan;
}

/* Runs four queries at once on an engine with one place; returns the order in which it got items. */
static char *order_of(struct tl_plan *plan, const struct tl_policy *policy, uint64_t seed) {
    struct world *world = world_create(&(struct world_options){.seed = seed,
                                                               .policy = policy,
                                                               .engines = engines,
                                                               .engine_count = 1,
                                                               .instances = 1,
                                                               .check = true,
                                                               .devices = 1,
                                                               .batch_units = 1});
    uint64_t runs[4];
    for (size_t i = 0; i < 4; i++) {
        struct tl_value *inputs[] = {tl_value_text("q", 1)};
        runs[i] = world_submit(world, plan, inputs, 1, 0);
    }
    world_run(world);
    for (size_t i = 0; i < 4; i++) assert_int_equal(world_result(world, runs[i])->status, TL_OK);
    char *order = tl_mem_strdup(world_order(world));
    world_destroy(world);
    return order;
}

/* Whichever policy: a query holds its place until its last word, and none that waits gets in between. */
static void test_takes_over_the_place(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of("continues=true"), *other = plan_of("continues=false");
    for (size_t p = 0; tl_policy_at(p); p++) {
        bool differs = false;
        for (uint64_t seed = 1; seed <= 8; seed++) {
            char *order = order_of(plan, tl_policy_at(p), seed), *without = order_of(other, tl_policy_at(p), seed);
            assert_string_equal(order, "prefill decode prefill decode prefill decode prefill decode");
            differs = differs || strcmp(order, without) != 0;
            tl_mem_free(order);
            tl_mem_free(without);
        }
        if (tl_policy_at(p) == &tl_policy_fifo) assert_true(differs); /* it would put the decodes last */
    }
    tl_plan_unref(plan);
    tl_plan_unref(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_takes_over_the_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
