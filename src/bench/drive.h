/* drive.h: sends the requests of a load to a target when they are due, and notes what comes back.
 *
 * A target is whatever answers: an engine in this process (engine_target.h) or a server (server_target.h).
 * It takes requests by number and reports through tl_bench_drive_* from within its own functions, all on the calling
 * thread. Time comes from the target, so that tests have a target with a clock of its own. */
#ifndef TL_BENCH_DRIVE_H
#define TL_BENCH_DRIVE_H

#include <signal.h>

#include "bench/mix.h"

struct tl_bench_drive;

/* What a request took; zero what a target does not tell. */
struct tl_bench_usage {
    uint64_t asked, reused, computed; /* prompt tokens: of the prompt; from a cache; really computed */
    uint64_t written;                 /* tokens */
};

struct tl_bench_target {
    /* Begins request `number` of the drive's load. A failure of the request is reported, not returned. */
    void (*start)(struct tl_bench_target *target, struct tl_bench_drive *drive, size_t number);
    /* Works, or waits for news, no longer than necessary: until something was reported, or `until` (as now();
     * UINT64_MAX: no bound), or a signal came. Returns an error when nothing more can come. */
    enum tl_status (*wait)(struct tl_bench_target *target, struct tl_bench_drive *drive, uint64_t until,
                           struct tl_error *error);
    /* Gives up what was started and is not finished. */
    void (*abandon)(struct tl_bench_target *target);
    /* Computes the prefixes of a load before it is measured, and keeps them as far as the target can. */
    enum tl_status (*prepare)(struct tl_bench_target *target, const struct tl_bench_load *load, struct tl_error *error);
    /* Prompt tokens of the probe. */
    enum tl_status (*probe)(struct tl_bench_target *target, uint64_t *tokens, struct tl_error *error);
    uint64_t (*now)(struct tl_bench_target *target);
    void (*close)(struct tl_bench_target *target); /* frees it */
};

/* One request, as it went. Times as the target's now(); 0: did not happen. */
struct tl_bench_record {
    uint64_t intended; /* when it was to be sent */
    uint64_t sent, first, last, finished;
    uint64_t *pieces; /* times of the pieces of text, in order */
    size_t piece_count, piece_capacity;
    bool intruder, failed;
    char *message; /* of a failure; owned */
    struct tl_bench_usage usage;
};

struct tl_bench_drive {
    const struct tl_bench_load *load;
    struct tl_bench_target *target;
    struct tl_bench_record *records; /* one for each request */
    size_t next;                     /* first regular request that was not sent */
    size_t next_intruder;
    size_t regular;                  /* requests that are no intruders */
    size_t running, running_regular; /* sent and not finished */
    size_t finished;
    uint64_t pieces; /* of regular requests, so far */
    uint64_t start, end;
    uint32_t concurrency; /* 0: open loop */
    const volatile sig_atomic_t *stop; /* set by a signal handler; NULL: never */
};

/* Runs the whole load. TL_ERR_CANCELLED when *stop was set. Failed requests are in the records; an error is returned
 * when none can be answered any more. Fini in any case. */
enum tl_status tl_bench_drive_run(struct tl_bench_drive *drive, const struct tl_bench_load *load, uint32_t concurrency,
                                  struct tl_bench_target *target, const volatile sig_atomic_t *stop,
                                  struct tl_error *error);
void tl_bench_drive_fini(struct tl_bench_drive *drive);

/* What targets report. */
void tl_bench_drive_piece(struct tl_bench_drive *drive, size_t number); /* text has come, now */
void tl_bench_drive_done(struct tl_bench_drive *drive, size_t number, const struct tl_bench_usage *usage);
void tl_bench_drive_failed(struct tl_bench_drive *drive, size_t number, const char *message);

#endif
