/* loop_bench: what the runtime itself costs: time per primitive from ready to the next one's being ready, and what it
 * does when there is nothing to do.
 *
 *     loop_bench [--runs=N] [--clients=N] [--idle=SECONDS]      default: 300 runs, 32 clients, 10 seconds
 *
 * Engines are emulated ones that take no time, each on a thread of its own, so all that is left is the runtime: the
 * scheduler, handing over to the engine's thread, and the message back. A run is a chain of primitives in which each
 * waits for the one before. First one run at a time, by the times in results; then many at once, by the processor's time;
 * then none, by the context switches of each thread. */
#include <dirent.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "bench/summary.h"
#include "teola/teola.h"

enum { LINKS = 10, /* of a chain: embed, search, prefill, decode */
       PRIMITIVES = 4 * LINKS,
       WARM = 20 };

static const char config[] = "engines:\n"
                             "  embedder: {type: emulated, device: embedder, scale: 0}\n"
                             "  store: {type: emulated, device: store, scale: 0}\n"
                             "  llm: {type: emulated, device: llm, scale: 0}\n"
                             "memo_bytes: 0\n"
                             "prewarm: false\n";

static void write_workflow(struct tl_str *text) {
    tl_str_puts(text, "name: chain\n"
                      "inputs: {question: text, documents: {type: documents, optional: true}}\n"
                      "steps:\n"
                      "  - {id: index, module: index, documents: $documents}\n");
    for (unsigned i = 0; i < LINKS; i++) {
        tl_str_printf(text, "  - {id: find%u, module: search, collection: $index.collection, mode: vector, ", i);
        tl_str_puts(text, "top_k: 1, queries: ");
        if (i == 0)
            tl_str_puts(text, "$question");
        else
            tl_str_printf(text, "$say%u.text", i - 1);
        tl_str_printf(text,
                      "}\n  - {id: say%u, module: generate, max_tokens: 1, prompt: \"{passages}\", "
                      "inputs: {passages: $find%u.hits}}\n",
                      i, i);
    }
    tl_str_printf(text, "outputs: {answer: $say%u.text}\n", LINKS - 1);
}

struct bench {
    struct tl_runtime *runtime;
    tl_workflow_id workflow;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t running, failed;
};

static struct tl_request request_of(const struct bench *bench) {
    return (struct tl_request){.size = sizeof(struct tl_request),
                               .workflow = bench->workflow,
                               .inputs = "{\"question\": \"why\"}",
                               .collection = "library",
                               .optimize = TL_OPTIMIZE_OFF};
}

/* ---- one at a time ---- */

struct gaps {
    double *whole, *waited, *held, *between; /* us */
    size_t count;
};

static int by_ready(const void *a, const void *b) {
    double x = json_number_value(json_object_get(*(json_t *const *)a, "ready_ms"));
    double y = json_number_value(json_object_get(*(json_t *const *)b, "ready_ms"));
    return (x > y) - (x < y);
}

static double ms_of(const json_t *item, const char *name) { return json_number_value(json_object_get(item, name)); }

static void take_gaps(const json_t *result, struct gaps *gaps) {
    const json_t *items = json_object_get(result, "items");
    size_t count = json_array_size(items);
    if (count != PRIMITIVES) TL_BUG("%zu primitives, expected %d", count, PRIMITIVES);
    json_t *sorted[PRIMITIVES];
    for (size_t i = 0; i < count; i++) sorted[i] = json_array_get(items, i);
    qsort(sorted, count, sizeof sorted[0], by_ready);
    for (size_t i = 0; i + 1 < count; i++) {
        double ready = ms_of(sorted[i], "ready_ms"), start = ms_of(sorted[i], "start_ms");
        double end = ms_of(sorted[i], "end_ms"), next = ms_of(sorted[i + 1], "ready_ms");
        gaps->whole[gaps->count] = 1000 * (next - ready);
        gaps->waited[gaps->count] = 1000 * (start - ready);
        gaps->held[gaps->count] = 1000 * (end - start);
        gaps->between[gaps->count++] = 1000 * (next - end);
    }
}

static void put_gaps(const char *what, double *values, size_t count) {
    printf("| %-42s | %7.1f | %7.1f | %7.1f |\n", what, tl_bench_percentile(values, count, 0.5),
           tl_bench_percentile(values, count, 0.95), tl_bench_percentile(values, count, 0.99));
}

static void measure_chain(const struct bench *bench, size_t runs) {
    size_t most = runs * PRIMITIVES;
    struct gaps gaps = {tl_mem_alloc(most * sizeof(double)), tl_mem_alloc(most * sizeof(double)),
                        tl_mem_alloc(most * sizeof(double)), tl_mem_alloc(most * sizeof(double)), 0};
    for (size_t i = 0; i < WARM + runs; i++) {
        struct tl_request request = request_of(bench);
        struct tl_error error;
        tl_run_id run;
        char *text = NULL;
        request.flags = TL_REQUEST_ITEMS;
        if (tl_runtime_submit(bench->runtime, &request, &run, &error) != TL_OK ||
            tl_runtime_wait(bench->runtime, run, &text, &error) != TL_OK)
            TL_BUG("%s", error.message);
        json_t *result = json_loads(text, 0, NULL);
        if (i >= WARM) take_gaps(result, &gaps);
        json_decref(result);
        tl_free(text);
    }
    printf("| one run at a time, us                      |     p50 |     p95 |     p99 |\n|---|--:|--:|--:|\n");
    put_gaps("ready to the next one's ready", gaps.whole, gaps.count);
    put_gaps("of this: until the engine is given it", gaps.waited, gaps.count);
    put_gaps("with the engine's thread and back", gaps.held, gaps.count);
    put_gaps("until the next is ready", gaps.between, gaps.count);
    tl_mem_free(gaps.whole);
    tl_mem_free(gaps.waited);
    tl_mem_free(gaps.held);
    tl_mem_free(gaps.between);
}

/* ---- many at once ---- */

static void on_done(void *context, tl_run_id run, enum tl_status status, const char *result) {
    struct bench *bench = context;
    (void)run, (void)result;
    pthread_mutex_lock(&bench->lock);
    bench->running--;
    bench->failed += status != TL_OK;
    pthread_cond_signal(&bench->changed);
    pthread_mutex_unlock(&bench->lock);
}

static double cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void measure_crowd(struct bench *bench, size_t runs, size_t clients) {
    struct rusage before, after;
    double cpu = cpu_us();
    uint64_t began = tl_clock_now();
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < runs; i++) {
        struct tl_request request = request_of(bench);
        struct tl_error error;
        tl_run_id run;
        request.context = bench;
        request.done = on_done;
        pthread_mutex_lock(&bench->lock);
        while (bench->running >= clients) pthread_cond_wait(&bench->changed, &bench->lock);
        bench->running++;
        pthread_mutex_unlock(&bench->lock);
        if (tl_runtime_submit(bench->runtime, &request, &run, &error) != TL_OK) TL_BUG("%s", error.message);
    }
    pthread_mutex_lock(&bench->lock);
    while (bench->running > 0) pthread_cond_wait(&bench->changed, &bench->lock);
    pthread_mutex_unlock(&bench->lock);
    getrusage(RUSAGE_SELF, &after);
    double primitives = (double)runs * PRIMITIVES;
    if (bench->failed > 0) TL_BUG("%zu runs failed", bench->failed);
    printf("\n%zu clients: %.1f us of the processor per primitive (engines, planning and results included), %.0f "
           "primitives a second, %.2f context switches each\n",
           clients, (cpu_us() - cpu) / primitives, primitives / ((double)(tl_clock_now() - began) / 1e9),
           (double)(after.ru_nvcsw - before.ru_nvcsw + after.ru_nivcsw - before.ru_nivcsw) / primitives);
}

/* ---- none ---- */

enum { MOST_THREADS = 64 };

struct threads {
    char id[MOST_THREADS][16];
    unsigned long woken[MOST_THREADS];
    size_t count;
};

/* How often each thread of this process has slept and woken up. */
static void count_wakes(struct threads *threads) {
    DIR *directory = opendir("/proc/self/task");
    threads->count = 0;
    if (!directory) TL_BUG("/proc/self/task cannot be read");
    for (struct dirent *entry; (entry = readdir(directory)) && threads->count < MOST_THREADS;) {
        char path[300], line[256];
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file) continue;
        snprintf(threads->id[threads->count], sizeof threads->id[0], "%.15s", entry->d_name);
        while (fgets(line, sizeof line, file))
            if (strncmp(line, "voluntary_ctxt_switches:", 24) == 0)
                threads->woken[threads->count] = strtoul(line + 24, NULL, 10);
        fclose(file);
        threads->count++;
    }
    closedir(directory);
}

static void measure_idle(unsigned seconds) {
    struct threads before, after;
    char own[16];
    nanosleep(&(struct timespec){.tv_nsec = 200 * 1000 * 1000}, NULL); /* the last run's threads go to sleep */
    double cpu = cpu_us();
    count_wakes(&before);
    snprintf(own, sizeof own, "%d", (int)getpid()); /* this thread, which sleeps once */
    sleep(seconds);
    count_wakes(&after);
    unsigned long woken = 0;
    size_t threads = 0;
    for (size_t i = 0; i < after.count; i++)
        for (size_t k = 0; k < before.count; k++)
            if (strcmp(after.id[i], before.id[k]) == 0 && strcmp(after.id[i], own) != 0) {
                woken += after.woken[i] - before.woken[k];
                threads++;
            }
    printf("idle for %u s: %lu wake-ups of %zu threads, %.0f us of the processor\n", seconds, woken, threads,
           cpu_us() - cpu);
}

int main(int argc, char **argv) {
    static const struct option known[] = {{"runs", required_argument, NULL, 'r'},
                                          {"clients", required_argument, NULL, 'c'},
                                          {"idle", required_argument, NULL, 'i'},
                                          {NULL, 0, NULL, 0}};
    struct bench bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    size_t runs = 300, clients = 32;
    unsigned idle = 10;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        unsigned long value = optarg ? strtoul(optarg, NULL, 10) : 0;
        if (option == '?' || value == 0 || value > 1000000) {
            fprintf(stderr, "usage: loop_bench [--runs=N] [--clients=N] [--idle=SECONDS]\n");
            return 2;
        }
        if (option == 'r') runs = value;
        if (option == 'c') clients = value;
        if (option == 'i') idle = (unsigned)value;
    }
    const struct tl_runtime_options options = {.size = sizeof options, .config_text = config};
    struct tl_error error;
    struct tl_str text = TL_STR_INIT;
    write_workflow(&text);
    if (tl_runtime_open(&options, &bench.runtime, &error) != TL_OK ||
        tl_runtime_load_workflow_text(bench.runtime, text.data, text.length, "chain", NULL, &bench.workflow, &error) !=
            TL_OK) {
        fprintf(stderr, "loop_bench: %s\n", error.message);
        return 1;
    }
    measure_chain(&bench, runs);
    measure_crowd(&bench, runs * 10, clients);
    measure_idle(idle);
    tl_runtime_close(bench.runtime);
    tl_str_fini(&text);
    return 0;
}
