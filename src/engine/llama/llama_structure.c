/* llama_structure.c: see llama_structure.h. */
#include "engine/llama/llama_structure.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"

void tl_llama_structure_init(struct tl_llama_structure *structure, const struct tl_llama_pieces *pieces,
                             struct tl_schema *schema) {
    *structure = (struct tl_llama_structure){.pieces = pieces,
                                             .schema = schema,
                                             .text = TL_STR_INIT,
                                             .tried = TL_STR_INIT,
                                             .is_array = tl_schema_is_array(schema),
                                             .element_begin = 1};
    tl_schema_state_init(&structure->state, schema);
}

void tl_llama_structure_fini(struct tl_llama_structure *structure) {
    for (size_t i = 0; i < structure->element_count; i++)
        tl_value_unref(structure->elements[i]);
    tl_mem_free(structure->elements);
    tl_schema_state_fini(&structure->state);
    tl_schema_state_fini(&structure->scratch);
    tl_schema_free(structure->schema);
    tl_str_fini(&structure->text);
    tl_str_fini(&structure->tried);
}

/* ---- elements ---- */

static void add_element(struct tl_llama_structure *structure, json_t *json) {
    struct tl_value *value = json ? tl_value_json(json) : NULL;
    if (!value)
        TL_BUG("element %zu of a text of %zu bytes that its form allows is no JSON", structure->element_count,
               structure->text.length);
    structure->elements = tl_mem_grow(structure->elements, &structure->element_capacity, structure->element_count + 1,
                                      sizeof(struct tl_value *));
    structure->elements[structure->element_count++] = value;
}

/* Has another element become complete? The end of a number shows by the byte that follows it. */
static void watch(struct tl_llama_structure *structure) {
    const struct tl_schema_state *state = &structure->state;
    if (!structure->is_array || tl_schema_has_ended(state) ||
        tl_schema_elements(state) <= structure->element_count)
        return;
    size_t begin = structure->element_begin, end = structure->text.length - !tl_schema_between_elements(state);
    add_element(structure, json_loadb(structure->text.data + begin, end - begin, JSON_DECODE_ANY, NULL));
    structure->element_begin = end + strlen(", ");
}

/* The text has ended: adds the elements that did not become complete before. */
static void add_rest(struct tl_llama_structure *structure) {
    if (!structure->is_array)
        return;
    json_t *array = json_loadb(structure->text.data, structure->text.length, 0, NULL);
    while (structure->element_count < json_array_size(array))
        add_element(structure, json_incref(json_array_get(array, structure->element_count)));
    json_decref(array);
}

static bool put(struct tl_llama_structure *structure, unsigned char byte) {
    if (!tl_schema_put(&structure->state, byte))
        return false;
    tl_str_putc(&structure->text, (char)byte);
    watch(structure);
    return true;
}

/* ---- what is forced ---- */

/* Writes what has no alternative; a space before a choice is left to whoever chooses. */
static void force(struct tl_llama_structure *structure) {
    for (int byte; (byte = tl_schema_forced(&structure->state)) >= 0;) {
        if (byte == ' ') {
            tl_schema_state_copy(&structure->scratch, &structure->state);
            tl_schema_put(&structure->scratch, ' ');
            if (tl_schema_forced(&structure->scratch) < 0)
                break;
        }
        put(structure, (unsigned char)byte);
    }
    structure->next_known = false;
}

static void feed(const struct tl_llama_structure *structure, size_t from, struct tl_llama_tokens *tokens) {
    tl_llama_tokenize(structure->pieces->vocab, structure->text.data + from, structure->text.length - from, false,
                      tokens);
}

void tl_llama_structure_begin(struct tl_llama_structure *structure, struct tl_llama_tokens *forced) {
    force(structure);
    feed(structure, 0, forced);
}

/* ---- one token ---- */

static bool is_space(char byte) {
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

/* Tries a piece on a state; `text` takes what it adds. Returns how many bytes of the piece stand in the text, or
 * were white space that ended a value; 0: the piece may not come. */
static size_t advance(struct tl_schema_state *state, const char *piece, size_t length, struct tl_str *text) {
    size_t at = 0;
    struct tl_schema_bytes next;
    tl_schema_next(state, &next);
    if (is_space(piece[0]) && !tl_schema_bytes_has(&next, (unsigned char)piece[0])) {
        size_t before = text->length;
        if (!tl_schema_at_border(state) && (!tl_schema_settle(state, text) || text->length > before))
            return 0; /* not in a string */
        while (at < length && is_space(piece[at]))
            at++;
        if (at == length) /* something must be written for it; not the space that is left to the model */
            return tl_schema_forced(state) > ' ' || tl_schema_has_ended(state) ? at : 0;
    }
    size_t spaces = at;
    for (; at < length && tl_schema_put(state, (unsigned char)piece[at]); at++)
        tl_str_putc(text, piece[at]);
    if (at == length || (at > spaces && tl_schema_at_border(state)))
        return at;
    return 0;
}

/* What a token that ends everything does to a state. */
static bool settle(struct tl_schema_state *state, struct tl_str *text) {
    size_t before = text->length;
    if (!tl_schema_settle(state, text))
        return false;
    return text->length > before || tl_schema_has_ended(state) || tl_schema_forced(state) >= 0;
}

bool tl_llama_structure_allows(void *context, llama_token id) {
    struct tl_llama_structure *structure = context;
    size_t length;
    const char *piece = tl_llama_piece(structure->pieces, id, &length);
    bool ends = tl_llama_piece_ends(structure->pieces, id);
    if (!structure->next_known) {
        tl_schema_next(&structure->state, &structure->next);
        structure->next_known = true;
    }
    if (!ends && (length == 0 || (!tl_schema_bytes_has(&structure->next, (unsigned char)piece[0]) &&
                                  !is_space(piece[0]))))
        return false;
    tl_schema_state_copy(&structure->scratch, &structure->state);
    tl_str_clear(&structure->tried);
    return ends ? settle(&structure->scratch, &structure->tried)
                : advance(&structure->scratch, piece, length, &structure->tried) > 0;
}

bool tl_llama_structure_take(struct tl_llama_structure *structure, llama_token id, struct tl_llama_tokens *next) {
    size_t length, before = structure->text.length;
    const char *piece = tl_llama_piece(structure->pieces, id, &length);
    tl_schema_state_copy(&structure->scratch, &structure->state);
    tl_str_clear(&structure->tried);
    if (tl_llama_piece_ends(structure->pieces, id)) {
        settle(&structure->scratch, &structure->tried);
        length = SIZE_MAX; /* it is no text itself */
    } else {
        advance(&structure->scratch, piece, length, &structure->tried);
    }
    for (size_t i = 0; i < structure->tried.length; i++) /* again, to see elements end */
        put(structure, (unsigned char)structure->tried.data[i]);
    tl_schema_state_copy(&structure->state, &structure->scratch); /* in which some readings may have been given up */
    watch(structure);
    size_t chosen = structure->text.length;
    bool whole = structure->tried.length == length, border = tl_schema_at_border(&structure->state);
    force(structure);
    if (whole && (!border || structure->text.length == chosen))
        tl_llama_tokens_push(next, id);
    else
        chosen = before;
    feed(structure, chosen, next);
    bool ended = tl_schema_has_ended(&structure->state);
    if (ended)
        add_rest(structure);
    return !ended;
}

void tl_llama_structure_close(struct tl_llama_structure *structure) {
    if (tl_schema_has_ended(&structure->state))
        return;
    tl_schema_close(&structure->state, &structure->text);
    add_rest(structure);
}
