/* evaluation: a load of queries on emulated engines in virtual time: each query's latency.
 *
 *     evaluation [OPTIONS] < LOAD
 *         --optimize=LEVEL    off, paper or cost (default)
 *         --pass=-NAME        leaves a pass of the optimizer out, --pass=+NAME puts it back; may be repeated
 *         --policy=NAME       critical_path (default), fifo, topology, throughput, per_invocation
 *         --set=E.S=JSON      a setting of an engine of the profile, as llm.prefix_cache=true; may be repeated
 *         --story=NUMBER      prints the primitives of that query instead, and of those that were there with it
 *
 * LOAD has a line "MILLISECONDS QUERY" for each query in order of arrival; QUERY is bench/emulated/QUERY.graph, which is
 * given a question and 48 chunks of its own. Engines are those of bench/emulated/rtx3090.json, each instance on a device
 * of its own. Prints a line "QUERY ARRIVAL LATENCY" (ms) for each, then "# ENGINE BUSY" for each instance, the share of
 * the time until the last query's end. evaluation.py makes loads, runs this and draws what comes of it. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "choice/choice.h"
#include "emulated/profile_machine.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "runtime/config.h"
#include "sched/policy.h"
#include "sim/sim.h"

enum { CHUNKS = 48,
       CHUNK_TOKENS = 256,
       QUESTION_TOKENS = 20,
       BYTES_PER_TOKEN = 4,
       MEMO_BYTES = 64 << 20,
       MOST_PASSES = 32,
       MOST_SETTINGS = 32,
       MOST_CLASSES = 32 };

static const char *const queries[] = {"advanced", "naive"};
enum { QUERIES = sizeof queries / sizeof queries[0] };

struct record {
    unsigned query;
    uint64_t arrival, latency;
};

struct evaluation {
    enum tl_optimize level;
    const char *passes[MOST_PASSES], *settings[MOST_SETTINGS];
    size_t pass_count, setting_count;
    const struct tl_policy *policy;
    uint64_t story; /* number of a query; 0: none */
    struct tl_sim *sim;
    json_t *profile; /* with the settings that were given */
    struct profile_machine machine;
    /* By the class of what is under way (choice/choice.h); of levels other than cost there is one. */
    struct tl_plan *plans[QUERIES][MOST_CLASSES];
    uint64_t classes[MOST_CLASSES];
    size_t class_count;
    uint32_t running;
    struct record *records;
    size_t count, capacity;
};

static char *path_of(const char *name, const char *ending) {
    struct tl_str path = TL_STR_INIT;
    tl_str_printf(&path, "%s/bench/emulated/%s%s", TEOLA_SOURCE_DIR, name, ending);
    return tl_str_detach(&path);
}

/* ---- inputs ---- */

/* Words of three letters: a token each. `salt` makes texts differ. */
static void put_words(unsigned tokens, uint64_t salt, struct tl_str *text) {
    static const char *const known[] = {"ash", "bay", "cay", "den", "elm", "fen", "gap", "hut", "ice", "jet", "key"};
    uint64_t state = salt * UINT64_C(6364136223846793005) + 1442695040888963407u;
    tl_str_clear(text);
    for (unsigned i = 0; i < tokens; i++) {
        state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
        tl_str_puts(text, known[(state >> 33) % (sizeof known / sizeof known[0])]);
        tl_str_putc(text, ' ');
    }
    TL_ASSERT(text->length == (size_t)tokens * BYTES_PER_TOKEN);
}

static struct tl_value *make_question(uint64_t number) {
    struct tl_str text = TL_STR_INIT;
    put_words(QUESTION_TOKENS, number * (CHUNKS + 1), &text);
    struct tl_value *value = tl_value_text(text.data, text.length);
    tl_str_fini(&text);
    return value;
}

static struct tl_value *make_chunks(uint64_t number) {
    struct tl_value *items[CHUNKS];
    struct tl_str text = TL_STR_INIT;
    for (unsigned i = 0; i < CHUNKS; i++) {
        char id[48];
        put_words(CHUNK_TOKENS, number * (CHUNKS + 1) + 1 + i, &text);
        snprintf(id, sizeof id, "%016" PRIx64 ":%u", number, i);
        items[i] = tl_value_chunk(&(struct tl_chunk){.id = id,
                                                     .uri = "document",
                                                     .title = "",
                                                     .heading = "",
                                                     .text = text.data,
                                                     .length = text.length,
                                                     .ordinal = i,
                                                     .tokens = CHUNK_TOKENS});
    }
    tl_str_fini(&text);
    return tl_value_list(TL_TYPE_OF(CHUNK, 0), items, CHUNKS);
}

/* ---- engines and plans ---- */

/* The profile with the settings that were given. */
static json_t *load_profile(const struct evaluation *evaluation) {
    char *path = path_of("rtx3090", ".json");
    json_error_t where;
    json_t *profile = json_load_file(path, 0, &where);
    if (!profile) TL_BUG("%s:%d: %s", path, where.line, where.text);
    for (size_t i = 0; i < evaluation->setting_count; i++) {
        const char *setting = evaluation->settings[i];
        const char *dot = strchr(setting, '.'), *equals = dot ? strchr(dot, '=') : NULL;
        char *engine = equals ? tl_mem_strndup(setting, (size_t)(dot - setting)) : NULL;
        char *name = equals ? tl_mem_strndup(dot + 1, (size_t)(equals - dot - 1)) : NULL;
        json_t *value = equals ? json_loads(equals + 1, JSON_DECODE_ANY, NULL) : NULL;
        json_t *settings = engine ? json_object_get(json_object_get(profile, engine), "settings") : NULL;
        if (!value || !settings) {
            fprintf(stderr, "evaluation: --set is ENGINE.SETTING=JSON of the profile, not '%s'\n", setting);
            exit(2);
        }
        json_object_set_new(settings, name, value);
        tl_mem_free(engine);
        tl_mem_free(name);
    }
    tl_mem_free(path);
    return profile;
}

/* Each instance is on a device of its own. */
static void furnish(struct evaluation *evaluation) {
    struct tl_choice_machine *machine = &evaluation->machine.machine;
    profile_machine_init(&evaluation->machine, evaluation->profile, tl_sim_cost(evaluation->sim));
    machine->policy = evaluation->policy;
    for (size_t e = 0; e < machine->count; e++)
        for (uint32_t i = 0; i < machine->engines[e].instances; i++) {
            const struct tl_choice_engine *engine = &machine->engines[e];
            struct tl_error error;
            if (tl_sim_add_engine(evaluation->sim, engine->name, engine->settings,
                                  tl_sim_add_device(evaluation->sim, engine->devices[i]), &error) != TL_OK) {
                fprintf(stderr, "evaluation: %s\n", error.message);
                exit(2);
            }
        }
}

static struct tl_graph *read_graph(const char *query) {
    struct tl_diagnostics findings;
    struct tl_error error;
    struct tl_str text = TL_STR_INIT;
    char *path = path_of(query, ".graph");
    if (tl_file_read(path, 1 << 20, &text, &error) != TL_OK) TL_BUG("%s", error.message);
    tl_diagnostics_init(&findings, path);
    struct tl_graph *graph = tl_graph_parse(text.data, &findings);
    if (!graph) TL_BUG("%s: %s", path, findings.items[0].message);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
    tl_mem_free(path);
    return graph;
}

/* As the runtime plans. */
static struct tl_plan *make_plan(struct evaluation *evaluation, const char *query, const struct tl_choice_load *load) {
    struct tl_error error;
    struct tl_plan *plan;
    struct tl_graph *graph = read_graph(query);
    struct tl_opt_options options = tl_opt_defaults();
    enum tl_status status;
    options.level = evaluation->level;
    options.batch = tl_choice_slice;
    options.context = tl_sim_cost(evaluation->sim);
    options.passes = evaluation->passes;
    options.pass_count = evaluation->pass_count;
    if (options.level == TL_OPTIMIZE_COST) {
        status = tl_choice_make(graph, &options, &evaluation->machine.machine, load, &plan, NULL, &error);
        tl_graph_destroy(graph);
    } else {
        status = tl_opt_run(&graph, &options, NULL, &error);
        if (status == TL_OK) status = tl_plan_freeze(graph, tl_sim_cost(evaluation->sim), &plan, &error);
    }
    if (status != TL_OK) TL_BUG("%s", error.message);
    plan->shares = tl_opt_allows(&options, "share");
    return plan;
}

/* The plan for a query that comes now. */
static struct tl_plan *plan_for(struct evaluation *evaluation, unsigned query) {
    const struct tl_choice_load now = {.text_tokens = QUESTION_TOKENS,
                                       .documents = 1,
                                       .document_tokens = CHUNKS * CHUNK_TOKENS,
                                       .runs = evaluation->running + 1};
    const struct tl_choice_load load = tl_choice_class(&now);
    uint64_t class = evaluation->level == TL_OPTIMIZE_COST ? tl_choice_class_hash(&load) : 0;
    size_t at = 0;
    while (at < evaluation->class_count && evaluation->classes[at] != class) at++;
    if (at == evaluation->class_count) {
        TL_ASSERT(at < MOST_CLASSES);
        evaluation->classes[evaluation->class_count++] = class;
    }
    if (!evaluation->plans[query][at]) evaluation->plans[query][at] = make_plan(evaluation, queries[query], &load);
    return evaluation->plans[query][at];
}

/* ---- the load ---- */

static void take_end(void *context, uint64_t run, const struct tl_sim_result *result) {
    struct evaluation *evaluation = context;
    if (result->status != TL_OK) TL_BUG("query %" PRIu64 " failed: %s", run, result->message);
    evaluation->records[run - 1].latency = result->ended - result->submitted;
    evaluation->running--;
}

static void submit(struct evaluation *evaluation, uint64_t at, unsigned query) {
    uint64_t number = evaluation->count + 1;
    struct tl_value *inputs[] = {make_question(number), make_chunks(number)};
    evaluation->records =
        tl_mem_grow(evaluation->records, &evaluation->capacity, number, sizeof *evaluation->records);
    evaluation->records[evaluation->count++] = (struct record){.query = query, .arrival = at};
    tl_sim_run_until(evaluation->sim, at);
    tl_sim_submit(evaluation->sim, &(struct tl_sim_request){.at = at,
                                                            .plan = plan_for(evaluation, query),
                                                            .inputs = inputs,
                                                            .input_count = 2});
    evaluation->running++;
}

static void run_load(struct evaluation *evaluation) {
    double ms;
    char name[32];
    while (scanf("%lf %31s", &ms, name) == 2) {
        unsigned query = 0;
        while (query < QUERIES && strcmp(name, queries[query]) != 0) query++;
        if (query == QUERIES || !(ms >= 0 && ms < 1e12)) {
            fprintf(stderr, "evaluation: '%f %s' is no query\n", ms, name);
            exit(2);
        }
        submit(evaluation, (uint64_t)(ms * (double)TL_NS_PER_MS), query);
    }
    tl_sim_run(evaluation->sim);
    if (tl_sim_violation(evaluation->sim)[0]) TL_BUG("%s", tl_sim_violation(evaluation->sim));
}

/* ---- what comes of it ---- */

static void print_records(const struct evaluation *evaluation) {
    size_t count;
    uint64_t end = 1;
    for (size_t i = 0; i < evaluation->count; i++) {
        const struct record *record = &evaluation->records[i];
        printf("%s %.3f %.3f\n", queries[record->query], (double)record->arrival / 1e6, (double)record->latency / 1e6);
        if (record->arrival + record->latency > end) end = record->arrival + record->latency;
    }
    const struct tl_sim_instance *instances = tl_sim_instances(evaluation->sim, &count);
    for (size_t i = 0; i < count; i++)
        printf("# %s %.4f\n", instances[i].engine, (double)instances[i].busy / (double)end);
}

static void print_story(const struct evaluation *evaluation) {
    size_t count, engines;
    const struct tl_sim_item *items = tl_sim_items(evaluation->sim, &count);
    const struct tl_sim_instance *instances = tl_sim_instances(evaluation->sim, &engines);
    if (evaluation->story > evaluation->count) {
        fprintf(stderr, "evaluation: there are %zu queries\n", evaluation->count);
        exit(2);
    }
    const struct record *record = &evaluation->records[evaluation->story - 1];
    printf("query %" PRIu64 ": arrived at %.1f, took %.1f ms\n    ready   waited    start      end  query\n",
           evaluation->story, (double)record->arrival / 1e6, (double)record->latency / 1e6);
    for (size_t i = 0; i < count; i++) {
        const struct tl_sim_item *item = &items[i];
        if (item->end < record->arrival || item->start > record->arrival + record->latency) continue;
        printf("%9.1f %8.1f %8.1f %8.1f %6" PRIu64 "%c %s on %s#%u, %" PRIu64 " units, %" PRIu64 " tokens, batch of %u\n",
               (double)item->ready / 1e6, (double)(item->start - item->ready) / 1e6, (double)item->start / 1e6,
               (double)item->end / 1e6, item->run, item->run == evaluation->story ? '*' : ' ', item->label,
               instances[item->instance].engine, item->instance, item->usage.units, item->usage.tokens_in,
               item->usage.batch_units);
    }
}

/* ---- options ---- */

static void take_options(struct evaluation *evaluation, int argc, char **argv) {
    static const struct option known[] = {
        {"optimize", required_argument, NULL, 'o'},
        {"pass", required_argument, NULL, 'p'},
        {"policy", required_argument, NULL, 'y'},
        {"set", required_argument, NULL, 's'},
        {"story", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        bool right = true;
        switch (option) {
        case 'o': right = tl_optimize_parse(optarg, &evaluation->level); break;
        case 'p':
            right = evaluation->pass_count < MOST_PASSES;
            if (right) evaluation->passes[evaluation->pass_count++] = optarg;
            break;
        case 'y': right = (evaluation->policy = tl_policy_find(optarg)) != NULL; break;
        case 's':
            right = evaluation->setting_count < MOST_SETTINGS;
            if (right) evaluation->settings[evaluation->setting_count++] = optarg;
            break;
        case 't': right = (evaluation->story = strtoull(optarg, NULL, 10)) > 0; break;
        default: right = false;
        }
        if (!right) {
            fprintf(stderr, "evaluation: wrong option or value; see bench/evaluation/evaluation.c\n");
            exit(2);
        }
    }
}

int main(int argc, char **argv) {
    struct evaluation evaluation = {.level = TL_OPTIMIZE_COST, .policy = tl_policy_at(0)};
    take_options(&evaluation, argc, argv);
    evaluation.sim = tl_sim_create(&(struct tl_sim_config){
        .seed = 1,
        .policy = evaluation.policy,
        .memo_bytes = MEMO_BYTES,
        .record = evaluation.story > 0,
        .watch = {.context = &evaluation, .ended = take_end},
    });
    evaluation.profile = load_profile(&evaluation);
    furnish(&evaluation);
    run_load(&evaluation);
    if (evaluation.story > 0)
        print_story(&evaluation);
    else
        print_records(&evaluation);
    tl_sim_destroy(evaluation.sim);
    for (size_t i = 0; i < QUERIES; i++)
        for (size_t k = 0; k < evaluation.class_count; k++) tl_plan_unref(evaluation.plans[i][k]);
    json_decref(evaluation.profile);
    tl_mem_free(evaluation.records);
    return 0;
}
