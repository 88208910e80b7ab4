/* config_limits.c: `limits`, `retries` and `hang_after`: how much may be under way at once, how often a failed primitive is
 * tried again, and for how long an engine may be silent. */
#include <string.h>

#include "base/str.h"
#include "runtime/config_internal.h"

#define MOST_RUNS 1000000
#define MOST_RETRIES 10
#define MOST_HANG_MS 1e9

static bool count_of(const json_t *value, json_int_t most, size_t *count) {
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > most)
        return false;
    *count = (size_t)number;
    return true;
}

static bool ms_of(const json_t *value, double *ms) {
    uint64_t parsed = 0;
    const char *text = json_string_value(value);
    if (text ? !tl_duration_parse(text, &parsed) : !json_is_number(value) || json_number_value(value) < 0)
        return false;
    *ms = text ? (double)parsed : json_number_value(value) * 1000;
    return true;
}

static void read_limit(struct tl_config *config, const char *name, const json_t *value,
                       struct tl_diagnostics *findings) {
    static const char *const names[] = {"runs", "tenant_runs", "work", "tenant_work"};
    struct tl_sched_limits *limits = &config->limits;
    const struct tl_yaml_node *written = tl_config_written(config, "limits", name, NULL);
    bool runs = strcmp(name, "runs") == 0, work = strcmp(name, "work") == 0;
    if (runs || strcmp(name, "tenant_runs") == 0) {
        if (!count_of(value, MOST_RUNS, runs ? &limits->runs : &limits->tenant_runs))
            tl_yaml_error(findings, written, "limits: '%s' must be a whole number of runs; 0: no limit", name);
    } else if (work || strcmp(name, "tenant_work") == 0) {
        if (!ms_of(value, work ? &limits->work_ms : &limits->tenant_work_ms))
            tl_yaml_error(findings, written, "limits: '%s' must be a time such as 30s or 2m; 0: no limit", name);
    } else {
        const char *nearest = tl_str_nearest(name, names, sizeof names / sizeof names[0]);
        tl_yaml_error(findings, written, "limits: unknown limit '%s'; %s%s%s", name,
                      nearest ? "did you mean '" : "there are runs, tenant_runs, work, tenant_work",
                      nearest ? nearest : "", nearest ? "'?" : "");
    }
}

static void read_hang_after(struct tl_config *config, struct tl_diagnostics *findings) {
    const json_t *value = json_object_get(config->root, "hang_after");
    const char *text = json_string_value(value);
    double ms = 0;
    if (!json_is_null(value) && !(text && strcmp(text, "none") == 0) && (!ms_of(value, &ms) || ms > MOST_HANG_MS))
        tl_yaml_error(findings, tl_config_written(config, "hang_after", NULL, NULL),
                      "'hang_after' must be a time such as 60s or 5m; none or 0: never");
    config->hang_after_ms = (uint64_t)(ms + 0.999); /* what is not 0 does not become so */
}

void tl_config_read_limits(struct tl_config *config, struct tl_diagnostics *findings) {
    const json_t *limits = json_object_get(config->root, "limits"), *retries = json_object_get(config->root, "retries");
    const char *name;
    json_t *value;
    size_t count = 0;
    if (limits && !json_is_object(limits))
        tl_yaml_error(findings, tl_config_written(config, "limits", NULL, NULL),
                      "'limits' must be a mapping such as {runs: 100, tenant_runs: 20}");
    json_object_foreach((json_t *)limits, name, value) read_limit(config, name, value, findings);
    if (!count_of(retries, MOST_RETRIES, &count))
        tl_yaml_error(findings, tl_config_written(config, "retries", NULL, NULL),
                      "'retries' must be a whole number from 0 to %d", MOST_RETRIES);
    config->retries = (uint32_t)count;
    read_hang_after(config, findings);
}

const struct tl_sched_limits *tl_config_limits(const struct tl_config *config) {
    return &config->limits;
}

uint64_t tl_config_hang_after_ms(const struct tl_config *config) {
    return config->hang_after_ms;
}

uint32_t tl_config_retries(const struct tl_config *config) {
    return config->retries;
}
