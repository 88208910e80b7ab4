#include "cli/index_display.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/command_line.h"

#define SKIPS_KEPT 10000
#define SKIPS_SHOWN 20 /* without -v */

void tl_index_display_init(struct tl_index_display *display, bool quiet, bool verbose) {
    uint64_t now = tl_clock_now();
    *display = (struct tl_index_display){
        .terminal = tl_cli_is_terminal(stderr) && !quiet,
        .quiet = quiet,
        .verbose = verbose,
        .start = now,
        .last = now,
    };
}

void tl_index_display_fini(struct tl_index_display *display) {
    for (size_t i = 0; i < display->skip_count; i++) {
        tl_mem_free(display->skips[i].uri);
        tl_mem_free(display->skips[i].reason);
    }
    tl_mem_free(display->skips);
}

double tl_index_display_seconds(const struct tl_index_display *display) {
    return (double)(tl_clock_now() - display->start) / (double)TL_NS_PER_S;
}

void tl_index_display_close_line(struct tl_index_display *display) {
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

void tl_index_display_progress(void *context, const struct tl_index_progress *progress) {
    struct tl_index_display *display = context;
    uint64_t now = tl_clock_now();
    uint64_t pause = display->terminal ? 200 * TL_NS_PER_MS : 10 * TL_NS_PER_S;
    if (display->quiet || (display->verbose && !display->terminal) || now - display->last < pause)
        return;
    display->last = now;
    double seconds = tl_index_display_seconds(display);
    double part = progress->bytes_total ? (double)progress->bytes / (double)progress->bytes_total : 1;
    char left[24] = "", name[60];
    if (part > 0.01 && part < 1)
        human_time(seconds * (1 - part) / part, left);
    const char *uri = progress->uri ? progress->uri : "";
    const char *slash = strrchr(uri, '/');
    tl_index_print_uri(slash ? slash + 1 : uri, name, sizeof name);
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

void tl_index_display_event(void *context, enum tl_index_event event, const char *uri, const char *detail) {
    static const char *const words[] = {
        [TL_INDEX_ADDED] = "added",     [TL_INDEX_REPLACED] = "replaced", [TL_INDEX_UNCHANGED] = "unchanged",
        [TL_INDEX_REMOVED] = "removed", [TL_INDEX_SKIPPED] = "skipped",
    };
    struct tl_index_display *display = context;
    if (event == TL_INDEX_SKIPPED && display->skip_count < SKIPS_KEPT) {
        display->skips =
            tl_mem_grow(display->skips, &display->skip_capacity, display->skip_count + 1, sizeof *display->skips);
        display->skips[display->skip_count++] = (struct tl_index_skip){tl_mem_strdup(uri), tl_mem_strdup(detail)};
    }
    if (!display->verbose)
        return;
    char name[1024];
    tl_index_display_close_line(display);
    fprintf(stderr, "%s %s%s%s\n", words[event], tl_index_print_uri(uri, name, sizeof name), *detail ? ": " : "",
            detail);
}

void tl_index_display_skips(const struct tl_index_display *display, uint64_t total) {
    if (display->quiet || display->verbose)
        return;
    size_t shown = display->skip_count < SKIPS_SHOWN ? display->skip_count : SKIPS_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        char name[1024];
        tl_index_print_uri(display->skips[i].uri, name, sizeof name);
        fprintf(stderr, "skipped %s: %s\n", name, display->skips[i].reason);
    }
    if (total > shown)
        fprintf(stderr, "skipped %" PRIu64 " more (-v names them)\n", total - shown);
}
