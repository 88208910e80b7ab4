/* engine_target.c: see engine_target.h. A request is two items: a prefill of its prompt, then a decode. */
#include "bench/engine_target.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/engine_impl.h"

/* One request that the engine works on. */
struct call {
    struct engine_target *target;
    struct tl_bench_drive *drive; /* NULL: a probe or a preparation */
    size_t number;
    struct tl_item item; /* of its present phase; the engine's until its outcome */
    struct tl_value *inputs[2];
    struct tl_value *kv; /* the prefill's output */
    struct tl_usage prefilled;
    uint32_t output;       /* tokens to write; 0: prefill only */
    bool settled, decoding;
    enum tl_status status;
    struct tl_str message; /* of a failure */
    struct call *next;     /* of target->settled */
};

struct engine_target {
    struct tl_bench_target base;
    const struct tl_engine_ops *ops;
    struct tl_engine *engine;
    struct tl_emit emit;
    struct tl_arena arena;         /* attributes of decodes, one for each length */
    struct tl_value **pinned;      /* kv of each prefix of the load that was prepared */
    size_t pinned_count;
    struct call *settled, **settled_end; /* phases that have ended since the last step, in order */
    size_t held;                   /* items in the engine */
    bool closed;
    uint64_t ids;
};

static struct engine_target *target_of(struct tl_bench_target *target) {
    return (struct engine_target *)target;
}

static uint64_t now(struct tl_bench_target *target) {
    (void)target;
    return tl_clock_now();
}

/* ---- what the engine reports: noted only, since it must not be called back ---- */

static struct call *call_of(struct tl_item *item) {
    return (struct call *)((char *)item - offsetof(struct call, item));
}

static void settle(struct call *call) {
    call->settled = true;
    call->next = NULL;
    *call->target->settled_end = call;
    call->target->settled_end = &call->next;
    call->target->held--;
}

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    (void)context;
    struct call *call = call_of(item);
    for (size_t i = 1; i < count; i++)
        tl_value_unref(outputs[i]);
    call->status = TL_OK;
    if (call->decoding) {
        tl_value_unref(outputs[0]);
        if (call->drive) {
            struct tl_bench_usage sum = {
                .asked = call->prefilled.tokens_in,
                .reused = call->prefilled.tokens_reused,
                .computed = call->prefilled.tokens_in - call->prefilled.tokens_reused,
                .written = usage->tokens_out,
            };
            tl_bench_drive_done(call->drive, call->number, &sum);
        }
    } else {
        call->kv = outputs[0];
        call->prefilled = *usage;
    }
    settle(call);
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    (void)context;
    struct call *call = call_of(item);
    call->status = status;
    tl_str_clear(&call->message);
    tl_str_puts(&call->message, message);
    if (call->drive)
        tl_bench_drive_failed(call->drive, call->number, message);
    settle(call);
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    (void)context, (void)item, (void)position;
    tl_value_unref(value);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    (void)context, (void)text, (void)length;
    struct call *call = call_of(item);
    if (call->drive)
        tl_bench_drive_piece(call->drive, call->number);
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    (void)context, (void)item, (void)message;
}

/* ---- items ---- */

static const struct tl_attributes *decode_attributes(struct engine_target *target, uint32_t output) {
    struct tl_attributes *attributes = tl_arena_alloc(&target->arena, sizeof *attributes);
    tl_attributes_set_integer(attributes, &target->arena, "max_tokens", output);
    tl_attributes_set_bool(attributes, &target->arena, "ignore_eos", true);
    return attributes;
}

static void drop_inputs(struct call *call) {
    for (size_t i = 0; i < call->item.input_count; i++)
        tl_value_unref(call->inputs[i]);
    call->item.input_count = 0;
}

static void submit(struct call *call, enum tl_primitive op, size_t input_count) {
    static const char *const prefill_names[] = {"prompt", "kv"}, *const decode_names[] = {"kv"};
    static const struct tl_attributes none = {0};
    struct engine_target *target = call->target;
    call->decoding = op == TL_OP_DECODE;
    call->settled = false;
    call->item = (struct tl_item){
        .id = ++target->ids,
        .op = op,
        .attributes = call->decoding ? decode_attributes(target, call->output) : &none,
        .label = tl_primitive_info(op)->name,
        .inputs = call->inputs,
        .input_names = call->decoding ? decode_names : prefill_names,
        .input_count = input_count,
        .stream = call->decoding,
    };
    struct tl_item *items[] = {&call->item};
    target->held++;
    target->ops->submit(target->engine, items, 1);
}

static struct call *begin(struct engine_target *target, struct tl_bench_drive *drive, size_t number, uint32_t output,
                          const char *prefix, const char *own, struct tl_value *kv) {
    struct call *call = tl_mem_zalloc(sizeof *call);
    *call = (struct call){.target = target, .drive = drive, .number = number, .output = output};
    tl_str_init(&call->message);
    struct tl_prompt_part parts[3] = {
        {.role = TL_ROLE_SYSTEM, .text = TL_BENCH_SYSTEM, .length = strlen(TL_BENCH_SYSTEM), .flags = TL_PART_STATIC}};
    size_t count = 1;
    if (*prefix)
        parts[count++] = (struct tl_prompt_part){
            .role = TL_ROLE_USER, .message = 1, .flags = TL_PART_STATIC, .text = prefix, .length = strlen(prefix)};
    if (own)
        parts[count++] =
            (struct tl_prompt_part){.role = TL_ROLE_USER, .message = 1, .text = own, .length = strlen(own)};
    else
        parts[count - 1].flags |= TL_PART_OPEN;
    call->inputs[0] = tl_value_prompt(parts, count);
    call->inputs[1] = kv ? tl_value_ref(kv) : NULL;
    submit(call, !own ? TL_OP_PARTIAL_PREFILL : kv ? TL_OP_FULL_PREFILL : TL_OP_PREFILL, kv ? 2 : 1);
    return call;
}

static void end(struct call *call) {
    drop_inputs(call);
    tl_value_unref(call->kv);
    tl_str_fini(&call->message);
    tl_mem_free(call);
}

static struct call *next_settled(struct engine_target *target) {
    struct call *call = target->settled;
    if (call)
        target->settled = call->next;
    if (!target->settled)
        target->settled_end = &target->settled;
    return call;
}

/* Prefills become decodes; what has ended is freed. */
static void go_on(struct engine_target *target) {
    for (struct call *call; (call = next_settled(target)) != NULL;) {
        if (!call->drive)
            continue; /* its caller waits for it */
        if (call->status != TL_OK || call->decoding) {
            end(call);
            continue;
        }
        drop_inputs(call);
        call->inputs[0] = call->kv;
        call->kv = NULL;
        submit(call, TL_OP_DECODE, 1);
    }
}

static void start(struct tl_bench_target *base, struct tl_bench_drive *drive, size_t number) {
    struct engine_target *target = target_of(base);
    const struct tl_bench_request *request = &drive->load->requests[number];
    struct tl_value *kv = *request->prefix && target->pinned ? target->pinned[request->prefix_number] : NULL;
    begin(target, drive, number, request->output, request->prefix, request->own, kv);
    go_on(target);
}

static enum tl_status wait(struct tl_bench_target *base, struct tl_bench_drive *drive, uint64_t until,
                           struct tl_error *error) {
    (void)drive;
    struct engine_target *target = target_of(base);
    if (target->held > 0) {
        target->ops->step(target->engine);
        go_on(target);
        return TL_OK;
    }
    if (until == UINT64_MAX)
        return tl_error_set(error, TL_ERR_ENGINE, "the engine holds nothing, but not all requests have an outcome");
    uint64_t at = tl_clock_now(), left = until > at ? until - at : 0;
    struct timespec pause = {.tv_sec = (time_t)(left / TL_NS_PER_S), .tv_nsec = (long)(left % TL_NS_PER_S)};
    nanosleep(&pause, NULL); /* a signal ends it early */
    return TL_OK;
}

static void abandon(struct tl_bench_target *base) {
    struct engine_target *target = target_of(base);
    target->ops->close(target->engine); /* every item gets its outcome */
    target->closed = true;
    for (struct call *call; (call = next_settled(target)) != NULL;)
        end(call);
}

/* ---- one call at a time: probes and preparation ---- */

static enum tl_status finish(struct call *call, struct tl_error *error) {
    while (!call->settled)
        call->target->ops->step(call->target->engine);
    go_on(call->target);
    return call->status == TL_OK ? TL_OK : tl_error_set(error, call->status, "%s", call->message.data);
}

static enum tl_status probe(struct tl_bench_target *base, uint64_t *tokens, struct tl_error *error) {
    struct call *call = begin(target_of(base), NULL, 0, 0, "", tl_bench_probe(), NULL);
    enum tl_status status = finish(call, error);
    *tokens = call->prefilled.tokens_in;
    end(call);
    return status;
}

static void unpin(struct engine_target *target) {
    for (size_t i = 0; i < target->pinned_count; i++)
        tl_value_unref(target->pinned[i]);
    tl_mem_free(target->pinned);
    target->pinned = NULL;
    target->pinned_count = 0;
}

static enum tl_status prepare(struct tl_bench_target *base, const struct tl_bench_load *load, struct tl_error *error) {
    struct engine_target *target = target_of(base);
    enum tl_status status = TL_OK;
    unpin(target);
    target->pinned = tl_mem_zalloc((load->prefix_count + 1) * sizeof(struct tl_value *));
    target->pinned_count = load->prefix_count;
    for (size_t i = 0; i < load->prefix_count && status == TL_OK; i++) {
        struct call *call = begin(target, NULL, 0, 0, load->prefixes[i], NULL, NULL);
        status = finish(call, error);
        target->pinned[i] = call->kv;
        call->kv = NULL;
        end(call);
    }
    return status;
}

/* ---- life ---- */

static void close_target(struct tl_bench_target *base) {
    struct engine_target *target = target_of(base);
    unpin(target);
    if (target->engine) {
        if (!target->closed)
            target->ops->close(target->engine);
        target->ops->destroy(target->engine);
    }
    tl_arena_fini(&target->arena);
    tl_mem_free(target);
}

enum tl_status tl_bench_engine_target_open(const char *type, const json_t *settings, struct tl_bench_target **out,
                                           struct tl_error *error) {
    *out = NULL;
    const struct tl_engine_ops *ops = tl_engine_find(type);
    if (!ops)
        return tl_error_set(error, TL_ERR_NOT_FOUND, "there is no engine type \"%s\"", type);
    struct engine_target *target = tl_mem_zalloc(sizeof *target);
    target->base = (struct tl_bench_target){start, wait, abandon, prepare, probe, now, close_target};
    target->ops = ops;
    target->settled_end = &target->settled;
    target->emit = (struct tl_emit){target, on_done, on_fail, on_piece, on_delta, on_notice, NULL};
    tl_arena_init(&target->arena);
    enum tl_status status = ops->create(type, settings, &target->engine, error);
    struct tl_engine_description description = {0};
    if (status == TL_OK) {
        ops->describe(target->engine, &description);
        if (!ops->step || description.executor == TL_EXECUTOR_LOOP)
            status = tl_error_set(error, TL_ERR_UNSUPPORTED, "engines of type \"%s\" need an event loop", type);
    }
    if (status == TL_OK)
        status = ops->open(target->engine, &target->emit, error);
    if (status != TL_OK) {
        if (target->engine)
            ops->destroy(target->engine);
        target->engine = NULL;
        close_target(&target->base);
        return status;
    }
    ops->describe(target->engine, &description);
    if (!(description.capabilities & 1u << TL_CAPABILITY_LLM)) {
        close_target(&target->base);
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "engines of type \"%s\" write no text", type);
    }
    *out = &target->base;
    return TL_OK;
}
