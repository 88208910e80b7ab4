/* command_line.c: see command_line.h. */
#include "cli/command_line.h"

#include <dirent.h>
#include <errno.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/diagnostics.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

#ifndef TEOLA_DATADIR
#define TEOLA_DATADIR "/usr/local/share/teola"
#endif

int tl_cli_wrong_use(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "teola %s: ", command);
    vfprintf(stderr, format, args);
    fprintf(stderr, " (teola %s --help says more)\n", command);
    va_end(args);
    return TL_EXIT_USAGE;
}

static const char *nearest_option(const char *given, const struct option *options) {
    size_t count = 0;
    while (options[count].name)
        count++;
    const char **names = tl_mem_alloc((count + 1) * sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = options[i].name;
    char *name = tl_mem_strndup(given, strcspn(given, "="));
    const char *nearest = tl_str_nearest(name, names, count);
    tl_mem_free(name);
    tl_mem_free(names);
    return nearest;
}

int tl_cli_wrong_option(const char *command, int result, char **argv, const struct option *options) {
    const char *given = argv[optind - 1];
    bool is_long = given && strncmp(given, "--", 2) == 0;
    if (result == ':' && is_long)
        return tl_cli_wrong_use(command, "option %s needs a value", given);
    if (result == ':')
        return tl_cli_wrong_use(command, "option -%c needs a value", optopt);
    if (!is_long)
        return tl_cli_wrong_use(command, "there is no option -%c", optopt ? optopt : given[0]);
    if (optopt)
        return tl_cli_wrong_use(command, "option %.*s takes no value", (int)strcspn(given, "="), given);
    const char *nearest = nearest_option(given + 2, options);
    if (nearest)
        return tl_cli_wrong_use(command, "there is no option %s; did you mean --%s?", given, nearest);
    return tl_cli_wrong_use(command, "there is no option %s", given);
}

int tl_cli_fail(const char *command, const struct tl_error *error) {
    fprintf(stderr, "teola %s: %s\n", command, error->message);
    switch (error->status) {
    case TL_ERR_USAGE:
    case TL_ERR_INVALID: return TL_EXIT_USAGE;
    case TL_ERR_CANCELLED: return TL_EXIT_INTERRUPTED;
    default: return TL_EXIT_FAILED;
    }
}

void tl_cli_list_add(struct tl_cli_list *list, const char *item) {
    list->items = tl_mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = item;
}

void tl_cli_list_fini(struct tl_cli_list *list) {
    tl_mem_free(list->items);
    *list = (struct tl_cli_list){0};
}

/* ---- workflows ---- */

/* The folders in which names are looked up, the nearest first. */
static size_t workflow_folders(struct tl_str folders[4]) {
    size_t count = 0;
    for (size_t i = 0; i < 4; i++)
        tl_str_init(&folders[i]);
    tl_str_puts(&folders[count++], "workflows");
    if (tl_file_config_path("workflows", &folders[count], NULL) == TL_OK)
        count++;
    char program[4096];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    char *slash = length > 0 ? memrchr(program, '/', (size_t)length) : NULL;
    if (slash) {
        tl_str_append(&folders[count], program, (size_t)(slash - program));
        tl_str_puts(&folders[count++], "/../share/teola/workflows");
    }
    tl_str_puts(&folders[count++], TEOLA_DATADIR "/workflows");
    return count;
}

/* Adds the names of a folder's workflows to `known`. */
static void list_folder(const char *folder, struct tl_cli_list *known) {
    DIR *directory = opendir(folder);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (tl_str_ends_with(entry->d_name, ".yaml"))
            tl_cli_list_add(known, tl_mem_strndup(entry->d_name, strlen(entry->d_name) - 5));
    closedir(directory);
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum tl_status no_such_workflow(const char *name, const struct tl_str *folders, size_t count,
                                       struct tl_error *error) {
    struct tl_cli_list known = {0};
    struct tl_str names = TL_STR_INIT;
    for (size_t i = 0; i < count; i++)
        list_folder(folders[i].data, &known);
    if (known.count > 0)
        qsort(known.items, known.count, sizeof *known.items, by_name);
    for (size_t i = 0; i < known.count; i++)
        if (i == 0 || strcmp(known.items[i], known.items[i - 1]) != 0)
            tl_str_printf(&names, "%s%s", names.length ? ", " : "", known.items[i]);
    const char *nearest = tl_str_nearest(name, known.items, known.count);
    if (nearest)
        tl_error_set(error, TL_ERR_USAGE, "there is no workflow '%s'; did you mean '%s'?", name, nearest);
    else
        tl_error_set(error, TL_ERR_USAGE, "there is no workflow '%s'; give the path of a file, or one of: %s", name,
                     names.length ? names.data : "(none installed)");
    for (size_t i = 0; i < known.count; i++)
        tl_mem_free((char *)known.items[i]);
    tl_cli_list_fini(&known);
    tl_str_fini(&names);
    return TL_ERR_USAGE;
}

enum tl_status tl_cli_find_workflow(const char *name_or_path, struct tl_str *path, struct tl_error *error) {
    bool is_path =
        strchr(name_or_path, '/') || tl_str_ends_with(name_or_path, ".yaml") || tl_str_ends_with(name_or_path, ".yml");
    if (is_path || tl_file_exists(name_or_path)) {
        if (!tl_file_exists(name_or_path))
            return tl_error_set(error, TL_ERR_USAGE, "%s: no such file", name_or_path);
        tl_str_puts(path, name_or_path);
        return TL_OK;
    }
    struct tl_str folders[4];
    size_t count = workflow_folders(folders);
    enum tl_status status = TL_ERR_NOT_FOUND;
    for (size_t i = 0; i < count && status != TL_OK; i++) {
        size_t length = path->length;
        tl_str_printf(path, "%s/%s.yaml", folders[i].data, name_or_path);
        if (tl_file_exists(path->data))
            status = TL_OK;
        else
            tl_str_truncate(path, length);
    }
    if (status != TL_OK)
        status = no_such_workflow(name_or_path, folders, count, error);
    for (size_t i = 0; i < 4; i++)
        tl_str_fini(&folders[i]);
    return status;
}

/* ---- runtime ---- */

enum tl_status tl_cli_open_runtime(const char *config, const struct tl_cli_list *settings, struct tl_runtime **runtime,
                                   struct tl_error *error) {
    const struct tl_runtime_options options = {
        .size = sizeof options, .config = config, .settings = settings->items, .setting_count = settings->count};
    return tl_runtime_open(&options, runtime, error);
}

int tl_cli_load_workflow(const char *command, struct tl_runtime *runtime, const char *name_or_path,
                         tl_workflow_id *id) {
    struct tl_str path = TL_STR_INIT, text = TL_STR_INIT;
    struct tl_error error;
    int result = TL_EXIT_DONE;
    if (tl_cli_find_workflow(name_or_path, &path, &error) != TL_OK) {
        result = tl_cli_fail(command, &error);
    } else {
        struct tl_diagnostics findings;
        tl_diagnostics_init(&findings, path.data);
        if (tl_runtime_add_workflow(runtime, path.data, id, &findings) != TL_OK)
            result = TL_EXIT_USAGE;
        tl_diagnostics_print(&findings, &text);
        fputs(text.data, stderr);
        tl_diagnostics_fini(&findings);
    }
    tl_str_fini(&path);
    tl_str_fini(&text);
    return result;
}

/* ---- output ---- */

bool tl_cli_is_terminal(FILE *stream) {
    return isatty(fileno(stream));
}

bool tl_cli_has_color(FILE *stream) {
    const char *no_color = getenv("NO_COLOR"), *terminal = getenv("TERM");
    return isatty(fileno(stream)) && !(no_color && *no_color) && !(terminal && strcmp(terminal, "dumb") == 0);
}

bool tl_cli_is_ascii(void) {
    return strcmp(nl_langinfo(CODESET), "UTF-8") != 0;
}

enum tl_status tl_cli_write(const char *path, const char *data, size_t length, struct tl_error *error) {
    if (path && strcmp(path, "-") != 0)
        return tl_file_write_atomic(path, data, length, error);
    if (fwrite(data, 1, length, stdout) != length || fflush(stdout) != 0)
        return tl_error_set(error, TL_ERR_IO, "standard output: %s", strerror(errno));
    return TL_OK;
}
