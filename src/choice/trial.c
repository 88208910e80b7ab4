/* trial.c: one plan, run in virtual time on what stands for the configured engines. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "choice/choice_impl.h"
#include "sim/sim.h"

enum { DIMENSION = 4,     /* of made-up vectors: only times matter */
       LIST_ITEMS = 3,
       COLLECTION = 32,   /* passages of a collection that the query names, at most: a search finds 16 */
       UNBOUNDED = 1 << 20,
       MOST_EVENTS = 10000 }; /* of a run; what is larger is not predicted: that would take longer than it gains */

/* ---- engines ---- */

/* What nodes ask of the engine, as bits. */
static uint32_t asked_of(const struct tl_plan *plan, uint32_t engine) {
    uint32_t asked = 0;
    for (uint32_t b = 0; b < plan->body_count; b++)
        for (uint16_t n = 0; n < plan->bodies[b]->node_count; n++)
            if (plan->bodies[b]->nodes[n].engine == engine)
                asked |= 1u << plan->bodies[b]->nodes[n].capability;
    return asked;
}

static void set(json_t *settings, const char *name, json_int_t value) {
    json_object_set_new(settings, name, json_integer(value));
}

/* Its own number, when it has that setting; else what the cost model says, else none. */
static void set_limit(json_t *settings, const char *name, const struct tl_choice_engine *engine, const char *own,
                      uint32_t known) {
    const json_t *value = own ? json_object_get(engine->settings, own) : NULL;
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : 0;
    if (number > 0 || known > 0)
        set(settings, name, number > 0 ? number : known);
}

/* Emulated settings for a real engine: how much of what it takes at once. Times are the cost model's. */
static json_t *stand_in(const struct tl_choice_engine *engine, uint32_t asked, const struct tl_cost *cost) {
    static const uint32_t waiting = 1u << TL_CAPABILITY_DOCUMENTS | 1u << TL_CAPABILITY_STORE |
                                    1u << TL_CAPABILITY_WEB | 1u << TL_CAPABILITY_TOOL;
    json_t *settings = json_object(), *serves = json_array();
    for (unsigned c = 0; c < TL_CAPABILITY_COUNT; c++)
        if (asked & 1u << c)
            json_array_append_new(serves, json_string(tl_capability_name((enum tl_capability)c)));
    json_object_set_new(settings, "serves", serves);
    if (asked & 1u << TL_CAPABILITY_LLM) {
        set_limit(settings, "sequences", engine, "parallel", tl_cost_most(cost, engine->name, TL_OP_DECODE));
        set_limit(settings, "iteration_tokens", engine, "chunk", tl_cost_most(cost, engine->name, TL_OP_PREFILL));
    }
    if (asked & 1u << TL_CAPABILITY_EMBED)
        set_limit(settings, "batch", engine, NULL, tl_cost_most(cost, engine->name, TL_OP_EMBED));
    else if (asked & 1u << TL_CAPABILITY_RERANK)
        set_limit(settings, "batch", engine, NULL, tl_cost_most(cost, engine->name, TL_OP_SCORE));
    set(settings, "context_tokens", UNBOUNDED);
    set(settings, "answer_tokens", TL_PLAN_ASSUMED_WRITTEN);
    set(settings, "list_tokens", TL_PLAN_ASSUMED_WRITTEN_ITEM);
    set(settings, "collection_chunks", COLLECTION);
    set(settings, "collection_words", TL_PLAN_ASSUMED_PASSAGE);
    if ((asked & ~waiting) == 0)
        json_object_set_new(settings, "executor", json_string("pool"));
    return settings;
}

/* Its own settings, without what is there for tests. Of collections a part is enough, as long as there are any. */
static json_t *of_emulated(const struct tl_choice_engine *engine) {
    static const char *const tests[] = {"fail_every", "hang", "list_spread", "list_broken", "wait_for"};
    json_t *settings = engine->settings ? json_copy((json_t *)engine->settings) : json_object();
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++)
        json_object_del(settings, tests[i]);
    json_int_t passages = json_integer_value(json_object_get(settings, "collection_chunks"));
    if (passages < 1 || passages > COLLECTION)
        set(settings, "collection_chunks", COLLECTION);
    return settings;
}

static enum tl_status add_engine(struct tl_sim *sim, const struct tl_choice_machine *machine,
                                 const struct tl_choice_engine *engine, uint32_t asked, const uint32_t *devices,
                                 struct tl_error *error) {
    json_t *settings = engine->emulated ? of_emulated(engine) : stand_in(engine, asked, machine->cost);
    set(settings, "dimension", DIMENSION);
    enum tl_status status = TL_OK;
    for (uint32_t i = 0; i < engine->instances && status == TL_OK; i++)
        status = tl_sim_add_engine(sim, engine->name, settings, devices[i % engine->device_count], error);
    json_decref(settings);
    return status;
}

static const struct tl_choice_engine *find_engine(const struct tl_choice_machine *machine, const char *name) {
    for (size_t i = 0; i < machine->count; i++)
        if (strcmp(machine->engines[i].name, name) == 0)
            return &machine->engines[i];
    return NULL;
}

/* Devices in the order in which they are first named. */
struct devices {
    const char **names;
    uint32_t count;
    size_t capacity;
};

static uint32_t device_of(struct devices *devices, struct tl_sim *sim, const char *name) {
    for (uint32_t i = 0; i < devices->count; i++)
        if (strcmp(devices->names[i], name) == 0)
            return i;
    devices->names = tl_mem_grow(devices->names, &devices->capacity, devices->count + 1, sizeof *devices->names);
    devices->names[devices->count++] = name;
    return tl_sim_add_device(sim, name);
}

/* The plan's engines; others would only stand there. */
static enum tl_status furnish(struct tl_sim *sim, const struct tl_plan *plan, const struct tl_choice_machine *machine,
                              struct tl_error *error) {
    struct devices devices = {0};
    enum tl_status status = TL_OK;
    for (uint32_t e = 0; e < plan->engine_count && status == TL_OK; e++) {
        const struct tl_choice_engine *engine = find_engine(machine, plan->engines[e]);
        if (!engine) {
            status = tl_error_set(error, TL_ERR_UNSUPPORTED, "there is no engine '%s'", plan->engines[e]);
            break;
        }
        uint32_t *numbers = tl_mem_alloc(engine->device_count * sizeof *numbers);
        for (uint32_t i = 0; i < engine->device_count; i++)
            numbers[i] = device_of(&devices, sim, engine->devices[i]);
        status = add_engine(sim, machine, engine, asked_of(plan, e), numbers, error);
        tl_mem_free(numbers);
    }
    tl_mem_free(devices.names);
    return status;
}

/* ---- inputs ---- */

/* So many tokens, of three letters and a space; `salt` makes texts differ. The first few are words, by which texts are
 * found; the others are none, which saves looking at them. */
static char *words(uint32_t tokens, uint64_t salt) {
    enum { WORDS = 12 };
    static const char known[][TL_TOKEN_BYTES + 1] = {"ash ", "bay ", "cay ", "den ", "elm ", "fen ", "gap ", "hut "};
    static const char others[][TL_TOKEN_BYTES + 1] = {"... ", ",,, ", ";;; ", "::: ", "--- ", "+++ ", "=== ", "~~~ "};
    char *text = tl_mem_alloc((size_t)tokens * TL_TOKEN_BYTES + 1);
    uint64_t state = tl_hash_u64(salt, 3);
    for (uint32_t i = 0; i < tokens; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const char *word = i < WORDS ? known[state >> 61] : others[state >> 61];
        memcpy(text + (size_t)i * TL_TOKEN_BYTES, word, TL_TOKEN_BYTES);
    }
    text[(size_t)tokens * TL_TOKEN_BYTES] = '\0';
    return text;
}

static struct tl_value *make_text(uint32_t tokens, uint64_t salt) {
    char *text = words(tokens, salt);
    struct tl_value *value = tl_value_text(text, (size_t)tokens * TL_TOKEN_BYTES);
    tl_mem_free(text);
    return value;
}

static struct tl_value *make_document(uint32_t tokens, uint64_t salt) {
    char *text = words(tokens, salt), uri[32];
    snprintf(uri, sizeof uri, "%016llx", (unsigned long long)salt);
    struct tl_value *value = tl_value_document(&(struct tl_document){
        .uri = uri, .media_type = "text/plain", .data = text, .length = (size_t)tokens * TL_TOKEN_BYTES});
    tl_mem_free(text);
    return value;
}

static struct tl_value *make_chunk(uint64_t salt) {
    char *text = words(TL_PLAN_ASSUMED_PASSAGE, salt), id[32];
    snprintf(id, sizeof id, "%016llx:0", (unsigned long long)salt);
    struct tl_value *value =
        tl_value_chunk(&(struct tl_chunk){.id = id,
                                          .uri = "document",
                                          .title = "",
                                          .heading = "",
                                          .text = text,
                                          .length = (size_t)TL_PLAN_ASSUMED_PASSAGE * TL_TOKEN_BYTES,
                                          .tokens = TL_PLAN_ASSUMED_PASSAGE});
    tl_mem_free(text);
    return value;
}

static struct tl_value *make_value(const struct tl_choice_load *load, struct tl_type type, uint64_t salt);

static struct tl_value *make_list(const struct tl_choice_load *load, struct tl_type element, uint64_t salt) {
    uint32_t count = LIST_ITEMS, made = 0;
    if (element.depth == 0 && element.base == TL_TYPE_DOCUMENT)
        count = load->documents;
    else if (element.depth == 0 && element.base == TL_TYPE_CHUNK)
        count = (load->document_tokens + TL_PLAN_ASSUMED_PASSAGE - 1) / TL_PLAN_ASSUMED_PASSAGE;
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *)), *list = NULL;
    while (made < count && (items[made] = make_value(load, element, tl_hash_u64(salt, made))))
        made++;
    if (made == count)
        list = tl_value_list(element, items, count);
    else
        while (made > 0)
            tl_value_unref(items[--made]);
    tl_mem_free(items);
    return list;
}

/* NULL when nothing of that type can be made up. */
static struct tl_value *make_value(const struct tl_choice_load *load, struct tl_type type, uint64_t salt) {
    if (type.depth > 0)
        return make_list(load, tl_type_element(type), salt);
    switch ((enum tl_base_type)type.base) {
    case TL_TYPE_TEXT: return make_text(load->text_tokens, salt);
    case TL_TYPE_DOCUMENT: return make_document((load->document_tokens + load->documents - 1) / load->documents, salt);
    case TL_TYPE_CHUNK: return make_chunk(salt);
    case TL_TYPE_NUMBER: return tl_value_number(1);
    case TL_TYPE_BOOL: return tl_value_bool(false);
    case TL_TYPE_JSON: return tl_value_json(json_object());
    case TL_TYPE_INDEX: return tl_value_index("collection", NULL, 0);
    default: return NULL;
    }
}

static enum tl_status submit(struct tl_sim *sim, struct tl_plan *plan, const struct tl_choice_load *load, uint64_t salt,
                             struct tl_error *error) {
    uint16_t count = plan->root->parameter_count, made = 0;
    struct tl_value **inputs = tl_mem_alloc((count + 1u) * sizeof(struct tl_value *));
    while (made < count && (inputs[made] = make_value(load, plan->root->slots[made].type, tl_hash_u64(salt, made))))
        made++;
    enum tl_status status = TL_OK;
    if (made == count) {
        tl_sim_submit(sim, &(struct tl_sim_request){
                               .at = tl_sim_now(sim), .plan = plan, .inputs = inputs, .input_count = count});
    } else {
        char type[24];
        status = tl_error_set(error, TL_ERR_UNSUPPORTED, "its input '%s' is of type %s, which cannot be made up",
                              plan->root->slots[made].name, tl_type_print(plan->root->slots[made].type, type));
        while (made > 0)
            tl_value_unref(inputs[--made]);
    }
    tl_mem_free(inputs);
    return status;
}

/* ---- the run ---- */

struct watched {
    double ms; /* until the last run has ended */
    uint32_t done;
    enum tl_status status; /* of the first that was not done */
    struct tl_error error;
};

static void take_end(void *context, uint64_t run, const struct tl_sim_result *result) {
    (void)run;
    struct watched *watched = context;
    double ms = (double)(result->ended - result->submitted) / (double)TL_NS_PER_MS;
    watched->ms = ms > watched->ms ? ms : watched->ms;
    watched->done += result->status == TL_OK;
    if (result->status != TL_OK && watched->status == TL_OK)
        watched->status =
            tl_error_set(&watched->error, TL_ERR_UNSUPPORTED, "its simulation failed: %s", result->message);
}

static enum tl_status look(struct tl_sim *sim, const struct watched *watched, uint32_t runs, struct trial *trial,
                           struct tl_error *error) {
    size_t count;
    const struct tl_sim_instance *instances = tl_sim_instances(sim, &count);
    if (watched->status != TL_OK)
        return tl_error_set(error, watched->status, "%s", watched->error.message);
    if (watched->done < runs)
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "it is too large to be simulated");
    trial->ms = watched->ms;
    for (size_t i = 0; i < count; i++)
        trial->busy_ms += (double)instances[i].busy / (double)TL_NS_PER_MS / runs;
    return TL_OK;
}

enum tl_status tl_choice_try(struct tl_plan *plan, const struct tl_choice_machine *machine,
                             const struct tl_choice_load *load, struct trial *trial, struct tl_error *error) {
    struct watched watched = {0};
    *trial = (struct trial){0};
    struct tl_sim *sim = tl_sim_create(&(struct tl_sim_config){.seed = 1,
                                                               .policy = machine->policy,
                                                               .cost = machine->cost,
                                                               .watch = {.context = &watched, .ended = take_end}});
    enum tl_status status = furnish(sim, plan, machine, error);
    for (uint32_t run = 0; run < load->runs && status == TL_OK; run++)
        status = submit(sim, plan, load, run + 1, error);
    if (status == TL_OK) {
        while (trial->events < load->runs * MOST_EVENTS && tl_sim_advance(sim))
            trial->events++;
        status = look(sim, &watched, load->runs, trial, error);
    }
    tl_sim_destroy(sim);
    return status;
}
