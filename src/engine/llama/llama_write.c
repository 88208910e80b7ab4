/* llama_write.c: see llama_write.h. */
#include "engine/llama/llama_write.h"

#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

void tl_llama_writer_init(struct tl_llama_writer *writer) {
    *writer = (struct tl_llama_writer){.raw = TL_STR_INIT, .text = TL_STR_INIT};
}

void tl_llama_writer_fini(struct tl_llama_writer *writer) {
    tl_str_fini(&writer->raw);
    tl_str_fini(&writer->text);
    for (size_t i = 0; i < writer->stop_count; i++)
        tl_mem_free(writer->stops[i]);
    tl_mem_free(writer->stops);
}

void tl_llama_writer_add_stop(struct tl_llama_writer *writer, const char *stop) {
    if (!stop[0])
        return;
    writer->stops = tl_mem_realloc(writer->stops, (writer->stop_count + 1) * sizeof *writer->stops);
    writer->stops[writer->stop_count++] = tl_mem_strdup(stop);
}

/* Cuts the text before the first stop string. None can begin before `ready`. */
static void find_stop(struct tl_llama_writer *writer) {
    const char *first = NULL;
    for (size_t i = 0; i < writer->stop_count; i++) {
        const char *found = strstr(writer->text.data + writer->ready, writer->stops[i]);
        if (found && (!first || found < first))
            first = found;
    }
    if (!first)
        return;
    writer->stopped = true;
    tl_str_truncate(&writer->text, (size_t)(first - writer->text.data));
}

/* Length of the longest end of the text that is the start of a stop string. */
static size_t held_back(const struct tl_llama_writer *writer) {
    size_t most = 0, length = writer->text.length;
    for (size_t i = 0; i < writer->stop_count; i++) {
        size_t stop = strlen(writer->stops[i]);
        for (size_t tail = stop - 1 < length ? stop - 1 : length; tail > most; tail--)
            if (memcmp(writer->text.data + length - tail, writer->stops[i], tail) == 0)
                most = tail;
    }
    return most;
}

void tl_llama_writer_put(struct tl_llama_writer *writer, const char *bytes, size_t length) {
    if (writer->stopped)
        return;
    tl_str_append(&writer->raw, bytes, length);
    size_t whole = tl_utf8_complete_prefix(writer->raw.data, writer->raw.length);
    for (size_t i = 0; i < whole; i++) /* a NUL is no text, and ends strings: replaced like other rubbish */
        if (writer->raw.data[i] == '\0')
            writer->raw.data[i] = '\xff';
    tl_utf8_repair(writer->raw.data, whole, &writer->text);
    size_t rest = writer->raw.length - whole;
    memmove(writer->raw.data, writer->raw.data + whole, rest);
    tl_str_truncate(&writer->raw, rest);
    find_stop(writer);
    writer->ready = writer->stopped ? writer->text.length : writer->text.length - held_back(writer);
}

void tl_llama_writer_end(struct tl_llama_writer *writer) {
    tl_str_clear(&writer->raw);
    writer->ready = writer->text.length;
}

const char *tl_llama_writer_take(struct tl_llama_writer *writer, size_t *length) {
    const char *begin = writer->text.data + writer->taken;
    *length = writer->ready - writer->taken;
    writer->taken = writer->ready;
    return begin;
}
