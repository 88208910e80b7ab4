#define _POSIX_C_SOURCE 200809L

#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

/* The finaliser of MurmurHash3: every input bit reaches every output bit. */
static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return x;
}

static uint64_t load_little_endian(const unsigned char *bytes, size_t count) {
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

static uint64_t absorb(uint64_t hash, uint64_t word) {
    hash ^= mix(word + UINT64_C(0x9e3779b97f4a7c15));
    hash = (hash << 27) | (hash >> 37);
    return hash * 5 + UINT64_C(0x52dce729);
}

uint64_t tl_hash_bytes(const void *data, size_t size, uint64_t seed) {
    const unsigned char *bytes = data;
    uint64_t hash = mix(seed + UINT64_C(0x9e3779b97f4a7c15));
    size_t i = 0;
    for (; size - i >= 8; i += 8)
        hash = absorb(hash, load_little_endian(bytes + i, 8));
    if (i < size)
        hash = absorb(hash, load_little_endian(bytes + i, size - i));
    return mix(hash ^ (uint64_t)size);
}

uint64_t tl_hash_string(const char *text, uint64_t seed) {
    return tl_hash_bytes(text, strlen(text), seed);
}

uint64_t tl_hash_u64(uint64_t value, uint64_t seed) {
    return mix(absorb(mix(seed + UINT64_C(0x9e3779b97f4a7c15)), value) ^ sizeof value);
}

struct tl_sha256 {
    EVP_MD_CTX *context;
};

struct tl_sha256 *tl_sha256_create(void) {
    struct tl_sha256 *state = tl_mem_alloc(sizeof *state);
    state->context = EVP_MD_CTX_new();
    if (state->context == NULL || EVP_DigestInit_ex(state->context, EVP_sha256(), NULL) != 1)
        TL_BUG("libcrypto offers no SHA-256");
    return state;
}

void tl_sha256_update(struct tl_sha256 *state, const void *data, size_t size) {
    if (size > 0 && EVP_DigestUpdate(state->context, data, size) != 1)
        TL_BUG("SHA-256 update failed");
}

static void take_digest(struct tl_sha256 *state, uint8_t digest[TL_SHA256_SIZE]) {
    unsigned size = 0;
    if (EVP_DigestFinal_ex(state->context, digest, &size) != 1 || size != TL_SHA256_SIZE)
        TL_BUG("SHA-256 finish failed");
}

void tl_sha256_digest(struct tl_sha256 *state, uint8_t digest[TL_SHA256_SIZE]) {
    take_digest(state, digest);
    if (EVP_DigestInit_ex(state->context, NULL, NULL) != 1) TL_BUG("SHA-256 cannot begin anew");
}

void tl_sha256_destroy(struct tl_sha256 *state) {
    if (!state) return;
    EVP_MD_CTX_free(state->context);
    tl_mem_free(state);
}

void tl_sha256_finish(struct tl_sha256 *state, char hex[TL_SHA256_HEX_SIZE]) {
    uint8_t digest[TL_SHA256_SIZE];
    take_digest(state, digest);
    tl_sha256_destroy(state);
    for (size_t i = 0; i < TL_SHA256_SIZE; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = '\0';
}

void tl_sha256_hex(const void *data, size_t size, char hex[TL_SHA256_HEX_SIZE]) {
    struct tl_sha256 *state = tl_sha256_create();
    tl_sha256_update(state, data, size);
    tl_sha256_finish(state, hex);
}

enum tl_status tl_sha256_file(const char *path, char hex[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    enum { BUFFER_SIZE = 1 << 18 };
    hex[0] = '\0';
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return tl_error_set(error, errno == ENOENT ? TL_ERR_NOT_FOUND : TL_ERR_IO, "%s: cannot be opened: %s", path,
                            strerror(errno));
    struct tl_sha256 *state = tl_sha256_create();
    unsigned char *buffer = tl_mem_alloc(BUFFER_SIZE);
    enum tl_status status = TL_OK;
    for (;;) {
        ssize_t got = read(file, buffer, BUFFER_SIZE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            status = tl_error_set(error, TL_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
        if (got <= 0)
            break;
        tl_sha256_update(state, buffer, (size_t)got);
    }
    tl_mem_free(buffer);
    close(file);
    tl_sha256_finish(state, hex);
    if (status != TL_OK)
        hex[0] = '\0';
    return status;
}
