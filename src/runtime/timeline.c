/* timeline.c: where the time of a run went, as text for people and as a trace for Perfetto.
 * Works on a run's result as given out (its "items"), so that a saved result serves as well. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "runtime/report.h"

#define LABEL_WIDTH 30
#define ENGINE_WIDTH 10
#define BAR_WIDTH 32
#define FEW 4 /* so many primitives of one kind have rows of their own */

/* Primitives whose labels differ in positions only: "answer/each[*]/decode", on one engine. */
struct kind {
    char *name;
    size_t count;
    struct row *row; /* the one that they share, when they are many */
};

struct entry {
    const char *label, *engine, *primitive;
    struct kind *kind;
    double ready, start, end;
    json_int_t batch, batch_items, units, tokens_in, tokens_reused, tokens_out, tokens_drafted, tokens_accepted;
    bool failed;
};

/* One or more entries in one row. */
struct row {
    const struct entry *first;
    const struct entry **entries;
    size_t count;
};

static double real_of(const json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

static json_int_t integer_of(const json_t *object, const char *name) {
    return json_integer_value(json_object_get(object, name));
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* Positions in brackets become [*]. */
static char *general_label(const char *label) {
    struct tl_str out = TL_STR_INIT;
    for (const char *at = label; *at; at++) {
        tl_str_putc(&out, *at);
        if (*at != '[')
            continue;
        tl_str_putc(&out, '*');
        while (at[1] && at[1] != ']')
            at++;
    }
    return tl_str_detach(&out);
}

static int by_start(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->start < y->start || x->start > y->start)
        return x->start < y->start ? -1 : 1;
    if (x->end < y->end || x->end > y->end)
        return x->end < y->end ? -1 : 1;
    return strcmp(x->label, y->label);
}

static struct entry *read_entries(const json_t *items, size_t *count) {
    *count = json_array_size(items);
    struct entry *entries = tl_mem_zalloc((*count + 1) * sizeof *entries);
    for (size_t i = 0; i < *count; i++) {
        const json_t *item = json_array_get(items, i);
        entries[i] = (struct entry){
            .label = text_of(item, "label"),
            .engine = text_of(item, "engine"),
            .primitive = text_of(item, "primitive"),
            .ready = real_of(item, "ready_ms"),
            .start = real_of(item, "start_ms"),
            .end = real_of(item, "end_ms"),
            .batch = integer_of(item, "batch"),
            .batch_items = integer_of(item, "batch_items"),
            .units = integer_of(item, "units"),
            .tokens_in = integer_of(item, "tokens_in"),
            .tokens_reused = integer_of(item, "tokens_reused"),
            .tokens_out = integer_of(item, "tokens_out"),
            .tokens_drafted = integer_of(item, "tokens_drafted"),
            .tokens_accepted = integer_of(item, "tokens_accepted"),
            .failed = json_is_true(json_object_get(item, "failed")),
        };
    }
    qsort(entries, *count, sizeof *entries, by_start);
    return entries;
}

/* ---- rows ---- */

struct table {
    struct entry *entries;
    size_t entry_count;
    struct kind *kinds; /* at most one per entry */
    size_t kind_count;
    struct row *rows;
    size_t row_count;
    double end; /* ms: the end of the last one */
};

static void find_kinds(struct table *table) {
    struct tl_map known;
    tl_map_init(&known);
    table->kinds = tl_mem_zalloc((table->entry_count + 1) * sizeof *table->kinds);
    for (size_t i = 0; i < table->entry_count; i++) {
        struct entry *entry = &table->entries[i];
        char *name = general_label(entry->label);
        struct tl_str key = TL_STR_INIT;
        tl_str_printf(&key, "%s %s", name, entry->engine);
        entry->kind = tl_map_get(&known, key.data);
        if (entry->kind) {
            tl_mem_free(name);
        } else {
            entry->kind = &table->kinds[table->kind_count++];
            entry->kind->name = name;
            tl_map_set(&known, key.data, entry->kind);
        }
        entry->kind->count++;
        tl_str_fini(&key);
    }
    tl_map_fini(&known);
}

/* Entries of a kind that has many share a row, at the place of the first. */
static void make_rows(struct table *table) {
    table->rows = tl_mem_zalloc((table->entry_count + 1) * sizeof *table->rows);
    for (size_t i = 0; i < table->entry_count; i++) {
        const struct entry *entry = &table->entries[i];
        bool many = entry->kind->count > FEW;
        struct row *row = entry->kind->row;
        if (!row) {
            row = &table->rows[table->row_count++];
            row->entries = tl_mem_alloc((many ? entry->kind->count : 1) * sizeof *row->entries);
            if (many)
                entry->kind->row = row;
        }
        row->entries[row->count++] = entry;
        if (table->end < entry->end)
            table->end = entry->end;
    }
}

static void table_init(struct table *table, const json_t *result) {
    *table = (struct table){0};
    table->entries = read_entries(json_object_get(result, "items"), &table->entry_count);
    find_kinds(table);
    make_rows(table);
}

static void table_fini(struct table *table) {
    for (size_t i = 0; i < table->row_count; i++)
        tl_mem_free(table->rows[i].entries);
    for (size_t i = 0; i < table->kind_count; i++)
        tl_mem_free(table->kinds[i].name);
    tl_mem_free(table->rows);
    tl_mem_free(table->kinds);
    tl_mem_free(table->entries);
}

/* ---- text ---- */

/* At most `width` bytes of ASCII labels: the end is what tells them apart. */
static void put_label(struct tl_str *out, const char *text, size_t width) {
    size_t length = strlen(text);
    if (length > width)
        tl_str_printf(out, "..%s", text + length - width + 2);
    else
        tl_str_printf(out, "%-*s", (int)width, text);
}

static size_t cell_of(double ms, double end) {
    double at = end > 0 ? ms / end * BAR_WIDTH : 0;
    return at < 0 ? 0 : at >= BAR_WIDTH ? BAR_WIDTH - 1 : (size_t)at;
}

static void put_bar(struct tl_str *out, const struct row *row, double end, bool ascii) {
    char cells[BAR_WIDTH];
    memset(cells, ' ', sizeof cells);
    for (size_t i = 0; i < row->count; i++)
        for (size_t c = cell_of(row->entries[i]->ready, end); c < cell_of(row->entries[i]->start, end); c++)
            cells[c] = cells[c] == ' ' ? '.' : cells[c];
    for (size_t i = 0; i < row->count; i++)
        for (size_t c = cell_of(row->entries[i]->start, end); c <= cell_of(row->entries[i]->end, end); c++)
            cells[c] = '#';
    for (size_t c = 0; c < BAR_WIDTH; c++)
        tl_str_puts(out, ascii || cells[c] == ' ' ? (char[]){cells[c], '\0'} : cells[c] == '#' ? "█" : "·");
}

static void put_duration(struct tl_str *out, double ms, int width) {
    if (ms < 1000)
        tl_str_printf(out, "%*.*f ms", width, ms < 10 ? 1 : 0, ms);
    else
        tl_str_printf(out, "%*.2f s%s", width, ms / 1000, width ? " " : "");
}

static const char *unit_of(const char *primitive, bool many) {
    static const struct {
        const char *primitive, *one, *many;
    } units[] = {{"embed", "text", "texts"},    {"score", "pair", "pairs"},        {"ingest", "row", "rows"},
                 {"chunk", "chunk", "chunks"}, {"search", "search", "searches"}, {"match", "search", "searches"}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(units[i].primitive, primitive) == 0)
            return many ? units[i].many : units[i].one;
    return many ? "units" : "unit";
}

/* What was done: tokens for a model, units for the rest. */
static void put_amount(struct tl_str *out, const struct row *row) {
    json_int_t units = 0, in = 0, reused = 0, written = 0, drafted = 0, accepted = 0;
    bool failed = false;
    for (size_t i = 0; i < row->count; i++) {
        units += row->entries[i]->units;
        in += row->entries[i]->tokens_in;
        reused += row->entries[i]->tokens_reused;
        written += row->entries[i]->tokens_out;
        drafted += row->entries[i]->tokens_drafted;
        accepted += row->entries[i]->tokens_accepted;
        failed = failed || row->entries[i]->failed;
    }
    const char *primitive = row->entries[0]->primitive;
    if (failed)
        tl_str_puts(out, "failed");
    else if (drafted > 0)
        tl_str_printf(out, "%lld out, %lld drafted %lld accepted", (long long)written, (long long)drafted,
                      (long long)accepted);
    else if (written > 0)
        tl_str_printf(out, "%lld out", (long long)written);
    else if (strstr(primitive, "prefill"))
        tl_str_printf(out, reused ? "%lld-%lld tok" : "%lld tok", (long long)in, (long long)reused);
    else if (units > 0)
        tl_str_printf(out, "%lld %s", (long long)units, unit_of(primitive, units != 1));
}

static void put_row(struct tl_str *out, const struct row *row, double end, bool ascii) {
    double busy = 0;
    for (size_t i = 0; i < row->count; i++)
        busy += row->entries[i]->end - row->entries[i]->start;
    struct tl_str label = TL_STR_INIT;
    if (row->count > 1)
        tl_str_printf(&label, "%s x%zu", row->entries[0]->kind->name, row->count);
    else
        tl_str_puts(&label, row->entries[0]->label);
    tl_str_puts(out, "  ");
    put_label(out, label.data, LABEL_WIDTH);
    tl_str_putc(out, ' ');
    put_label(out, row->entries[0]->engine, ENGINE_WIDTH);
    tl_str_puts(out, ascii ? " |" : " ▏");
    put_bar(out, row, end, ascii);
    tl_str_puts(out, ascii ? "|" : "▕");
    put_duration(out, busy, 6);
    tl_str_puts(out, "  ");
    put_amount(out, row);
    while (out->length > 0 && out->data[out->length - 1] == ' ')
        tl_str_truncate(out, out->length - 1);
    tl_str_putc(out, '\n');
    tl_str_fini(&label);
}

/* The time during which an engine had at least one item: entries are in order of start. */
static double busy_time(const struct table *table, const char *engine) {
    double busy = 0, until = 0;
    for (size_t i = 0; i < table->entry_count; i++) {
        const struct entry *entry = &table->entries[i];
        if (strcmp(entry->engine, engine) != 0 || entry->end <= until)
            continue;
        busy += entry->end - (entry->start > until ? entry->start : until);
        until = entry->end;
    }
    return busy;
}

/* How many tokens a call of the model gave, and what made it more or less than one. */
static void put_writing(struct tl_str *out, const json_t *usage) {
    json_int_t calls = integer_of(usage, "calls"), forced = integer_of(usage, "tokens_forced");
    json_int_t accepted = integer_of(usage, "tokens_accepted"), refused = integer_of(usage, "tokens_refused");
    if (calls == 0)
        return;
    tl_str_printf(out, "  written in %lld call%s, %.2f tokens each", (long long)calls, calls == 1 ? "" : "s",
                  (double)integer_of(usage, "tokens_out") / (double)calls);
    if (forced > 0)
        tl_str_printf(out, "; %lld forced", (long long)forced);
    if (accepted > 0)
        tl_str_printf(out, "; %lld looked up", (long long)accepted);
    if (refused > 0)
        tl_str_printf(out, "; %lld preferred but refused", (long long)refused);
    tl_str_putc(out, '\n');
}

static void put_footer(struct tl_str *out, const struct table *table, const json_t *result) {
    const json_t *timings = json_object_get(result, "timings"), *usage = json_object_get(result, "usage");
    double total = real_of(timings, "total_ms"), waited = 0, worked = 0;
    struct tl_map seen;
    tl_map_init(&seen);
    tl_str_puts(out, "  busy:");
    for (size_t i = 0; i < table->entry_count; i++) {
        const struct entry *entry = &table->entries[i];
        if (strcmp(entry->engine, TL_REPORT_MEMORY) == 0)
            continue;
        waited += entry->start - entry->ready;
        worked += entry->end - entry->start;
        if (tl_map_set(&seen, entry->engine, (void *)entry->engine))
            continue;
        double busy = busy_time(table, entry->engine);
        tl_str_printf(out, "%s %s %.0f%%", seen.count > 1 ? "," : "", entry->engine,
                      total > 0 ? busy / total * 100 : 0);
    }
    tl_map_fini(&seen);
    if (table->entry_count == 0)
        tl_str_puts(out, " no engine");
    tl_str_printf(out, "; primitives waited %.0f%% of their time\n",
                  waited + worked > 0 ? waited / (waited + worked) * 100 : 0);
    tl_str_puts(out, "  total: ");
    put_duration(out, total, 0);
    if (real_of(timings, "loading_ms") >= 10) {
        tl_str_puts(out, ", of which loading engines ");
        put_duration(out, real_of(timings, "loading_ms"), 0);
    }
    if (json_object_get(timings, "first_text_ms")) {
        tl_str_puts(out, ", first text after ");
        put_duration(out, real_of(timings, "first_text_ms"), 0);
    }
    tl_str_printf(out, ", runtime itself %.1f ms\n", real_of(timings, "overhead_ms"));
    tl_str_printf(out, "  %zu primitive%s; tokens: %lld read (%lld of them from a cache), %lld written",
                  table->entry_count, table->entry_count == 1 ? "" : "s", (long long)integer_of(usage, "tokens_in"),
                  (long long)integer_of(usage, "tokens_reused"), (long long)integer_of(usage, "tokens_out"));
    if (integer_of(usage, "tokens_trimmed") > 0)
        tl_str_printf(out, ", %lld trimmed to fit", (long long)integer_of(usage, "tokens_trimmed"));
    tl_str_putc(out, '\n');
    put_writing(out, usage);
    if (integer_of(usage, "units_remembered") > 0) {
        tl_str_printf(out, "  from memory: %lld results, which would have taken about ",
                      (long long)integer_of(usage, "units_remembered"));
        put_duration(out, real_of(usage, "ms_saved"), 0);
        tl_str_putc(out, '\n');
    }
}

void tl_report_timeline(const json_t *result, bool ascii, struct tl_str *out) {
    struct table table;
    table_init(&table, result);
    tl_str_puts(out, ascii ? "Where the time went (# working, . waiting for its engine):\n"
                           : "Where the time went (█ working, · waiting for its engine):\n");
    for (size_t i = 0; i < table.row_count; i++)
        put_row(out, &table.rows[i], table.end, ascii);
    put_footer(out, &table, result);
    table_fini(&table);
}
