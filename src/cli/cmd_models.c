/* cmd_models.c: `teola models`: what models are known and here, fetching and checking them. */
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "models/models.h"

static const char help[] =
    "Usage: teola models list [--format text|json]\n"
    "       teola models pull [--update] [--quiet] NAME...\n"
    "       teola models path NAME\n"
    "       teola models verify [--format text|json] [NAME...]\n"
    "       teola models tune [OPTIONS] [NAME]\n"
    "\n"
    "  list     all known models: size, whether they are here, licence\n"
    "  pull     fetch or make models; what is interrupted is continued the next time\n"
    "  path     print where a model's file is, after checking it\n"
    "  verify   read whole files and compare their SHA-256; without names, all that are here\n"
    "  tune     find the weight format in which a model runs best here, and use it (teola models tune --help)\n"
    "\n"
    "NAME is a name that `list` shows, or hf:org/name[:QUANT] for a GGUF model of the hub.\n"
    "\n"
    "  --update       of a hub model: take what the hub has now, and record it\n"
    "  --quiet, -q    no progress\n"
    "  --format FORM  text (default) or json\n"
    "  --help, -h     this text\n"
    "\n"
    "Models lie in ${TEOLA_MODELS:-${XDG_DATA_HOME:-~/.local/share}/teola/models}.\n"
    "Also read: TEOLA_MODELS_MANIFEST, TEOLA_OFFLINE, TEOLA_PYTHON, HF_TOKEN, HF_HOME, HF_ENDPOINT, HF_HUB_OFFLINE,\n"
    "https_proxy, no_proxy.\n"
    "Exit status: 0 done, 1 failed, 2 wrong use.\n";

struct options {
    bool json, quiet, update;
    char **names;
    size_t count;
};

static int print_json(json_t *json) {
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    if (text == NULL)
        return TL_EXIT_FAILED;
    puts(text);
    tl_mem_free(text);
    return TL_EXIT_DONE;
}

/* ---- list ---- */

enum presence { PRESENCE_ABSENT, PRESENCE_READY, PRESENCE_WRONG, PRESENCE_UNRECORDED };

static const char *const presence_names[] = {"-", "ready", "wrong size", "unrecorded"};

/* What is known without reading the file: `verify` reads it. *size is 0 when unknown. */
static enum presence find_presence(const struct tl_models *models, const struct tl_model_entry *entry, uint64_t *size) {
    struct tl_str path = TL_STR_INIT;
    char sha256[TL_SHA256_HEX_SIZE];
    struct stat info;
    *size = 0;
    bool known = tl_models_expected(models, entry, size, sha256, NULL) == TL_OK;
    tl_models_path(models, entry, &path);
    bool here = stat(path.data, &info) == 0;
    tl_str_fini(&path);
    if (!here)
        return PRESENCE_ABSENT;
    if (!known)
        return PRESENCE_UNRECORDED;
    return (uint64_t)info.st_size == *size ? PRESENCE_READY : PRESENCE_WRONG;
}

static const char *human_size(uint64_t size, char out[16]) {
    if (size == 0)
        snprintf(out, 16, "?");
    else if (size < 1000000000)
        snprintf(out, 16, "%.0f MB", (double)size / 1e6);
    else
        snprintf(out, 16, "%.1f GB", (double)size / 1e9);
    return out;
}

static json_t *entry_json(struct tl_models *models, const struct tl_model_entry *entry) {
    uint64_t size;
    struct tl_str path = TL_STR_INIT;
    char sha256[TL_SHA256_HEX_SIZE];
    enum presence presence = find_presence(models, entry, &size);
    tl_models_path(models, entry, &path);
    json_t *json = json_object();
    json_object_set_new(json, "name", json_string(entry->name));
    json_object_set_new(json, "state", json_string(presence == PRESENCE_ABSENT ? "absent" : presence_names[presence]));
    json_object_set_new(json, "path", json_string(path.data));
    if (tl_models_expected(models, entry, &size, sha256, NULL) == TL_OK) {
        json_object_set_new(json, "size", json_integer((json_int_t)size));
        json_object_set_new(json, "sha256", json_string(sha256));
    }
    tl_str_clear(&path);
    const char *tuned = tl_models_tuned_format(models, entry, &path);
    if (tuned != NULL)
        json_object_set_new(json, "tuned", json_pack("{s:s, s:s}", "format", tuned, "path", path.data));
    json_object_set_new(json, "pinned", json_boolean(entry->sha256 != NULL));
    json_object_set_new(json, "licence", json_string(entry->licence));
    json_object_set_new(json, "description", json_string(entry->description));
    tl_str_fini(&path);
    return json;
}

static int list(struct tl_models *models, const struct options *options) {
    if (options->count > 0)
        return tl_cli_wrong_use("models", "list takes no names, found \"%s\"", options->names[0]);
    const struct tl_manifest *manifest = tl_models_manifest(models);
    if (options->json) {
        json_t *all = json_array();
        for (size_t i = 0; i < manifest->count; i++)
            json_array_append_new(all, entry_json(models, &manifest->entries[i]));
        return print_json(all);
    }
    int widest = (int)strlen("NAME"), licence = (int)strlen("LICENCE");
    for (size_t i = 0; i < manifest->count; i++) {
        const struct tl_model_entry *entry = &manifest->entries[i];
        if ((int)strlen(entry->name) > widest)
            widest = (int)strlen(entry->name);
        if ((int)strlen(entry->licence) > licence)
            licence = (int)strlen(entry->licence);
    }
    printf("%-*s  %7s  %-10s  %-*s  %s\n", widest, "NAME", "SIZE", "HERE", licence, "LICENCE", "DESCRIPTION");
    for (size_t i = 0; i < manifest->count; i++) {
        const struct tl_model_entry *entry = &manifest->entries[i];
        uint64_t size;
        char text[16];
        enum presence presence = find_presence(models, entry, &size);
        printf("%-*s  %7s  %-10s  %-*s  %s\n", widest, entry->name, human_size(size, text), presence_names[presence],
               licence, entry->licence, entry->description);
        const char *tuned = tl_models_tuned_format(models, entry, NULL);
        if (tuned != NULL)
            printf("%-*s  tuned: used as %s on this machine (teola models tune --undo %s goes back)\n", widest, "",
                   tuned, entry->name);
    }
    return TL_EXIT_DONE;
}

/* ---- pull ---- */

/* Progress on stderr: steps always (unless quiet), bytes only on a terminal. */
struct meter {
    bool terminal, quiet, open; /* open: an unfinished line is on the terminal */
    uint64_t last;              /* time of the last drawing, ns */
    uint64_t start, start_done; /* of this download */
};

static void close_line(struct meter *meter) {
    if (meter->open)
        fputs("\r\033[K", stderr);
    meter->open = false;
}

static void show_step(void *user, const char *name, const char *what) {
    struct meter *meter = user;
    if (meter->quiet)
        return;
    close_line(meter);
    meter->start = 0;
    fprintf(stderr, "%s: %s\n", name, what);
}

static void show_bytes(void *user, const char *name, uint64_t done, uint64_t total) {
    struct meter *meter = user;
    if (meter->quiet || !meter->terminal)
        return;
    uint64_t now = tl_clock_now();
    if (meter->start == 0) {
        meter->start = now;
        meter->start_done = done;
    }
    if (done < total && now - meter->last < 200 * TL_NS_PER_MS)
        return;
    meter->last = now;
    double seconds = (double)(now - meter->start) / (double)TL_NS_PER_S;
    double rate = seconds > 0 ? (double)(done - meter->start_done) / seconds : 0;
    fprintf(stderr, "\r\033[K%s: %3.0f %%  %.1f of %.1f MB", name, 100.0 * (double)done / (double)total,
            (double)done / 1e6, (double)total / 1e6);
    if (rate > 0)
        fprintf(stderr, "  %.1f MB/s  %.0f s left", rate / 1e6, (double)(total - done) / rate);
    meter->open = true;
}

static int pull(struct tl_models *models, const struct options *options) {
    if (options->count == 0)
        return tl_cli_wrong_use("models", "pull needs the name of a model");
    struct meter meter = {.terminal = tl_cli_is_terminal(stderr), .quiet = options->quiet};
    const struct tl_models_progress progress = {
        .step = show_step, .bytes = show_bytes, .user = &meter, .update = options->update};
    int result = TL_EXIT_DONE;
    for (size_t i = 0; i < options->count; i++) {
        struct tl_error error;
        bool fetched;
        enum tl_status status = tl_models_pull(models, options->names[i], &progress, &fetched, &error);
        close_line(&meter);
        if (status != TL_OK)
            result = tl_cli_fail("models", &error);
        else if (!options->quiet)
            fprintf(stderr, "%s: %s\n", options->names[i], fetched ? "ready" : "was ready");
    }
    return result;
}

/* ---- path, verify ---- */

static int path(struct tl_models *models, const struct options *options) {
    if (options->count != 1)
        return tl_cli_wrong_use("models", "path needs the name of one model");
    struct tl_str found = TL_STR_INIT;
    char digest[TL_SHA256_HEX_SIZE];
    struct tl_error error;
    int result = TL_EXIT_DONE;
    if (tl_models_locate(models, options->names[0], &found, digest, &error) == TL_OK)
        puts(found.data);
    else
        result = tl_cli_fail("models", &error);
    tl_str_fini(&found);
    return result;
}

static void verify_one(struct tl_models *models, const char *name, json_t *all, int *result) {
    struct tl_error error;
    enum tl_status status = tl_models_verify(models, name, &error);
    if (status != TL_OK)
        *result = TL_EXIT_FAILED;
    if (all == NULL) {
        if (status == TL_OK)
            printf("%s: right\n", name);
        else
            tl_cli_fail("models", &error);
        return;
    }
    json_t *json = json_object();
    json_object_set_new(json, "name", json_string(name));
    json_object_set_new(json, "right", json_boolean(status == TL_OK));
    if (status != TL_OK)
        json_object_set_new(json, "error", json_string(error.message));
    json_array_append_new(all, json);
}

static int verify(struct tl_models *models, const struct options *options) {
    json_t *all = options->json ? json_array() : NULL;
    const struct tl_manifest *manifest = tl_models_manifest(models);
    int result = TL_EXIT_DONE;
    for (size_t i = 0; i < options->count; i++)
        verify_one(models, options->names[i], all, &result);
    for (size_t i = 0; options->count == 0 && i < manifest->count; i++) {
        uint64_t size;
        if (find_presence(models, &manifest->entries[i], &size) != PRESENCE_ABSENT)
            verify_one(models, manifest->entries[i].name, all, &result);
    }
    if (all != NULL && print_json(all) != TL_EXIT_DONE)
        result = TL_EXIT_FAILED;
    return result;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    int (*run)(struct tl_models *models, const struct options *options);
} actions[] = {{"list", list}, {"pull", pull}, {"path", path}, {"verify", verify}};

enum { ACTIONS = sizeof actions / sizeof *actions };

/* Returns TL_EXIT_DONE to go on, else the exit status; *helped when only help was wanted. */
static int read_options(int argc, char **argv, struct options *options, bool *helped) {
    enum { OPTION_FORMAT = 256, OPTION_UPDATE };
    static const struct option known[] = {
        {"format", required_argument, NULL, OPTION_FORMAT}, {"update", no_argument, NULL, OPTION_UPDATE},
        {"quiet", no_argument, NULL, 'q'},                  {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *options = (struct options){0};
    *helped = false;
    opterr = 0;
    optind = 0; /* starts anew, whatever was read before */
    for (int option; (option = getopt_long(argc, argv, ":qh", known, NULL)) != -1;)
        switch (option) {
        case OPTION_FORMAT:
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
                return tl_cli_wrong_use("models", "--format is \"%s\", expected text or json", optarg);
            options->json = strcmp(optarg, "json") == 0;
            break;
        case OPTION_UPDATE: options->update = true; break;
        case 'q': options->quiet = true; break;
        case 'h': *helped = true; break;
        default: return tl_cli_wrong_option("models", option, argv, known);
        }
    options->names = argv + optind;
    options->count = (size_t)(argc - optind);
    return TL_EXIT_DONE;
}

int tl_cmd_models(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "tune") == 0) /* has options of its own */
        return tl_cmd_models_tune(argc - 1, argv + 1);
    struct options options;
    bool helped;
    int result = read_options(argc, argv, &options, &helped);
    if (result != TL_EXIT_DONE)
        return result;
    if (helped) {
        fputs(help, stdout);
        return TL_EXIT_DONE;
    }
    if (options.count == 0)
        return tl_cli_wrong_use("models", "say what to do: list, pull, path, verify or tune");
    const char *name = options.names[0];
    options.names++;
    options.count--;
    size_t i = 0;
    while (i < ACTIONS && strcmp(actions[i].name, name) != 0)
        i++;
    if (i == ACTIONS)
        return tl_cli_wrong_use("models", "\"%s\" is unknown, expected list, pull, path, verify or tune", name);
    struct tl_models *models;
    struct tl_error error;
    if (tl_models_open(&models, &error) != TL_OK)
        return tl_cli_fail("models", &error);
    result = actions[i].run(models, &options);
    tl_models_close(models);
    return result;
}
