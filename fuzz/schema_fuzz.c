/* libFuzzer target: any bytes as a JSON Schema, and behind the first NUL the choices of who writes by it. What is
 * accepted must never lead into a dead end, and what is written must be JSON. Also reads the bytes as calls of tools.
 *
 *     build/fuzz/schema_fuzz -max_total_time=600 CORPUS
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "schema/schema.h"
#include "schema/tools.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes as the choices say, a byte each, then closes. */
static void write_by(const struct tl_schema *schema, const uint8_t *choices, size_t count) {
    struct tl_schema_state state;
    struct tl_str text = TL_STR_INIT;
    tl_schema_state_init(&state, schema);
    for (size_t i = 0; i < count && !tl_schema_has_ended(&state); i++) {
        struct tl_schema_bytes next;
        tl_schema_next(&state, &next);
        unsigned tries = 0;
        uint8_t byte = choices[i];
        for (; tries < 256 && !tl_schema_bytes_has(&next, byte); tries++)
            byte++;
        if (tries == 256)
            TL_ASSERT(tl_schema_may_end(&state));
        else
            TL_ASSERT(tl_schema_put(&state, byte));
        if (tries < 256)
            tl_str_putc(&text, (char)byte);
        else if (!tl_schema_settle(&state, &text))
            break;
    }
    tl_schema_close(&state, &text);
    json_t *json = json_loadb(text.data, text.length, JSON_DECODE_ANY, NULL);
    TL_ASSERT(json != NULL);
    json_decref(json);
    tl_str_fini(&text);
    tl_schema_state_fini(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size > 0 ? memchr(data, 0, size) : NULL;
    size_t length = end != NULL ? (size_t)(end - data) : size;
    json_t *json = json_loadb((const char *)data, length, JSON_DECODE_ANY, NULL);
    struct tl_schema *schema = NULL;
    struct tl_error error;
    if (json != NULL && tl_schema_compile(json, "schema", &schema, &error) == TL_OK)
        write_by(schema, data + length, size - length);
    tl_schema_free(schema);
    json_t *tools = json_pack("[{s:s}]", "name", "f");
    json_decref(tl_tools_read((const char *)data, length, tools));
    json_decref(tools);
    json_decref(json);
    return 0;
}
