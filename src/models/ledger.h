/* ledger.h: models.lock.json beside the models: size and SHA-256 of those whose manifest entry
 * does not pin them, as learnt from the hub or recorded when the model was made here, and
 * from what. Changes are read-modify-write under a lock and replace the file as a whole. */
#ifndef TL_MODELS_LEDGER_H
#define TL_MODELS_LEDGER_H

#include <stdint.h>

#include "base/hash.h"
#include "base/str.h"
#include "teola/status.h"

struct tl_ledger_record {
    uint64_t size;
    char sha256[TL_SHA256_HEX_SIZE];
    struct tl_str origin; /* of what and how it was made: a change means that it is outdated */
};

void tl_ledger_record_fini(struct tl_ledger_record *record);

/* Calls `each` for every sound record; a damaged file has none. Strings are valid during the call. */
void tl_ledger_each(const char *directory, void (*each)(void *user, const char *name, const char *origin), void *user);

/* TL_ERR_NOT_FOUND (without a message) when there is no record; TL_ERR_CORRUPT when the file is damaged.
 * The record is always safe to fini. */
enum tl_status tl_ledger_read(const char *directory, const char *name, struct tl_ledger_record *record,
                              struct tl_error *error);
enum tl_status tl_ledger_write(const char *directory, const char *name, uint64_t size, const char *sha256,
                               const char *origin, struct tl_error *error);
/* No record is no error. */
enum tl_status tl_ledger_remove(const char *directory, const char *name, struct tl_error *error);

#endif
