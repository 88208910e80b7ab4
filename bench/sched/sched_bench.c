/* sched_bench: what the scheduler itself costs: time per primitive and memory per run, with many runs in flight.
 *
 *     sched_bench [--policy=NAME] [RUNS...]      default: 100 1000 10000 30000 100000
 *
 * 64 engine instances (16 each of four engines) on 32 devices; as soon as a run ends another begins, so that always as
 * many are in flight. Engines are as little as possible: what an instance gets is done one fixed time later. The time is
 * that of the processor, for the scheduler and for this driver around it, once runs are at all stages. A refusal is
 * what it takes to say no to one run more than the limit. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "builtin/builtin.h"
#include "cost/cost.h"
#include "plan/plan.h"
#include "sched/policy.h"
#include "sched/sched.h"

enum { ENGINES = 4,
       INSTANCES = 64,
       DEVICES = 32,
       HITS = 3,
       REFUSED = 2000,
       MEASURED = 200000 /* primitives */ };

static const char *const engines[ENGINES] = {"embedder", "store", "reranker", "llm"};

static const char workflow[] =
    "graph \"bench\" {\n"
    "  parameters (question: text, index: index)\n"
    "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
    "  %2: hit[] = search \"search/search\" @store (query: %1, index: $index) {count=3}\n"
    "  %3: hit[] = score \"rank/score\" @reranker (hits: %2, query: $question)\n"
    "  %4: text[] list = map \"each/map\" (items: %3) {\n"
    "    parameters (item: hit, index: number)\n"
    "    %5: prompt = render \"each/render\" (question: $question, hit: $item) "
    "{template=\"[[\\\"user\\\",\\\"{question}\\\"]]\"}\n"
    "    %6: kv = prefill \"each/prefill\" @llm (prompt: %5)\n"
    "    %7: text text = decode \"each/decode\" @llm (kv: %6) {max_tokens=32}\n"
    "    results (list: %7)\n"
    "  }\n"
    "  results (answers: %4)\n"
    "}\n";

struct ended { /* a quantum or, of a finished run, nothing */
    uint64_t at, number;
    uint32_t instance;
};

struct bench {
    struct tl_sched *sched;
    struct tl_plan *plan;
    struct tl_actions actions;
    struct tl_value *vector, *hits, *text, *question, *index;
    struct ended *heap;
    size_t heap_count, heap_capacity;
    struct tl_item **held[INSTANCES];
    size_t held_count[INSTANCES], held_capacity[INSTANCES];
    uint64_t now, number, runs, live, wanted, primitives, steps, wake;
};

/* ---- the queue of what happens ---- */

static bool earlier(const struct ended *a, const struct ended *b) {
    return a->at < b->at || (a->at == b->at && a->number < b->number);
}

static void push(struct bench *bench, struct ended ended) {
    ended.number = ++bench->number;
    bench->heap = tl_mem_grow(bench->heap, &bench->heap_capacity, bench->heap_count + 1, sizeof *bench->heap);
    size_t at = bench->heap_count++;
    for (; at > 0 && earlier(&ended, &bench->heap[(at - 1) / 2]); at = (at - 1) / 2)
        bench->heap[at] = bench->heap[(at - 1) / 2];
    bench->heap[at] = ended;
}

static struct ended pop(struct bench *bench) {
    struct ended top = bench->heap[0], last = bench->heap[--bench->heap_count];
    size_t at = 0;
    for (size_t child = 1; child < bench->heap_count; child = 2 * at + 1) {
        if (child + 1 < bench->heap_count && earlier(&bench->heap[child + 1], &bench->heap[child])) child++;
        if (!earlier(&bench->heap[child], &last)) break;
        bench->heap[at] = bench->heap[child];
        at = child;
    }
    bench->heap[at] = last;
    return top;
}

/* ---- engines ---- */

static void release(struct tl_resource *resource) { tl_mem_free(resource); }

static struct tl_value *kv(struct bench *bench, uint32_t instance) {
    struct tl_resource *resource = tl_mem_zalloc(sizeof *resource);
    resource->release = release;
    resource->owner = &bench->held[instance];
    return tl_value_kv(resource, 200);
}

static struct tl_value *output_of(struct bench *bench, const struct tl_item *item, uint32_t instance) {
    switch (item->op) {
    case TL_OP_EMBED: return tl_value_ref(bench->vector);
    case TL_OP_SEARCH:
    case TL_OP_SCORE: return tl_value_ref(bench->hits);
    case TL_OP_PREFILL: return kv(bench, instance);
    default: return tl_value_ref(bench->text);
    }
}

static const uint64_t quantum_ms[ENGINES] = {10, 2, 8, 20};

static void hold(struct bench *bench, const struct tl_action *action) {
    uint32_t instance = action->as.run.instance;
    size_t count = action->as.run.count;
    bench->held[instance] = tl_mem_grow(bench->held[instance], &bench->held_capacity[instance],
                                        bench->held_count[instance] + count + 1, sizeof(struct tl_item *));
    memcpy(bench->held[instance] + bench->held_count[instance], action->as.run.items, count * sizeof(struct tl_item *));
    bench->held_count[instance] += count;
    push(bench, (struct ended){.at = bench->now + quantum_ms[instance % ENGINES] * TL_NS_PER_MS, .instance = instance});
}

/* ---- the scheduler ---- */

static void step(struct bench *bench, struct tl_event *event) {
    event->now = bench->now;
    tl_sched_step(bench->sched, event, &bench->actions);
    bench->steps++;
    for (size_t i = 0; i < bench->actions.count; i++) {
        const struct tl_action *action = &bench->actions.items[i];
        if (action->kind == TL_ACTION_RUN) hold(bench, action);
        if (action->kind == TL_ACTION_WAKE) bench->wake = action->as.wake.at;
        if (action->kind != TL_ACTION_RUN_FINISHED) continue;
        if (action->as.finished.status != TL_OK && action->as.finished.status != TL_ERR_BUSY)
            TL_BUG("a run failed: %s", action->as.finished.message);
        for (size_t k = 0; k < action->as.finished.output_count; k++) tl_value_unref(action->as.finished.outputs[k]);
        bench->live--;
    }
}

static void submit(struct bench *bench) {
    struct tl_value *inputs[] = {tl_value_ref(bench->question), tl_value_ref(bench->index)};
    struct tl_event event = {.kind = TL_EVENT_RUN_SUBMITTED};
    event.as.submitted.run = ++bench->runs;
    event.as.submitted.plan = tl_plan_ref(bench->plan);
    event.as.submitted.inputs = inputs;
    event.as.submitted.input_count = 2;
    bench->live++;
    step(bench, &event);
}

/* What the instance held is done, all of it. */
static void end_quantum(struct bench *bench, uint32_t instance) {
    struct tl_event event = {.kind = TL_EVENT_ITEM_DONE, .follows = true};
    for (size_t i = 0; i < bench->held_count[instance]; i++) {
        struct tl_item *item = bench->held[instance][i];
        struct tl_value *output = output_of(bench, item, instance);
        event.as.done.item = item;
        event.as.done.outputs = &output;
        event.as.done.count = 1;
        bench->primitives++;
        step(bench, &event);
    }
    bench->held_count[instance] = 0;
    struct tl_event over = {.kind = TL_EVENT_STEP_DONE};
    over.as.step.instance = instance;
    step(bench, &over);
}

static void advance(struct bench *bench) {
    if (bench->wake && (bench->heap_count == 0 || bench->wake < bench->heap[0].at)) {
        struct tl_event event = {.kind = TL_EVENT_TIME};
        bench->now = bench->wake > bench->now ? bench->wake : bench->now;
        bench->wake = 0;
        step(bench, &event);
        return;
    }
    struct ended ended = pop(bench);
    bench->now = ended.at;
    end_quantum(bench, ended.instance);
    while (bench->live < bench->wanted) submit(bench);
}

/* ---- making one ---- */

static struct tl_value *hits(void) {
    struct tl_value *items[HITS];
    for (unsigned i = 0; i < HITS; i++) {
        struct tl_value *chunk = tl_value_chunk(
            &(struct tl_chunk){.id = "1:1", .uri = "u", .title = "", .heading = "", .text = "x", .length = 1});
        items[i] = tl_value_hit(&(struct tl_hit){.chunk = chunk, .retrieval = 1});
        tl_value_unref(chunk);
    }
    return tl_value_list(TL_TYPE_OF(HIT, 0), items, HITS);
}

static struct tl_plan *make_plan(const struct tl_cost *cost) {
    struct tl_diagnostics findings;
    struct tl_error error;
    struct tl_plan *plan;
    tl_diagnostics_init(&findings, "bench");
    struct tl_graph *graph = tl_graph_parse(workflow, &findings);
    if (!graph) TL_BUG("%s", findings.items[0].message);
    if (tl_plan_freeze(graph, cost, &plan, &error) != TL_OK) TL_BUG("%s", error.message);
    tl_diagnostics_fini(&findings);
    return plan;
}

static void furnish(struct bench *bench) {
    for (unsigned d = 0; d < DEVICES; d++) tl_sched_add_device(bench->sched, "gpu");
    for (unsigned i = 0; i < INSTANCES; i++) {
        struct tl_engine_description description = {.capabilities = UINT32_MAX,
                                                    .executor = TL_EXECUTOR_DEVICE,
                                                    .batch_units = 16,
                                                    .sequences = i % ENGINES == 3 ? 16 : 0,
                                                    .model = "",
                                                    .model_digest = ""};
        tl_sched_add_instance(bench->sched, engines[i % ENGINES], &description, i % DEVICES, &bench->held[i]);
    }
}

static double cpu_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static size_t heap_bytes(void) { return mallinfo2().uordblks + mallinfo2().hblkhd; }

static void measure(const struct tl_policy *policy, size_t runs) {
    struct tl_cost *cost = tl_cost_create();
    json_t *settings = json_object();
    for (unsigned i = 0; i < ENGINES; i++) tl_cost_add_emulated(cost, engines[i], settings);
    struct bench bench = {
        .wanted = runs,
        .plan = make_plan(cost),
        .vector = tl_value_vector(&(float){1}, 1),
        .hits = hits(),
        .text = tl_value_text("ash", 3),
        .question = tl_value_text("why is it so", 12),
        .index = tl_value_index("library", NULL, 0),
        .sched = tl_sched_create(
            &(struct tl_sched_config){
                .policy = policy, .builtin = tl_builtin_execute, .cost = cost, .limits = {.runs = runs}}),
    };
    tl_actions_init(&bench.actions);
    furnish(&bench);
    size_t before = heap_bytes();
    double began = cpu_us();
    while (bench.live < runs) submit(&bench);
    double entering = cpu_us() - began;
    uint64_t warm = 4 * runs > MEASURED / 4 ? 4 * runs : MEASURED / 4; /* so that runs are at all stages */
    while (bench.primitives < warm) advance(&bench);
    size_t bytes = heap_bytes() - before;
    uint64_t primitives = bench.primitives, steps = bench.steps;
    began = cpu_us();
    while (bench.primitives < primitives + MEASURED) advance(&bench);
    primitives = bench.primitives - primitives;
    double working = cpu_us() - began, stepped = (double)(bench.steps - steps);
    began = cpu_us();
    for (int i = 0; i < REFUSED; i++) submit(&bench);
    double refusing = cpu_us() - began;
    printf("| %-14s | %7zu | %9.2f | %8.2f | %8.2f | %9.2f | %8.1f |\n", policy->name, runs,
           working / (double)primitives, stepped / (double)primitives, entering / (double)runs, refusing / REFUSED,
           (double)bytes / (double)runs / 1024);
    bench.wanted = 0;
    while (bench.live > 0) advance(&bench);
    tl_sched_destroy(bench.sched);
    tl_plan_unref(bench.plan);
    struct tl_value *values[] = {bench.vector, bench.hits, bench.text, bench.question, bench.index};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) tl_value_unref(values[i]);
    for (unsigned i = 0; i < INSTANCES; i++) tl_mem_free(bench.held[i]);
    tl_mem_free(bench.heap);
    tl_actions_fini(&bench.actions);
    tl_cost_unref(cost);
    json_decref(settings);
}

int main(int argc, char **argv) {
    static const size_t usual[] = {100, 1000, 10000, 30000, 100000};
    const struct tl_policy *policy = tl_policy_at(0);
    int first = 1;
    if (argc > 1 && strncmp(argv[1], "--policy=", 9) == 0) {
        policy = tl_policy_find(argv[1] + 9);
        first = 2;
    }
    if (!policy) {
        fprintf(stderr, "there is no policy '%s'\n", argv[1] + 9);
        return 2;
    }
    printf("| policy         |    runs | us/primit | steps/p. | us/enter | us/refuse | KiB/run  |\n"
           "|---|--:|--:|--:|--:|--:|--:|\n");
    for (size_t i = 0; argc <= first && i < sizeof usual / sizeof usual[0]; i++) measure(policy, usual[i]);
    for (int i = first; i < argc; i++) measure(policy, (size_t)strtoull(argv[i], NULL, 10));
    return 0;
}
