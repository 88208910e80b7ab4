/* hash.h: fast 64-bit hashes for tables and keys, SHA-256 (libcrypto) for content. */
#ifndef TL_BASE_HASH_H
#define TL_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

/* A 64-bit hash, the same on every machine; not for adversarial input. */
uint64_t tl_hash_bytes(const void *data, size_t size, uint64_t seed);
uint64_t tl_hash_string(const char *text, uint64_t seed);
uint64_t tl_hash_u64(uint64_t value, uint64_t seed);

#define TL_SHA256_HEX_SIZE 65 /* 64 hex digits and NUL */

struct tl_sha256; /* incremental state */
struct tl_sha256 *tl_sha256_create(void);
void tl_sha256_update(struct tl_sha256 *state, const void *data, size_t size);
/* Writes the digest and begins anew: one state serves for any number of contents. */
#define TL_SHA256_SIZE 32
void tl_sha256_digest(struct tl_sha256 *state, uint8_t digest[TL_SHA256_SIZE]);
void tl_sha256_destroy(struct tl_sha256 *state); /* NULL is allowed */
/* Writes the lower-case hex digest and frees the state. */
void tl_sha256_finish(struct tl_sha256 *state, char hex[TL_SHA256_HEX_SIZE]);
void tl_sha256_hex(const void *data, size_t size, char hex[TL_SHA256_HEX_SIZE]);
enum tl_status tl_sha256_file(const char *path, char hex[TL_SHA256_HEX_SIZE], struct tl_error *error);

#endif
