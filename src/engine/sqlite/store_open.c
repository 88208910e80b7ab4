/* store_open.c: opening a store file: is it ours, is it sound, what may be done with it.
 *
 * The file may come from anywhere, so SQLite is told to trust its schema with nothing
 * (DEFENSIVE, no trusted schema, no ATTACH), and loading an extension is allowed for the one
 * call that loads sqlite-vec.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/sqlite/store_internal.h"

#define BUSY_MS_DEFAULT 10000

/* The oldest sqlite-vec whose deletes give whole blocks back and that ours is tested with. */
#define VEC0_VERSION_FLOOR "v0.1.9"

static const char schema[] =
    "CREATE TABLE collections("
    " id INTEGER PRIMARY KEY AUTOINCREMENT," /* names tables: never used twice */
    " name TEXT NOT NULL UNIQUE,"
    " model TEXT NOT NULL,"
    " model_digest TEXT NOT NULL,"
    " dimension INTEGER NOT NULL,"
    " vector_format TEXT NOT NULL,"
    " chunk_size INTEGER NOT NULL,"
    " chunk_overlap INTEGER NOT NULL,"
    " version INTEGER NOT NULL,"
    " created INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE documents("
    " id INTEGER PRIMARY KEY,"
    " collection INTEGER NOT NULL REFERENCES collections(id),"
    " uri TEXT NOT NULL,"
    " sha256 TEXT NOT NULL,"
    " size INTEGER NOT NULL,"
    " modified INTEGER NOT NULL,"
    " title TEXT NOT NULL,"
    " chunks INTEGER NOT NULL,"
    " indexed INTEGER NOT NULL,"
    " UNIQUE(collection, uri, sha256)"
    ") STRICT;"
    "CREATE TABLE chunks("
    " id INTEGER PRIMARY KEY,"
    " document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,"
    " ordinal INTEGER NOT NULL,"
    " key TEXT NOT NULL,"
    " heading TEXT NOT NULL,"
    " text TEXT NOT NULL,"
    " begin_byte INTEGER NOT NULL,"
    " end_byte INTEGER NOT NULL,"
    " tokens INTEGER NOT NULL,"
    " UNIQUE(document, ordinal)"
    ") STRICT;";

enum tl_status tl_store_default_path(struct tl_str *out, struct tl_error *error) {
    return tl_file_data_path("store.db", out, error);
}

/* Appends the directory of the running program; false when the system does not say. */
static bool program_directory(struct tl_str *out) {
    char path[4096];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length <= 0)
        return false;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (!slash)
        return false;
    tl_str_append(out, path, (size_t)(slash - path));
    return true;
}

enum tl_status tl_store_find_vec0(const char *setting, struct tl_str *out, struct tl_error *error) {
    const char *named_by = "TEOLA_VEC0";
    const char *environment = getenv("TEOLA_VEC0");
    if (environment && *environment)
        setting = environment;
    else
        named_by = "the setting \"vec0\"";
    if (setting && *setting) {
        if (!tl_file_exists(setting))
            return tl_error_set(error, TL_ERR_NOT_FOUND, "%s names %s, which does not exist", named_by, setting);
        tl_str_puts(out, setting);
        return TL_OK;
    }

    struct tl_str data = TL_STR_INIT, installed = TL_STR_INIT;
    const struct tl_str *found = NULL;
    if (tl_file_data_path("vec0.so", &data, NULL) == TL_OK && tl_file_exists(data.data))
        found = &data;
    if (!found && program_directory(&installed)) {
        tl_str_puts(&installed, "/../lib/teola/vec0.so");
        if (tl_file_exists(installed.data))
            found = &installed;
    }
    enum tl_status status = TL_OK;
    if (found)
        tl_str_append(out, found->data, found->length);
    else
        status = tl_error_set(error, TL_ERR_NOT_FOUND,
                              "the sqlite-vec extension was not found at %s%s%s; get it with `pip download --no-deps "
                              "sqlite-vec==0.1.9`, unzip sqlite_vec/vec0.so to one of these places, or name it with "
                              "TEOLA_VEC0",
                              data.data, installed.length ? " or " : "", installed.data);
    tl_str_fini(&data);
    tl_str_fini(&installed);
    return status;
}

/* Compares "v0.1.9" with "v0.1.10-alpha.2" by their three numbers. */
static bool version_at_least(const char *version, const char *floor) {
    unsigned a[3] = {0}, b[3] = {0};
    if (sscanf(version, "v%u.%u.%u", &a[0], &a[1], &a[2]) != 3 || sscanf(floor, "v%u.%u.%u", &b[0], &b[1], &b[2]) != 3)
        return false;
    for (int i = 0; i < 3; i++)
        if (a[i] != b[i])
            return a[i] > b[i];
    return true;
}

static enum tl_status load_vec0(struct tl_store *store, const char *setting, struct tl_error *error) {
    struct tl_str path = TL_STR_INIT;
    enum tl_status status = tl_store_find_vec0(setting, &path, error);
    if (status != TL_OK)
        goto out;

    char *message = NULL;
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
    int rc = sqlite3_load_extension(store->db, path.data, "sqlite3_vec_init", &message);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    if (rc != SQLITE_OK) {
        status = tl_error_set(error, TL_ERR_UNSUPPORTED, "%s is not a sqlite-vec extension for this machine: %s",
                              path.data, message ? message : sqlite3_errstr(rc));
        sqlite3_free(message);
        goto out;
    }

    sqlite3_stmt *statement = tl_store_prepare(store, "SELECT vec_version()", "asking sqlite-vec's version", error);
    if (!statement || sqlite3_step(statement) != SQLITE_ROW)
        status = tl_error_set(error, TL_ERR_UNSUPPORTED, "%s is not a sqlite-vec extension", path.data);
    else if (!version_at_least(tl_store_column_text(statement, 0), VEC0_VERSION_FLOOR))
        status = tl_error_set(error, TL_ERR_UNSUPPORTED, "%s is sqlite-vec %s; at least %s is needed", path.data,
                              tl_store_column_text(statement, 0), VEC0_VERSION_FLOOR);
    sqlite3_finalize(statement);
out:
    tl_str_fini(&path);
    return status;
}

static enum tl_status read_integer(struct tl_store *store, const char *sql, int64_t *value, struct tl_error *error) {
    sqlite3_stmt *statement = tl_store_prepare(store, sql, "opening", error);
    if (!statement)
        return error->status;
    enum tl_status status = TL_OK;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *value = sqlite3_column_int64(statement, 0);
    else
        status = tl_store_fail(store, "opening", error);
    sqlite3_finalize(statement);
    return status;
}

/* Whose file this is: *fresh when it has no content at all. */
static enum tl_status identify(struct tl_store *store, bool *fresh, struct tl_error *error) {
    int64_t application = 0, version = 0, tables = 0, ours = 0;
    enum tl_status status = read_integer(store, "PRAGMA application_id", &application, error);
    if (status == TL_OK)
        status = read_integer(store, "PRAGMA user_version", &version, error);
    if (status == TL_OK)
        status = read_integer(store, "SELECT count(*) FROM sqlite_schema", &tables, error);
    if (status == TL_OK)
        status = read_integer(store,
                              "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"
                              " AND name IN ('collections', 'documents', 'chunks')",
                              &ours, error);
    if (status != TL_OK)
        return status;

    *fresh = application == 0 && version == 0 && tables == 0;
    if (*fresh)
        return TL_OK;
    if (application != TL_STORE_APPLICATION_ID)
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s is not a Teola store: it is an SQLite file of another program (application id %" PRId64
                            "); choose another path",
                            store->path, application);
    if (version > TL_STORE_SCHEMA_VERSION)
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s was written by a newer Teola (store version %" PRId64
                            ", this one knows up to %d); use that one, or another path",
                            store->path, version, TL_STORE_SCHEMA_VERSION);
    if (version < 1 || ours != 3)
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s is damaged (store version %" PRId64 ", %" PRId64
                            " of 3 tables); restore it from a backup, or delete it and index again",
                            store->path, version, ours);
    return TL_OK;
}

/* Makes the tables, in one transaction, unless another process was quicker. */
static enum tl_status make_schema(struct tl_store *store, struct tl_error *error) {
    enum tl_status status = tl_store_run(store, "BEGIN IMMEDIATE", "creating", error);
    if (status != TL_OK)
        return status;
    bool fresh = false;
    status = identify(store, &fresh, error);
    if (status == TL_OK && fresh) {
        char pragmas[96];
        snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d",
                 TL_STORE_APPLICATION_ID, TL_STORE_SCHEMA_VERSION);
        status = tl_store_run(store, schema, "creating", error);
        if (status == TL_OK)
            status = tl_store_run(store, pragmas, "creating", error);
    }
    if (status == TL_OK)
        status = tl_store_run(store, "COMMIT", "creating", error);
    if (status != TL_OK)
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* What the connection may do, and how it waits and writes. */
static enum tl_status configure(struct tl_store *store, uint32_t busy_ms, struct tl_error *error) {
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_limit(store->db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(store->db, SQLITE_LIMIT_LENGTH, 256 << 20);
    sqlite3_limit(store->db, SQLITE_LIMIT_SQL_LENGTH, 64 << 10);
    sqlite3_limit(store->db, SQLITE_LIMIT_VARIABLE_NUMBER, 32);
    sqlite3_busy_timeout(store->db, (int)(busy_ms ? busy_ms : BUSY_MS_DEFAULT));
    return tl_store_run(store,
                        "PRAGMA foreign_keys = ON;"
                        "PRAGMA cell_size_check = ON;"
                        "PRAGMA cache_size = -32768;" /* KiB; what does not fit spills to disk */
                        "PRAGMA temp_store = FILE",
                        "opening", error);
}

/* Creates an empty file that only its owner may read: documents are private by default.
 * SQLite gives its companion files the same mode. */
static enum tl_status create_file(const char *path, struct tl_error *error) {
    const char *slash = strrchr(path, '/');
    if (slash && slash != path) {
        char *directory = tl_mem_strndup(path, (size_t)(slash - path));
        enum tl_status status = tl_file_make_directories(directory, error);
        tl_mem_free(directory);
        if (status != TL_OK)
            return status;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return tl_error_set(error, TL_ERR_IO, "%s: cannot be created: %s", path, strerror(errno));
    close(fd);
    return TL_OK;
}

static enum tl_status open_file(struct tl_store *store, const struct tl_store_options *options,
                                struct tl_error *error) {
    if (!store->memory && !tl_file_exists(store->path)) {
        if (!options->create)
            return tl_error_set(error, TL_ERR_NOT_FOUND,
                                "there is no store at %s; make one with `teola index PATH --collection NAME`",
                                store->path);
        enum tl_status status = create_file(store->path, error);
        if (status != TL_OK)
            return status;
    }

    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (store->memory ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(store->path, &store->db, flags, NULL) != SQLITE_OK)
        return tl_store_fail(store, "opening", error);
    enum tl_status status = configure(store, options->busy_ms, error);
    bool fresh = false;
    if (status == TL_OK)
        status = tl_store_run(store, "BEGIN", "opening", error); /* or another process makes its tables in between */
    if (status == TL_OK)
        status = identify(store, &fresh, error);
    if (status == TL_OK)
        status = tl_store_run(store, "COMMIT", "opening", error);
    if (status != TL_OK)
        return status;

    if (fresh && !store->memory) /* must come before the first page: space of dropped collections can be given back */
        status = tl_store_run(store, "PRAGMA auto_vacuum = INCREMENTAL", "creating", error);
    if (status == TL_OK && !store->memory && !sqlite3_db_readonly(store->db, "main"))
        status = tl_store_run(store,
                              "PRAGMA journal_mode = WAL;"
                              "PRAGMA synchronous = NORMAL;" /* safe against a kill; power loss may cost the last documents */
                              "PRAGMA journal_size_limit = 67108864",
                              "opening", error);
    if (status == TL_OK)
        status = load_vec0(store, options->vec0, error);
    if (status == TL_OK && fresh)
        status = make_schema(store, error);
    return status;
}

enum tl_status tl_store_open(const struct tl_store_options *options, struct tl_store **out, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    *out = NULL;
    struct tl_str path = TL_STR_INIT;
    enum tl_status status = TL_OK;
    if (options->path)
        tl_str_puts(&path, options->path);
    else
        status = tl_store_default_path(&path, error);
    if (status == TL_OK && path.length == 0)
        status = tl_error_set(error, TL_ERR_USAGE, "the store's path is empty");
    if (status != TL_OK) {
        tl_str_fini(&path);
        return status;
    }

    struct tl_store *store = tl_mem_zalloc(sizeof *store);
    store->path = tl_str_detach(&path);
    store->memory = strcmp(store->path, ":memory:") == 0;
    status = open_file(store, options, error);
    if (status != TL_OK) {
        tl_store_close(store);
        return status;
    }
    *out = store;
    return TL_OK;
}

void tl_store_close(struct tl_store *store) {
    if (!store)
        return;
    if (store->writing)
        tl_document_rollback(store->writing);
    while (store->collections) {
        struct tl_collection *next = store->collections->next;
        tl_collection_free(store->collections);
        store->collections = next;
    }
    sqlite3_close(store->db);
    tl_mem_free(store->path);
    tl_mem_free(store);
}

const char *tl_store_path(const struct tl_store *store) { return store->path; }
