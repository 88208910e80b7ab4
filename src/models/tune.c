/* tune.c: see tune.h. Files are made in a work folder of their own; the one that is kept gets its name by a rename, after
 * its record is written, so that an interrupt at any time leaves no half file where one is looked for. */
#include "models/tune.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/llama/llama_measure.h"
#include "engine/llama/quantize.h"
#include "models/embedded.h"
#include "models/ledger.h"
#include "models/models_internal.h"

enum { MOST_FORMATS = 16, MOST_ROUNDS = 32, JUDGED_TOKENS = 1024, LARGEST_REPORT = 1 << 20 };

enum verdict { USED, SLOWER, LOSS, FAILED };

static const char *const verdicts[] = {"used", "slower", "loss", "failed"};

struct row {
    const char *format; /* "" for the model as it is when its format has no name here */
    struct tl_str path;
    uint64_t size;
    enum verdict verdict;
    struct tl_str reason; /* of a failure */
    double perplexity, loss;
    struct tl_llama_speed samples[MOST_ROUNDS], speed; /* speed: the medians */
    double request;
};

struct tuning {
    struct tl_models *models;
    const struct tl_tune *tune;
    const struct tl_model_entry *entry;
    char name[160];                     /* of the variant's record */
    char digest[TL_SHA256_HEX_SIZE];    /* of the model as it is */
    char text_digest[TL_SHA256_HEX_SIZE];
    struct tl_str own, source;          /* the model's own file; what is re-quantised: what that was made from, or itself */
    struct tl_str work, kept, report;   /* the work folder; the variant's file; what was measured */
    const char *text;
    size_t text_length, judged;
    char processor[128];
    struct row rows[MOST_FORMATS + 1]; /* the first: the model as it is */
    size_t count;
};

static void say(const struct tuning *tuning, const char *format, ...) TL_PRINTF(2, 3);
static void say(const struct tuning *tuning, const char *format, ...) {
    if (!tuning->tune->step)
        return;
    struct tl_str what = TL_STR_INIT;
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&what, format, args);
    va_end(args);
    tuning->tune->step(tuning->tune->user, what.data);
    tl_str_fini(&what);
}

static enum tl_status check_stop(const struct tuning *tuning, struct tl_error *error) {
    if (tuning->tune->stop && tuning->tune->stop(tuning->tune->user))
        return tl_error_set(error, TL_ERR_CANCELLED, "stopped; nothing was changed");
    return TL_OK;
}

/* ---- beginning ---- */

static void find_processor(char *out, size_t size) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");
    snprintf(out, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        snprintf(out, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (file)
        fclose(file);
}

/* What to re-quantise: the file that a re-quantised model was made from, as long as it is here; else the model itself. */
static void find_source(struct tuning *tuning) {
    const struct tl_model_entry *from =
        tuning->entry->derivation == TL_MODEL_REQUANTIZED
            ? tl_manifest_find(tl_models_manifest(tuning->models), tuning->entry->location)
            : NULL;
    char digest[TL_SHA256_HEX_SIZE];
    if (from && tl_models_locate_own(tuning->models, from, &tuning->source, digest, NULL) == TL_OK)
        return;
    tl_str_clear(&tuning->source);
    tl_str_puts(&tuning->source, tuning->own.data);
}

static enum tl_status begin(struct tuning *tuning, const char *name, struct tl_error *error) {
    const char *folder = tl_models_directory(tuning->models);
    enum tl_status status = tl_models_find(tuning->models, name, &tuning->entry, error);
    if (status == TL_OK)
        status = tl_models_locate_own(tuning->models, tuning->entry, &tuning->own, tuning->digest, error);
    if (status != TL_OK)
        return status;
    name = tuning->entry->name;
    find_source(tuning);
    snprintf(tuning->name, sizeof tuning->name, "%s.tuned", name);
    tl_str_printf(&tuning->work, "%s/.work-%s.tuned", folder, name);
    tl_str_printf(&tuning->kept, "%s/%s.tuned.gguf", folder, name);
    tl_str_printf(&tuning->report, "%s/%s.tune.json", folder, name);
    find_processor(tuning->processor, sizeof tuning->processor);
    tuning->text = tuning->tune->text ? tuning->tune->text : tl_embedded_sample;
    tuning->text_length = tuning->tune->text ? tuning->tune->text_length : strlen(tl_embedded_sample);
    tl_sha256_hex(tuning->text, tuning->text_length, tuning->text_digest);
    return TL_OK;
}

static void add_row(struct tuning *tuning, const char *format) {
    struct row *row = &tuning->rows[tuning->count];
    *row = (struct row){.format = format ? format : "", .verdict = SLOWER};
    tl_str_init(&row->path);
    tl_str_init(&row->reason);
    if (tuning->count == 0)
        tl_str_puts(&row->path, tuning->own.data);
    else
        tl_str_printf(&row->path, "%s/%s.gguf", tuning->work.data, format);
    tuning->count++;
}

static enum tl_status add_rows(struct tuning *tuning, struct tl_error *error) {
    const char *const *formats = tuning->tune->formats ? tuning->tune->formats : tl_llama_formats;
    uint64_t bytes;
    add_row(tuning, tl_llama_format_of(tuning->own.data));
    for (size_t i = 0; formats[i]; i++) {
        enum tl_status status = tl_llama_quantized_size(tuning->source.data, formats[i], &bytes, error);
        if (status != TL_OK)
            return status;
        bool there = false;
        for (size_t k = 0; k < tuning->count; k++)
            there = there || strcmp(tuning->rows[k].format, formats[i]) == 0;
        if (!there && tuning->count <= MOST_FORMATS)
            add_row(tuning, formats[i]);
    }
    return TL_OK;
}

/* All files may be there at once. */
static enum tl_status check_disk(const struct tuning *tuning, struct tl_error *error) {
    struct statvfs disk;
    uint64_t need = 0, bytes;
    for (size_t i = 1; i < tuning->count; i++)
        if (tl_llama_quantized_size(tuning->source.data, tuning->rows[i].format, &bytes, NULL) == TL_OK)
            need += bytes;
    if (statvfs(tl_models_directory(tuning->models), &disk) != 0)
        return tl_error_set(error, TL_ERR_IO, "%s: %s", tl_models_directory(tuning->models), strerror(errno));
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (need <= free_bytes)
        return TL_OK;
    return tl_error_set(error, TL_ERR_LIMIT,
                        "%s: %zu formats need up to %.1f GB while they are compared, but %.1f GB are free; try fewer "
                        "(--formats)",
                        tl_models_directory(tuning->models), tuning->count - 1, (double)need / 1e9,
                        (double)free_bytes / 1e9);
}

/* ---- measuring ---- */

/* A format that cannot be made or computed is out, with its reason; only an interrupt ends everything. */
static enum tl_status give_up(struct row *row, enum tl_status status, const struct tl_error *why,
                              struct tl_error *error) {
    if (status == TL_ERR_CANCELLED)
        return tl_error_set(error, status, "%s", why->message);
    row->verdict = FAILED;
    tl_str_clear(&row->reason);
    tl_str_puts(&row->reason, why->message);
    return TL_OK;
}

static void drop_file(const struct tuning *tuning, const struct row *row) {
    if (row != &tuning->rows[0] && unlink(row->path.data) != 0 && errno != ENOENT)
        tl_log(TL_LOG_WARN, "%s: cannot be removed: %s", row->path.data, strerror(errno));
}

/* Makes the file and finds its loss. */
static enum tl_status judge(struct tuning *tuning, struct row *row, struct tl_error *error) {
    const struct tl_tune *tune = tuning->tune;
    struct tl_llama_measure *measure = NULL;
    struct tl_error why = {0};
    struct stat info;
    enum tl_status status = check_stop(tuning, &why);
    bool first = row == &tuning->rows[0];
    if (status == TL_OK && !first) {
        say(tuning, "%s: re-quantising", row->format);
        status = tl_llama_quantize(tuning->source.data, row->path.data, row->format, &why);
    }
    if (status == TL_OK && stat(row->path.data, &info) == 0)
        row->size = (uint64_t)info.st_size;
    say(tuning, "%s: judging", first ? "as it is" : row->format);
    if (status == TL_OK)
        status = tl_llama_measure_open(row->path.data, tune->threads, tune->stop, tune->user, &measure, &why);
    if (status == TL_OK)
        status = tl_llama_measure_perplexity(measure, tuning->text, tuning->text_length, JUDGED_TOKENS,
                                             &row->perplexity, &tuning->judged, &why);
    tl_llama_measure_close(measure);
    if (status != TL_OK && first)
        return tl_error_set(error, status, "%s", why.message);
    if (status != TL_OK) {
        drop_file(tuning, row);
        return give_up(row, status, &why, error);
    }
    row->loss = row->perplexity / tuning->rows[0].perplexity - 1;
    if (row->loss > tune->most_loss) {
        row->verdict = LOSS;
        drop_file(tuning, row);
    }
    return TL_OK;
}

static enum tl_status time_once(struct tuning *tuning, struct row *row, unsigned round, struct tl_error *error) {
    const struct tl_tune *tune = tuning->tune;
    struct tl_llama_measure *measure = NULL;
    struct tl_llama_speed warm;
    struct tl_error why = {0};
    if (row->verdict != SLOWER)
        return TL_OK;
    say(tuning, "%s: timing, round %u of %u", row->format[0] ? row->format : "as it is", round + 1, tune->rounds);
    enum tl_status status =
        tl_llama_measure_open(row->path.data, tune->threads, tune->stop, tune->user, &measure, &why);
    if (status == TL_OK && round == 0)
        status = tl_llama_measure_speed(measure, &warm, &why);
    if (status == TL_OK)
        status = tl_llama_measure_speed(measure, &row->samples[round], &why);
    tl_llama_measure_close(measure);
    return status == TL_OK ? TL_OK : give_up(row, status, &why, error);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const struct row *row, size_t offset, unsigned rounds) {
    double values[MOST_ROUNDS];
    for (unsigned i = 0; i < rounds; i++)
        values[i] = *(const double *)((const char *)&row->samples[i] + offset);
    qsort(values, rounds, sizeof *values, compare);
    return rounds % 2 ? values[rounds / 2] : (values[rounds / 2 - 1] + values[rounds / 2]) / 2;
}

static void take_medians(struct row *row, unsigned rounds) {
    row->speed.prefill = median(row, offsetof(struct tl_llama_speed, prefill), rounds);
    row->speed.decode = median(row, offsetof(struct tl_llama_speed, decode), rounds);
    row->speed.decode8 = median(row, offsetof(struct tl_llama_speed, decode8), rounds);
    row->request = tl_tune_request_ms(row->speed.prefill, row->speed.decode);
}

static enum tl_status measure_all(struct tuning *tuning, struct tl_error *error) {
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < tuning->count && status == TL_OK; i++)
        status = judge(tuning, &tuning->rows[i], error);
    for (unsigned round = 0; round < tuning->tune->rounds; round++)
        for (size_t i = 0; i < tuning->count && status == TL_OK; i++)
            status = time_once(tuning, &tuning->rows[i], round, error);
    for (size_t i = 0; i < tuning->count && status == TL_OK; i++)
        if (tuning->rows[i].verdict == SLOWER)
            take_medians(&tuning->rows[i], tuning->tune->rounds);
    return status;
}

static size_t choose(struct tuning *tuning) {
    struct tl_tune_candidate candidates[MOST_FORMATS + 1];
    for (size_t i = 0; i < tuning->count; i++)
        candidates[i] = (struct tl_tune_candidate){tuning->rows[i].size, tuning->rows[i].loss, tuning->rows[i].request};
    size_t chosen = tl_tune_choose(candidates, tuning->count, tuning->tune->most_loss);
    tuning->rows[chosen].verdict = USED;
    return chosen;
}

/* ---- keeping ---- */

/* The former variant goes first: between these steps, and after an interrupt, the model as it is is used. */
static enum tl_status keep(const struct tuning *tuning, const struct row *row, struct tl_error *error) {
    char sha256[TL_SHA256_HEX_SIZE];
    struct tl_str origin = TL_STR_INIT;
    tl_str_printf(&origin, "tune %s of sha256:%s", row->format, tuning->digest);
    enum tl_status status = tl_sha256_file(row->path.data, sha256, error);
    if (status == TL_OK)
        status = tl_models_sync_file(row->path.data, error);
    if (status == TL_OK && unlink(tuning->kept.data) != 0 && errno != ENOENT)
        status = tl_error_set(error, TL_ERR_IO, "%s: cannot be replaced: %s", tuning->kept.data, strerror(errno));
    if (status == TL_OK)
        status = tl_ledger_write(tl_models_directory(tuning->models), tuning->name, row->size, sha256, origin.data,
                                 error);
    if (status == TL_OK && rename(row->path.data, tuning->kept.data) != 0)
        status = tl_error_set(error, TL_ERR_IO, "%s: cannot be replaced: %s", tuning->kept.data, strerror(errno));
    tl_str_fini(&origin);
    return status;
}

static enum tl_status forget(const struct tuning *tuning, bool *was, struct tl_error *error) {
    *was = unlink(tuning->kept.data) == 0;
    if (!*was && errno != ENOENT)
        return tl_error_set(error, TL_ERR_IO, "%s: cannot be removed: %s", tuning->kept.data, strerror(errno));
    return tl_ledger_remove(tl_models_directory(tuning->models), tuning->name, error);
}

static json_t *row_json(const struct row *row, bool as_is) {
    json_t *json = json_pack("{s:s, s:b, s:I, s:s}", "format", row->format, "as_is", as_is, "size",
                             (json_int_t)row->size, "verdict", verdicts[row->verdict]);
    if (row->perplexity > 0) {
        json_object_set_new(json, "perplexity", json_real(row->perplexity));
        json_object_set_new(json, "loss", json_real(row->loss));
    }
    if (row->request > 0) {
        json_object_set_new(json, "prefill", json_real(row->speed.prefill));
        json_object_set_new(json, "decode", json_real(row->speed.decode));
        json_object_set_new(json, "decode8", json_real(row->speed.decode8));
        json_object_set_new(json, "request_ms", json_real(row->request));
    }
    if (row->verdict == FAILED)
        json_object_set_new(json, "reason", json_string(row->reason.data));
    return json;
}

/* What a report is of: when all of it is the same, so would be the report. */
static json_t *subject_json(const struct tuning *tuning) {
    const char *const *formats = tuning->tune->formats ? tuning->tune->formats : tl_llama_formats;
    json_t *json = json_pack("{s:s, s:s, s:s, s:i, s:f, s:i, s:s}", "model", tuning->entry->name, "source",
                             tuning->digest, "processor", tuning->processor, "threads", (int)tuning->tune->threads,
                             "most_loss", tuning->tune->most_loss, "rounds", (int)tuning->tune->rounds, "text",
                             tuning->text_digest);
    json_t *asked = json_array();
    for (size_t i = 0; formats[i]; i++)
        json_array_append_new(asked, json_string(formats[i]));
    json_object_set_new(json, "asked", asked);
    return json;
}

static json_t *report_json(const struct tuning *tuning, size_t chosen) {
    json_t *json = subject_json(tuning), *rows = json_array();
    for (size_t i = 0; i < tuning->count; i++)
        json_array_append_new(rows, row_json(&tuning->rows[i], i == 0));
    json_object_set_new(json, "judged_tokens", json_integer((json_int_t)tuning->judged));
    json_object_set_new(json, "formats", rows);
    json_object_set_new(json, "used", json_string(tuning->rows[chosen].format));
    json_object_set_new(json, "tuned", json_boolean(chosen != 0));
    return json;
}

static enum tl_status write_report(const struct tuning *tuning, json_t *report, struct tl_error *error) {
    char *text = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    if (!text)
        return tl_error_set(error, TL_ERR_INVALID, "what was measured cannot be written as JSON");
    enum tl_status status = tl_file_write_atomic(tuning->report.data, text, strlen(text), error);
    tl_mem_free(text);
    return status;
}

/* The report of an earlier time, when it is of the same and what it says is used is there; else NULL. Owned. */
static json_t *find_report(const struct tuning *tuning) {
    struct tl_str text = TL_STR_INIT;
    json_t *report = NULL, *subject = subject_json(tuning), *value;
    const char *key;
    if (tl_file_read(tuning->report.data, LARGEST_REPORT, &text, NULL) == TL_OK)
        report = json_loadb(text.data, text.length, 0, NULL);
    bool same = json_is_array(json_object_get(report, "formats")) && json_string_value(json_object_get(report, "used"));
    json_object_foreach(subject, key, value)
        same = same && (json_is_real(value) || json_equal(value, json_object_get(report, key)));
    double bound = json_number_value(json_object_get(report, "most_loss")) - tuning->tune->most_loss;
    same = same && bound > -1e-5 && bound < 1e-5;
    if (same && json_is_true(json_object_get(report, "tuned")))
        same = tl_models_tuned_format(tuning->models, tuning->entry, NULL) != NULL;
    tl_str_fini(&text);
    json_decref(subject);
    if (!same) {
        json_decref(report);
        return NULL;
    }
    return report;
}

/* ---- all of it ---- */

static enum tl_status tune_locked(struct tuning *tuning, json_t **report, struct tl_error *error) {
    bool was;
    size_t chosen = 0;
    *report = tuning->tune->again ? NULL : find_report(tuning);
    if (*report) {
        json_object_set_new(*report, "measured_before", json_true());
        return TL_OK;
    }
    tl_models_remove_folder(tuning->work.data); /* of an interrupted run */
    enum tl_status status = add_rows(tuning, error);
    if (status == TL_OK)
        status = check_disk(tuning, error);
    if (status == TL_OK)
        status = tl_file_make_directories(tuning->work.data, error);
    if (status == TL_OK)
        status = measure_all(tuning, error);
    if (status == TL_OK) {
        chosen = choose(tuning);
        status = chosen == 0 ? forget(tuning, &was, error) : keep(tuning, &tuning->rows[chosen], error);
    }
    tl_models_remove_folder(tuning->work.data);
    if (status != TL_OK)
        return status;
    *report = report_json(tuning, chosen);
    status = write_report(tuning, *report, error);
    json_object_set_new(*report, "measured_before", json_false());
    return status;
}

static void say_waiting(void *user) {
    say(user, "waiting for another process that works on it");
}

static void end(struct tuning *tuning) {
    for (size_t i = 0; i < tuning->count; i++) {
        tl_str_fini(&tuning->rows[i].path);
        tl_str_fini(&tuning->rows[i].reason);
    }
    struct tl_str *paths[] = {&tuning->own, &tuning->source, &tuning->work, &tuning->kept, &tuning->report};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        tl_str_fini(paths[i]);
    tl_mem_free(tuning);
}

static struct tuning *make(struct tl_models *models, const struct tl_tune *tune) {
    struct tuning *tuning = tl_mem_zalloc(sizeof *tuning);
    struct tl_str *paths[] = {&tuning->own, &tuning->source, &tuning->work, &tuning->kept, &tuning->report};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        tl_str_init(paths[i]);
    tuning->models = models;
    tuning->tune = tune;
    return tuning;
}

enum tl_status tl_models_tune(struct tl_models *models, const char *name, const struct tl_tune *tune, json_t **report,
                              struct tl_error *error) {
    struct tuning *tuning = make(models, tune);
    int lock = -1;
    *report = NULL;
    enum tl_status status = begin(tuning, name, error);
    if (status == TL_OK && (tune->rounds == 0 || tune->rounds > MOST_ROUNDS))
        status = tl_error_set(error, TL_ERR_USAGE, "from 1 to %d rounds can be measured", MOST_ROUNDS);
    if (status == TL_OK)
        status = tl_models_take_lock(models, tuning->name, say_waiting, tuning, &lock, error);
    if (status == TL_OK)
        status = tune_locked(tuning, report, error);
    if (status != TL_OK) {
        json_decref(*report);
        *report = NULL;
    }
    if (lock >= 0)
        close(lock);
    end(tuning);
    return status;
}

enum tl_status tl_models_untune(struct tl_models *models, const char *name, bool *was, struct tl_error *error) {
    static const struct tl_tune none = {.rounds = 1};
    struct tuning *tuning = make(models, &none);
    int lock = -1;
    bool ours;
    enum tl_status status = begin(tuning, name, error);
    if (status == TL_OK)
        status = tl_models_take_lock(models, tuning->name, NULL, NULL, &lock, error);
    if (status == TL_OK)
        status = forget(tuning, was ? was : &ours, error);
    if (status == TL_OK && unlink(tuning->report.data) != 0 && errno != ENOENT)
        status = tl_error_set(error, TL_ERR_IO, "%s: cannot be removed: %s", tuning->report.data, strerror(errno));
    if (lock >= 0)
        close(lock);
    end(tuning);
    return status;
}
