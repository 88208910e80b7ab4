# SQLite must have full-text search (FTS5) and loadable extensions: both are options of its own build,
# so the library that was found is asked, once per build directory.
if(DEFINED TEOLA_SQLITE_OK AND TEOLA_SQLITE_OK)
    return()
endif()
set(probe "${PROJECT_BINARY_DIR}/CMakeFiles/teola_sqlite_probe.c")
file(WRITE "${probe}" [[
#include <sqlite3.h>
#include <stdio.h>
int main(void)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(":memory:", &db) != SQLITE_OK)
        return 2;
    if (sqlite3_exec(db, "CREATE VIRTUAL TABLE t USING fts5(x)", NULL, NULL, NULL) != SQLITE_OK) {
        fputs("full-text search (FTS5)", stdout);
        return 3;
    }
    if (sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL) != SQLITE_OK ||
        sqlite3_compileoption_used("OMIT_LOAD_EXTENSION")) {
        fputs("loadable extensions", stdout);
        return 4;
    }
    sqlite3_close(db);
    return 0;
}
]])
try_run(ran compiled "${PROJECT_BINARY_DIR}" "${probe}"
    LINK_LIBRARIES PkgConfig::TEOLA_sqlite3
    COMPILE_OUTPUT_VARIABLE log RUN_OUTPUT_VARIABLE lacks)
if(NOT compiled)
    message(FATAL_ERROR "A program that uses the SQLite found (${TEOLA_sqlite3_VERSION}) does not compile:\n${log}")
elseif(NOT ran EQUAL 0)
    message(FATAL_ERROR "The SQLite found (${TEOLA_sqlite3_VERSION}) was built without ${lacks}, which Teola needs.")
endif()
set(TEOLA_SQLITE_OK TRUE CACHE INTERNAL "SQLite has FTS5 and loadable extensions")
