/* cost_profile.c: reading a profile, and seeing whether it still holds. docs/profiles.md describes the format. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cost/cost_impl.h"

/* ---- reading with the place: every get_ function refuses what is missing or of the wrong kind ---- */

struct reader {
    const char *file;
    struct tl_str place; /* "engines.llm.kinds" */
    struct tl_error *error;
    enum tl_status status; /* of the first thing that was wrong */
};

static void describe(const json_t *value, struct tl_str *out) {
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    if (!text)
        tl_str_puts(out, "missing");
    else if (strlen(text) > 60)
        tl_str_printf(out, "%.40s...", text);
    else
        tl_str_puts(out, text);
    free(text);
}

static void refuse(struct reader *reader, const char *key, const json_t *found, const char *expected) {
    if (reader->status != TL_OK)
        return;
    struct tl_str what = TL_STR_INIT;
    describe(found, &what);
    reader->status = tl_error_set(reader->error, TL_ERR_INVALID, "%s: %s%s%s is %s, expected %s", reader->file,
                                  reader->place.data, reader->place.length && *key ? "." : "", key, what.data,
                                  expected);
    tl_str_fini(&what);
}

/* Goes into a member: returns the length of the place before, for leave. */
static size_t enter(struct reader *reader, const char *key) {
    size_t before = reader->place.length;
    tl_str_printf(&reader->place, "%s%s", before ? "." : "", key);
    return before;
}

static void leave(struct reader *reader, size_t before) {
    tl_str_truncate(&reader->place, before);
}

static const json_t *get_object(struct reader *reader, const json_t *parent, const char *key) {
    const json_t *value = json_object_get(parent, key);
    if (json_is_object(value))
        return value;
    refuse(reader, key, value, "an object");
    return NULL;
}

static bool is_good(const json_t *value) {
    double number = json_number_value(value);
    return json_is_number(value) && isfinite(number) && number >= 0 && number < 1e9;
}

static double get_number(struct reader *reader, const json_t *parent, const char *key) {
    const json_t *value = json_object_get(parent, key);
    if (is_good(value))
        return json_number_value(value);
    refuse(reader, key, value, "a number from 0 on");
    return 0;
}

static uint32_t get_count(struct reader *reader, const json_t *parent, const char *key) {
    const json_t *value = json_object_get(parent, key);
    if (json_is_integer(value) && is_good(value))
        return (uint32_t)json_integer_value(value);
    refuse(reader, key, value, "a whole number from 0 on");
    return 0;
}

static void get_text(struct reader *reader, const json_t *parent, const char *key) {
    const json_t *value = json_object_get(parent, key);
    if (!json_is_string(value))
        refuse(reader, key, value, "a text");
}

/* ---- kinds ---- */

static void read_line(struct reader *reader, const json_t *kind, const json_t *fit, struct cost_line *line) {
    *line = (struct cost_line){
        .known = true,
        .limit = get_count(reader, kind, "limit"),
    };
    size_t before = enter(reader, "fit");
    line->base = get_number(reader, fit, "base");
    line->unit = get_number(reader, fit, "unit");
    line->token = get_number(reader, fit, "token");
    leave(reader, before);
}

static void read_prefill(struct reader *reader, const json_t *fit, struct cost_llm *llm) {
    size_t before = enter(reader, "fit");
    llm->chunk = get_number(reader, fit, "chunk");
    llm->prompt = get_number(reader, fit, "prompt");
    llm->attend = get_number(reader, fit, "attend");
    leave(reader, before);
}

static void read_decode(struct reader *reader, const json_t *fit, struct cost_llm *llm) {
    size_t before = enter(reader, "fit");
    llm->look = get_number(reader, fit, "look");
    const json_t *rows = json_object_get(fit, "rows"), *step = json_object_get(fit, "step");
    size_t count = json_array_size(rows);
    if (count == 0 || count > COST_STEPS)
        refuse(reader, "rows", rows, "a list of 1 to 16 rising whole numbers from 1 on");
    if (json_array_size(step) != count)
        refuse(reader, "step", step, "a list of as many numbers as rows");
    for (size_t i = 0; i < count && reader->status == TL_OK; i++) {
        const json_t *row = json_array_get(rows, i), *ms = json_array_get(step, i);
        bool rises = json_is_integer(row) && is_good(row) &&
                     json_integer_value(row) > (i ? (json_int_t)llm->rows[i - 1] : 0);
        if (!rises)
            refuse(reader, "rows", rows, "a list of 1 to 16 rising whole numbers from 1 on");
        else if (!is_good(ms))
            refuse(reader, "step", step, "a list of as many numbers from 0 on as rows");
        llm->rows[i] = (uint32_t)json_integer_value(row);
        llm->step[i] = json_number_value(ms);
    }
    llm->step_count = count;
    leave(reader, before);
}

/* Which primitive a name of the profile stands for; TL_OP_COUNT: none that is measured. */
static enum tl_primitive kind_of(const char *name) {
    enum tl_primitive op = tl_primitive_find(name);
    if (op == TL_OP_COUNT || tl_cost_kind(op) != op)
        return TL_OP_COUNT;
    enum tl_capability capability = tl_primitive_info(op)->capability;
    return capability == TL_CAPABILITY_BUILTIN || capability == TL_CAPABILITY_REGION ? TL_OP_COUNT : op;
}

static void read_kind(struct reader *reader, const char *name, const json_t *kind, struct cost_engine *engine) {
    enum tl_primitive op = kind_of(name);
    if (op == TL_OP_COUNT || !json_is_object(kind)) {
        refuse(reader, name, kind, op == TL_OP_COUNT ? "the name of a primitive that engines compute" : "an object");
        return;
    }
    size_t before = enter(reader, name);
    const json_t *fit = get_object(reader, kind, "fit");
    if (op == TL_OP_PREFILL)
        read_prefill(reader, fit, &engine->llm);
    else if (op == TL_OP_DECODE)
        read_decode(reader, fit, &engine->llm);
    else
        read_line(reader, kind, fit, &engine->lines[op]);
    engine->quality[op].samples = get_count(reader, kind, "samples");
    engine->quality[op].median_error = get_number(reader, kind, "median_error");
    leave(reader, before);
}

/* ---- engines ---- */

/* They may be missing: of what has nothing to choose, and of profiles from before there was a choice. */
static void read_choices(struct reader *reader, const json_t *json) {
    const json_t *choices = json_object_get(json, "choices");
    const char *name;
    json_t *choice;
    if (!choices || !get_object(reader, json, "choices"))
        return;
    size_t place = enter(reader, "choices");
    json_object_foreach((json_t *)choices, name, choice) {
        get_object(reader, choices, name);
        size_t before = enter(reader, name);
        const json_t *used = json_object_get(choice, "used");
        if (!json_is_integer(used) && !json_is_string(used))
            refuse(reader, "used", used, "a text or a whole number");
        get_text(reader, choice, "because");
        leave(reader, before);
    }
    leave(reader, place);
}

static void read_engine(struct reader *reader, const char *name, const json_t *json, struct tl_cost *cost) {
    if (!json_is_object(json)) {
        refuse(reader, name, json, "an object");
        return;
    }
    size_t before = enter(reader, name);
    struct cost_engine *engine = tl_cost_replace(cost, name);
    engine->measured = true;
    engine->profile = json_incref((json_t *)json);
    static const char *const texts[] = {"type", "device", "model_digest", "written"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        get_text(reader, json, texts[i]);
    get_count(reader, json, "threads");
    get_object(reader, json, "settings");
    read_choices(reader, json);
    const json_t *kinds = get_object(reader, json, "kinds"), *kind;
    const char *key;
    size_t place = enter(reader, "kinds");
    json_object_foreach((json_t *)kinds, key, kind) read_kind(reader, key, kind, engine);
    leave(reader, place);
    bool prefill = json_object_get(kinds, "prefill"), decode = json_object_get(kinds, "decode");
    if (prefill != decode)
        refuse(reader, "kinds", kinds, "both prefill and decode, or neither");
    if (prefill) {
        const json_t *iteration = get_object(reader, json, "iteration");
        place = enter(reader, "iteration");
        engine->llm.known = true;
        engine->llm.base = get_number(reader, iteration, "base");
        engine->llm.iteration_tokens = get_count(reader, iteration, "tokens");
        engine->llm.sequences = get_count(reader, iteration, "sequences");
        leave(reader, place);
    }
    leave(reader, before);
}

static void read_profile(struct reader *reader, const json_t *root, struct tl_cost *cost) {
    const json_t *version = json_object_get(root, "version");
    if (!json_is_object(root)) {
        refuse(reader, "", root, "an object");
    } else if (!json_is_integer(version)) {
        refuse(reader, "version", version, "a whole number");
    } else if (json_integer_value(version) != TL_COST_PROFILE_VERSION) {
        reader->status = tl_error_set(reader->error, TL_ERR_UNSUPPORTED,
                                      "%s: version is %" PRIdMAX
                                      ", but this program reads version %d: measure again with 'teola profile'",
                                      reader->file, (intmax_t)json_integer_value(version), TL_COST_PROFILE_VERSION);
    }
    if (reader->status != TL_OK)
        return;
    const json_t *engines = get_object(reader, root, "engines"), *engine;
    const char *name;
    size_t place = enter(reader, "engines");
    json_object_foreach((json_t *)engines, name, engine) read_engine(reader, name, engine, cost);
    leave(reader, place);
}

enum tl_status tl_cost_parse(const char *text, size_t length, const char *name, struct tl_cost **out,
                             struct tl_error *error) {
    json_error_t where;
    *out = NULL;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &where);
    if (!root)
        return tl_error_set(error, TL_ERR_INVALID, "%s:%d:%d: %s", name, where.line, where.column, where.text);
    struct reader reader = {.file = name, .place = TL_STR_INIT, .error = error, .status = TL_OK};
    struct tl_cost *cost = tl_cost_create();
    read_profile(&reader, root, cost);
    tl_cost_changed(cost, tl_hash_bytes(text, length, 4));
    tl_str_fini(&reader.place);
    json_decref(root);
    if (reader.status != TL_OK) {
        tl_cost_unref(cost);
        return reader.status;
    }
    *out = cost;
    return TL_OK;
}

/* ---- does it still hold? ---- */

json_t *tl_cost_relevant_settings(const json_t *settings) {
    static const char *const others[] = {"model", "model_digest", "threads", "path",
                                         "vec0", "tokenizer", "query_prefix", "passage_prefix"};
    json_t *relevant = settings ? json_copy((json_t *)settings) : json_object();
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        json_object_del(relevant, others[i]);
    return relevant;
}

uint32_t tl_cost_threads(const json_t *settings) {
    json_int_t threads = json_integer_value(json_object_get(settings, "threads"));
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    return threads > 0 ? (uint32_t)threads : processors > 0 ? (uint32_t)processors
                                                            : 1;
}

static void compare_text(const json_t *profile, const char *key, const char *now, struct tl_str *why) {
    const char *then = json_string_value(json_object_get(profile, key));
    if (strcmp(then, now) != 0)
        tl_str_printf(why, "%s%s was \"%.16s\" and is \"%.16s\"", why->length ? "; " : "", key, then, now);
}

bool tl_cost_check_engine(struct tl_cost *cost, const char *name, const struct tl_cost_identity *now,
                          struct tl_str *why) {
    struct cost_engine *engine = tl_cost_find(cost, name);
    if (!engine || !engine->profile)
        return false;
    const json_t *then = json_object_get(engine->profile, "settings");
    size_t before = why->length;
    compare_text(engine->profile, "type", now->type, why);
    compare_text(engine->profile, "device", now->device, why);
    compare_text(engine->profile, "model_digest", now->model_digest, why);
    json_int_t threads = json_integer_value(json_object_get(engine->profile, "threads"));
    if (threads != (json_int_t)tl_cost_threads(now->settings))
        tl_str_printf(why, "%sthreads were %" PRIdMAX " and are %u", why->length > before ? "; " : "",
                      (intmax_t)threads, tl_cost_threads(now->settings));
    json_t *settings = tl_cost_relevant_settings(now->settings);
    if (!json_equal((json_t *)then, settings)) {
        tl_str_printf(why, "%ssettings were ", why->length > before ? "; " : "");
        describe(then, why);
        tl_str_puts(why, " and are ");
        describe(settings, why);
    }
    json_decref(settings);
    if (why->length == before)
        return true;
    tl_cost_replace(cost, name);
    tl_cost_changed(cost, 5);
    return false;
}

const char *tl_cost_written(const struct tl_cost *cost, const char *name) {
    const struct cost_engine *engine = tl_cost_find(cost, name);
    const char *written = engine ? json_string_value(json_object_get(engine->profile, "written")) : NULL;
    return written ? written : "";
}
