/* read_load.c: one entry of `load`: who asks what, how often. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "opt/opt.h"
#include "scenario/scenario_impl.h"

#define TRACE_BYTES ((size_t)256 << 20)
#define MOST_TOKENS 1000000
#define MOST_COUNT 100000

/* ---- what is asked ---- */

static void read_source(struct reader *reader, const struct tl_scenario_options *options,
                        const struct tl_yaml_node *node, struct tl_scenario_load *load) {
    const char *name = NULL;
    struct tl_str path = TL_STR_INIT;
    struct tl_error error;
    tl_reader_text(reader, node, "workflow", &name);
    load->graph = tl_reader_path(reader, node, "graph");
    if ((name != NULL) == (load->graph != NULL)) {
        tl_yaml_error(reader->findings, node, name ? "a load is of a 'workflow' or of a 'graph', not of both"
                                                   : "a load needs 'workflow', a name or path, or 'graph', a path");
    } else if (name && (strchr(name, '/') || tl_str_ends_with(name, ".yaml") || !options->find_workflow)) {
        load->workflow = tl_reader_whole_path(reader, name);
    } else if (name && options->find_workflow(name, &path, &error) != TL_OK) {
        tl_yaml_error(reader->findings, tl_yaml_get(node, "workflow"), "%s", error.message);
    } else if (name) {
        load->workflow = tl_arena_strdup(reader->arena, path.data);
    }
    tl_str_fini(&path);
    load->name = name ? name : load->graph;
    tl_reader_text(reader, node, "name", &load->name);
}

static void read_pair(struct reader *reader, const struct tl_yaml_node *node, const char *key, uint32_t *count,
                      uint32_t *tokens) {
    static const char *const keys[] = {"count", "tokens"};
    const struct tl_yaml_node *pair = tl_yaml_get(node, key);
    struct tl_str what = TL_STR_INIT;
    if (!pair)
        return;
    if (pair->kind != TL_YAML_MAP) {
        tl_reader_expected(reader, pair, key, "a mapping such as {count: 48, tokens: 256}");
        return;
    }
    tl_str_printf(&what, "'%s'", key);
    tl_reader_keys(reader, pair, what.data, keys, 2);
    tl_str_fini(&what);
    tl_reader_count(reader, pair, "count", MOST_COUNT, count);
    tl_reader_count(reader, pair, "tokens", MOST_TOKENS, tokens);
}

static void read_passes(struct reader *reader, const struct tl_yaml_node *node, struct tl_scenario_load *load) {
    const struct tl_yaml_node *passes = tl_yaml_get(node, "passes");
    struct tl_error error;
    if (!passes)
        return;
    if (passes->kind != TL_YAML_LIST) {
        tl_reader_expected(reader, passes, "passes", "a list such as [-share]");
        return;
    }
    for (size_t i = 0; i < passes->count; i++) {
        const char *text = passes->items[i]->text;
        if (!text || tl_opt_check_pass(text, &error) != TL_OK) {
            tl_yaml_error(reader->findings, passes->items[i], "%s",
                          text ? error.message : "'passes' is a list of texts");
            continue;
        }
        load->passes = tl_arena_grow(reader->arena, load->passes, &load->pass_capacity, load->pass_count + 1,
                                     sizeof *load->passes);
        load->passes[load->pass_count++] = tl_arena_strdup(reader->arena, text);
    }
}

static void read_plan(struct reader *reader, const struct tl_yaml_node *node, struct tl_scenario_load *load) {
    const struct tl_yaml_node *optimize = tl_yaml_get(node, "optimize");
    if (optimize && (!optimize->text || !tl_optimize_parse(optimize->text, &load->optimize)))
        tl_reader_expected(reader, optimize, "optimize", "off, paper or cost");
    read_passes(reader, node, load);
}

/* ---- when ---- */

static bool add_time(struct reader *reader, const struct tl_yaml_node *node, const char *path, unsigned line,
                     const char *text, struct tl_arrivals *arrivals, size_t *capacity) {
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !(seconds >= 0 && seconds < 1e9)) {
        tl_yaml_error(reader->findings, node, "%s:%u: expected a time in seconds, found '%.40s'", path, line, text);
        return false;
    }
    uint64_t at = (uint64_t)(seconds * (double)TL_NS_PER_S);
    if (arrivals->count > 0 && at < arrivals->times[arrivals->count - 1]) {
        tl_yaml_error(reader->findings, node, "%s:%u: %.40s is before the arrival in the line above", path, line, text);
        return false;
    }
    arrivals->times = tl_arena_grow(reader->arena, arrivals->times, capacity, arrivals->count + 1, sizeof at);
    arrivals->times[arrivals->count++] = at;
    return true;
}

/* Seconds, one a line, ascending; empty lines and what follows # count for nothing. */
static void read_trace(struct reader *reader, const struct tl_yaml_node *node, const char *path,
                       struct tl_arrivals *arrivals) {
    struct tl_str text = TL_STR_INIT;
    struct tl_error error;
    size_t capacity = 0;
    unsigned line = 1;
    bool good = true;
    arrivals->kind = TL_ARRIVALS_TRACE;
    if (tl_file_read(path, TRACE_BYTES, &text, &error) != TL_OK)
        tl_yaml_error(reader->findings, node, "%s", error.message);
    for (char *at = text.data; good && *at; line++) {
        size_t length = strcspn(at, "\n");
        char *next = at + length + (at[length] == '\n');
        at[length] = '\0';
        at[strcspn(at, "#\r")] = '\0';
        at += strspn(at, " \t");
        for (size_t end = strlen(at); end > 0 && strchr(" \t", at[end - 1]); end--)
            at[end - 1] = '\0';
        if (*at)
            good = add_time(reader, node, path, line, at, arrivals, &capacity);
        at = next;
    }
    tl_str_fini(&text);
}

static void read_arrivals(struct reader *reader, const struct tl_yaml_node *node, struct tl_arrivals *arrivals) {
    static const char *const keys[] = {"trace"}, *const names[] = {"poisson", "gamma", "even"};
    const struct tl_yaml_node *kind = tl_yaml_get(node, "arrivals"), *rate = tl_yaml_get(node, "rate");
    const struct tl_yaml_node *variation = tl_yaml_get(node, "variation");
    size_t k = 0;
    if (kind && kind->kind == TL_YAML_MAP && tl_yaml_get(kind, "trace")) {
        tl_reader_keys(reader, kind, "'arrivals'", keys, 1);
        const char *path = tl_reader_path(reader, kind, "trace");
        if (path)
            read_trace(reader, tl_yaml_get(kind, "trace"), path, arrivals);
    } else if (kind) {
        while (k < 3 && !(kind->text && strcmp(kind->text, names[k]) == 0))
            k++;
        if (k == 3)
            tl_reader_expected(reader, kind, "arrivals", "poisson, gamma, even or {trace: FILE}");
        else
            arrivals->kind = (enum tl_arrivals_kind)k;
    }
    tl_reader_number(reader, node, "rate", 1e-6, 1e9, &arrivals->rate);
    tl_reader_number(reader, node, "variation", 0.01, 100, &arrivals->variation);
    if (arrivals->kind == TL_ARRIVALS_TRACE && rate)
        tl_yaml_error(reader->findings, rate, "'rate': the trace says when queries arrive");
    else if (arrivals->kind != TL_ARRIVALS_TRACE && !rate)
        tl_yaml_error(reader->findings, node, "a load needs 'rate', queries a second");
    if (variation && arrivals->kind != TL_ARRIVALS_GAMMA)
        tl_yaml_error(reader->findings, variation, "'variation' belongs to 'arrivals: gamma'");
    else if (!variation && arrivals->kind == TL_ARRIVALS_GAMMA)
        tl_yaml_error(reader->findings, kind, "'arrivals: gamma' needs 'variation', such as 2");
}

static void read_leave(struct reader *reader, const struct tl_yaml_node *node, struct tl_scenario_load *load) {
    static const char *const keys[] = {"share", "after"};
    const struct tl_yaml_node *leave = tl_yaml_get(node, "leave");
    if (!leave)
        return;
    if (leave->kind != TL_YAML_MAP || !tl_yaml_get(leave, "share") || !tl_yaml_get(leave, "after")) {
        tl_reader_expected(reader, leave, "leave", "a mapping such as {share: 0.1, after: 5s}");
        return;
    }
    tl_reader_keys(reader, leave, "'leave'", keys, 2);
    tl_reader_number(reader, leave, "share", 0, 1, &load->leave_share);
    tl_reader_time(reader, leave, "after", &load->leave_after);
}

void tl_scenario_read_load(struct reader *reader, struct tl_scenario *scenario,
                           const struct tl_scenario_options *options, const struct tl_yaml_node *node) {
    static const char *const keys[] = {"name",      "workflow", "graph",    "optimize", "passes",         "rate",
                                       "arrivals",  "variation", "question", "documents", "chunks",        "collection",
                                       "same_documents", "timeout", "goal", "leave",    "tenant",         "priority"};
    struct tl_scenario_load load = {
        .question_tokens = 20,
        .document_count = 1,
        .document_tokens = 12288,
        .chunk_count = 48,
        .chunk_tokens = 256,
        .timeout = UINT64_MAX, /* as the configuration says */
    };
    tl_reader_keys(reader, node, "a load", keys, sizeof keys / sizeof keys[0]);
    read_source(reader, options, node, &load);
    read_plan(reader, node, &load);
    read_arrivals(reader, node, &load.arrivals);
    read_pair(reader, node, "documents", &load.document_count, &load.document_tokens);
    read_pair(reader, node, "chunks", &load.chunk_count, &load.chunk_tokens);
    read_leave(reader, node, &load);
    tl_reader_count(reader, node, "question", MOST_TOKENS, &load.question_tokens);
    tl_reader_flag(reader, node, "same_documents", &load.same_documents);
    tl_reader_text(reader, node, "collection", &load.collection);
    tl_reader_time(reader, node, "timeout", &load.timeout);
    tl_reader_time(reader, node, "goal", &load.goal);
    tl_reader_text(reader, node, "tenant", &load.tenant);
    tl_reader_number(reader, node, "priority", -1e9, 1e9, &load.priority);
    scenario->loads = tl_arena_grow(reader->arena, scenario->loads, &scenario->load_capacity, scenario->load_count + 1,
                                    sizeof *scenario->loads);
    scenario->loads[scenario->load_count++] = load;
}

/* ---- what the command line says otherwise ---- */

enum tl_status tl_scenario_set_rate(struct tl_scenario *scenario, double rate, struct tl_error *error) {
    double sum = 0;
    for (size_t i = 0; i < scenario->load_count; i++)
        sum += scenario->loads[i].arrivals.rate;
    if (sum <= 0)
        return tl_error_set(error, TL_ERR_USAGE, "the rate cannot be changed: arrivals come from traces");
    for (size_t i = 0; i < scenario->load_count; i++)
        scenario->loads[i].arrivals.rate *= rate / sum;
    return TL_OK;
}

enum tl_status tl_scenario_add_pass(struct tl_scenario *scenario, const char *pass, struct tl_error *error) {
    enum tl_status status = tl_opt_check_pass(pass, error);
    for (size_t i = 0; status == TL_OK && i < scenario->load_count; i++) {
        struct tl_scenario_load *load = &scenario->loads[i];
        load->passes = tl_arena_grow(&scenario->arena, load->passes, &load->pass_capacity, load->pass_count + 1,
                                     sizeof *load->passes);
        load->passes[load->pass_count++] = tl_arena_strdup(&scenario->arena, pass);
    }
    return status;
}
