/* read.c: a scenario file, but for its loads and faults. What it has in common with a configuration (engines, limits,
 * policy, ...) is read as one, by the same code: the text is given to it with all other lines blank, so that places in
 * findings are those of the file. */
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "scenario/scenario_impl.h"

#define MOST_RUNS 100000000

static const char *const own_keys[] = {"config", "seed", "jitter", "duration", "runs",
                                       "warmup", "gantt", "load", "faults"};
static const char *const configuration_keys[] = {"engines", "models", "devices", "limits", "policy", "optimize",
                                                 "passes", "retries", "profile", "memo_bytes", "timeout",
                                                 "hang_after"};
enum { OWN_KEYS = sizeof own_keys / sizeof own_keys[0],
       CONFIGURATION_KEYS = sizeof configuration_keys / sizeof configuration_keys[0] };

static bool is_configuration(const char *key) {
    for (size_t i = 0; i < CONFIGURATION_KEYS; i++)
        if (strcmp(configuration_keys[i], key) == 0)
            return true;
    return false;
}

static void check_keys(struct reader *reader, const struct tl_yaml_node *root) {
    const char *all[OWN_KEYS + CONFIGURATION_KEYS];
    memcpy(all, own_keys, sizeof own_keys);
    memcpy(all + OWN_KEYS, configuration_keys, sizeof configuration_keys);
    tl_reader_keys(reader, root, "a scenario", all, OWN_KEYS + CONFIGURATION_KEYS);
    for (size_t i = 1; i < root->count; i++)
        if (root->entries[i].key->line == root->entries[i - 1].key->line) {
            tl_yaml_error(reader->findings, root->entries[i].key, "each key of a scenario stands in a line of its own");
            break;
        }
}

/* The text with all lines blank that belong to other keys. */
static void blank(const struct tl_yaml_node *root, const char *text, struct tl_str *out) {
    unsigned line = 1;
    size_t entry = 0;
    bool kept = false;
    for (const char *at = text; *at; line++) {
        size_t length = strcspn(at, "\n");
        for (; entry < root->count && root->entries[entry].key->line == line; entry++)
            kept = is_configuration(root->entries[entry].key->text);
        if (kept)
            tl_str_append(out, at, length);
        at += length;
        if (*at == '\n') {
            tl_str_putc(out, '\n');
            at++;
        }
    }
}

static void rename_findings(struct tl_diagnostics *findings, const char *file) {
    tl_mem_free(findings->file);
    findings->file = tl_mem_strdup(file);
}

/* What the scenario says itself, and the file that it names. */
static bool read_configuration(struct reader *reader, struct tl_scenario *scenario, const struct tl_yaml_node *root,
                               const char *text) {
    const char *file = tl_reader_path(reader, root, "config");
    struct tl_str own_text = TL_STR_INIT;
    if (file && tl_yaml_get(root, "engines"))
        tl_yaml_error(reader->findings, tl_yaml_get(root, "engines"),
                      "engines are given twice: here, and by the configuration '%s'", file);
    else if (!file && !tl_yaml_get(root, "engines"))
        tl_yaml_error(reader->findings, root, "a scenario needs 'config', the file of a configuration, or 'engines'");
    if (reader->findings->errors > 0)
        return false;
    blank(root, text, &own_text);
    scenario->own = tl_config_load(
        &(struct tl_config_options){.path = scenario->file, .text = own_text.data, .no_environment = true},
        reader->findings);
    tl_str_fini(&own_text);
    if (file && scenario->own)
        scenario->named =
            tl_config_load(&(struct tl_config_options){.path = file, .no_environment = true}, reader->findings);
    if (reader->findings->errors > 0)
        return false;
    rename_findings(reader->findings, scenario->file);
    scenario->config = file ? scenario->named : scenario->own;
    return true;
}

/* The configuration that says `key`. */
static const struct tl_config *sayer(const struct tl_scenario *scenario, const struct tl_yaml_node *root,
                                     const char *key) {
    return tl_yaml_get(root, key) ? scenario->own : scenario->config;
}

static void take_configuration(struct tl_scenario *scenario, const struct tl_yaml_node *root) {
    scenario->policy = tl_config_policy(sayer(scenario, root, "policy"));
    scenario->optimize = tl_config_optimize(sayer(scenario, root, "optimize"));
    scenario->passes = tl_config_passes(sayer(scenario, root, "passes"), &scenario->pass_count);
    scenario->limits = *tl_config_limits(sayer(scenario, root, "limits"));
    scenario->retries = tl_config_retries(sayer(scenario, root, "retries"));
    scenario->hang_after_ms = (double)tl_config_hang_after_ms(sayer(scenario, root, "hang_after"));
    scenario->memo_bytes = tl_config_memo_bytes(sayer(scenario, root, "memo_bytes"));
    uint64_t timeout = tl_config_timeout_ms(sayer(scenario, root, "timeout")) * 1000000;
    for (size_t i = 0; i < scenario->load_count; i++)
        if (scenario->loads[i].timeout == UINT64_MAX)
            scenario->loads[i].timeout = timeout;
}

static void read_gantt(struct reader *reader, struct tl_scenario *scenario, const struct tl_yaml_node *root) {
    static const char *const keys[] = {"runs", "from", "to"};
    const struct tl_yaml_node *node = tl_yaml_get(root, "gantt");
    if (!node)
        return;
    if (node->kind != TL_YAML_MAP) {
        tl_reader_expected(reader, node, "gantt", "{runs: N} or {from: TIME, to: TIME}");
        return;
    }
    tl_reader_keys(reader, node, "'gantt'", keys, 3);
    tl_reader_count(reader, node, "runs", 1000, &scenario->shown_runs);
    tl_reader_time(reader, node, "from", &scenario->shown_from);
    tl_reader_time(reader, node, "to", &scenario->shown_to);
    if (scenario->shown_to < scenario->shown_from)
        tl_yaml_error(reader->findings, node, "'gantt': 'to' must come after 'from'");
}

static void read_numbers(struct reader *reader, struct tl_scenario *scenario, const struct tl_yaml_node *root) {
    tl_reader_whole(reader, root, "seed", 0, UINT64_C(1) << 53, &scenario->seed);
    tl_reader_number(reader, root, "jitter", 0, 0.99, &scenario->jitter);
    tl_reader_time(reader, root, "duration", &scenario->duration);
    tl_reader_whole(reader, root, "runs", 1, MOST_RUNS, &scenario->runs);
    tl_reader_time(reader, root, "warmup", &scenario->warmup);
    read_gantt(reader, scenario, root);
    const struct tl_yaml_node *runs = tl_yaml_get(root, "runs");
    if (runs && tl_yaml_get(root, "duration"))
        tl_yaml_error(reader->findings, runs, "'duration' and 'runs' both say when arrivals end: give one of them");
    else if (!runs && scenario->duration == 0)
        scenario->duration = UINT64_C(600000000000);
    if (scenario->duration > 0 && scenario->warmup >= scenario->duration)
        tl_yaml_error(reader->findings, tl_yaml_get(root, "warmup"), "'warmup' must end before 'duration' does");
}

static void read_list(struct reader *reader, struct tl_scenario *scenario, const struct tl_scenario_options *options,
                      const struct tl_yaml_node *root, const char *key) {
    const struct tl_yaml_node *list = tl_yaml_get(root, key);
    bool loads = strcmp(key, "load") == 0;
    if (!list || list->kind != TL_YAML_LIST || list->count == 0) {
        if (list)
            tl_reader_expected(reader, list, key, loads ? "a list of loads" : "a list of faults");
        else if (loads)
            tl_yaml_error(reader->findings, root, "a scenario needs 'load', a list of what arrives");
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i]->kind != TL_YAML_MAP)
            tl_reader_expected(reader, list->items[i], key, loads ? "a load: a mapping" : "a fault: a mapping");
        else if (loads)
            tl_scenario_read_load(reader, scenario, options, list->items[i]);
        else
            tl_scenario_read_fault(reader, scenario, list->items[i]);
    }
}

static bool read_tree(struct reader *reader, struct tl_scenario *scenario, const struct tl_scenario_options *options,
                      const char *text, size_t length) {
    const struct tl_yaml_node *root = tl_yaml_read(reader->arena, text, length, reader->findings);
    if (!root || reader->findings->errors > 0)
        return false;
    if (root->kind != TL_YAML_MAP) {
        tl_yaml_error(reader->findings, root, "a scenario is a mapping with 'load' and 'config' or 'engines'");
        return false;
    }
    check_keys(reader, root);
    read_numbers(reader, scenario, root);
    read_list(reader, scenario, options, root, "load");
    if (!read_configuration(reader, scenario, root, text))
        return false;
    take_configuration(scenario, root);
    read_list(reader, scenario, options, root, "faults");
    return reader->findings->errors == 0;
}

/* "profiles/" of "profiles/x.yaml". */
static const char *folder_of(struct tl_arena *arena, const char *path) {
    const char *slash = strrchr(path, '/');
    return tl_arena_strndup(arena, path, slash ? (size_t)(slash - path) + 1 : 0);
}

struct tl_scenario *tl_scenario_read(const struct tl_scenario_options *options, struct tl_diagnostics *findings) {
    struct tl_scenario *scenario = tl_mem_zalloc(sizeof *scenario);
    struct tl_str text = TL_STR_INIT;
    struct tl_error error;
    bool good = false;
    tl_arena_init(&scenario->arena);
    scenario->file = tl_arena_strdup(&scenario->arena, options->path);
    scenario->seed = 1;
    scenario->shown_runs = 3;
    rename_findings(findings, options->path);
    struct reader reader = {findings, &scenario->arena, folder_of(&scenario->arena, options->path)};
    if (options->text)
        tl_str_puts(&text, options->text);
    if (!options->text && tl_file_read(options->path, TL_YAML_BYTES, &text, &error) != TL_OK)
        tl_yaml_error(findings, NULL, "%s", error.message);
    else
        good = read_tree(&reader, scenario, options, text.data, text.length);
    tl_str_fini(&text);
    if (good)
        return scenario;
    tl_scenario_destroy(scenario);
    return NULL;
}

void tl_scenario_destroy(struct tl_scenario *scenario) {
    if (!scenario)
        return;
    tl_config_destroy(scenario->own);
    tl_config_destroy(scenario->named);
    tl_arena_fini(&scenario->arena);
    tl_mem_free(scenario);
}
