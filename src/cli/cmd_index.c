/* cmd_index.c: `teola index`: files into a collection, and what collections there are. */
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "cli/commands.h"
#include "engine/documents/chunker.h"
#include "engine/sqlite/store.h"
#include "indexer/indexer.h"
#include "runtime/config.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

#define SKIPS_KEPT 10000 /* told at the end or in JSON; the rest is counted */
#define SKIPS_SHOWN 20   /* without -v */

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

static int wrong_use(const char *format, ...) TL_PRINTF(1, 2);
static int wrong_use(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("teola index: ", stderr);
    vfprintf(stderr, format, args);
    fputs(" (teola index --help says more)\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

static int fail(const struct tl_error *error) {
    fprintf(stderr, "teola index: %s\n", error->message);
    return error->status == TL_ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

static int print_json(json_t *json) {
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    if (!text)
        return EXIT_FAILED;
    puts(text);
    free(text);
    return EXIT_DONE;
}

/* ---- what is shown while it runs ---- */

struct skip {
    char *uri, *reason; /* owned */
};

struct display {
    bool terminal, quiet, verbose;
    bool open;               /* an unfinished line is on the terminal */
    uint64_t start, last;    /* clock: of the run, of the last line */
    uint64_t first_bytes;    /* progress when work began */
    struct skip *skips;
    size_t skip_count, skip_capacity;
};

static void close_line(struct display *display) {
    if (display->open)
        fputs("\r\033[K", stderr);
    display->open = false;
}

static const char *human_time(double seconds, char out[24]) {
    if (seconds < 90)
        snprintf(out, 24, "%.0f s", seconds);
    else if (seconds < 5400)
        snprintf(out, 24, "%.0f min", seconds / 60);
    else
        snprintf(out, 24, "%.1f h", seconds / 3600);
    return out;
}

static void show_progress(void *context, const struct tl_index_progress *progress) {
    struct display *display = context;
    uint64_t now = tl_clock_now();
    uint64_t pause = display->terminal ? 200 * TL_NS_PER_MS : 10 * TL_NS_PER_S;
    if (display->quiet || (display->verbose && !display->terminal) || now - display->last < pause)
        return;
    display->last = now;
    double seconds = (double)(now - display->start) / (double)TL_NS_PER_S;
    double part = progress->bytes_total ? (double)progress->bytes / (double)progress->bytes_total : 1;
    char left[24] = "", name[60];
    if (part > 0.01 && part < 1)
        human_time(seconds * (1 - part) / part, left);
    const char *uri = progress->uri ? progress->uri : "";
    const char *slash = strrchr(uri, '/');
    tl_document_print_uri(slash ? slash + 1 : uri, name, sizeof name);
    if (display->terminal) {
        int filled = (int)(part * 20);
        fprintf(stderr, "\r\033[K[%.*s%.*s] %3.0f %%  %" PRIu64 " of %" PRIu64 " documents  %.1f chunks/s%s%s  %.40s",
                filled, "####################", 20 - filled, "....................", part * 100, progress->documents,
                progress->documents_total, (double)progress->chunks / seconds, *left ? "  left: " : "", left, name);
        display->open = true;
    } else {
        fprintf(stderr, "%3.0f %%, %" PRIu64 " of %" PRIu64 " documents, %" PRIu64 " chunks, %.1f chunks/s%s%s\n",
                part * 100, progress->documents, progress->documents_total, progress->chunks,
                (double)progress->chunks / seconds, *left ? ", left: " : "", left);
    }
}

static void show_event(void *context, enum tl_index_event event, const char *uri, const char *detail) {
    static const char *const words[] = {
        [TL_INDEX_ADDED] = "added",     [TL_INDEX_REPLACED] = "replaced", [TL_INDEX_UNCHANGED] = "unchanged",
        [TL_INDEX_REMOVED] = "removed", [TL_INDEX_SKIPPED] = "skipped",
    };
    struct display *display = context;
    if (event == TL_INDEX_SKIPPED && display->skip_count < SKIPS_KEPT) {
        display->skips =
            tl_mem_grow(display->skips, &display->skip_capacity, display->skip_count + 1, sizeof *display->skips);
        display->skips[display->skip_count++] = (struct skip){tl_mem_strdup(uri), tl_mem_strdup(detail)};
    }
    if (!display->verbose)
        return;
    char name[1024];
    close_line(display);
    fprintf(stderr, "%s %s%s%s\n", words[event], tl_document_print_uri(uri, name, sizeof name), *detail ? ": " : "",
            detail);
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
                        const struct display *display, const char *store, bool complete) {
    double seconds = (double)(tl_clock_now() - display->start) / (double)TL_NS_PER_S;
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
    size_t shown = options->verbose || options->quiet ? 0 : display->skip_count;
    if (shown > SKIPS_SHOWN)
        shown = SKIPS_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        char name[1024];
        tl_document_print_uri(display->skips[i].uri, name, sizeof name);
        fprintf(stderr, "skipped %s: %s\n", name, display->skips[i].reason);
    }
    if (shown > 0 && report->skipped > shown)
        fprintf(stderr, "skipped %" PRIu64 " more (-v names them)\n", report->skipped - shown);
    if (!options->quiet)
        printf("%s: %" PRIu64 " documents added, %" PRIu64 " replaced, %" PRIu64 " unchanged, %" PRIu64
               " removed, %" PRIu64 " skipped; %" PRIu64 " chunks in %.1f s (%.1f chunks/s)\n",
               options->collection, report->added, report->replaced, report->unchanged, report->removed,
               report->skipped, report->chunks, seconds, rate);
    return EXIT_DONE;
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
    struct display display = {
        .terminal = isatty(STDERR_FILENO) == 1 && !options->quiet,
        .quiet = options->quiet,
        .verbose = options->verbose,
        .start = tl_clock_now(),
    };
    struct tl_error error = {0};
    struct tl_index_report report = {0};
    json_t *embedder = NULL, *store = NULL;
    const char *model = NULL;
    enum tl_status status = find_settings(config, &embedder, &store, &model, &error);
    const char *path = tl_config_store_path(config);
    if (status == TL_OK) {
        display.last = display.start;
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
            .event = show_event,
            .progress = show_progress,
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
    close_line(&display);

    int result = EXIT_DONE;
    bool began = status == TL_OK || report.added + report.replaced + report.removed > 0 || interrupted;
    if (began)
        result = print_report(options, &report, &display, path, status == TL_OK);
    if (status == TL_ERR_CANCELLED && interrupted) {
        fputs("teola index: interrupted; the same command completes it\n", stderr);
        result = EXIT_INTERRUPTED;
    } else if (status != TL_OK) {
        result = fail(&error);
    }
    for (size_t i = 0; i < display.skip_count; i++) {
        tl_mem_free(display.skips[i].uri);
        tl_mem_free(display.skips[i].reason);
    }
    tl_mem_free(display.skips);
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
        return EXIT_DONE;
    }
    int result = EXIT_DONE;
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
    return status == TL_OK ? result : fail(&error);
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

/* Returns EXIT_DONE to go on, else the exit status; *helped when only help was wanted. */
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
                return wrong_use("--chunk-size is \"%s\", expected a number from %d to %d", optarg, TL_CHUNK_SIZE_MIN,
                                 TL_CHUNK_SIZE_MAX);
            break;
        case OVERLAP:
            if (!read_number(optarg, 0, TL_CHUNK_SIZE_MAX, &options->overlap))
                return wrong_use("--overlap is \"%s\", expected a number of tokens", optarg);
            break;
        case FORMAT:
            if (strcmp(optarg, "json") != 0 && strcmp(optarg, "text") != 0)
                return wrong_use("--format is \"%s\", expected text or json", optarg);
            options->json = strcmp(optarg, "json") == 0;
            break;
        case PRUNE: options->prune = true; break;
        case LIST: options->list = true; break;
        case DROP: options->drop = true; break;
        case DUMP: options->dump = true; break;
        case 'v': options->verbose = true; break;
        case 'q': options->quiet = true; break;
        case 'h': *helped = true; return EXIT_DONE;
        case ':': return wrong_use("%s needs a value", argv[optind - 1]);
        default: return wrong_use("unknown option %s", argv[optind - 1]);
        }
    options->paths = argv + optind;
    options->count = (size_t)(argc - optind);
    if (options->list + options->drop + options->dump > 1)
        return wrong_use("--list, --drop and --dump exclude one another");
    bool indexes = !options->list && !options->drop && !options->dump;
    if (!indexes && options->count > 0)
        return wrong_use("no PATH is expected here, found \"%s\"", options->paths[0]);
    if (indexes && options->count == 0)
        return wrong_use("say which files or directories to index");
    if (!options->list && !options->collection)
        return wrong_use("--collection NAME is needed");
    if (options->collection && !tl_collection_name_valid(options->collection))
        return wrong_use("\"%s\" cannot name a collection: a name is 1 to 63 of a-z, 0-9, '_' and '-', and starts with a "
                         "letter or '_'", options->collection);
    for (size_t i = 0; i < options->count; i++)
        if (access(options->paths[i], F_OK) != 0)
            return wrong_use("there is no file or directory \"%s\"", options->paths[i]);
    return EXIT_DONE;
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
    if (result != EXIT_DONE)
        return result;
    if (helped) {
        fputs(help, stdout);
        return EXIT_DONE;
    }
    struct tl_config *config = load_config(&options);
    if (!config)
        return EXIT_USAGE;
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
