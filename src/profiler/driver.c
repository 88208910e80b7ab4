#include "profiler/driver.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

/* ---- what the engine reports ---- */

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    struct tl_driver *driver = context;
    size_t position = (size_t)(item - driver->items);
    driver->outputs[position] = outputs[0];
    for (size_t i = 1; i < count; i++)
        tl_value_unref(outputs[i]);
    driver->usage.units += usage->units;
    driver->usage.tokens_in += usage->tokens_in;
    driver->usage.tokens_reused += usage->tokens_reused;
    driver->usage.tokens_computed += usage->tokens_computed;
    driver->usage.tokens_out += usage->tokens_out;
    driver->finished++;
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    (void)item;
    struct tl_driver *driver = context;
    driver->finished++;
    if (driver->status != TL_OK || status == TL_ERR_CANCELLED)
        return;
    driver->status = status;
    tl_str_puts(&driver->message, message);
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    (void)context, (void)item, (void)position;
    tl_value_unref(value);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    (void)context, (void)item, (void)text, (void)length;
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    (void)context, (void)item, (void)message;
}

/* ---- life ---- */

enum tl_status tl_driver_open(struct tl_driver *driver, const char *type, const char *name, const json_t *settings,
                              struct tl_error *error) {
    memset(driver, 0, sizeof *driver);
    tl_str_init(&driver->message);
    driver->emit = (struct tl_emit){driver, on_done, on_fail, on_piece, on_delta, on_notice, NULL};
    const struct tl_engine_ops *ops = tl_engine_find(type);
    if (!ops)
        return tl_error_set(error, TL_ERR_NOT_FOUND, "there is no engine type '%s'", type);
    if (!ops->step)
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "engines of type '%s' wait for others: there is nothing to "
                                                       "measure on this machine",
                            type);
    enum tl_status status = ops->create(name, settings, &driver->engine, error);
    if (status == TL_OK)
        status = ops->open(driver->engine, &driver->emit, error);
    if (status == TL_OK) {
        ops->describe(driver->engine, &driver->description);
    } else if (driver->engine) {
        ops->destroy(driver->engine); /* what did not open is not closed */
        driver->engine = NULL;
    }
    return status;
}

void tl_driver_close(struct tl_driver *driver) {
    tl_driver_begin(driver);
    if (driver->engine) {
        driver->engine->ops->close(driver->engine);
        driver->engine->ops->destroy(driver->engine);
        driver->engine = NULL;
    }
    tl_str_fini(&driver->message);
}

/* ---- batches ---- */

void tl_driver_begin(struct tl_driver *driver) {
    TL_ASSERT(driver->finished == driver->count);
    for (size_t i = 0; i < driver->count; i++) {
        for (size_t k = 0; k < 3; k++)
            tl_value_unref(driver->inputs[i][k]);
        tl_value_unref(driver->outputs[i]);
    }
    driver->count = driver->finished = 0;
    driver->usage = (struct tl_usage){0};
    driver->status = TL_OK;
    tl_str_clear(&driver->message);
}

/* As the signature calls the inputs: LLMs look for theirs by name. */
static const char *const *names_of(enum tl_primitive op) {
    static const char *const prefill[] = {"prompt", "kv", ""}, *const decode[] = {"kv", "", ""},
                             *const others[] = {"", "", ""};
    if (tl_primitive_info(op)->capability != TL_CAPABILITY_LLM)
        return others;
    return op == TL_OP_DECODE ? decode : prefill;
}

void tl_driver_add(struct tl_driver *driver, enum tl_primitive op, const struct tl_attributes *attributes,
                   struct tl_value *a, struct tl_value *b, struct tl_value *c) {
    static const struct tl_attributes none = {0};
    static uint64_t id; /* one thread measures */
    TL_ASSERT(driver->count < TL_DRIVER_ITEMS);
    size_t position = driver->count++;
    struct tl_value **inputs = driver->inputs[position];
    inputs[0] = a, inputs[1] = b, inputs[2] = c;
    driver->outputs[position] = NULL;
    driver->items[position] = (struct tl_item){
        .id = ++id,
        .op = op,
        .attributes = attributes ? attributes : &none,
        .label = tl_primitive_info(op)->name,
        .inputs = inputs,
        .input_names = names_of(op),
        .input_count = c ? 3 : b ? 2
                                 : 1,
    };
}

void tl_driver_submit(struct tl_driver *driver) {
    struct tl_item *items[TL_DRIVER_ITEMS];
    for (size_t i = 0; i < driver->count; i++)
        items[i] = &driver->items[i];
    driver->engine->ops->submit(driver->engine, items, driver->count);
}

uint64_t tl_driver_step(struct tl_driver *driver) {
    uint64_t before = tl_clock_now();
    driver->engine->ops->step(driver->engine);
    return tl_clock_now() - before;
}

enum tl_status tl_driver_finish(struct tl_driver *driver, uint64_t *nanoseconds, struct tl_error *error) {
    *nanoseconds = 0;
    while (driver->finished < driver->count)
        *nanoseconds += tl_driver_step(driver);
    if (driver->status != TL_OK)
        return tl_error_set(error, driver->status, "%s", driver->message.data);
    return TL_OK;
}

void tl_driver_cancel(struct tl_driver *driver) {
    for (size_t i = 0; i < driver->count; i++)
        if (!driver->outputs[i])
            driver->engine->ops->cancel(driver->engine, &driver->items[i]);
}
