/* query.c: what happens to a query before its first primitive runs: its inputs are checked, its
 * workflow becomes a plan (planning.c), its engines are opened. All of it on the caller's thread;
 * whatever is wrong is found here. */
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "runtime/inputs.h"
#include "runtime/runtime_impl.h"

/* ---- engines ---- */

static enum tl_status no_such_engine(struct tl_runtime *runtime, const char *name, struct tl_error *error) {
    const char **names = tl_mem_alloc((runtime->engine_count + 1) * sizeof *names);
    struct tl_str known = TL_STR_INIT;
    for (size_t i = 0; i < runtime->engine_count; i++) {
        names[i] = runtime->engines[i].config->name;
        tl_str_printf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = tl_str_nearest(name, names, runtime->engine_count);
    const char *file = tl_config_file(runtime->config);
    enum tl_status status =
        tl_error_set(error, TL_ERR_NOT_FOUND, "the workflow asks for engine '%s', which %s does not have; %s%s%s", name,
                     file ? file : "the built-in configuration", nearest ? "did you mean '" : "it has: ",
                     nearest ? nearest : known.data, nearest ? "'?" : "");
    tl_mem_free(names);
    tl_str_fini(&known);
    return status;
}

static enum tl_status open_engines(struct tl_runtime *runtime, const struct tl_plan *plan, struct tl_error *error) {
    struct tl_runtime_engine **engines = tl_mem_alloc((plan->engine_count + 1) * sizeof(struct tl_runtime_engine *));
    enum tl_status status = TL_OK;
    for (uint32_t i = 0; i < plan->engine_count && status == TL_OK; i++)
        if (!(engines[i] = tl_runtime_find_engine(runtime, plan->engines[i])))
            status = no_such_engine(runtime, plan->engines[i], error);
    if (status == TL_OK)
        status = tl_runtime_open_engines(runtime, engines, plan->engine_count, error);
    tl_mem_free(engines);
    return status;
}

enum tl_status tl_runtime_open_engine(struct tl_runtime *runtime, const char *name, struct tl_error *error) {
    if (!tl_runtime_enter(runtime, error))
        return TL_ERR_USAGE;
    struct tl_runtime_engine *engine = tl_runtime_find_engine(runtime, name);
    enum tl_status status =
        engine ? tl_runtime_open_engines(runtime, &engine, 1, error) : no_such_engine(runtime, name, error);
    tl_runtime_leave(runtime);
    return status;
}

static const char *documents_input(const struct tl_workflow *workflow) {
    for (size_t i = 0; i < tl_workflow_input_count(workflow); i++) {
        const struct tl_workflow_input *input = tl_workflow_input(workflow, i);
        if (tl_type_equal(input->type, TL_TYPE_OF(DOCUMENT, 1)))
            return input->name;
    }
    return NULL;
}

/* A plan as queries of this workflow will have: with a collection where they may have documents instead. So what its
 * prompts begin with can be computed before the first of them. */
static void plan_ahead(struct tl_runtime *runtime, const struct tl_workflow *workflow) {
    size_t count = tl_workflow_input_count(workflow);
    const char **given = tl_mem_alloc((count + 1) * sizeof *given);
    struct tl_query_shape shape = {.given = given, .collection = documents_input(workflow) != NULL};
    const struct tl_request request = {.size = sizeof request};
    const struct tl_choice_load unknown = {0};
    struct tl_plan *plan = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct tl_workflow_input *input = tl_workflow_input(workflow, i);
        if (!tl_type_equal(input->type, TL_TYPE_OF(DOCUMENT, 1)))
            given[shape.given_count++] = input->name;
    }
    tl_runtime_plan_for(runtime, workflow, &shape, &request, &unknown, &plan, NULL); /* it is no failure when there is none */
    tl_plan_unref(plan);
    tl_mem_free(given);
}

enum tl_status tl_runtime_prepare(struct tl_runtime *runtime, tl_workflow_id id, struct tl_error *error) {
    if (!tl_runtime_enter(runtime, error))
        return TL_ERR_USAGE;
    const struct tl_workflow *workflow = tl_runtime_workflow(runtime, id);
    enum tl_status status = TL_OK;
    if (!workflow)
        status = tl_error_set(error, TL_ERR_NOT_FOUND, "there is no workflow %u", id);
    size_t count = workflow ? tl_workflow_engine_count(workflow) : 0;
    struct tl_runtime_engine **engines = tl_mem_alloc((count + 1) * sizeof(struct tl_runtime_engine *));
    for (size_t i = 0; i < count && status == TL_OK; i++) {
        const char *role, *name;
        enum tl_capability capability;
        tl_workflow_engine(workflow, i, &role, &name, &capability);
        if (!(engines[i] = tl_runtime_find_engine(runtime, name)))
            status = no_such_engine(runtime, name, error);
    }
    if (status == TL_OK)
        status = tl_runtime_open_engines(runtime, engines, count, error);
    if (status == TL_OK)
        plan_ahead(runtime, workflow);
    tl_mem_free(engines);
    tl_runtime_leave(runtime);
    return status;
}

/* ---- the query ---- */

struct query {
    const struct tl_workflow *workflow;
    json_t *inputs;
    const char *documents; /* name of the input that takes the request's documents; NULL: none are given */
    struct tl_value *list; /* these documents; a reference */
    const char **given;
    size_t given_count;
};

static enum tl_status check_sources(const struct tl_request *request, struct query *query, struct tl_error *error) {
    if (request->document_count == 0)
        return TL_OK;
    query->documents = documents_input(query->workflow);
    const char *name = tl_workflow_name(query->workflow);
    if (!query->documents)
        return tl_error_set(error, TL_ERR_USAGE, "workflow %s takes no documents", name);
    if (request->collection)
        return tl_error_set(error, TL_ERR_USAGE,
                            "documents and a collection are both given; a run answers from one of them");
    if (json_object_get(query->inputs, query->documents))
        return tl_error_set(error, TL_ERR_USAGE, "documents are given twice: as input '%s' and beside the inputs",
                            query->documents);
    return TL_OK;
}

/* The value of a parameter of the plan. */
static enum tl_status parameter_value(const struct tl_request *request, const struct query *query,
                                      const struct tl_output *parameter, struct tl_value **value,
                                      struct tl_error *error) {
    if (parameter->type.base == TL_TYPE_INDEX && parameter->type.depth == 0) {
        TL_ASSERT(request->collection);
        *value = tl_value_index(request->collection, NULL, 0);
        return *value ? TL_OK : TL_ERR_NO_MEMORY;
    }
    if (query->documents && strcmp(parameter->name, query->documents) == 0)
        return (*value = tl_value_ref(query->list)) ? TL_OK : TL_ERR_NO_MEMORY;
    const json_t *json = json_object_get(query->inputs, parameter->name);
    TL_ASSERT(json);
    return tl_inputs_value(parameter->name, parameter->type, json, value, error);
}

static enum tl_status make_values(const struct tl_request *request, const struct query *query,
                                  struct tl_run_record *record, struct tl_error *error) {
    const struct tl_plan_body *root = record->plan->root;
    record->inputs = tl_mem_zalloc((root->parameter_count + 1u) * sizeof(struct tl_value *));
    record->input_count = root->parameter_count;
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < root->parameter_count && status == TL_OK; i++)
        status = parameter_value(request, query, &root->slots[i], &record->inputs[i], error);
    return status;
}

/* The one store that the plan asks; TL_PLAN_NO_ENGINE: none, or several. */
static uint32_t store_of(const struct tl_plan *plan) {
    uint32_t store = TL_PLAN_NO_ENGINE;
    for (uint32_t b = 0; b < plan->body_count; b++)
        for (uint32_t n = 0; n < plan->bodies[b]->node_count; n++) {
            const struct tl_plan_node *node = &plan->bodies[b]->nodes[n];
            if (node->capability != TL_CAPABILITY_STORE || node->engine == store)
                continue;
            if (store != TL_PLAN_NO_ENGINE)
                return TL_PLAN_NO_ENGINE;
            store = node->engine;
        }
    return store;
}

/* The version of the collection's content; 0: not known. The plan's engines are open. */
static uint64_t version_of(struct tl_runtime *runtime, const struct tl_plan *plan, const char *collection) {
    uint32_t store = store_of(plan);
    if (store == TL_PLAN_NO_ENGINE)
        return 0;
    pthread_mutex_lock(&runtime->lock);
    const struct tl_instance *instance = &tl_runtime_find_engine(runtime, plan->engines[store])->instances[0];
    struct tl_engine *engine = instance->state == TL_INSTANCE_OPEN ? instance->engine : NULL;
    pthread_mutex_unlock(&runtime->lock);
    return engine && engine->ops->version ? engine->ops->version(engine, collection) : 0;
}

/* What is searched for is remembered as long as the collection does not change. */
static void look_at_collections(struct tl_runtime *runtime, struct tl_run_record *record) {
    for (size_t i = 0; i < record->input_count; i++) {
        struct tl_value *value = record->inputs[i];
        if (value->type.base != TL_TYPE_INDEX || value->type.depth > 0)
            continue;
        const char *name = value->as.index.collection;
        struct tl_value *known = tl_value_index(name, NULL, version_of(runtime, record->plan, name));
        if (!known)
            continue;
        record->inputs[i] = known;
        tl_value_unref(value);
    }
}

/* In the order of the workflow's inputs, so that equal shapes have equal keys. */
static void find_given(struct query *query) {
    size_t count = tl_workflow_input_count(query->workflow);
    query->given = tl_mem_alloc((count + 1) * sizeof *query->given);
    for (size_t i = 0; i < count; i++) {
        const char *name = tl_workflow_input(query->workflow, i)->name;
        const json_t *value = json_object_get(query->inputs, name);
        if ((value && !json_is_null(value)) || (query->documents && strcmp(query->documents, name) == 0))
            query->given[query->given_count++] = name;
    }
}

/* Inputs are looked at before a model is loaded for them. */
static enum tl_status run_query(struct tl_runtime *runtime, const struct tl_request *request, struct query *query,
                                struct tl_run_record *record, struct tl_error *error) {
    enum tl_status status = tl_inputs_parse(query->workflow, request->inputs, &query->inputs, error);
    if (status == TL_OK)
        status = check_sources(request, query, error);
    if (status != TL_OK)
        return status;
    find_given(query);
    struct tl_query_shape shape = {query->given, query->given_count, request->collection != NULL};
    struct tl_choice_load load = {0};
    if (query->documents)
        status = tl_inputs_documents(request->documents, request->document_count, &query->list, error);
    tl_inputs_measure(query->workflow, query->inputs, query->list, &load);
    load.runs = 1 + atomic_load_explicit(&runtime->live, memory_order_relaxed);
    if (status == TL_OK)
        status = tl_runtime_plan_for(runtime, query->workflow, &shape, request, &load, &record->plan, error);
    if (status == TL_OK)
        status = make_values(request, query, record, error);
    uint64_t planned = tl_clock_now();
    record->overhead += planned - record->submitted;
    if (status == TL_OK)
        status = open_engines(runtime, record->plan, error);
    record->loading = tl_clock_now() - planned;
    if (status == TL_OK && record->plan->shares && tl_config_memo_bytes(runtime->config) > 0)
        look_at_collections(runtime, record);
    return status;
}

enum tl_status tl_runtime_query(struct tl_runtime *runtime, const struct tl_request *request,
                                struct tl_run_record *record, struct tl_error *error) {
    struct query query = {.workflow = tl_runtime_workflow(runtime, request->workflow)};
    if (!query.workflow)
        return tl_error_set(error, TL_ERR_NOT_FOUND, "there is no workflow %u", request->workflow);
    record->workflow = tl_workflow_name(query.workflow);
    enum tl_status status = run_query(runtime, request, &query, record, error);
    json_decref(query.inputs);
    tl_value_unref(query.list);
    tl_mem_free(query.given);
    return status;
}
