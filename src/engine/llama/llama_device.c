/* llama_device.c: start-up, model loading, threads and tokens; see llama_device.h. */
#include "engine/llama/llama_device.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/progress.h"
#include "base/str.h"
#include "base/utf8.h"

/* What llama.cpp last complained of on this thread: the reason for a failed load. */
static _Thread_local char last_complaint[256];

static void route_log(enum ggml_log_level level, const char *text, void *unused) {
    (void)unused;
    size_t length = strlen(text);
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        length--;
    if (length == 0 || level == GGML_LOG_LEVEL_CONT)
        return;
    if (level == GGML_LOG_LEVEL_ERROR)
        snprintf(last_complaint, sizeof last_complaint, "%.*s", (int)(length > 255 ? 255 : length), text);
    tl_log(TL_LOG_DEBUG, "llama.cpp: %.*s", (int)(length > 4000 ? 4000 : length), text);
}

static void start(void) {
    llama_log_set(route_log, NULL);
    llama_backend_init();
}

void tl_llama_start(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
}

/* ---- loading ---- */

enum { MOST_DEVICES = 16 };

static enum tl_status no_such_device(const char *name, size_t length, struct tl_error *error) {
    struct tl_str names = TL_STR_INIT;
    for (size_t i = 0; i < ggml_backend_dev_count(); i++)
        tl_str_printf(&names, "%s%s", i ? ", " : "", ggml_backend_dev_name(ggml_backend_dev_get(i)));
    enum tl_status status = tl_error_set(error, TL_ERR_INVALID, "llama.cpp has no device '%.*s' here, only: %s",
                                         (int)length, name, names.data);
    tl_str_fini(&names);
    return status;
}

/* Names to a list that ends with NULL. */
static enum tl_status find_devices(const char *names, ggml_backend_dev_t devices[MOST_DEVICES + 1],
                                   struct tl_error *error) {
    size_t count = 0;
    for (const char *at = names; *at;) {
        size_t length = strcspn(at, ",");
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        ggml_backend_dev_t device = ggml_backend_dev_by_name(name);
        if (!device)
            return no_such_device(at, length, error);
        if (count == MOST_DEVICES)
            return tl_error_set(error, TL_ERR_INVALID, "at most %d devices can be named", MOST_DEVICES);
        devices[count++] = device;
        at += length;
        at += *at == ',';
        at += strspn(at, " ");
    }
    devices[count] = NULL;
    return TL_OK;
}

/* A model being loaded. */
struct loader {
    struct tl_str what;
    int percent; /* last reported */
};

static bool report_progress(float share, void *context) {
    struct loader *loader = context;
    int percent = (int)(100 * share);
    if (percent > loader->percent)
        tl_progress_report(loader->what.data, (double)share);
    loader->percent = percent;
    return true;
}

static struct llama_model *load_reporting(const char *path, struct llama_model_params params) {
    struct loader loader = {.what = TL_STR_INIT, .percent = -1};
    char *name = tl_llama_model_name(path);
    tl_str_printf(&loader.what, "loading %s", name);
    params.progress_callback = report_progress;
    params.progress_callback_user_data = &loader;
    struct llama_model *model = llama_model_load_from_file(path, params);
    tl_mem_free(name);
    tl_str_fini(&loader.what);
    return model;
}

enum tl_status tl_llama_load(const struct tl_llama_loading *loading, struct llama_model **model,
                             struct tl_error *error) {
    const char *path = loading->path;
    ggml_backend_dev_t devices[MOST_DEVICES + 1];
    *model = NULL;
    tl_llama_start();
    struct stat info;
    if (stat(path, &info) != 0)
        return tl_error_set(error, errno == ENOENT ? TL_ERR_NOT_FOUND : TL_ERR_IO, "model file '%s': %s", path,
                            strerror(errno));
    if (!S_ISREG(info.st_mode))
        return tl_error_set(error, TL_ERR_INVALID, "model file '%s' is not a regular file", path);
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = loading->vocab_only;
    params.n_gpu_layers = loading->gpu_layers;
    if (loading->gpu_devices && *loading->gpu_devices) {
        enum tl_status status = find_devices(loading->gpu_devices, devices, error);
        if (status != TL_OK)
            return status;
        params.devices = devices;
    }
    last_complaint[0] = '\0';
    *model = loading->vocab_only ? llama_model_load_from_file(path, params) : load_reporting(path, params);
    if (!*model)
        return tl_error_set(error, TL_ERR_CORRUPT, "model file '%s' cannot be loaded%s%s", path,
                            last_complaint[0] ? ": " : "", last_complaint);
    if (llama_vocab_type(llama_model_get_vocab(*model)) == LLAMA_VOCAB_TYPE_NONE) { /* to tokenise by it would abort */
        llama_model_free(*model);
        *model = NULL;
        return tl_error_set(error, TL_ERR_INVALID, "model file '%s' has no vocabulary", path);
    }
    return TL_OK;
}

/* ---- threads ---- */

/* True when `cpu` is the first allowed one of its core's hardware threads. */
static bool is_first_of_core(int cpu, const cpu_set_t *allowed) {
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    char list[256];
    char *got = fgets(list, sizeof list, file);
    fclose(file);
    if (!got)
        return true;
    for (const char *at = list; *at >= '0' && *at <= '9';) { /* "0-1" or "0,4" */
        char *end;
        long first = strtol(at, &end, 10), last = first;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (long sibling = first; sibling <= last && sibling < CPU_SETSIZE; sibling++)
            if (sibling >= 0 && CPU_ISSET((size_t)sibling, allowed))
                return sibling == cpu;
        at = *end == ',' ? end + 1 : end;
    }
    return true;
}

/* Whole cores of the control group's quota (cgroup v2); 0 when there is none. */
static int32_t quota_cores(void) {
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!file)
        return 0;
    long quota = 0, period = 0;
    int fields = fscanf(file, "%ld %ld", &quota, &period);
    fclose(file);
    if (fields != 2 || quota <= 0 || period <= 0)
        return 0;
    long cores = (quota + period - 1) / period;
    return cores > GGML_MAX_N_THREADS ? GGML_MAX_N_THREADS : (int32_t)cores;
}

int32_t tl_llama_default_threads(void) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    int32_t cores = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
            if (CPU_ISSET((size_t)cpu, &allowed) && is_first_of_core(cpu, &allowed))
                cores++;
    int32_t quota = quota_cores();
    if (quota > 0 && quota < cores)
        cores = quota;
    if (cores > GGML_MAX_N_THREADS)
        cores = GGML_MAX_N_THREADS;
    return cores > 0 ? cores : 1;
}

enum tl_status tl_llama_attach_pool(struct llama_context *context, int32_t threads, struct ggml_threadpool **pool,
                                    struct tl_error *error) {
    struct ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    params.poll = 0;
    *pool = ggml_threadpool_new(&params);
    if (!*pool)
        return tl_error_set(error, TL_ERR_NO_MEMORY, "cannot start a pool of %d compute threads", (int)threads);
    llama_set_n_threads(context, threads, threads);
    llama_attach_threadpool(context, *pool, *pool);
    return TL_OK;
}

char *tl_llama_model_name(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t length = strlen(name);
    if (tl_str_ends_with(name, ".gguf"))
        length -= strlen(".gguf");
    return tl_mem_strndup(name, length);
}

/* ---- tokens ---- */

void tl_llama_tokens_fini(struct tl_llama_tokens *tokens) {
    tl_mem_free(tokens->ids);
    *tokens = (struct tl_llama_tokens){0};
}

void tl_llama_tokens_push(struct tl_llama_tokens *tokens, llama_token id) {
    tokens->ids = tl_mem_grow(tokens->ids, &tokens->capacity, tokens->count + 1, sizeof *tokens->ids);
    tokens->ids[tokens->count++] = id;
}

void tl_llama_tokens_append(struct tl_llama_tokens *tokens, const llama_token *ids, size_t count) {
    if (count == 0)
        return;
    tokens->ids = tl_mem_grow(tokens->ids, &tokens->capacity, tokens->count + count, sizeof *tokens->ids);
    memcpy(tokens->ids + tokens->count, ids, count * sizeof *ids);
    tokens->count += count;
}

/* The library counts in int32_t: longer texts are cut here, at a border between characters. */
#define TOKENIZE_MAX ((size_t)1 << 28)

enum tl_status tl_llama_tokenize(const struct llama_vocab *vocab, const char *text, size_t length, bool parse_special,
                                 struct tl_llama_tokens *out) {
    while (length > 0) {
        size_t part = length <= TOKENIZE_MAX ? length : tl_utf8_border(text, length, TOKENIZE_MAX);
        if (part == 0)
            part = TOKENIZE_MAX; /* no border in 256 MiB: not text, any place will do */
        size_t room = part / 3 + 16;
        for (;;) {
            if (out->capacity - out->count < room)
                out->ids = tl_mem_grow(out->ids, &out->capacity, out->count + room, sizeof *out->ids);
            int32_t count =
                llama_tokenize(vocab, text, (int32_t)part, out->ids + out->count, (int32_t)room, false, parse_special);
            if (count == INT32_MIN)
                return TL_ERR_NO_MEMORY;
            if (count >= 0) {
                out->count += (size_t)count;
                break;
            }
            room = (size_t) - (int64_t)count;
        }
        text += part;
        length -= part;
    }
    return TL_OK;
}
