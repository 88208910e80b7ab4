/* runtime.c: the public functions of teola.h and those of runtime.h: opening, workflows, runs. */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "builtin/builtin.h"
#include "runtime/costs.h"
#include "runtime/machine.h"
#include "runtime/runtime_impl.h"
#include "sched/policy.h"

#define CACHED_PLANS 256
#define MOST_POOL_THREADS 8

const char *tl_version(void) {
    return TEOLA_VERSION;
}

void tl_free(void *memory) {
    tl_mem_free(memory);
}

/* ---- open and close ---- */

static unsigned pool_threads(void) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 2 ? 2 : cores > MOST_POOL_THREADS ? MOST_POOL_THREADS : (unsigned)cores;
}

static struct tl_config *load_config(const struct tl_runtime_options *options, struct tl_error *error) {
    const struct tl_config_options from = {
        .path = options->config,
        .text = options->config_text,
        .settings = options->settings,
        .setting_count = options->setting_count,
    };
    struct tl_diagnostics findings;
    struct tl_str text = TL_STR_INIT;
    tl_diagnostics_init(&findings, "");
    struct tl_config *config = tl_config_load(&from, &findings);
    if (!config) {
        tl_diagnostics_print(&findings, &text);
        tl_error_set(error, TL_ERR_INVALID, "%.*s", (int)(text.length ? text.length - 1 : 0), text.data);
    }
    tl_str_fini(&text);
    tl_diagnostics_fini(&findings);
    return config;
}

static struct tl_cost *load_costs(const struct tl_config *config) {
    struct tl_str notices = TL_STR_INIT;
    struct tl_cost *cost = tl_runtime_costs(config, tl_config_profile(config), &notices);
    for (char *line = notices.data, *end; (end = strchr(line, '\n')); line = end + 1)
        tl_log(TL_LOG_WARN, "%.*s", (int)(end - line), line);
    tl_str_fini(&notices);
    return cost;
}

/* Copies a caller's struct, which may be of an older version and so shorter: what it lacks is zero. */
static enum tl_status copy_sized(void *to, size_t to_size, const void *from, const char *name, struct tl_error *error) {
    size_t size;
    memcpy(&size, from, sizeof size); /* the first member of each such struct */
    if (size < sizeof size || size > to_size)
        return tl_error_set(error, TL_ERR_USAGE, "%s.size is %zu, expected %zu: set it to sizeof (struct %s)", name,
                            size, to_size, name);
    memset(to, 0, to_size);
    memcpy(to, from, size);
    return TL_OK;
}

/* What remains when the loop has ended, or never began. */
static void dispose(struct tl_runtime *runtime) {
    tl_runtime_engines_fini(runtime);
    tl_executor_pool_destroy(runtime->pool);
    tl_inbox_fini(&runtime->inbox); /* after the threads that may still be leaving it */
    tl_sched_destroy(runtime->sched);
    size_t cursor = 0;
    for (struct tl_run_record *record; (record = tl_id_table_next(&runtime->runs, &cursor));)
        tl_runtime_record_destroy(record);
    tl_id_table_fini(&runtime->runs);
    tl_runtime_prewarm_fini(runtime);
    tl_plan_cache_destroy(runtime->plans);
    for (size_t i = 0; i < runtime->workflow_count; i++)
        tl_workflow_destroy(runtime->workflows[i]);
    tl_mem_free(runtime->workflows);
    tl_runtime_machine_fini(&runtime->machine);
    tl_cost_unref(runtime->cost);
    tl_config_destroy(runtime->config);
    pthread_cond_destroy(&runtime->changed);
    pthread_mutex_destroy(&runtime->lock);
    tl_mem_free(runtime);
}

enum tl_status tl_runtime_open(const struct tl_runtime_options *given, struct tl_runtime **out,
                               struct tl_error *error) {
    struct tl_runtime_options options = {0};
    *out = NULL;
    if (given && copy_sized(&options, sizeof options, given, "tl_runtime_options", error) != TL_OK)
        return TL_ERR_USAGE;
    struct tl_config *config = load_config(&options, error);
    if (!config)
        return TL_ERR_INVALID;
    struct tl_runtime *runtime = tl_mem_zalloc(sizeof *runtime);
    runtime->config = config;
    runtime->cost = load_costs(config);
    tl_runtime_machine_init(&runtime->machine, config, runtime->cost);
    pthread_mutex_init(&runtime->lock, NULL);
    pthread_cond_init(&runtime->changed, NULL);
    tl_id_table_init(&runtime->runs);
    runtime->next_run = 1;
    runtime->plans = tl_plan_cache_create(CACHED_PLANS);
    runtime->pool = tl_executor_pool_create(pool_threads());
    runtime->sched = tl_sched_create(&(struct tl_sched_config){
        .policy = tl_policy_find(tl_config_policy(config)),
        .builtin = tl_builtin_execute,
        .memo_bytes = tl_config_memo_bytes(config),
        .cost = runtime->cost,
        .limits = *tl_config_limits(config),
        .retries = tl_config_retries(config),
        .hang_after_ms = (double)tl_config_hang_after_ms(config),
    });
    tl_runtime_engines_init(runtime);
    enum tl_status status = tl_runtime_loop_start(runtime, error);
    if (status != TL_OK) {
        dispose(runtime);
        return status;
    }
    *out = runtime;
    return TL_OK;
}

void tl_runtime_close(struct tl_runtime *runtime) {
    if (!runtime)
        return;
    pthread_mutex_lock(&runtime->lock);
    runtime->closing = true;
    pthread_mutex_unlock(&runtime->lock);
    tl_runtime_post(runtime, &(struct tl_message){.kind = TL_MESSAGE_CANCEL_ALL});
    pthread_mutex_lock(&runtime->lock);
    while (runtime->callers > 0)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    pthread_mutex_unlock(&runtime->lock);
    tl_runtime_post(runtime, &(struct tl_message){.kind = TL_MESSAGE_SHUT_DOWN});
    tl_runtime_loop_join(runtime);
    if (!tl_runtime_leaves_threads(runtime))
        dispose(runtime);
}

bool tl_runtime_enter(struct tl_runtime *runtime, struct tl_error *error) {
    pthread_mutex_lock(&runtime->lock);
    bool open = !runtime->closing;
    runtime->callers += open;
    pthread_mutex_unlock(&runtime->lock);
    if (!open)
        tl_error_set(error, TL_ERR_USAGE, "the runtime is being closed");
    return open;
}

void tl_runtime_leave(struct tl_runtime *runtime) {
    pthread_mutex_lock(&runtime->lock);
    runtime->callers--;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

const struct tl_config *tl_runtime_config(const struct tl_runtime *runtime) {
    return runtime->config;
}

void tl_runtime_get_counters(struct tl_runtime *runtime, struct tl_runtime_counters *counters) {
    *counters = (struct tl_runtime_counters){
        .messages = atomic_load_explicit(&runtime->handled, memory_order_relaxed),
        .wakes = atomic_load_explicit(&runtime->wakes, memory_order_relaxed),
        .prefixes_warmed = atomic_load_explicit(&runtime->prewarm.warmed, memory_order_relaxed),
    };
    size_t entries;
    tl_plan_cache_counters(runtime->plans, &counters->plans_cached, &counters->plans_made, &entries);
}

/* ---- workflows ---- */

/* Takes the workflow; an equal one that is loaded already is kept instead. */
static tl_workflow_id keep_workflow(struct tl_runtime *runtime, struct tl_workflow *workflow) {
    pthread_mutex_lock(&runtime->lock);
    tl_workflow_id id = 0;
    for (size_t i = 0; i < runtime->workflow_count && id == 0; i++)
        if (strcmp(tl_workflow_digest(runtime->workflows[i]), tl_workflow_digest(workflow)) == 0)
            id = (tl_workflow_id)(i + 1);
    bool known = id != 0;
    if (!known) {
        runtime->workflows = tl_mem_grow(runtime->workflows, &runtime->workflow_capacity, runtime->workflow_count + 1,
                                         sizeof(struct tl_workflow *));
        runtime->workflows[runtime->workflow_count++] = workflow;
        id = (tl_workflow_id)runtime->workflow_count;
    }
    pthread_mutex_unlock(&runtime->lock);
    if (known)
        tl_workflow_destroy(workflow);
    return id;
}

const struct tl_workflow *tl_runtime_workflow(struct tl_runtime *runtime, tl_workflow_id id) {
    pthread_mutex_lock(&runtime->lock);
    const struct tl_workflow *workflow = id > 0 && id <= runtime->workflow_count ? runtime->workflows[id - 1] : NULL;
    pthread_mutex_unlock(&runtime->lock);
    return workflow;
}

enum tl_status tl_runtime_add_workflow(struct tl_runtime *runtime, const char *path, tl_workflow_id *id,
                                       struct tl_diagnostics *findings) {
    struct tl_workflow *workflow = tl_workflow_load(path, findings);
    *id = workflow ? keep_workflow(runtime, workflow) : 0;
    return workflow ? TL_OK : TL_ERR_INVALID;
}

static enum tl_status findings_error(struct tl_diagnostics *findings, struct tl_error *error) {
    struct tl_str text = TL_STR_INIT;
    tl_diagnostics_print(findings, &text);
    tl_error_set(error, TL_ERR_INVALID, "%.*s", (int)(text.length ? text.length - 1 : 0), text.data);
    tl_str_fini(&text);
    return TL_ERR_INVALID;
}

enum tl_status tl_runtime_load_workflow(struct tl_runtime *runtime, const char *path, tl_workflow_id *workflow,
                                        struct tl_error *error) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, path);
    enum tl_status status = tl_runtime_add_workflow(runtime, path, workflow, &findings);
    if (status != TL_OK)
        findings_error(&findings, error);
    tl_diagnostics_fini(&findings);
    return status;
}

enum tl_status tl_runtime_load_workflow_text(struct tl_runtime *runtime, const char *text, size_t length,
                                             const char *name, const char *directory, tl_workflow_id *workflow,
                                             struct tl_error *error) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, name);
    struct tl_workflow *parsed = tl_workflow_parse(text, length, name, directory ? directory : ".", &findings);
    *workflow = parsed ? keep_workflow(runtime, parsed) : 0;
    if (!parsed)
        findings_error(&findings, error);
    tl_diagnostics_fini(&findings);
    return parsed ? TL_OK : TL_ERR_INVALID;
}

/* ---- runs ---- */

static void copy_request(const struct tl_runtime *runtime, const struct tl_request *request,
                         struct tl_run_record *record) {
    record->timeout_ms = request->timeout_ms ? request->timeout_ms : tl_config_timeout_ms(runtime->config);
    record->priority = request->priority;
    record->tenant = tl_mem_strdup(request->tenant ? request->tenant : "");
    record->flags = request->flags;
    record->context = request->context;
    record->delta = request->delta;
    record->notice = request->notice;
    record->done = request->done;
}

static enum tl_status submit(struct tl_runtime *runtime, const struct tl_request *request, tl_run_id *run,
                             struct tl_error *error) {
    struct tl_run_record *record = tl_runtime_record_create();
    record->submitted = tl_clock_now();
    copy_request(runtime, request, record);
    enum tl_status status = tl_runtime_query(runtime, request, record, error);
    if (status != TL_OK) {
        tl_runtime_record_destroy(record);
        return status;
    }
    atomic_fetch_add_explicit(&runtime->live, 1, memory_order_relaxed);
    pthread_mutex_lock(&runtime->lock);
    *run = record->id = runtime->next_run++;
    tl_id_table_set(&runtime->runs, record->id, record);
    pthread_mutex_unlock(&runtime->lock);
    tl_runtime_post(runtime, &(struct tl_message){.kind = TL_MESSAGE_SUBMIT, .record = record});
    return TL_OK;
}

enum tl_status tl_runtime_submit(struct tl_runtime *runtime, const struct tl_request *given, tl_run_id *run,
                                 struct tl_error *error) {
    struct tl_request request;
    *run = 0;
    if (copy_sized(&request, sizeof request, given, "tl_request", error) != TL_OK || !tl_runtime_enter(runtime, error))
        return TL_ERR_USAGE;
    atomic_fetch_add_explicit(&runtime->submitting, 1, memory_order_acq_rel);
    enum tl_status status = submit(runtime, &request, run, error);
    atomic_fetch_sub_explicit(&runtime->submitting, 1, memory_order_acq_rel);
    tl_runtime_leave(runtime);
    return status;
}

/* Under the lock, which wait releases meanwhile. The record, out of the table; NULL with the error. */
static struct tl_run_record *fetch(struct tl_runtime *runtime, tl_run_id run, struct tl_error *error) {
    for (;;) {
        struct tl_run_record *record = tl_id_table_get(&runtime->runs, run);
        if (!record || record->done) {
            tl_error_set(error, record ? TL_ERR_USAGE : TL_ERR_NOT_FOUND,
                         record ? "run %llu has a `done` callback, which gets its result"
                                : "there is no run %llu, or its result has been fetched",
                         (unsigned long long)run);
            return NULL;
        }
        if (record->finished) {
            tl_id_table_remove(&runtime->runs, run);
            return record;
        }
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    }
}

enum tl_status tl_runtime_wait(struct tl_runtime *runtime, tl_run_id run, char **result, struct tl_error *error) {
    if (result)
        *result = NULL;
    struct tl_error why = {0};
    pthread_mutex_lock(&runtime->lock);
    runtime->callers++;
    struct tl_run_record *record = fetch(runtime, run, &why);
    runtime->callers--;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
    if (!record)
        return tl_error_set(error, why.status, "%s", why.message);
    enum tl_status status = record->status;
    if (status != TL_OK)
        tl_error_set(error, status, "%s", record->message);
    if (result) {
        *result = record->result;
        record->result = NULL;
    }
    tl_runtime_record_destroy(record);
    return status;
}

void tl_runtime_cancel(struct tl_runtime *runtime, tl_run_id run) {
    tl_runtime_post(runtime, &(struct tl_message){.kind = TL_MESSAGE_CANCEL_RUN, .run = run});
}
