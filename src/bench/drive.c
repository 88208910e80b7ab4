/* drive.c: see drive.h. */
#include "bench/drive.h"

#include "base/error.h"
#include "base/mem.h"

void tl_bench_drive_piece(struct tl_bench_drive *drive, size_t number) {
    struct tl_bench_record *record = &drive->records[number];
    uint64_t now = drive->target->now(drive->target);
    record->pieces =
        tl_mem_grow(record->pieces, &record->piece_capacity, record->piece_count + 1, sizeof *record->pieces);
    record->pieces[record->piece_count++] = now;
    if (record->first == 0)
        record->first = now;
    record->last = now;
    drive->pieces += !record->intruder;
}

static void finish(struct tl_bench_drive *drive, size_t number) {
    struct tl_bench_record *record = &drive->records[number];
    TL_ASSERT(record->sent != 0 && record->finished == 0);
    record->finished = drive->target->now(drive->target);
    drive->running--;
    drive->running_regular -= !record->intruder;
    drive->finished++;
}

void tl_bench_drive_done(struct tl_bench_drive *drive, size_t number, const struct tl_bench_usage *usage) {
    drive->records[number].usage = *usage;
    finish(drive, number);
}

void tl_bench_drive_failed(struct tl_bench_drive *drive, size_t number, const char *message) {
    drive->records[number].failed = true;
    drive->records[number].message = tl_mem_strdup(message);
    finish(drive, number);
}

static void send(struct tl_bench_drive *drive, size_t number, uint64_t intended) {
    struct tl_bench_record *record = &drive->records[number];
    record->intended = intended;
    record->intruder = drive->load->requests[number].intruder;
    record->sent = drive->target->now(drive->target);
    drive->running++;
    drive->running_regular += !record->intruder;
    drive->target->start(drive->target, drive, number);
}

/* Sends what is due. A target may report from start, which makes the next one due. Returns the time of the next
 * arrival, UINT64_MAX when there is none to wait for. */
static uint64_t send_due(struct tl_bench_drive *drive) {
    for (;;) {
        uint64_t now = drive->target->now(drive->target);
        size_t count = drive->load->count;
        /* When the others have ended early, an intruder has nothing to wait for. */
        bool all_out = drive->next == drive->regular && drive->running_regular == 0;
        if (drive->next_intruder < count &&
            (drive->pieces >= drive->load->requests[drive->next_intruder].after || all_out)) {
            send(drive, drive->next_intruder++, now);
            continue;
        }
        if (drive->next == drive->regular)
            return UINT64_MAX;
        if (drive->concurrency > 0) {
            if (drive->running_regular >= drive->concurrency)
                return UINT64_MAX;
            send(drive, drive->next++, now);
            continue;
        }
        uint64_t due = drive->start + drive->load->requests[drive->next].arrival;
        if (due > now)
            return due;
        send(drive, drive->next++, due);
    }
}

enum tl_status tl_bench_drive_run(struct tl_bench_drive *drive, const struct tl_bench_load *load, uint32_t concurrency,
                                  struct tl_bench_target *target, const volatile sig_atomic_t *stop,
                                  struct tl_error *error) {
    *drive = (struct tl_bench_drive){.load = load, .target = target, .concurrency = concurrency, .stop = stop};
    drive->records = tl_mem_zalloc((load->count + 1) * sizeof *drive->records);
    while (drive->regular < load->count && !load->requests[drive->regular].intruder)
        drive->regular++;
    drive->next_intruder = drive->regular;
    drive->start = target->now(target);
    enum tl_status status = TL_OK;
    while (status == TL_OK && drive->finished < load->count) {
        uint64_t until = send_due(drive);
        if (drive->finished == load->count)
            break;
        if (stop && *stop)
            status = tl_error_set(error, TL_ERR_CANCELLED, "stopped after %zu of %zu requests", drive->finished,
                                  load->count);
        else
            status = target->wait(target, drive, until, error);
    }
    drive->end = target->now(target);
    if (status != TL_OK)
        target->abandon(target);
    return status;
}

void tl_bench_drive_fini(struct tl_bench_drive *drive) {
    for (size_t i = 0; drive->records && i < drive->load->count; i++) {
        tl_mem_free(drive->records[i].pieces);
        tl_mem_free(drive->records[i].message);
    }
    tl_mem_free(drive->records);
    *drive = (struct tl_bench_drive){0};
}
