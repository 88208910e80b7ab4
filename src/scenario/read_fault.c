/* read_fault.c: one entry of `faults`: which instance does what wrong, and when. */
#include <string.h>

#include "base/mem.h"
#include "scenario/scenario_impl.h"

#define STALL UINT64_C(30000000000) /* unless it is said */

enum kind { FAIL, HANG, SLOW, LOST, KINDS };
static const char *const kinds[KINDS] = {"fail", "hang", "slow", "lost"};

static const struct tl_config_engine *read_engine(struct reader *reader, const struct tl_scenario *scenario,
                                                  const struct tl_yaml_node *node, struct tl_scenario_fault *fault) {
    const char *name = NULL;
    tl_reader_text(reader, node, "engine", &name);
    if (!name) {
        tl_yaml_error(reader->findings, node, "a fault needs 'engine', the name of one");
        return NULL;
    }
    const struct tl_config_engine *engine = tl_config_find_engine(scenario->config, name);
    if (!engine) {
        size_t count = tl_config_engine_count(scenario->config);
        const char **names = tl_mem_alloc((count + 1) * sizeof *names);
        for (size_t i = 0; i < count; i++)
            names[i] = tl_config_engine(scenario->config, i)->name;
        const char *nearest = tl_str_nearest(name, names, count);
        tl_yaml_error(reader->findings, tl_yaml_get(node, "engine"), "there is no engine '%s'%s%s%s", name,
                      nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        tl_mem_free(names);
        return NULL;
    }
    fault->engine = engine->name;
    const struct tl_yaml_node *instance = tl_yaml_get(node, "instance");
    tl_reader_count(reader, node, "instance", UINT32_MAX, &fault->instance);
    if (instance && fault->instance != UINT32_MAX && fault->instance >= engine->instances)
        tl_yaml_error(reader->findings, instance, "engine '%s' has instances 0 to %u, not %u", name,
                      engine->instances - 1, fault->instance);
    return engine;
}

/* Which of the kinds it is; KINDS after a finding. */
static enum kind read_kind(struct reader *reader, const struct tl_yaml_node *node) {
    enum kind found = KINDS;
    for (enum kind k = 0; k < KINDS; k++) {
        if (!tl_yaml_get(node, kinds[k]))
            continue;
        if (found != KINDS) {
            tl_yaml_error(reader->findings, node, "a fault is of one kind, not '%s' and '%s'", kinds[found], kinds[k]);
            return KINDS;
        }
        found = k;
    }
    if (found == KINDS)
        tl_yaml_error(reader->findings, node, "a fault needs one of 'fail', 'hang', 'slow', 'lost'");
    return found;
}

static void read_what(struct reader *reader, const struct tl_yaml_node *node, enum kind kind,
                      struct tl_sim_fault *what) {
    static const char *const keys[KINDS][7] = {
        [FAIL] = {"engine", "instance", "fail", "from", "to"},
        [HANG] = {"engine", "instance", "hang", "from", "to", "for"},
        [SLOW] = {"engine", "instance", "slow", "from", "to"},
        [LOST] = {"engine", "instance", "lost", "back"},
    };
    size_t count = 0;
    while (keys[kind][count])
        count++;
    tl_reader_keys(reader, node, "this kind of fault", keys[kind], count);
    switch (kind) {
    case FAIL:
        what->kind = TL_SIM_FAIL;
        tl_reader_number(reader, node, "fail", 0, 1, &what->probability);
        break;
    case HANG:
        what->kind = TL_SIM_STALL;
        what->stall = STALL;
        tl_reader_number(reader, node, "hang", 0, 1, &what->probability);
        tl_reader_time(reader, node, "for", &what->stall);
        break;
    case SLOW:
        what->kind = TL_SIM_SLOW;
        tl_reader_number(reader, node, "slow", 0.001, 1000000, &what->factor);
        break;
    default:
        what->kind = TL_SIM_LOST;
        tl_reader_time(reader, node, "lost", &what->at);
        tl_reader_time(reader, node, "back", &what->until);
        return;
    }
    tl_reader_time(reader, node, "from", &what->at);
    tl_reader_time(reader, node, "to", &what->until);
}

void tl_scenario_read_fault(struct reader *reader, struct tl_scenario *scenario, const struct tl_yaml_node *node) {
    struct tl_scenario_fault fault = {.instance = UINT32_MAX, .what = {.until = UINT64_MAX, .factor = 1}};
    read_engine(reader, scenario, node, &fault);
    enum kind kind = read_kind(reader, node);
    if (kind == KINDS)
        return;
    read_what(reader, node, kind, &fault.what);
    if (fault.what.until < fault.what.at)
        tl_yaml_error(reader->findings, node, kind == LOST ? "'back' must come after 'lost'"
                                                           : "'to' must come after 'from'");
    scenario->faults = tl_arena_grow(reader->arena, scenario->faults, &scenario->fault_capacity,
                                     scenario->fault_count + 1, sizeof *scenario->faults);
    scenario->faults[scenario->fault_count++] = fault;
}
