#include "engine/call.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

struct tl_engine_caller {
    struct tl_engine *engine;
    struct tl_emit emit;
    bool (*stop)(void *context);
    void *stop_context;
    uint64_t items; /* called so far: ids */

    /* The outcome of the present item. */
    bool finished;
    enum tl_status status;
    struct tl_str message; /* of a failure */
    struct tl_str notice;
    struct tl_value *output;
    struct tl_usage usage;
};

/* ---- what the engine reports ---- */

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    (void)item;
    struct tl_engine_caller *caller = context;
    TL_ASSERT(!caller->finished && count > 0);
    caller->finished = true;
    caller->status = TL_OK;
    caller->output = outputs[0];
    for (size_t i = 1; i < count; i++)
        tl_value_unref(outputs[i]);
    if (usage)
        caller->usage = *usage;
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    (void)item;
    struct tl_engine_caller *caller = context;
    TL_ASSERT(!caller->finished);
    caller->finished = true;
    caller->status = status;
    tl_str_clear(&caller->message);
    tl_str_puts(&caller->message, message);
}

/* Pieces and deltas are parts of the output, which comes as a whole. */
static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    (void)context, (void)item, (void)position;
    tl_value_unref(value);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    (void)context, (void)item, (void)text, (void)length;
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    (void)item;
    struct tl_engine_caller *caller = context;
    tl_str_clear(&caller->notice);
    tl_str_puts(&caller->notice, message);
}

/* ---- life ---- */

enum tl_status tl_engine_caller_open(const char *type, const json_t *settings, struct tl_engine_caller **out,
                                     struct tl_error *error) {
    *out = NULL;
    const struct tl_engine_ops *ops = tl_engine_find(type);
    if (!ops)
        return tl_error_set(error, TL_ERR_NOT_FOUND, "there is no engine type \"%s\"", type);
    if (!ops->step)
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "engines of type \"%s\" need an event loop", type);
    struct tl_engine_caller *caller = tl_mem_zalloc(sizeof *caller);
    tl_str_init(&caller->message);
    tl_str_init(&caller->notice);
    caller->emit = (struct tl_emit){
        .context = caller,
        .done = on_done,
        .fail = on_fail,
        .piece = on_piece,
        .delta = on_delta,
        .notice = on_notice,
    };
    enum tl_status status = ops->create(type, settings, &caller->engine, error);
    if (status == TL_OK) {
        status = ops->open(caller->engine, &caller->emit, error);
        if (status != TL_OK) {
            ops->destroy(caller->engine);
            caller->engine = NULL;
        }
    }
    if (status != TL_OK) {
        tl_engine_caller_close(caller);
        return status;
    }
    *out = caller;
    return TL_OK;
}

void tl_engine_caller_close(struct tl_engine_caller *caller) {
    if (!caller)
        return;
    if (caller->engine) {
        const struct tl_engine_ops *ops = caller->engine->ops;
        ops->close(caller->engine);
        ops->destroy(caller->engine);
    }
    tl_str_fini(&caller->message);
    tl_str_fini(&caller->notice);
    tl_mem_free(caller);
}

void tl_engine_caller_describe(const struct tl_engine_caller *caller, struct tl_engine_description *description) {
    caller->engine->ops->describe(caller->engine, description);
}

void tl_engine_caller_on_stop(struct tl_engine_caller *caller, bool (*stop)(void *context), void *context) {
    caller->stop = stop;
    caller->stop_context = context;
}

const char *tl_engine_caller_notice(const struct tl_engine_caller *caller) { return caller->notice.data; }

/* ---- calling ---- */

#define INPUTS_MAX 16
#define NAME_SIZE 32

/* The names of the inputs by the signature, "query:vector kv?:kv -> ..."; "" beyond it, or where any name may stand. */
static void name_inputs(enum tl_primitive op, size_t count, char names[INPUTS_MAX][NAME_SIZE]) {
    const char *at = tl_primitive_info(op)->signature;
    for (size_t i = 0; i < count; i++) {
        size_t length = strcspn(at, ":? ");
        bool named = at[0] != '*' && at[0] != '-' && at[0] != '\0' && length < NAME_SIZE;
        memcpy(names[i], at, named ? length : 0);
        names[i][named ? length : 0] = '\0';
        at += strcspn(at, " ");
        at += *at == ' ' && at[1] != '-';
    }
}

enum tl_status tl_engine_call(struct tl_engine_caller *caller, enum tl_primitive op,
                              const struct tl_attributes *attributes, struct tl_value *const *inputs,
                              size_t input_count, struct tl_value **output, struct tl_usage *usage,
                              struct tl_error *error) {
    static const struct tl_attributes none = {0};
    const char *names[INPUTS_MAX];
    const struct tl_engine_ops *ops = caller->engine->ops;
    TL_ASSERT(input_count <= INPUTS_MAX);
    char buffers[INPUTS_MAX][NAME_SIZE];
    name_inputs(op, input_count, buffers);
    for (size_t i = 0; i < input_count; i++)
        names[i] = buffers[i];
    struct tl_item item = {
        .id = ++caller->items,
        .op = op,
        .attributes = attributes ? attributes : &none,
        .label = tl_primitive_info(op)->name,
        .inputs = inputs,
        .input_names = names,
        .input_count = input_count,
    };
    struct tl_item *items[] = {&item};
    *output = NULL;
    caller->finished = false;
    caller->output = NULL;
    caller->usage = (struct tl_usage){0};
    tl_str_clear(&caller->notice);

    ops->submit(caller->engine, items, 1);
    while (!caller->finished) {
        if (caller->stop && caller->stop(caller->stop_context))
            ops->cancel(caller->engine, &item);
        if (!caller->finished && !ops->step(caller->engine) && !caller->finished)
            TL_BUG("the engine \"%s\" has nothing left to do, but a %s has no outcome", ops->type, item.label);
    }
    if (usage)
        *usage = caller->usage;
    if (caller->status != TL_OK)
        return tl_error_set(error, caller->status, "%s", caller->message.data);
    *output = caller->output;
    return TL_OK;
}
