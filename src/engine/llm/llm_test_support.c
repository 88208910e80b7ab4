/* llm_test_support.c: see llm_test_support.h. */
#include "engine/llm/llm_test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"

struct saved {
    size_t length;
    int32_t ids[];
};

uint64_t tl_llm_test_draw(struct tl_llm_test_world *world, uint64_t below) {
    world->seed = tl_hash_u64(world->seed, 4711);
    return (world->seed >> 9) % below;
}

static bool strikes(struct tl_llm_test_world *world, uint64_t chance) {
    return chance > 0 && tl_llm_test_draw(world, 100) < chance;
}

static void *saved_copy(struct tl_llm_test_world *world, const int32_t *ids, size_t length) {
    struct saved *saved = tl_mem_alloc(sizeof *saved + length * sizeof(int32_t));
    saved->length = length;
    memcpy(saved->ids, ids, length * sizeof(int32_t));
    world->alive++;
    return saved;
}

static void *save(void *context, uint32_t sequence, size_t length, uint64_t *bytes) {
    struct tl_llm_test_world *world = context;
    assert_int_equal(world->length[sequence], length);
    if (strikes(world, world->save_fails))
        return NULL;
    *bytes = length;
    return saved_copy(world, world->kv[sequence], length);
}

void tl_llm_test_give(struct tl_llm_test_world *world, const struct tl_llm_request *request) {
    tl_llm_pin_give(world->core, request, saved_copy(world, request->tokens.ids, request->pin), request->pin);
}

static bool load(void *context, uint32_t sequence, const void *data, size_t length) {
    struct tl_llm_test_world *world = context;
    const struct saved *saved = data;
    assert_int_equal(world->length[sequence], 0);
    assert_int_equal(saved->length, length);
    if (strikes(world, world->load_fails))
        return false;
    memcpy(world->kv[sequence], saved->ids, length * sizeof(int32_t));
    world->length[sequence] = length;
    return true;
}

static void drop(void *context, void *saved) {
    ((struct tl_llm_test_world *)context)->alive--;
    tl_mem_free(saved);
}

static bool trim(void *context, uint32_t sequence, size_t length) {
    struct tl_llm_test_world *world = context;
    assert_true(world->length[sequence] >= length);
    if (length > 0 && (world->whole_only || strikes(world, world->trim_fails))) {
        world->length[sequence] = 0;
        return false;
    }
    world->length[sequence] = length;
    return true;
}

static bool share(void *context, uint32_t from, uint32_t to, size_t length) {
    struct tl_llm_test_world *world = context;
    assert_int_equal(world->length[to], 0);
    assert_true(world->length[from] >= length);
    if (strikes(world, world->load_fails))
        return false;
    memcpy(world->kv[to], world->kv[from], length * sizeof(int32_t));
    world->length[to] = length;
    return true;
}

void tl_llm_test_open(struct tl_llm_test_world *world, const struct tl_llm_limits *limits, bool shares) {
    assert_true(limits->sequences <= TL_LLM_TEST_SEQUENCES && limits->context_tokens <= TL_LLM_TEST_CONTEXT);
    world->whole_only = limits->whole_only;
    const struct tl_llm_storage storage = {world, save, load, drop, trim, shares ? share : NULL};
    world->core = tl_llm_create(limits, &storage);
}

void tl_llm_test_close(struct tl_llm_test_world *world) {
    tl_llm_destroy(world->core);
    assert_int_equal(world->alive, 0);
}

static void go_on(struct tl_llm_test_world *world) {
    struct tl_llm_request *request;
    while ((request = tl_llm_next_filled(world->core)) != NULL) {
        if (world->filled)
            world->filled(world, request);
        else
            tl_llm_end(world->core, request);
    }
    while ((request = tl_llm_next_ready(world->core)) != NULL) {
        size_t length = request->filled;
        assert_true(request->decode && request->row && length == request->tokens.count);
        assert_int_equal(world->length[request->copy->sequence], length);
        assert_memory_equal(world->kv[request->copy->sequence], request->tokens.ids, length * sizeof(int32_t));
        world->wrote(world, request, NULL);
    }
}

/* The sequence holds exactly the tokens before the range: equal ids at equal positions, as without any cache. */
static void check_range(const struct tl_llm_test_world *world, const struct tl_llm_range *range) {
    const struct tl_llm_request *request = range->request;
    assert_int_equal(world->length[range->sequence], range->first);
    assert_int_equal(request->filled, range->first);
    assert_memory_equal(world->kv[range->sequence], request->tokens.ids, range->first * sizeof(int32_t));
    assert_true(range->count > 0 && range->first + range->count <= request->tokens.count);
}

static void compute(struct tl_llm_test_world *world, const struct tl_llm_call *call) {
    bool fails = strikes(world, world->call_fails);
    for (size_t i = 0; i < call->count; i++)
        check_range(world, &call->ranges[i]);
    bool joint = call->writers > 0 && call->writers + call->bridges < call->count;
    if (!fails && world->ms_row > 0)
        tl_llm_measured(world->core, call,
                        world->ms_call + world->ms_row * (double)call->rows + (joint ? world->ms_joint : 0));
    for (size_t i = 0; i < call->count; i++) {
        const struct tl_llm_range *range = &call->ranges[i];
        struct tl_llm_request *request = range->request;
        if (fails) {
            tl_llm_broken(world->core, request);
            if (world->failed)
                world->failed(world, request);
            continue;
        }
        memcpy(world->kv[range->sequence] + range->first, request->tokens.ids + range->first,
               range->count * sizeof(int32_t));
        world->length[range->sequence] += range->count;
        tl_llm_computed(world->core, request, range->count);
        if (range->logits > 0 && !request->decode) {
            assert_true(request->row && range->logits == 1 && request->state == TL_LLM_FILLED);
            if (world->row)
                world->row(world, request);
        } else if (range->logits > 0) {
            world->wrote(world, request, range);
        }
    }
}

bool tl_llm_test_step(struct tl_llm_test_world *world) {
    world->rows = world->prompt_rows = world->calls = 0;
    bool more = tl_llm_arrange(world->core);
    tl_llm_check(world->core);
    go_on(world);
    struct tl_llm_call call;
    while (tl_llm_next_call(world->core, &call)) {
        world->calls++;
        world->rows += call.rows;
        for (size_t i = 0; i < call.count; i++)
            world->prompt_rows += call.ranges[i].writes ? 0 : call.ranges[i].count;
        compute(world, &call);
        go_on(world);
        tl_llm_check(world->core);
    }
    return more;
}
