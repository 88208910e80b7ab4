/* llama_prompt.c: see llama_prompt.h. */
#include "engine/llama/llama_prompt.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"

/* Stands for content `index` in a rendered template. Control characters keep it apart from any
 * text, and no template trims or changes it. */
#define MARK_FORMAT "\002teola:%zu\003"
#define MARK_SIZE 40

/* One message of a prompt, its parts joined. */
struct message {
    enum tl_role role;
    struct tl_str content;
    bool from_template; /* its content is the template's, and may hold special tokens */
};

struct messages {
    struct message *items;
    size_t count, capacity;
};

static const char *role_name(enum tl_role role) {
    return role == TL_ROLE_SYSTEM ? "system" : role == TL_ROLE_USER ? "user" : "assistant";
}

/* ---- the template ---- */

/* Renders the template with marks as contents. False when llama.cpp does not know it. */
static bool render(const char *text, const struct message *messages, size_t count, bool answer, struct tl_str *out) {
    struct llama_chat_message *chat = tl_mem_alloc((count + 1) * sizeof *chat);
    char(*marks)[MARK_SIZE] = tl_mem_alloc((count + 1) * sizeof *marks);
    for (size_t i = 0; i < count; i++) {
        snprintf(marks[i], sizeof marks[i], MARK_FORMAT, i);
        chat[i] = (struct llama_chat_message){role_name(messages[i].role), marks[i]};
    }
    size_t room = 1024 + count * 256;
    char *buffer = tl_mem_alloc(room);
    int32_t length = llama_chat_apply_template(text, chat, count, answer, buffer, (int32_t)room);
    if (length > (int32_t)room) {
        buffer = tl_mem_realloc(buffer, (size_t)length);
        length = llama_chat_apply_template(text, chat, count, answer, buffer, length);
    }
    if (length > 0)
        tl_str_append(out, buffer, (size_t)length);
    tl_mem_free(buffer);
    tl_mem_free(marks);
    tl_mem_free(chat);
    return length > 0;
}

/* For models without a template: the system text, then "User:" and "Assistant:" lines. */
static void render_plain(const struct message *messages, size_t count, bool answer, struct tl_str *out) {
    for (size_t i = 0; i < count; i++) {
        if (messages[i].role != TL_ROLE_SYSTEM)
            tl_str_puts(out, messages[i].role == TL_ROLE_USER ? "User: " : "Assistant: ");
        tl_str_printf(out, MARK_FORMAT "%s", i, messages[i].role == TL_ROLE_SYSTEM ? "\n\n" : "\n");
    }
    if (answer)
        tl_str_puts(out, "Assistant:");
}

/* Reads a quoted literal of the template's language; returns what is behind it. */
static const char *read_literal(const char *at, struct tl_str *out) {
    char quote = *at++;
    for (; *at && *at != quote; at++) {
        if (*at == '\\' && at[1]) {
            at++;
            tl_str_putc(out, *at == 'n' ? '\n' : *at == 't' ? '\t' : *at);
        } else {
            tl_str_putc(out, *at);
        }
    }
    return *at ? at + 1 : at;
}

/* Templates such as SmolLM2's and Qwen's put a system message of their own before a chat that has
 * none. llama.cpp's renderer knows the family of a template, not this text; it is found as the
 * literal that looks like a whole system message as the family renders one. */
static char *find_default_system(const char *text) {
    struct message system = {.role = TL_ROLE_SYSTEM};
    struct tl_str rendered = TL_STR_INIT, literal = TL_STR_INIT;
    char *found = NULL;
    char mark[MARK_SIZE];
    snprintf(mark, sizeof mark, MARK_FORMAT, (size_t)0);
    const char *place = render(text, &system, 1, false, &rendered) ? strstr(rendered.data, mark) : NULL;
    size_t before = place ? (size_t)(place - rendered.data) : 0;
    const char *behind = place ? place + strlen(mark) : "";
    size_t after = strlen(behind);
    for (const char *at = text; before > 0 && after > 0 && *at && !found;) {
        if (*at != '\'' && *at != '"') {
            at++;
            continue;
        }
        tl_str_clear(&literal);
        const char *end = read_literal(at, &literal);
        if (literal.length > before + after && memcmp(literal.data, rendered.data, before) == 0 &&
            memcmp(literal.data + literal.length - after, behind, after) == 0)
            found = tl_mem_strndup(literal.data + before, literal.length - before - after);
        at = end;
    }
    tl_str_fini(&rendered);
    tl_str_fini(&literal);
    return found;
}

void tl_llama_template_init(struct tl_llama_template *template, const struct llama_model *model) {
    *template = (struct tl_llama_template){.vocab = llama_model_get_vocab(model)};
    const char *text = llama_model_chat_template(model, NULL);
    struct message user = {.role = TL_ROLE_USER};
    struct tl_str rendered = TL_STR_INIT;
    if (text && render(text, &user, 1, true, &rendered)) {
        template->text = tl_mem_strdup(text);
        template->default_system = find_default_system(text);
    }
    tl_str_fini(&rendered);
}

void tl_llama_template_fini(struct tl_llama_template *template) {
    tl_mem_free(template->text);
    tl_mem_free(template->default_system);
    *template = (struct tl_llama_template){0};
}

/* ---- messages to tokens ---- */

static struct message *add_message(struct messages *messages, enum tl_role role) {
    messages->items = tl_mem_grow(messages->items, &messages->capacity, messages->count + 1, sizeof *messages->items);
    struct message *message = &messages->items[messages->count++];
    *message = (struct message){.role = role, .content = TL_STR_INIT};
    return message;
}

static void free_messages(struct messages *messages) {
    for (size_t i = 0; i < messages->count; i++)
        tl_str_fini(&messages->items[i].content);
    tl_mem_free(messages->items);
}

/* Joins parts, of each its first keep[i] bytes, to messages. */
static void join_parts(const struct tl_llama_template *template, const struct tl_prompt *prompt, const size_t *keep,
                       struct messages *messages) {
    bool has_system = prompt->count > 0 && prompt->parts[0].role == TL_ROLE_SYSTEM;
    if (template->default_system && !has_system) {
        struct message *system = add_message(messages, TL_ROLE_SYSTEM);
        system->from_template = true;
        tl_str_puts(&system->content, template->default_system);
    }
    for (size_t i = 0; i < prompt->count; i++) {
        const struct tl_prompt_part *part = &prompt->parts[i];
        if (i == 0 || part->message != prompt->parts[i - 1].message)
            add_message(messages, part->role);
        tl_str_append(&messages->items[messages->count - 1].content, part->text, keep[i]);
    }
}

/* Tokens of text in the middle of a prompt. SentencePiece puts a space before whatever it is given:
 * it is given a line break too, whose tokens are taken off again. */
static void add_tokens(const struct llama_vocab *vocab, const char *text, size_t length, bool special,
                       struct tl_llama_tokens *out) {
    if (length == 0)
        return;
    if (llama_vocab_type(vocab) != LLAMA_VOCAB_TYPE_SPM || out->count == 0) {
        tl_llama_tokenize(vocab, text, length, special, out);
        return;
    }
    struct tl_llama_tokens lead = {0}, whole = {0};
    struct tl_str led = TL_STR_INIT;
    tl_str_putc(&led, '\n');
    tl_str_append(&led, text, length);
    tl_llama_tokenize(vocab, "\n", 1, false, &lead);
    tl_llama_tokenize(vocab, led.data, led.length, special, &whole);
    if (whole.count >= lead.count && memcmp(whole.ids, lead.ids, lead.count * sizeof *lead.ids) == 0)
        tl_llama_tokens_append(out, whole.ids + lead.count, whole.count - lead.count);
    else
        tl_llama_tokenize(vocab, text, length, special, out);
    tl_str_fini(&led);
    tl_llama_tokens_fini(&lead);
    tl_llama_tokens_fini(&whole);
}

/* Takes off the tokens of the last word, which may merge with what follows, but none before `least`. */
static void drop_last_word(const struct llama_vocab *vocab, size_t least, struct tl_llama_tokens *tokens) {
    bool word = false;
    while (tokens->count > least) {
        char piece[256];
        int32_t length = llama_token_to_piece(vocab, tokens->ids[--tokens->count], piece, sizeof piece, 0, false);
        for (int32_t i = 0; i < length; i++)
            word |= !isspace((unsigned char)piece[i]);
        if (word && length > 0 && isspace((unsigned char)piece[0]))
            return;
    }
}

/* Cuts the rendered template at its marks and tokenises text and contents in turn. */
static enum tl_status tokenise_rendered(const struct tl_llama_template *template, const struct messages *messages,
                                        const struct tl_str *rendered, bool open, struct tl_llama_tokens *out,
                                        struct tl_error *error) {
    const struct llama_vocab *vocab = template->vocab;
    const char *at = rendered->data;
    for (size_t i = 0; i < messages->count; i++) {
        const struct message *message = &messages->items[i];
        char mark[MARK_SIZE];
        snprintf(mark, sizeof mark, MARK_FORMAT, i);
        const char *place = strstr(at, mark);
        if (!place)
            return tl_error_set(error, TL_ERR_INVALID,
                                "the model's chat template leaves out message %zu of the prompt (role %s)", i + 1,
                                role_name(message->role));
        add_tokens(vocab, at, (size_t)(place - at), true, out);
        size_t before = out->count;
        add_tokens(vocab, message->content.data, message->content.length, message->from_template, out);
        at = place + strlen(mark);
        if (open && i + 1 == messages->count) {
            drop_last_word(vocab, before, out);
            return TL_OK;
        }
    }
    add_tokens(vocab, at, strlen(at), true, out);
    return TL_OK;
}

static enum tl_status tokenise(const struct tl_llama_template *template, const struct tl_prompt *prompt,
                               const size_t *keep, bool open, struct tl_llama_tokens *out, struct tl_error *error) {
    struct messages messages = {0};
    join_parts(template, prompt, keep, &messages);
    struct message *last = messages.count > 0 ? &messages.items[messages.count - 1] : NULL;
    /* An assistant message at the end is the beginning of the answer: nothing is closed behind it. */
    bool begun = last && last->role == TL_ROLE_ASSISTANT;
    struct tl_str rendered = TL_STR_INIT;
    if (!template->text || !render(template->text, messages.items, messages.count, !begun, &rendered))
        render_plain(messages.items, messages.count, !begun, &rendered);
    if (begun) {
        char mark[MARK_SIZE];
        snprintf(mark, sizeof mark, MARK_FORMAT, messages.count - 1);
        const char *place = strstr(rendered.data, mark);
        if (place)
            tl_str_truncate(&rendered, (size_t)(place - rendered.data) + strlen(mark));
    }
    out->count = 0;
    if (llama_vocab_get_add_bos(template->vocab))
        tl_llama_tokens_push(out, llama_vocab_bos(template->vocab));
    size_t bos = out->count;
    enum tl_status status = tokenise_rendered(template, &messages, &rendered, open, out, error);
    if (bos == 1 && out->count > 1 && out->ids[1] == out->ids[0]) { /* the template writes it as well */
        memmove(out->ids, out->ids + 1, (out->count - 1) * sizeof *out->ids);
        out->count--;
    }
    tl_str_fini(&rendered);
    free_messages(&messages);
    return status;
}

/* ---- fitting the context ---- */

/* Bytes of the first `count` tokens of a text. */
static size_t bytes_of(const struct llama_vocab *vocab, const struct tl_llama_tokens *tokens, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        char piece[256];
        int32_t length = llama_token_to_piece(vocab, tokens->ids[i], piece, sizeof piece, 0, true);
        bytes += (size_t)(length < 0 ? -length : length);
    }
    return bytes;
}

/* Shortens trimmable parts by `excess` tokens together: all that are longer than one common
 * length are cut to it. Returns whether anything was cut. */
static bool trim_parts(const struct llama_vocab *vocab, const struct tl_prompt *prompt, size_t excess, size_t *keep) {
    struct tl_llama_tokens *tokens = tl_mem_zalloc((prompt->count + 1) * sizeof *tokens);
    size_t total = 0, level = 0, low = 0, high = 0;
    for (size_t i = 0; i < prompt->count; i++)
        if (prompt->parts[i].flags & TL_PART_TRIMMABLE) {
            tl_llama_tokenize(vocab, prompt->parts[i].text, keep[i], false, &tokens[i]);
            total += tokens[i].count;
            high = tokens[i].count > high ? tokens[i].count : high;
        }
    size_t budget = total > excess ? total - excess : 0;
    while (low < high) { /* the largest level whose sum is within the budget */
        level = low + (high - low + 1) / 2;
        size_t sum = 0;
        for (size_t i = 0; i < prompt->count; i++)
            sum += tokens[i].count < level ? tokens[i].count : level;
        if (sum <= budget)
            low = level;
        else
            high = level - 1;
    }
    level = low;
    bool cut = false;
    for (size_t i = 0; i < prompt->count; i++) {
        if (tokens[i].count > level) {
            size_t bytes = bytes_of(vocab, &tokens[i], level);
            size_t shorter = bytes < keep[i] ? bytes : keep[i] - 1;
            keep[i] = tl_utf8_border(prompt->parts[i].text, prompt->parts[i].length, shorter);
            cut = true;
        }
        tl_llama_tokens_fini(&tokens[i]);
    }
    tl_mem_free(tokens);
    return cut;
}

/* Bounds before tokenising: a token has at most this many bytes on average in any text worth reading. */
#define BYTES_PER_TOKEN 64

enum tl_status tl_llama_prompt_tokens(const struct tl_llama_template *template, const struct tl_prompt *prompt,
                                      size_t limit, struct tl_llama_tokens *out, bool *open, size_t *trimmed,
                                      struct tl_error *error) {
    *open = prompt->count > 0 && (prompt->parts[prompt->count - 1].flags & TL_PART_OPEN);
    *trimmed = 0;
    size_t *keep = tl_mem_alloc((prompt->count + 1) * sizeof *keep);
    size_t fixed = 0;
    bool trimmable = false;
    for (size_t i = 0; i < prompt->count; i++) {
        const struct tl_prompt_part *part = &prompt->parts[i];
        keep[i] = part->length;
        trimmable |= (part->flags & TL_PART_TRIMMABLE) != 0;
        if (!(part->flags & TL_PART_TRIMMABLE))
            fixed += part->length;
        else if (keep[i] > limit * BYTES_PER_TOKEN)
            keep[i] = tl_utf8_border(part->text, part->length, limit * BYTES_PER_TOKEN);
    }
    enum tl_status status = TL_OK;
    if (fixed > limit * BYTES_PER_TOKEN)
        status = tl_error_set(error, TL_ERR_LIMIT,
                              "the prompt has %zu bytes that may not be cut; the limit is %zu tokens", fixed, limit);
    size_t first = 0;
    for (int round = 0; status == TL_OK; round++) {
        status = tokenise(template, prompt, keep, *open, out, error);
        if (status != TL_OK || out->count <= limit)
            break;
        first = first ? first : out->count;
        if (*open && trimmable) { /* its parts are cut when all of them are known */
            out->count = limit;
            break;
        }
        if (round >= 8 || !trim_parts(template->vocab, prompt, out->count - limit, keep))
            status = tl_error_set(
                error, TL_ERR_LIMIT,
                "the prompt has %zu tokens, %zu of them after cutting what may be cut, but at most %zu fit", first,
                out->count, limit);
    }
    if (status == TL_OK && !*open && first > out->count)
        *trimmed = first - out->count;
    tl_mem_free(keep);
    return status;
}

size_t tl_llama_prompt_static(const struct tl_llama_template *template, const struct tl_prompt *prompt,
                              const struct tl_llama_tokens *tokens) {
    struct tl_prompt beginning = {.parts = prompt->parts};
    while (beginning.count < prompt->count && prompt->parts[beginning.count].flags & TL_PART_STATIC &&
           !(prompt->parts[beginning.count].flags & TL_PART_TRIMMABLE))
        beginning.count++;
    if (beginning.count == 0)
        return 0;
    size_t *keep = tl_mem_alloc(beginning.count * sizeof *keep), same = 0;
    for (size_t i = 0; i < beginning.count; i++)
        keep[i] = prompt->parts[i].length;
    struct tl_llama_tokens certain = {0};
    struct tl_error error = {0};
    if (tokenise(template, &beginning, keep, true, &certain, &error) == TL_OK)
        while (same < certain.count && same < tokens->count && certain.ids[same] == tokens->ids[same])
            same++;
    tl_llama_tokens_fini(&certain);
    tl_mem_free(keep);
    return same;
}
