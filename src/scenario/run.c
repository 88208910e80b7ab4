/* run.c: lets queries arrive, and notes what the simulation tells. */
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "choice/choice.h"
#include "runtime/costs.h"
#include "sched/policy.h"
#include "scenario/cluster.h"
#include "scenario/scenario_impl.h"

enum { SHOWN_MOST = 6000,
       LOOK_EVERY = 1024,
       CROWDS = 3 };

/* A load, as it goes on. */
struct stream {
    const struct tl_scenario_load *load;
    struct tl_plan *plans[CROWDS]; /* by how many runs are under way, as the runtime has them */
    struct tl_arrivals_state arrivals;
    uint64_t random;      /* of who leaves */
    uint64_t next;        /* arrival; UINT64_MAX: none */
    uint64_t asked;
    struct tl_value **same; /* by parameter: what each query brings alike; NULL: its own */
};

struct drive {
    const struct tl_scenario *scenario;
    const volatile sig_atomic_t *stop;
    struct tl_sim *sim;
    struct tl_cost *measured;
    struct tl_scenario_result *result;
    struct stream *streams;
    uint32_t *load_of; /* by run - 1 */
    size_t load_of_capacity;
    uint64_t submitted, ended;
    uint64_t shown_first, shown_last; /* runs of the Gantt chart; 0: none yet */
};

/* ---- what the simulation tells ---- */

static bool is_counted(const struct drive *drive, uint64_t at) {
    return at >= drive->result->from && at < drive->result->to;
}

/* How much of the time is counted. */
static double counted(const struct drive *drive, uint64_t from, uint64_t to) {
    from = from > drive->result->from ? from : drive->result->from;
    to = to < drive->result->to ? to : drive->result->to;
    return to > from ? (double)(to - from) : 0;
}

static void on_passed(void *context, uint64_t from, uint64_t to) {
    struct drive *drive = context;
    struct tl_scenario_result *result = drive->result;
    uint64_t in_flight = drive->submitted - drive->ended;
    double ns = counted(drive, from, to);
    for (size_t i = 0; i < result->engine_count; i++) {
        struct engine_result *engine = &result->engines[i];
        size_t queued = engine->used ? tl_sim_queued(drive->sim, engine->first) : 0;
        if (queued == 0)
            continue;
        tl_series_add(&result->queues, i, from, to, (double)queued);
        engine->queued += ns * (double)queued;
        if (ns > 0 && queued > engine->queued_most)
            engine->queued_most = queued;
    }
    if (in_flight == 0)
        return;
    tl_series_add(&result->flights, 0, from, to, (double)in_flight);
    result->in_flight += ns * (double)in_flight;
    if (ns > 0 && in_flight > result->in_flight_most)
        result->in_flight_most = in_flight;
}

static void on_quantum(void *context, uint32_t instance, uint64_t begin, uint64_t end, size_t given, size_t held) {
    struct drive *drive = context;
    struct instance_result *about = &drive->result->instances[instance];
    struct engine_result *engine = &drive->result->engines[about->engine];
    double ns = counted(drive, begin, end);
    about->busy += ns;
    if (about->device != TL_SCHED_NO_DEVICE) {
        drive->result->devices[about->device].busy += ns;
        tl_series_add(&drive->result->device_busy, about->device, begin, end, 1);
    }
    if (!is_counted(drive, begin))
        return;
    about->quanta++;
    about->items += given;
    engine->quanta++;
    engine->batches += given > 0;
    engine->held += held;
}

static bool is_shown(const struct drive *drive, const struct tl_sim_item *item) {
    const struct tl_scenario *scenario = drive->scenario;
    if (scenario->shown_to > scenario->shown_from)
        return item->end > scenario->shown_from && item->start < scenario->shown_to;
    return item->run >= drive->shown_first && item->run <= drive->shown_last;
}

static void show(struct drive *drive, const struct tl_sim_item *item) {
    struct tl_scenario_result *result = drive->result;
    if (result->shown_count == SHOWN_MOST) {
        result->shown_more++;
        return;
    }
    result->shown = tl_mem_grow(result->shown, &result->shown_capacity, result->shown_count + 1, sizeof *result->shown);
    result->shown[result->shown_count++] = (struct shown){
        .label = tl_mem_strdup(item->label),
        .run = item->run,
        .load = drive->load_of[item->run - 1],
        .instance = item->instance,
        .ready = item->ready,
        .start = item->start,
        .end = item->end,
        .failed = item->status != TL_OK,
    };
}

static void on_item(void *context, const struct tl_sim_item *item) {
    struct drive *drive = context;
    if (is_shown(drive, item))
        show(drive, item);
    if (!is_counted(drive, item->end))
        return;
    struct engine_result *engine = &drive->result->engines[drive->result->instances[item->instance].engine];
    engine->items++;
    engine->failed += item->status != TL_OK && item->status != TL_ERR_CANCELLED;
    engine->waited += (double)(item->start - item->ready);
    engine->tokens_in += item->usage.tokens_in;
    engine->tokens_reused += item->usage.tokens_reused;
    engine->tokens_computed += item->usage.tokens_computed;
    engine->tokens_out += item->usage.tokens_out;
}

static enum ending ending_of(enum tl_status status) {
    switch (status) {
    case TL_OK: return DONE;
    case TL_ERR_CANCELLED: return CANCELLED;
    case TL_ERR_DEADLINE: return EXPIRED;
    case TL_ERR_BUSY: return REFUSED;
    default: return FAILED;
    }
}

static void note(struct load_result *load, const struct tl_sim_result *run, uint64_t goal) {
    enum ending ending = ending_of(run->status);
    load->endings[ending]++;
    if (ending == FAILED && !load->failure)
        load->failure = tl_mem_strdup(run->message);
    if (ending != DONE)
        return;
    tl_numbers_add(&load->arrivals, (double)run->submitted / 1e9);
    tl_numbers_add(&load->latencies, (double)(run->ended - run->submitted) / 1e9);
    if (run->first_text > 0)
        tl_numbers_add(&load->first, (double)(run->first_text - run->submitted) / 1e9);
    load->within_goal += goal > 0 && run->ended - run->submitted <= goal;
}

static void on_ended(void *context, uint64_t run, const struct tl_sim_result *outcome) {
    struct drive *drive = context;
    struct load_result *load = &drive->result->loads[drive->load_of[run - 1]];
    drive->ended++;
    drive->result->end = outcome->ended;
    if (!is_counted(drive, outcome->submitted))
        return;
    note(load, outcome, load->goal);
    note(&drive->result->all, outcome, load->goal);
}

/* ---- arrivals ---- */

/* Which plan is for so many runs: the choice between forms (choice/choice.h) knows one, two and more. */
static size_t crowd_of(uint64_t runs) {
    const struct tl_choice_load load = {.runs = runs < UINT32_MAX ? (uint32_t)runs : UINT32_MAX};
    uint32_t class = tl_choice_class(&load).runs;
    return class < CROWDS ? class - 1 : CROWDS - 1;
}

static void submit(struct drive *drive, uint32_t number) {
    struct stream *stream = &drive->streams[number];
    const struct tl_scenario_load *load = stream->load;
    struct tl_plan *plan = stream->plans[crowd_of(1 + drive->submitted - drive->ended)];
    const struct tl_plan_body *root = plan->root;
    uint64_t salt = tl_hash_u64(stream->asked++, tl_hash_u64(drive->scenario->seed, number + 29));
    struct tl_value **inputs = tl_mem_alloc((root->parameter_count + 1u) * sizeof(struct tl_value *));
    for (uint16_t i = 0; i < root->parameter_count; i++)
        inputs[i] =
            stream->same[i] ? tl_value_ref(stream->same[i]) : tl_scenario_value(load, root->slots[i].type, salt);
    bool leaves = load->leave_share > 0 && tl_arrivals_draw(&stream->random) < load->leave_share;
    uint64_t run = tl_sim_submit(drive->sim, &(struct tl_sim_request){.at = stream->next,
                                                                      .plan = plan,
                                                                      .inputs = inputs,
                                                                      .input_count = root->parameter_count,
                                                                      .timeout = load->timeout,
                                                                      .leave = leaves ? load->leave_after : 0,
                                                                      .priority = load->priority,
                                                                      .tenant = load->tenant});
    tl_mem_free(inputs);
    drive->load_of = tl_mem_grow(drive->load_of, &drive->load_of_capacity, run, sizeof *drive->load_of);
    drive->load_of[run - 1] = number;
    drive->submitted++;
    if (is_counted(drive, stream->next)) {
        drive->result->loads[number].arrived++;
        drive->result->all.arrived++;
        drive->shown_first = drive->shown_first ? drive->shown_first : run;
        drive->shown_last = drive->shown_first + drive->scenario->shown_runs - 1;
    }
    stream->next = tl_arrivals_next(&load->arrivals, &stream->arrivals);
}

/* The load whose query is next; load_count: no more come. */
static uint32_t next_stream(const struct drive *drive) {
    const struct tl_scenario *scenario = drive->scenario;
    uint32_t first = 0, none = (uint32_t)scenario->load_count;
    for (uint32_t i = 1; i < scenario->load_count; i++)
        if (drive->streams[i].next < drive->streams[first].next)
            first = i;
    uint64_t at = drive->streams[first].next;
    if (scenario->duration > 0)
        return at < scenario->duration ? first : none;
    return at < UINT64_MAX && drive->submitted < scenario->runs ? first : none;
}

static bool is_stopped(const struct drive *drive) {
    return drive->stop && *drive->stop;
}

static enum tl_status go(struct drive *drive, struct tl_error *error) {
    for (uint32_t next; !is_stopped(drive) && (next = next_stream(drive)) < drive->scenario->load_count;) {
        uint64_t at = drive->streams[next].next;
        if (at > tl_sim_now(drive->sim))
            tl_sim_run_until(drive->sim, at);
        submit(drive, next);
    }
    for (uint64_t i = 0; drive->ended < drive->submitted && !(i % LOOK_EVERY == 0 && is_stopped(drive)); i++)
        if (!tl_sim_advance(drive->sim))
            TL_BUG("%llu runs never end", (unsigned long long)(drive->submitted - drive->ended));
    if (is_stopped(drive))
        return tl_error_set(error, TL_ERR_CANCELLED, "interrupted after %.1f s of virtual time",
                            (double)tl_sim_now(drive->sim) / 1e9);
    return TL_OK;
}

/* ---- before and after ---- */

static enum tl_status begin_stream(struct drive *drive, uint32_t number, struct tl_error *error) {
    struct stream *stream = &drive->streams[number];
    const struct tl_scenario_load *load = &drive->scenario->loads[number];
    uint64_t seed = tl_hash_u64(drive->scenario->seed, number + 31);
    stream->load = load;
    enum tl_status status = TL_OK;
    for (uint32_t i = 0; i < CROWDS && status == TL_OK; i++) {
        status = tl_scenario_plan(drive->scenario, load, 1u << i, tl_sim_cost(drive->sim), &stream->plans[i], error);
        if (status == TL_OK)
            status = tl_cluster_check(drive->scenario, drive->measured, stream->plans[i], drive->result, error);
    }
    if (status != TL_OK)
        return status;
    const struct tl_plan_body *root = stream->plans[0]->root;
    stream->same = tl_mem_zalloc((root->parameter_count + 1u) * sizeof(struct tl_value *));
    for (uint16_t i = 0; i < root->parameter_count && load->same_documents; i++)
        if (root->slots[i].type.base == TL_TYPE_CHUNK || root->slots[i].type.base == TL_TYPE_DOCUMENT)
            stream->same[i] = tl_scenario_value(load, root->slots[i].type, 0);
    tl_arrivals_begin(&stream->arrivals, seed);
    stream->random = tl_hash_u64(seed, 37);
    stream->next = tl_arrivals_next(&load->arrivals, &stream->arrivals);
    return TL_OK;
}

static void end_stream(struct stream *stream) {
    for (uint16_t i = 0; stream->same && i < stream->plans[0]->root->parameter_count; i++)
        tl_value_unref(stream->same[i]);
    tl_mem_free(stream->same);
    for (size_t i = 0; i < CROWDS; i++)
        tl_plan_unref(stream->plans[i]);
}

static struct tl_scenario_result *empty_result(const struct tl_scenario *scenario) {
    struct tl_scenario_result *result = tl_mem_zalloc(sizeof *result);
    result->scenario = scenario;
    result->from = scenario->warmup;
    result->to = scenario->duration > 0 ? scenario->duration : UINT64_MAX;
    result->load_count = scenario->load_count;
    result->loads = tl_mem_zalloc((scenario->load_count + 1) * sizeof *result->loads);
    result->all.name = "all";
    for (size_t i = 0; i < scenario->load_count; i++) {
        result->loads[i].name = scenario->loads[i].name;
        result->loads[i].goal = scenario->loads[i].goal;
        result->all.goal = result->all.goal ? result->all.goal : scenario->loads[i].goal;
    }
    return result;
}

static struct tl_sim *make_sim(const struct tl_scenario *scenario, struct drive *drive) {
    return tl_sim_create(&(struct tl_sim_config){
        .seed = scenario->seed,
        .cost = tl_cluster_is_measured(scenario, drive->measured) ? drive->measured : NULL,
        .policy = tl_policy_find(scenario->policy),
        .jitter = scenario->jitter,
        .limits = scenario->limits,
        .retries = scenario->retries,
        .hang_after_ms = scenario->hang_after_ms,
        .memo_bytes = scenario->memo_bytes,
        .watch = {.context = drive,
                  .passed = on_passed,
                  .quantum = on_quantum,
                  .item = on_item,
                  .ended = on_ended},
    });
}

static uint64_t processor_time(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * TL_NS_PER_S + (uint64_t)time.tv_nsec;
}

static void complete(struct drive *drive, uint64_t cpu_ns) {
    struct tl_scenario_result *result = drive->result;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    result->memory = (uint64_t)usage.ru_maxrss * 1024;
    result->cpu_ns = cpu_ns;
    if (result->to == UINT64_MAX)
        result->to = result->end;
    tl_sim_get_counters(drive->sim, &result->counters);
    result->trace = tl_sim_trace_hash(drive->sim);
}

enum tl_status tl_scenario_run(const struct tl_scenario *scenario, const volatile sig_atomic_t *stop,
                               struct tl_scenario_result **out, struct tl_error *error) {
    struct tl_str notices = TL_STR_INIT;
    struct drive drive = {.scenario = scenario, .stop = stop, .result = empty_result(scenario)};
    drive.measured = tl_runtime_costs(scenario->config, tl_config_profile(scenario->config), &notices);
    drive.sim = make_sim(scenario, &drive);
    drive.streams = tl_mem_zalloc((scenario->load_count + 1) * sizeof *drive.streams);
    enum tl_status status = tl_cluster_build(scenario, drive.measured, drive.sim, drive.result, error);
    for (uint32_t i = 0; i < scenario->load_count && status == TL_OK; i++)
        status = begin_stream(&drive, i, error);
    tl_series_init(&drive.result->device_busy, drive.result->device_count);
    tl_series_init(&drive.result->queues, drive.result->engine_count);
    tl_series_init(&drive.result->flights, 1);
    if (status == TL_OK) {
        uint64_t begun = processor_time();
        status = go(&drive, error);
        complete(&drive, processor_time() - begun);
    }
    tl_sim_destroy(drive.sim);
    for (size_t i = 0; i < scenario->load_count; i++)
        end_stream(&drive.streams[i]);
    tl_mem_free(drive.streams);
    tl_mem_free(drive.load_of);
    tl_cost_unref(drive.measured);
    tl_str_fini(&notices);
    if (status == TL_OK)
        *out = drive.result;
    else
        tl_scenario_result_destroy(drive.result);
    return status;
}
