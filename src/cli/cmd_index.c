/* cmd_index.c: `teola index`: files into a collection, and what collections there are. */
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/index_display.h"
#include "engine/documents/chunker.h"
#include "engine/sqlite/store.h"
#include "indexer/indexer.h"
#include "runtime/config.h"

#define NAME "index"

static const char help[] =
    "Usage: teola index PATH... --collection NAME [OPTIONS]\n"
    "       teola index --list [--store FILE] [--format text|json]\n"
    "       teola index --drop --collection NAME [--store FILE]\n"
    "       teola index --dump --collection NAME [--store FILE]\n"
    "\n"
    "Reads text, Markdown, HTML and PDF files, directories with all below them, into a collection that workflows\n"
    "search. What has not changed since the last time costs nothing. It may be interrupted at any moment; the next\n"
    "run goes on where it ended.\n"
    "\n"
    "  -c, --collection NAME  of a-z, 0-9, '_' and '-'; made when there is none\n"
    "      --prune            drop documents below PATH whose files are gone\n"
    "      --embed-model M    name (see teola models list) or GGUF file; a collection has one for life\n"
    "      --chunk-size N     tokens of a passage (256)\n"
    "      --overlap N        tokens that a passage shares with the one before (30)\n"
    "      --store FILE       where collections are (${XDG_DATA_HOME:-~/.local/share}/teola/store.db)\n"
    "      --config FILE      configuration (./teola.yaml, ~/.config/teola/teola.yaml)\n"
    "      --list             show the collections of the store\n"
    "      --drop             delete the collection\n"
    "      --dump             print the collection's content, a line per document and passage\n"
    "      --format FORM      text (default) or json\n"
    "  -v, --verbose          a line for each document\n"
    "  -q, --quiet            errors only\n"
    "  -h, --help             this text\n"
    "\n"
    "Exit status: 0 done (skipped documents are reported), 1 failed, 2 wrong use, 130 interrupted.\n";

struct options {
    const char *collection, *store, *config, *model;
    int64_t chunk_size, overlap; /* -1: not given */
    bool prune, json, verbose, quiet, list, drop, dump;
    char **paths;
    size_t count;
};

/* Set by SIGINT and SIGTERM while indexing. */
static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static int print_json(json_t *json) {
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    if (!text)
        return TL_EXIT_FAILED;
    puts(text);
    free(text);
    return TL_EXIT_DONE;
}

static bool stop(void *context) {
    (void)context;
    return interrupted != 0;
}

/* ---- indexing ---- */

/* Names of files need not be UTF-8, JSON must be. */
static json_t *text_json(const char *text) {
    struct tl_str repaired = TL_STR_INIT;
    tl_utf8_repair(text, strlen(text), &repaired);
    json_t *json = json_stringn(repaired.data, repaired.length);
    tl_str_fini(&repaired);
    return json;
}

static int print_report(const struct options *options, const struct tl_index_report *report,
                        const struct tl_index_display *display, const char *store, bool complete) {
    double seconds = tl_index_display_seconds(display);
    double rate = seconds > 0 ? (double)report->chunks / seconds : 0;
    if (options->json) {
        json_t *skipped = json_array();
        for (size_t i = 0; i < display->skip_count; i++)
            json_array_append_new(skipped, json_pack("{s:o, s:o}", "uri", text_json(display->skips[i].uri), "reason",
                                                     text_json(display->skips[i].reason)));
        return print_json(json_pack(
            "{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o}", "collection",
            options->collection, "store", store, "complete", complete, "added", (json_int_t)report->added, "replaced",
            (json_int_t)report->replaced, "unchanged", (json_int_t)report->unchanged, "removed",
            (json_int_t)report->removed, "skipped_count", (json_int_t)report->skipped, "chunks",
            (json_int_t)report->chunks, "tokens", (json_int_t)report->tokens, "bytes", (json_int_t)report->bytes,
            "seconds", seconds, "chunks_per_second", rate, "skipped", skipped));
    }
    tl_index_display_skips(display, report->skipped);
    if (!options->quiet)
        printf("%s: %" PRIu64 " documents added, %" PRIu64 " replaced, %" PRIu64 " unchanged, %" PRIu64
               " removed, %" PRIu64 " skipped; %" PRIu64 " chunks in %.1f s (%.1f chunks/s)\n",
               options->collection, report->added, report->replaced, report->unchanged, report->removed,
               report->skipped, report->chunks, seconds, rate);
    return TL_EXIT_DONE;
}

/* The settings of the configuration's embedder and store, as the engines take them. */
static enum tl_status find_settings(const struct tl_config *config, json_t **embedder, json_t **store,
                                    const char **model, struct tl_error *error) {
    const struct tl_config_engine *engine = tl_config_find_engine(config, "embedder");
    if (!engine || strcmp(engine->type, "embed") != 0)
        return tl_error_set(error, TL_ERR_INVALID,
                            "the configuration's engine \"embedder\" must be of type embed for indexing, found %s",
                            engine ? engine->type : "none");
    enum tl_status status = tl_config_engine_settings(config, engine, embedder, error);
    if (status != TL_OK)
        return status;
    *model = json_string_value(json_object_get(engine->settings, "model"));
    engine = tl_config_find_engine(config, "store");
    if (engine && strcmp(engine->type, "sqlite") == 0)
        status = tl_config_engine_settings(config, engine, store, error);
    return status;
}

static int index_paths(const struct options *options, const struct tl_config *config) {
    struct tl_index_display display;
    tl_index_display_init(&display, options->quiet, options->verbose);
    struct tl_error error = {0};
    struct tl_index_report report = {0};
    json_t *embedder = NULL, *store = NULL;
    const char *model = NULL;
    enum tl_status status = find_settings(config, &embedder, &store, &model, &error);
    const char *path = tl_config_store_path(config);
    if (status == TL_OK) {
        const struct tl_index_options index = {
            .paths = (const char *const *)options->paths,
            .path_count = options->count,
            .collection = options->collection,
            .store = path,
            .vec0 = json_string_value(json_object_get(store, "vec0")),
            .embed = embedder,
            .model = model,
            .chunk_size = options->chunk_size > 0 ? (uint32_t)options->chunk_size : 0,
            .chunk_overlap = options->overlap,
            .prune = options->prune,
            .event = tl_index_display_event,
            .progress = tl_index_display_progress,
            .stop = stop,
            .context = &display,
        };
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, former[2];
        sigemptyset(&action.sa_mask);
        interrupted = 0;
        sigaction(SIGINT, &action, &former[0]);
        sigaction(SIGTERM, &action, &former[1]);
        status = tl_index_run(&index, &report, &error);
        sigaction(SIGINT, &former[0], NULL);
        sigaction(SIGTERM, &former[1], NULL);
    }
    tl_index_display_close_line(&display);

    int result = TL_EXIT_DONE;
    bool began = status == TL_OK || report.added + report.replaced + report.removed > 0 || interrupted;
    if (began)
        result = print_report(options, &report, &display, path, status == TL_OK);
    if (status == TL_ERR_CANCELLED && interrupted) {
        fputs("teola index: interrupted; the same command completes it\n", stderr);
        result = TL_EXIT_INTERRUPTED;
    } else if (status != TL_OK) {
        result = tl_cli_fail(NAME, &error);
    }
    tl_index_display_fini(&display);
    json_decref(embedder);
    json_decref(store);
    return result;
}

/* ---- list, drop, dump ---- */

struct listing {
    json_t *json; /* NULL: text */
    size_t count;
};

static bool list_one(void *context, const struct tl_collection_info *info) {
    struct listing *listing = context;
    if (listing->json) {
        json_array_append_new(
            listing->json,
            json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I, s:I}", "name", info->name, "documents",
                      (json_int_t)info->documents, "chunks", (json_int_t)info->chunks, "bytes",
                      (json_int_t)info->bytes, "model", info->model, "model_digest", info->model_digest, "dimension",
                      (json_int_t)info->dimension, "chunk_size", (json_int_t)info->chunk_size, "chunk_overlap",
                      (json_int_t)info->chunk_overlap, "version", (json_int_t)info->version));
    } else {
        if (listing->count == 0)
            printf("%-24s  %9s  %9s  %9s  %7s  %s\n", "NAME", "DOCUMENTS", "CHUNKS", "MB", "CHUNK", "MODEL");
        printf("%-24s  %9" PRIu64 "  %9" PRIu64 "  %9.1f  %3" PRIu32 "/%-3" PRIu32 "  %s (%" PRIu32 " dimensions)\n",
               info->name, info->documents, info->chunks, (double)info->bytes / 1e6, info->chunk_size,
               info->chunk_overlap, info->model, info->dimension);
    }
    listing->count++;
    return true;
}

static bool print_piece(void *context, const char *data, size_t length) {
    (void)context;
    return fwrite(data, 1, length, stdout) == length;
}

static int act_on_store(const struct options *options, const char *path, const char *vec0) {
    struct tl_error error = {0};
    struct tl_store *store = NULL;
    const struct tl_store_options open = {.path = path, .vec0 = vec0};
    enum tl_status status = tl_store_open(&open, &store, &error);
    if (status == TL_ERR_NOT_FOUND && options->list && path && access(path, F_OK) != 0) {
        if (options->json)
            return print_json(json_array());
        printf("no collections yet: %s does not exist\n", path);
        return TL_EXIT_DONE;
    }
    int result = TL_EXIT_DONE;
    if (status == TL_OK && options->list) {
        struct listing listing = {.json = options->json ? json_array() : NULL};
        status = tl_store_list(store, list_one, &listing, &error);
        if (status == TL_OK && options->json)
            result = print_json(json_incref(listing.json));
        else if (status == TL_OK && listing.count == 0)
            printf("no collections in %s\n", path);
        json_decref(listing.json);
    } else if (status == TL_OK && options->drop) {
        status = tl_store_drop(store, options->collection, &error);
        if (status == TL_OK && !options->quiet)
            printf("%s: dropped\n", options->collection);
    } else if (status == TL_OK) {
        struct tl_collection *collection = NULL;
        status = tl_collection_open(store, options->collection, &collection, &error);
        if (status == TL_OK)
            status = tl_collection_dump(collection, print_piece, NULL, &error);
    }
    tl_store_close(store);
    return status == TL_OK ? result : tl_cli_fail(NAME, &error);
}

/* ---- the command ---- */

static bool read_number(const char *text, int64_t minimum, int64_t maximum, int64_t *value) {
    char *end = NULL;
    if (*text < '0' || *text > '9')
        return false;
    long long number = strtoll(text, &end, 10);
    *value = number;
    return *end == '\0' && number >= minimum && number <= maximum;
}

/* Returns TL_EXIT_DONE to go on, else the exit status; *helped when only help was wanted. */
static int read_options(int argc, char **argv, struct options *options, bool *helped) {
    enum { STORE = 256, CONFIG, MODEL, CHUNK_SIZE, OVERLAP, PRUNE, LIST, DROP, DUMP, FORMAT };
    static const struct option known[] = {
        {"collection", required_argument, NULL, 'c'},    {"store", required_argument, NULL, STORE},
        {"config", required_argument, NULL, CONFIG},     {"embed-model", required_argument, NULL, MODEL},
        {"chunk-size", required_argument, NULL, CHUNK_SIZE}, {"overlap", required_argument, NULL, OVERLAP},
        {"format", required_argument, NULL, FORMAT},     {"prune", no_argument, NULL, PRUNE},
        {"list", no_argument, NULL, LIST},               {"drop", no_argument, NULL, DROP},
        {"dump", no_argument, NULL, DUMP},               {"verbose", no_argument, NULL, 'v'},
        {"quiet", no_argument, NULL, 'q'},               {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    *options = (struct options){.chunk_size = -1, .overlap = -1};
    *helped = false;
    opterr = 0;
    optind = 0; /* the options of the program itself were read before */
    for (int option; (option = getopt_long(argc, argv, ":c:vqh", known, NULL)) != -1;)
        switch (option) {
        case 'c': options->collection = optarg; break;
        case STORE: options->store = optarg; break;
        case CONFIG: options->config = optarg; break;
        case MODEL: options->model = optarg; break;
        case CHUNK_SIZE:
            if (!read_number(optarg, TL_CHUNK_SIZE_MIN, TL_CHUNK_SIZE_MAX, &options->chunk_size))
                return tl_cli_wrong_use(NAME, "--chunk-size is \"%s\", expected a number from %d to %d", optarg,
                                        TL_CHUNK_SIZE_MIN, TL_CHUNK_SIZE_MAX);
            break;
        case OVERLAP:
            if (!read_number(optarg, 0, TL_CHUNK_SIZE_MAX, &options->overlap))
                return tl_cli_wrong_use(NAME, "--overlap is \"%s\", expected a number of tokens", optarg);
            break;
        case FORMAT:
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
                return tl_cli_wrong_use(NAME, "--format is \"%s\", expected text or json", optarg);
            options->json = strcmp(optarg, "json") == 0;
            break;
        case PRUNE: options->prune = true; break;
        case LIST: options->list = true; break;
        case DROP: options->drop = true; break;
        case DUMP: options->dump = true; break;
        case 'v': options->verbose = true; break;
        case 'q': options->quiet = true; break;
        case 'h': *helped = true; return TL_EXIT_DONE;
        default: return tl_cli_wrong_option(NAME, option, argv, known);
        }
    options->paths = argv + optind;
    options->count = (size_t)(argc - optind);
    if (options->list + options->drop + options->dump > 1)
        return tl_cli_wrong_use(NAME, "--list, --drop and --dump exclude one another");
    bool indexes = !options->list && !options->drop && !options->dump;
    if (!indexes && options->count > 0)
        return tl_cli_wrong_use(NAME, "no PATH is expected here, found \"%s\"", options->paths[0]);
    if (indexes && options->count == 0)
        return tl_cli_wrong_use(NAME, "say which files or directories to index");
    if (!options->list && !options->collection)
        return tl_cli_wrong_use(NAME, "--collection NAME is needed");
    if (options->collection && !tl_collection_name_valid(options->collection))
        return tl_cli_wrong_use(NAME,
                                "\"%s\" cannot name a collection: a name is 1 to 63 of a-z, 0-9, '_' and '-', and "
                                "starts with a letter or '_'",
                                options->collection);
    for (size_t i = 0; i < options->count; i++)
        if (access(options->paths[i], F_OK) != 0)
            return tl_cli_wrong_use(NAME, "there is no file or directory \"%s\"", options->paths[i]);
    return TL_EXIT_DONE;
}

/* The configuration with the flags laid over it; NULL after its findings have been printed. */
static struct tl_config *load_config(const struct options *options) {
    char *settings[2];
    size_t count = 0;
    struct tl_str text = TL_STR_INIT;
    if (options->store) {
        tl_str_printf(&text, "store=%s", options->store);
        settings[count++] = tl_str_detach(&text);
    }
    if (options->model) {
        tl_str_printf(&text, "embedder.model=%s", options->model);
        settings[count++] = tl_str_detach(&text);
    }
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "configuration");
    const struct tl_config_options load = {
        .path = options->config, .settings = (const char *const *)settings, .setting_count = count};
    struct tl_config *config = tl_config_load(&load, &findings);
    if (findings.count > 0) {
        tl_diagnostics_print(&findings, &text);
        fputs(text.data, stderr);
    }
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
    while (count > 0)
        tl_mem_free(settings[--count]);
    return config;
}

int tl_cmd_index(int argc, char **argv) {
    struct options options;
    bool helped;
    int result = read_options(argc, argv, &options, &helped);
    if (result != TL_EXIT_DONE)
        return result;
    if (helped) {
        fputs(help, stdout);
        return TL_EXIT_DONE;
    }
    struct tl_config *config = load_config(&options);
    if (!config)
        return TL_EXIT_USAGE;
    if (options.list || options.drop || options.dump) {
        const struct tl_config_engine *store = tl_config_find_engine(config, "store");
        const char *vec0 = store ? json_string_value(json_object_get(store->settings, "vec0")) : NULL;
        result = act_on_store(&options, tl_config_store_path(config), vec0);
    } else {
        result = index_paths(&options, config);
    }
    tl_config_destroy(config);
    return result;
}
