/* Tests of the policies' own decisions: the order of items, who joins a batch, whose turn it is. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sched/policy.h"

enum { MOST = 8 };

/* A ready item of a run that came at `arrival` ms. */
struct given {
    uint64_t run, arrival;
    double rank, claim;
    uint32_t units;
    float base, share;
    enum tl_primitive op;
    uint64_t deadline; /* ms */
    double priority;
    uint32_t depth;
};

struct scene {
    struct tl_item items[MOST];
    struct tl_ready ready[MOST];
    const struct tl_ready *offered[MOST];
    enum tl_reason reasons[MOST];
    struct tl_offer offer;
    struct tl_choice choice;
};

static const char step[] = "step";

static void set(struct scene *scene, const struct tl_policy *policy, const struct given *given, size_t count) {
    memset(scene, 0, sizeof *scene);
    for (size_t i = 0; i < count; i++) {
        scene->items[i].op = given[i].op;
        scene->ready[i] = (struct tl_ready){
            .item = &scene->items[i],
            .step = step,
            .run = given[i].run,
            .run_arrival = given[i].arrival * TL_NS_PER_MS,
            .ready = given[i].arrival * TL_NS_PER_MS,
            .sequence = i + 1,
            .deadline = given[i].deadline * TL_NS_PER_MS,
            .priority = given[i].priority,
            .rank = given[i].rank,
            .claim = given[i].claim,
            .depth = given[i].depth,
            .units = given[i].units ? given[i].units : 1,
            .base = given[i].base,
            .share = given[i].share,
        };
        policy->order(&scene->ready[i]);
        size_t at = i;
        for (; at > 0 && tl_ready_before(&scene->ready[i], scene->offered[at - 1]); at--)
            scene->offered[at] = scene->offered[at - 1];
        scene->offered[at] = &scene->ready[i];
    }
    scene->offer = (struct tl_offer){.items = scene->offered, .count = count, .free_units = 64};
    scene->choice = (struct tl_choice){.reasons = scene->reasons};
}

/* Place of the given item in the order. */
static size_t place(const struct scene *scene, size_t given) {
    size_t at = 0;
    while (scene->offered[at] != &scene->ready[given]) at++;
    return at;
}

static enum tl_reason reason(const struct scene *scene, size_t given) { return scene->reasons[place(scene, given)]; }

static const struct tl_policy *critical(void) { return tl_policy_find("critical_path"); }

static void all_have_names_and_the_default_is_first(void **state) {
    (void)state;
    size_t count = 0;
    for (; tl_policy_at(count); count++) {
        assert_ptr_equal(tl_policy_find(tl_policy_at(count)->name), tl_policy_at(count));
        assert_true(strlen(tl_policy_at(count)->description) > 20);
    }
    assert_int_equal(count, 5);
    assert_string_equal(tl_policy_at(0)->name, "critical_path");
    assert_null(tl_policy_find("lifo"));
    for (enum tl_reason r = TL_REASON_NONE + 1; r < TL_REASON_COUNT; r++) assert_true(strlen(tl_reason_text(r)) > 0);
}

static void short_runs_overtake_but_not_for_ever(void **state) {
    (void)state;
    struct scene scene;
    const struct given given[] = {
        {.run = 1, .arrival = 0, .rank = 5000, .claim = 5000},
        {.run = 2, .arrival = 1000, .rank = 500, .claim = 500},   /* its place: 1500 */
        {.run = 3, .arrival = 4600, .rank = 500, .claim = 500},   /* at 5100: the long one has waited enough */
    };
    set(&scene, critical(), given, 3);
    assert_int_equal(place(&scene, 1), 0);
    assert_int_equal(place(&scene, 0), 1);
    assert_int_equal(place(&scene, 2), 2);
}

static void within_a_run_the_longest_way_goes_first(void **state) {
    (void)state;
    struct scene scene;
    const struct given given[] = {
        {.run = 1, .rank = 100, .claim = 900},
        {.run = 1, .rank = 900, .claim = 900},
        {.run = 1, .rank = 300, .claim = 900},
    };
    set(&scene, critical(), given, 3);
    assert_int_equal(place(&scene, 1), 0);
    assert_int_equal(place(&scene, 2), 1);
}

static void deadlines_and_priorities_move_forward(void **state) {
    (void)state;
    struct scene scene;
    const struct given given[] = {
        {.run = 1, .arrival = 0, .rank = 1000, .claim = 1000},
        {.run = 2, .arrival = 500, .rank = 1000, .claim = 1000, .deadline = 1800}, /* must start by 800 */
        {.run = 3, .arrival = 600, .rank = 1000, .claim = 1000, .deadline = 9000}, /* has time: as without */
        {.run = 4, .arrival = 700, .rank = 1000, .claim = 1000, .priority = 1},    /* 700 + 1000 - 1000 */
    };
    set(&scene, critical(), given, 4);
    assert_int_equal(place(&scene, 3), 0);
    assert_int_equal(place(&scene, 1), 1);
    assert_int_equal(place(&scene, 0), 2);
    assert_int_equal(place(&scene, 2), 3);
}

static const struct given passages = {
    .run = 1, .arrival = 0, .rank = 2000, .claim = 2000, .units = 48, .base = 25, .share = 1200, .op = TL_OP_EMBED};
static const struct given question = {
    .run = 2, .arrival = 0, .rank = 1000, .claim = 3000, .units = 1, .base = 25, .share = 2, .op = TL_OP_EMBED};

static void a_short_item_slips_into_a_long_batch(void **state) {
    (void)state;
    struct scene scene;
    const struct given given[] = {passages, question};
    set(&scene, critical(), given, 2);
    critical()->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 0), TL_REASON_FIRST);
    assert_int_equal(reason(&scene, 1), TL_REASON_SAVES);
}

static void a_long_item_does_not_delay_a_short_one(void **state) {
    (void)state;
    struct scene scene;
    struct given given[] = {passages, question};
    given[1].claim = 0; /* first now */
    set(&scene, critical(), given, 2);
    critical()->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 1), TL_REASON_FIRST);
    assert_int_equal(reason(&scene, 0), TL_REASON_NONE);
    scene.offer.behind = 60; /* so many wait that each call's fixed part counts */
    critical()->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 0), TL_REASON_SAVES);
}

static void siblings_go_together_others_wait(void **state) {
    (void)state;
    struct scene scene;
    const struct given prompt = {.run = 1, .rank = 500, .claim = 900, .base = 18, .share = 61, .op = TL_OP_PREFILL};
    struct given given[] = {prompt, prompt, prompt, prompt};
    given[2].rank = 400; /* not as near to the critical path */
    given[3].run = 2, given[3].arrival = 5;
    set(&scene, critical(), given, 4);
    scene.offer.continuous = true;
    critical()->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 0), TL_REASON_FIRST);
    assert_int_equal(reason(&scene, 1), TL_REASON_SIBLING);
    assert_int_equal(reason(&scene, 2), TL_REASON_NONE);
    assert_int_equal(reason(&scene, 3), TL_REASON_NONE);
}

static void decodes_never_wait_for_prompts(void **state) {
    (void)state;
    struct scene scene;
    const struct given given[] = {
        {.run = 2, .arrival = 900, .rank = 300, .claim = 900, .base = 300, .share = 8, .op = TL_OP_DECODE},
    };
    set(&scene, critical(), given, 1);
    struct tl_item held_item = {.op = TL_OP_PREFILL};
    struct tl_ready held = {.item = &held_item, .run = 1, .key = 0};
    scene.offer.continuous = true;
    scene.offer.held = scene.offer.calls_held = 1;
    scene.offer.first_held = &held;
    critical()->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 0), TL_REASON_FITS);
}

static void what_starves_on_a_device_goes_first(void **state) {
    (void)state;
    struct tl_turn turns[] = {
        {.instance = 0, .now = 2000 * TL_NS_PER_MS, .waits_since = 1990 * TL_NS_PER_MS, .key = 1, .quantum = 20},
        {.instance = 1, .now = 2000 * TL_NS_PER_MS, .waits_since = 1850 * TL_NS_PER_MS, .key = 2, .quantum = 20},
    };
    assert_int_equal(critical()->turn(turns, 2), 0);
    turns[1].waits_since = 1700 * TL_NS_PER_MS;
    assert_int_equal(critical()->turn(turns, 2), 1);
}

static void throughput_waits_for_a_fuller_batch_and_no_longer(void **state) {
    (void)state;
    const struct tl_policy *policy = tl_policy_find("throughput");
    struct scene scene;
    const struct given text = {.run = 1, .arrival = 100, .units = 4, .base = 25, .share = 10, .op = TL_OP_EMBED};
    const struct given given[] = {text, text, text};
    set(&scene, policy, given, 2);
    scene.offer.efficient_units = 12;
    scene.offer.now = 110 * TL_NS_PER_MS;
    policy->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 0), TL_REASON_NONE);
    assert_int_equal(scene.choice.wait_until, 125 * TL_NS_PER_MS);
    scene.offer.now = scene.choice.wait_until;
    policy->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 1), TL_REASON_WAITED);
    set(&scene, policy, given, 3);
    scene.offer.efficient_units = 12;
    scene.offer.now = 110 * TL_NS_PER_MS;
    policy->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 2), TL_REASON_FULL);
}

static void topology_serves_the_earliest_run_deepest_first(void **state) {
    (void)state;
    struct scene scene;
    const struct given given[] = {
        {.run = 2, .arrival = 5, .depth = 9},
        {.run = 1, .arrival = 0, .depth = 2},
        {.run = 1, .arrival = 0, .depth = 7},
    };
    set(&scene, tl_policy_find("topology"), given, 3);
    assert_int_equal(place(&scene, 2), 0);
    assert_int_equal(place(&scene, 1), 1);
    assert_int_equal(place(&scene, 0), 2);
}

static void per_invocation_takes_one_request(void **state) {
    (void)state;
    const struct tl_policy *policy = tl_policy_find("per_invocation");
    struct scene scene;
    const struct given given[] = {
        {.run = 1, .op = TL_OP_EMBED}, {.run = 1, .op = TL_OP_EMBED}, {.run = 2, .op = TL_OP_EMBED}};
    set(&scene, policy, given, 3);
    policy->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 0), TL_REASON_FIRST);
    assert_int_equal(reason(&scene, 1), TL_REASON_SIBLING);
    assert_int_equal(reason(&scene, 2), TL_REASON_NONE);
    memset(scene.reasons, 0, sizeof scene.reasons);
    scene.offer.held = 1;
    policy->take(&scene.offer, &scene.choice);
    assert_int_equal(reason(&scene, 0), TL_REASON_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_have_names_and_the_default_is_first),
        cmocka_unit_test(short_runs_overtake_but_not_for_ever),
        cmocka_unit_test(within_a_run_the_longest_way_goes_first),
        cmocka_unit_test(deadlines_and_priorities_move_forward),
        cmocka_unit_test(a_short_item_slips_into_a_long_batch),
        cmocka_unit_test(a_long_item_does_not_delay_a_short_one),
        cmocka_unit_test(siblings_go_together_others_wait),
        cmocka_unit_test(decodes_never_wait_for_prompts),
        cmocka_unit_test(what_starves_on_a_device_goes_first),
        cmocka_unit_test(throughput_waits_for_a_fuller_batch_and_no_longer),
        cmocka_unit_test(topology_serves_the_earliest_run_deepest_first),
        cmocka_unit_test(per_invocation_takes_one_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
