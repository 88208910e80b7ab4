/* string.c: the inside of a JSON string: well-formed UTF-8 without control characters, the escapes of
 * JSON but for NUL and surrogates, counted in characters. */
#include "schema/schema_impl.h"

static bool begin_character(struct tl_schema_frame *frame, unsigned char byte) {
    uint8_t rest, low = 0x80, high = 0xbf;
    if (byte < 0x80) {
        rest = 0;
    } else if (byte >= 0xc2 && byte <= 0xdf) {
        rest = 1;
    } else if (byte >= 0xe0 && byte <= 0xef) {
        rest = 2;
        low = byte == 0xe0 ? 0xa0 : low;   /* no overlong forms */
        high = byte == 0xed ? 0x9f : high; /* no surrogates */
    } else if (byte >= 0xf0 && byte <= 0xf4) {
        rest = 3;
        low = byte == 0xf0 ? 0x90 : low;
        high = byte == 0xf4 ? 0x8f : high;
    } else {
        return false;
    }
    frame->count += rest == 0;
    frame->phase = rest == 0 ? TL_SCHEMA_CONTENT : TL_SCHEMA_TAIL;
    frame->as.character.rest = rest;
    frame->as.character.unit = rest == 0 ? 0 : 1;
    frame->as.character.low = low;
    frame->as.character.high = high;
    return true;
}

static bool continue_character(struct tl_schema_frame *frame, unsigned char byte) {
    if (byte < frame->as.character.low || byte > frame->as.character.high)
        return false;
    frame->as.character.low = 0x80;
    frame->as.character.high = 0xbf;
    frame->as.character.unit++;
    if (--frame->as.character.rest == 0) {
        frame->as.character.unit = 0;
        frame->phase = TL_SCHEMA_CONTENT;
        frame->count++;
    }
    return true;
}

static bool escape(struct tl_schema_frame *frame, unsigned char byte) {
    switch (byte) {
    case 'u':
        frame->phase = TL_SCHEMA_HEX;
        frame->as.character.rest = 4;
        frame->as.character.unit = 2;
        frame->as.character.value = 0;
        return true;
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        frame->phase = TL_SCHEMA_CONTENT;
        frame->as.character.unit = 0;
        frame->count++;
        return true;
    default: return false;
    }
}

static int hex_digit(unsigned char byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool hex(struct tl_schema_frame *frame, unsigned char byte) {
    int digit = hex_digit(byte);
    uint32_t value = frame->as.character.value << 4 | (uint32_t)(digit & 15);
    uint8_t rest = frame->as.character.rest;
    bool surrogate = rest == 3 && value >= 0xd8 && value <= 0xdf;
    if (digit < 0 || surrogate || (rest == 1 && value == 0))
        return false;
    frame->as.character.value = value;
    frame->as.character.unit++;
    if (--frame->as.character.rest == 0) {
        frame->as.character.unit = 0;
        frame->phase = TL_SCHEMA_CONTENT;
        frame->count++;
    }
    return true;
}

bool tl_schema_string_put(const struct tl_schema_node *node, struct tl_schema_frame *frame, unsigned char byte,
                          bool *ended) {
    *ended = false;
    switch (frame->phase) {
    case TL_SCHEMA_OPEN:
        if (byte != '"')
            return false;
        frame->phase = TL_SCHEMA_CONTENT;
        return true;
    case TL_SCHEMA_ESCAPE: return escape(frame, byte);
    case TL_SCHEMA_HEX: return hex(frame, byte);
    case TL_SCHEMA_TAIL: return continue_character(frame, byte);
    default: break;
    }
    if (byte == '"') {
        *ended = frame->count >= node->as.string.least;
        return *ended;
    }
    if (byte < 0x20 || byte == 0x7f || frame->count >= node->as.string.most)
        return false;
    if (byte != '\\')
        return begin_character(frame, byte);
    frame->phase = TL_SCHEMA_ESCAPE;
    frame->as.character.unit = 1;
    return true;
}
