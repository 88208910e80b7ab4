/* cmd_bench_workflow.c: `teola bench workflow`: a load of questions through a workflow, at several rates and in several
 * ways in turn, and how long the answers took. */
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "bench/workflow_summary.h"
#include "cli/bench_workflow.h"
#include "cli/commands.h"
#include "cli/inputs.h"

#define NAME "bench workflow"

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

/* ---- one arm, open ---- */

struct arm {
    struct tl_runtime *runtime;
    struct tl_bench_workflow workflow;
    struct tl_cli_list settings, passes;
    char **inputs; /* a JSON text for each question */
    size_t input_count;
    struct tl_bench_target *target;
};

static enum tl_status make_inputs(const struct tl_bench_workflow_options *options, const struct tl_workflow *workflow,
                                  struct arm *arm, struct tl_error *error) {
    size_t count = options->questions.count > 0 ? options->questions.count : 1;
    enum tl_status status = TL_OK;
    arm->inputs = tl_mem_zalloc(count * sizeof *arm->inputs);
    for (size_t i = 0; i < count && status == TL_OK; i++) {
        const char *question = options->questions.count > 0 ? options->questions.items[i] : NULL;
        json_t *inputs = json_object();
        for (size_t k = 0; k < options->inputs.count && status == TL_OK; k++)
            status = tl_cli_add_given_input(workflow, inputs, options->inputs.items[k], error);
        if (question && status == TL_OK)
            status = tl_cli_add_input(workflow, inputs, "question", question, strlen(question), error);
        if (status == TL_OK)
            arm->inputs[arm->input_count++] = json_dumps(inputs, JSON_COMPACT);
        json_decref(inputs);
    }
    return status;
}

static void close_arm(struct arm *arm) {
    if (arm->target)
        arm->target->close(arm->target);
    tl_runtime_close(arm->runtime);
    for (size_t i = 0; i < arm->input_count; i++)
        free(arm->inputs[i]);
    tl_mem_free(arm->inputs);
    tl_cli_list_fini(&arm->settings);
    tl_cli_list_fini(&arm->passes);
}

static void join(const struct tl_cli_list *first, const struct tl_cli_list *second, struct tl_cli_list *all) {
    for (size_t i = 0; i < first->count; i++)
        tl_cli_list_add(all, first->items[i]);
    for (size_t i = 0; i < second->count; i++)
        tl_cli_list_add(all, second->items[i]);
}

/* Opens the runtime with its engines. Signals are this thread's alone. Returns TL_EXIT_DONE or the exit status; close in
 * any case. */
static int open_arm(const struct tl_bench_workflow_options *options, const struct tl_cli_arm *given, struct arm *arm) {
    struct tl_error error;
    tl_workflow_id workflow = 0;
    sigset_t set, former;
    *arm = (struct arm){0};
    join(&options->shape.settings, &given->settings, &arm->settings);
    join(&options->shape.passes, &given->passes, &arm->passes);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, &former);
    int result = TL_EXIT_DONE;
    if (tl_cli_open_runtime(options->shape.config, &arm->settings, &arm->runtime, &error) != TL_OK)
        result = tl_cli_fail(NAME, &error);
    if (result == TL_EXIT_DONE)
        result = tl_cli_load_workflow(NAME, arm->runtime, options->workflow, &workflow);
    if (result == TL_EXIT_DONE &&
        make_inputs(options, tl_runtime_workflow(arm->runtime, workflow), arm, &error) != TL_OK)
        result = tl_cli_fail(NAME, &error);
    if (result == TL_EXIT_DONE) {
        arm->workflow = (struct tl_bench_workflow){
            .runtime = arm->runtime,
            .request = {.workflow = workflow,
                        .collection = options->collection,
                        .documents = options->docs.items,
                        .document_count = options->docs.count,
                        .optimize = given->optimize,
                        .passes = arm->passes.items,
                        .pass_count = arm->passes.count,
                        .timeout_ms = options->timeout_ms},
            .inputs = (const char *const *)arm->inputs,
            .input_count = arm->input_count,
        };
        arm->target = tl_bench_workflow_target_open(&arm->workflow);
        if (arm->target->prepare(arm->target, NULL, &error) != TL_OK)
            result = tl_cli_fail(NAME, &error);
    }
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    return result;
}

/* ---- the passes ---- */

struct point {
    double rate; /* or number of clients */
    struct tl_bench_workflow_summary *passes;
    struct tl_runtime_counters *counters;
    json_t **each; /* of each pass; NULL where it is not asked for */
};

static const char *first_failure(const struct tl_bench_drive *drive) {
    for (size_t i = 0; i < drive->load->count; i++)
        if (drive->records[i].failed)
            return drive->records[i].message;
    return NULL;
}

/* The first failure ends the whole measurement: what is wrong with one question is usually wrong with all. */
static enum tl_status warm_up(const struct tl_bench_workflow_options *options, struct arm *arm,
                              struct tl_error *error) {
    const struct tl_bench_mix mix = {.requests = options->warmup, .concurrency = 1, .prompt = {1, 1}, .output = {1, 1}};
    struct tl_bench_load load;
    struct tl_bench_drive drive = {0};
    if (options->warmup == 0)
        return TL_OK;
    enum tl_status status = tl_bench_load_make(&mix, 0, 0, &load, error);
    if (status == TL_OK)
        status = tl_bench_drive_run(&drive, &load, 1, arm->target, &interrupted, error);
    if (status == TL_OK && first_failure(&drive)) {
        status = tl_bench_workflow_outcomes(arm->target)[0].status;
        tl_error_set(error, status ? status : TL_ERR_ENGINE, "%s", first_failure(&drive));
        status = error->status;
    }
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
    return status;
}

static struct tl_bench_mix mix_of(const struct tl_bench_workflow_options *options, double point) {
    struct tl_bench_mix mix = {.requests = options->requests, .prompt = {1, 1}, .output = {1, 1}};
    if (options->closed)
        mix.concurrency = (uint32_t)point;
    else
        mix.rate = point;
    if (options->duration_ms > 0) {
        double count = ceil(point * (double)options->duration_ms / 1000);
        mix.requests = count < TL_BENCH_MOST_REQUESTS ? (uint32_t)count : TL_BENCH_MOST_REQUESTS;
    }
    return mix;
}

static enum tl_status measure(const struct tl_bench_workflow_options *options, struct arm *arm, struct point *point,
                              uint32_t number, struct tl_error *error) {
    const struct tl_bench_mix mix = mix_of(options, point->rate);
    struct tl_bench_load load;
    struct tl_bench_drive drive = {0};
    struct tl_runtime_counters before, after;
    enum tl_status status = tl_bench_load_make(&mix, (uint64_t)options->seed + number, 0, &load, error);
    tl_runtime_get_counters(arm->runtime, &before);
    if (status == TL_OK)
        status = tl_bench_drive_run(&drive, &load, mix.concurrency, arm->target, &interrupted, error);
    if (status == TL_OK) {
        const struct tl_bench_outcome *outcomes = tl_bench_workflow_outcomes(arm->target);
        tl_runtime_get_counters(arm->runtime, &after);
        tl_bench_workflow_summarize(&drive, outcomes, &point->passes[number]);
        point->counters[number] = (struct tl_runtime_counters){
            .messages = after.messages - before.messages,
            .wakes = after.wakes - before.wakes,
            .plans_cached = after.plans_cached - before.plans_cached,
            .plans_made = after.plans_made - before.plans_made,
            .prefixes_warmed = after.prefixes_warmed,
        };
        if (options->each)
            point->each[number] = tl_bench_workflow_each_json(&drive, outcomes);
        if (first_failure(&drive))
            fprintf(stderr, "teola " NAME ": not all questions were answered, the first: %s\n", first_failure(&drive));
    }
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
    return status;
}

static int pass(const struct tl_bench_workflow_options *options, const struct tl_cli_arm *given, struct point *point,
                uint32_t number) {
    struct arm arm;
    struct tl_error error;
    int result = open_arm(options, given, &arm);
    if (result == TL_EXIT_DONE) {
        enum tl_status status = warm_up(options, &arm, &error);
        if (status == TL_OK)
            status = measure(options, &arm, point, number, &error);
        if (status != TL_OK)
            result = tl_cli_fail(NAME, &error);
        else if (!options->quiet)
            fprintf(stderr, "%s %g, %s, pass %u of %u: %.1f s, mean %.0f ms\n", options->closed ? "clients" : "rate",
                    point->rate, given->name, number + 1, options->repeats, point->passes[number].seconds,
                    point->passes[number].mean);
    }
    close_arm(&arm);
    return result;
}

/* ---- output ---- */

static struct tl_bench_workflow_summary median_of(const struct tl_bench_workflow_options *options,
                                                  const struct point *point) {
    struct tl_bench_workflow_summary median;
    tl_bench_workflow_median(point->passes, options->repeats, &median);
    return median;
}

static json_t *pass_json(const struct point *point, uint32_t number) {
    const struct tl_runtime_counters *counters = &point->counters[number];
    json_t *json = tl_bench_workflow_summary_json(&point->passes[number]);
    json_object_set_new(json, "loop_messages", json_integer((json_int_t)counters->messages));
    json_object_set_new(json, "loop_wakes", json_integer((json_int_t)counters->wakes));
    json_object_set_new(json, "plans_made", json_integer((json_int_t)counters->plans_made));
    json_object_set_new(json, "plans_cached", json_integer((json_int_t)counters->plans_cached));
    json_object_set_new(json, "prefixes_warmed", json_integer((json_int_t)counters->prefixes_warmed));
    if (point->each[number])
        json_object_set(json, "each", point->each[number]);
    return json;
}

static void print_json(const struct tl_bench_workflow_options *options, const struct point *points) {
    json_t *json = json_pack("{s:s, s:i, s:i, s:i}", "workflow", options->workflow, "questions",
                             (int)options->questions.count, "warmup", (int)options->warmup, "seed", (int)options->seed);
    json_t *all = json_array();
    for (size_t i = 0; i < options->point_count * options->arm_count; i++) {
        const struct point *point = &points[i];
        struct tl_bench_workflow_summary median = median_of(options, point);
        json_t *one = json_pack("{s:s, s:f, s:i, s:o}", "arm", options->arms[i % options->arm_count].name,
                                options->closed ? "concurrency" : "rate", point->rate, "requests",
                                (int)mix_of(options, point->rate).requests, "median",
                                tl_bench_workflow_summary_json(&median));
        json_t *passes = json_array();
        for (uint32_t k = 0; k < options->repeats; k++)
            json_array_append_new(passes, pass_json(point, k));
        json_object_set_new(one, "passes", passes);
        json_array_append_new(all, one);
    }
    json_object_set_new(json, "points", all);
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    puts(text ? text : "{}");
    free(text);
    json_decref(json);
}

static void print_text(const struct tl_bench_workflow_options *options, const struct point *points) {
    int wide = 4;
    for (size_t i = 0; i < options->arm_count; i++)
        if ((int)strlen(options->arms[i].name) > wide)
            wide = (int)strlen(options->arms[i].name);
    printf("%8s  %-*s  %5s %4s  %8s %8s %8s %8s  %8s  %6s  %6s  %9s %9s %9s\n", options->closed ? "clients" : "rate",
           wide, "arm", "done", "not", "mean ms", "p50", "p95", "p99", "first ms", "per s", "own ms", "computed",
           "reused", "remember");
    for (size_t i = 0; i < options->point_count * options->arm_count; i++) {
        struct tl_bench_workflow_summary m = median_of(options, &points[i]);
        printf("%8g  %-*s  %5.0f %4.0f  %8.0f %8.0f %8.0f %8.0f  %8.0f  %6.2f  %6.2f  %9.0f %9.0f %9.0f\n",
               points[i].rate, wide, options->arms[i % options->arm_count].name, m.done,
               m.failed + m.refused + m.expired, m.mean, m.p50, m.p95, m.p99, m.first_mean, m.rate, m.overhead,
               m.computed, m.reused, m.remembered);
    }
    printf(
        "first: mean time to the first text; own: the runtime's own work on a query; computed, reused: prompt tokens;\n"
        "remember: texts, searches and so on that earlier queries had computed%s\n",
        options->repeats > 1 ? "; medians of the passes" : "");
    for (size_t i = 0; i < options->point_count * options->arm_count; i++) {
        struct tl_bench_workflow_summary m = median_of(options, &points[i]);
        if (m.failed + m.refused + m.expired > 0)
            printf("%g, %s: %.0f failed, %.0f refused, %.0f expired\n", points[i].rate,
                   options->arms[i % options->arm_count].name, m.failed, m.refused, m.expired);
        if (m.late > 5)
            printf("%g, %s: questions were sent late (95th percentile %.0f ms): this machine is too busy to measure\n",
                   points[i].rate, options->arms[i % options->arm_count].name, m.late);
    }
}

/* ---- all of it ---- */

static struct point *make_points(const struct tl_bench_workflow_options *options, size_t count) {
    struct point *points = tl_mem_zalloc(count * sizeof *points);
    for (size_t i = 0; i < count; i++) {
        points[i].rate = options->points[i / options->arm_count];
        points[i].passes = tl_mem_zalloc(options->repeats * sizeof *points[i].passes);
        points[i].counters = tl_mem_zalloc(options->repeats * sizeof *points[i].counters);
        points[i].each = tl_mem_zalloc(options->repeats * sizeof *points[i].each);
    }
    return points;
}

static void free_points(const struct tl_bench_workflow_options *options, struct point *points, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < options->repeats; k++)
            json_decref(points[i].each[k]);
        tl_mem_free(points[i].passes);
        tl_mem_free(points[i].counters);
        tl_mem_free(points[i].each);
    }
    tl_mem_free(points);
}

static bool all_answered(const struct tl_bench_workflow_options *options, const struct point *points, size_t count) {
    bool all = true;
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < options->repeats; k++)
            all = all && points[i].passes[k].failed <= 0;
    return all;
}

static int run(const struct tl_bench_workflow_options *options) {
    size_t count = options->point_count * options->arm_count;
    struct point *points = make_points(options, count);
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, former;
    sigemptyset(&action.sa_mask);
    interrupted = 0;
    sigaction(SIGINT, &action, &former);
    int result = TL_EXIT_DONE;
    for (size_t first = 0; first < count && result == TL_EXIT_DONE; first += options->arm_count)
        for (uint32_t number = 0; number < options->repeats && result == TL_EXIT_DONE; number++)
            for (size_t i = 0; i < options->arm_count && result == TL_EXIT_DONE; i++)
                result = pass(options, &options->arms[i], &points[first + i], number);
    sigaction(SIGINT, &former, NULL);
    if (result == TL_EXIT_DONE) {
        if (options->json)
            print_json(options, points);
        else
            print_text(options, points);
        result = all_answered(options, points, count) ? TL_EXIT_DONE : TL_EXIT_FAILED;
    }
    free_points(options, points, count);
    return result;
}

int tl_cmd_bench_workflow(int argc, char **argv) {
    struct tl_bench_workflow_options options;
    int result = tl_bench_workflow_read(argc, argv, &options);
    if (result < 0)
        result = run(&options);
    tl_bench_workflow_fini(&options);
    return result;
}
