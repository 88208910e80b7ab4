/* signature.c: the ports of each primitive, read once from the signature language of
 * base/primitive.h. Our own table is the only input, so a mistake in it is a defect. */
#include <pthread.h>
#include <string.h>

#include "base/error.h"
#include "graph/graph.h"

static struct tl_signature table[TL_OP_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Reads one word such as "into?:index", "items:'T[]" or "*:any". */
static void read_port(const char *word, size_t length, struct tl_signature_port *port) {
    char text[64];
    TL_ASSERT(length < sizeof text);
    memcpy(text, word, length);
    text[length] = '\0';

    char *colon = strchr(text, ':');
    TL_ASSERT(colon != NULL && colon != text);
    *colon = '\0';
    size_t name_length = strlen(text);
    char mark = text[name_length - 1];
    port->optional = mark == '?';
    port->variadic = mark == '*';
    if (port->optional || port->variadic)
        text[--name_length] = '\0';
    TL_ASSERT(name_length < sizeof port->name);
    memcpy(port->name, text, name_length + 1);

    char *type = colon + 1;
    if (strcmp(type, "any") == 0)
        return;
    if (type[0] == '\'') {
        port->variable = type[1];
        for (const char *level = type + 2; *level != '\0'; level += 2) {
            TL_ASSERT(level[0] == '[' && level[1] == ']');
            port->variable_depth++;
        }
        return;
    }
    while (type != NULL) {
        char *bar = strchr(type, '|');
        if (bar != NULL)
            *bar++ = '\0';
        TL_ASSERT(port->type_count < TL_SIGNATURE_ALTERNATIVES);
        if (!tl_type_parse(type, &port->types[port->type_count++]))
            TL_BUG("primitive.h: no such type: %s", type);
        type = bar;
    }
}

static void read_signature(const char *text, struct tl_signature *signature) {
    bool after_arrow = false;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (length == 2 && memcmp(text, "->", 2) == 0) {
            after_arrow = true;
        } else if (length == 1 && *text == '!') {
            signature->outputs_by_builder = true;
        } else {
            uint8_t *count = after_arrow ? &signature->output_count : &signature->input_count;
            TL_ASSERT(*count < TL_SIGNATURE_PORTS);
            read_port(text, length, after_arrow ? &signature->outputs[*count] : &signature->inputs[*count]);
            (*count)++;
        }
        text += length;
        text += strspn(text, " ");
    }
}

static void read_table(void) {
    for (unsigned op = 0; op < TL_OP_COUNT; op++)
        read_signature(tl_primitive_info((enum tl_primitive)op)->signature, &table[op]);
}

const struct tl_signature *tl_signature_of(enum tl_primitive op) {
    TL_ASSERT((unsigned)op < TL_OP_COUNT);
    pthread_once(&once, read_table);
    return &table[op];
}

size_t tl_signature_find_input(const struct tl_signature *signature, const char *name) {
    size_t variadic = signature->input_count;
    for (size_t i = 0; i < signature->input_count; i++) {
        if (signature->inputs[i].variadic)
            variadic = i;
        else if (strcmp(signature->inputs[i].name, name) == 0)
            return i;
    }
    return variadic;
}
