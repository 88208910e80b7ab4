/* lexer.h: the tokens of the graph's text form, for parse.c. Spaces and line ends separate tokens and mean
 * nothing else; from '#' or '!' to the end of a line is a comment, so that a graph printed with its
 * findings can be read back. The first error ends the reading: afterwards every call fails. */
#ifndef TL_GRAPH_LEXER_H
#define TL_GRAPH_LEXER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/diagnostics.h"
#include "base/str.h"

struct tl_lexer {
    const char *at;         /* the next byte; the text ends in NUL */
    const char *line_start; /* of the line that `at` is on */
    unsigned line;          /* from 1 */
    struct tl_diagnostics *findings;
    bool failed;
};

void tl_lexer_init(struct tl_lexer *lexer, const char *text, struct tl_diagnostics *findings);
/* Adds "expected <what>, found <...>" at the next token, once. Returns false. */
bool tl_lexer_expected(struct tl_lexer *lexer, const char *what);
/* Adds a finding at the next token, once. Returns false. */
bool tl_lexer_fail(struct tl_lexer *lexer, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool tl_lexer_at_end(struct tl_lexer *lexer);
/* Is the next byte `c`? */
bool tl_lexer_peek(struct tl_lexer *lexer, char c);
/* Takes `c` if it is next. */
bool tl_lexer_take(struct tl_lexer *lexer, char c);
/* Takes `c`, which must be next. */
bool tl_lexer_need(struct tl_lexer *lexer, char c);
/* Takes the word if it is next and stands alone. */
bool tl_lexer_take_word(struct tl_lexer *lexer, const char *word);
/* Is the next token a name that is followed by `c`? */
bool tl_lexer_peek_name_before(struct tl_lexer *lexer, char c);

/* These replace the content of `out` and say what they wanted (`what`) when it is not there. */
bool tl_lexer_name(struct tl_lexer *lexer, const char *what, struct tl_str *out);
bool tl_lexer_string(struct tl_lexer *lexer, const char *what, struct tl_str *out); /* JSON string */
/* The text of a number, a word of letters included (true, inf). */
bool tl_lexer_scalar(struct tl_lexer *lexer, const char *what, struct tl_str *out);
/* Leaves the space behind the number, so that "%3.port" can be told from "%3 .": see tl_lexer_skip. */
bool tl_lexer_unsigned(struct tl_lexer *lexer, const char *what, uint32_t *out);
/* Skips space and comments. Returns true. */
bool tl_lexer_skip(struct tl_lexer *lexer);

#endif
