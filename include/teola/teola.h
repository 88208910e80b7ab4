/* teola.h: the C API of libteola: workflows in, answers out.
 *
 *     struct tl_runtime *runtime;
 *     struct tl_error error;
 *     tl_workflow_id workflow;
 *     tl_run_id run;
 *     char *result;
 *
 *     if (tl_runtime_open(NULL, &runtime, &error) != TL_OK)
 *         ...error.message...
 *     tl_runtime_load_workflow(runtime, "workflows/naive-rag.yaml", &workflow, &error);
 *
 *     struct tl_request request = {.size = sizeof request, .workflow = workflow, .collection = "docs",
 *                                  .inputs = "{\"question\": \"What is a rowid?\"}"};
 *     tl_runtime_submit(runtime, &request, &run, &error);
 *     tl_runtime_wait(runtime, run, &result, &error);       // a JSON object, see "Results"
 *     tl_free(result);
 *     tl_runtime_close(runtime);
 *
 * Threads. Every function may be called from any thread at any time between open and close,
 * except from a callback, where only tl_runtime_cancel is allowed. Runs and workflows are
 * ids that are looked up, never pointers: an id that is not known any more is an error, not
 * a crash.
 *
 * Callbacks run on the runtime's own loop thread and must not block: all runs stand still
 * meanwhile. Whoever is slow copies the text and hands it to a thread of his own.
 *
 * Strings are UTF-8 and NUL-terminated. What a function "returns owned" is freed by tl_free.
 * Structs with a `size` member grow by members at their end: set size = sizeof the struct
 * and zero the rest, then a program built against an older header keeps working.
 *
 * Results. A JSON object; members may be added in later versions:
 *     {
 *       "run": 1, "workflow": "naive-rag",
 *       "status": "done",               // or "failed", "cancelled", "expired" (deadline), "refused" (a limit;
 *                                       // "retry_after_ms" says when to try again)
 *       "error": {"status": "engine failure", "message": "..."},   // unless done; status: tl_status_name
 *       "outputs": {"answer": "...", "sources": [...]},    // unless it ended early: what the workflow's `outputs:` names
 *       "text": "...",                  // what was streamed: the whole answer, or as much as there was
 *       "notices": ["..."],             // what the user should know and is no failure
 *       "usage": {"tokens_in": 0, "tokens_reused": 0, "tokens_loaded": 0, "tokens_computed": 0, "tokens_out": 0,
 *                 "tokens_trimmed": 0},
 *                                       // also "tokens_forced", "tokens_drafted" and "tokens_accepted" of what was written;
 *                                       // "calls" of the model that wrote it; "tokens_asked" and "tokens_refused" by a format;
 *                                       // and "units_remembered": texts, searches, ... that earlier runs had computed;
 *                                       // "ms_saved": what they would have taken, as predicted
 *       "timings": {"total_ms": 0, "loading_ms": 0, "first_text_ms": 0, "overhead_ms": 0},   // loading: until the engines
 *                                       // were open; overhead: the runtime's own work
 *       "items": [...]                  // with TL_REQUEST_ITEMS: each primitive that an engine executed, with its times
 *     }
 * A hit in "outputs" is {"rank", "retrieval", "score", "chunk": {"id", "uri", "title", "heading", "text", "begin", "end", ...}}:
 * enough to cite the passage; "score" only when a reranker gave one.
 */
#ifndef TEOLA_TEOLA_H
#define TEOLA_TEOLA_H

#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tl_runtime;

typedef uint32_t tl_workflow_id; /* 0 is never an id */
typedef uint64_t tl_run_id;      /* 0 is never an id; never reused in a process */

/* The version of the library, "0.1.0". */
const char *tl_version(void);

/* Frees what a function returned owned; NULL is allowed. */
void tl_free(void *memory);

/* ---- the runtime ---- */

struct tl_runtime_options {
    size_t size;             /* sizeof (struct tl_runtime_options) */
    const char *config;      /* path of the configuration; NULL: $TEOLA_CONFIG, ./teola.yaml, the user's, built-in defaults */
    const char *config_text; /* the configuration itself, instead of a file; NULL: as above */
    const char *const *settings; /* overrides, "engine.setting=value", such as "llm.model=qwen2.5-1.5b-instruct-q4_k_m" */
    size_t setting_count;
};

/* Reads the configuration and starts the threads; engines are loaded when a run first needs
 * them (or by tl_runtime_prepare). `options` may be NULL. TL_ERR_INVALID names file, line and
 * column of what is wrong. Returns owned; tl_runtime_close ends it. */
enum tl_status tl_runtime_open(const struct tl_runtime_options *options, struct tl_runtime **runtime,
                               struct tl_error *error);

/* Cancels what runs, waits until the engines have let go of it, frees everything. Calls of
 * tl_runtime_wait in other threads return first. Not from a callback. NULL is allowed. An engine
 * that does not answer (see `hang_after`) is not waited for: its thread is left in its call, with
 * the memory that it may touch, and the log says so. */
void tl_runtime_close(struct tl_runtime *runtime);

/* ---- workflows ---- */

/* Reads and checks a workflow file. Loading the same content again gives the same id.
 * TL_ERR_INVALID: the message has the findings, FILE:LINE:COLUMN: error: ... each on a line. */
enum tl_status tl_runtime_load_workflow(struct tl_runtime *runtime, const char *path, tl_workflow_id *workflow,
                                        struct tl_error *error);

/* The same for a text in memory. `name` stands for the file in messages; prompt files are
 * found below `directory` (NULL: the working directory). */
enum tl_status tl_runtime_load_workflow_text(struct tl_runtime *runtime, const char *text, size_t length,
                                             const char *name, const char *directory, tl_workflow_id *workflow,
                                             struct tl_error *error);

/* Loads the engines that the workflow uses, so that the first run does not wait for them.
 * Blocks while models are loaded. What the workflow's prompts begin with is then computed
 * while nothing else is to do, unless the configuration says `prewarm: false`. */
enum tl_status tl_runtime_prepare(struct tl_runtime *runtime, tl_workflow_id workflow, struct tl_error *error);

/* ---- runs ---- */

/* How far the workflow's graph is rewritten. */
enum tl_optimize {
    TL_OPTIMIZE_DEFAULT = 0, /* as configured; COST when nothing is said */
    TL_OPTIMIZE_OFF,         /* step after step, as frameworks do */
    TL_OPTIMIZE_PAPER,       /* all rules wherever they apply */
    TL_OPTIMIZE_COST,        /* as far as it is predicted to pay on the devices at hand */
};

enum tl_request_flags {
    TL_REQUEST_ITEMS = 1, /* the result lists every primitive with its times */
};

struct tl_request {
    size_t size;                  /* sizeof (struct tl_request) */
    tl_workflow_id workflow;
    const char *inputs;           /* a JSON object: the workflow's inputs by name */
    const char *collection;       /* search this collection (made by `teola index`); NULL: none */
    const char *const *documents; /* files and directories to answer from, ingested within the run */
    size_t document_count;
    enum tl_optimize optimize;
    const char *const *passes;    /* after those of the configuration: "-split_prefill" leaves a pass out, "+name" puts
                                     it back; name may be "all". TL_ERR_USAGE lists the names when one is unknown */
    size_t pass_count;
    uint64_t timeout_ms;          /* from now to the end of the run; 0: as configured (none by default) */
    double priority;              /* higher goes first among runs; 0 is usual */
    uint32_t flags;               /* enum tl_request_flags */

    /* Callbacks, each may be NULL; see "Callbacks" above. */
    void *context;
    /* A piece of the answer, whole UTF-8 sequences, in order; borrowed for the call. */
    void (*delta)(void *context, tl_run_id run, const char *text, size_t length);
    /* Something the user should know that is no failure, such as trimmed text; borrowed. */
    void (*notice)(void *context, tl_run_id run, const char *message);
    /* The run has ended, by whatever cause; `result` is borrowed. Called exactly once for each
     * submitted run, after its last delta. With `done` the runtime forgets the run after the
     * call; without it the result is kept until tl_runtime_wait fetches it. */
    void (*done)(void *context, tl_run_id run, enum tl_status status, const char *result);

    /* On whose behalf the run is, any text; NULL: "". Runs of different tenants share no result that is remembered,
     * so that none can tell by the time something takes what another has asked. */
    const char *tenant;
};

/* Checks the request, loads engines that are not loaded yet (then it blocks), plans and
 * starts a run. Whatever is wrong with the request is found here, before any work. Strings of
 * the request are copied. A callback may come before this function returns. */
enum tl_status tl_runtime_submit(struct tl_runtime *runtime, const struct tl_request *request, tl_run_id *run,
                                 struct tl_error *error);

/* Waits for the end of a run that has no `done` callback and gives its result once: *result (may
 * be NULL) is set to the JSON text, returned owned, also when the run failed. Returns how the run
 * ended; TL_ERR_NOT_FOUND for a run that is unknown or already fetched. */
enum tl_status tl_runtime_wait(struct tl_runtime *runtime, tl_run_id run, char **result, struct tl_error *error);

/* Ends a run: its engines stop within one quantum of work, its result says "cancelled" and keeps
 * the text so far. Does not wait. A run that has already ended is left as it is. */
void tl_runtime_cancel(struct tl_runtime *runtime, tl_run_id run);

#ifdef __cplusplus
}
#endif
#endif
