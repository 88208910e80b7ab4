/* tree.h: a radix tree of token sequences, and marks in it.
 *
 * A path from a root spells token ids; where two sequences part, the tree branches. What is in the tree is
 * there because of a mark: "the first `length` tokens of this sequence matter to somebody". There are three
 * kinds: KV that exists (COPY), KV that is being computed right now (TARGET), and prefixes that somebody alive
 * will ask for again (HOLD).
 *
 * Invariants: siblings differ in their first token; every node but a root has a label; a node without marks has
 * at least two children; no label is longer than its marks and children need. So memory is bounded by the marks.
 * Sequences of different salts share nothing: each salt has a root of its own. */
#ifndef TL_ENGINE_LLM_TREE_H
#define TL_ENGINE_LLM_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tl_llm_mark_kind { TL_LLM_COPY, TL_LLM_TARGET, TL_LLM_HOLD, TL_LLM_MARK_KINDS };

/* Embedded in what it stands for. Zeroed: not in a tree. */
struct tl_llm_mark {
    enum tl_llm_mark_kind kind;
    size_t length;              /* tokens from the root; it ends within or at the end of its node's label */
    struct tl_llm_node *node;   /* NULL: not in a tree */
    struct tl_llm_mark *next, *before; /* of the node's marks of this kind */
};

struct tl_llm_node {
    struct tl_llm_node *parent;    /* NULL: a root */
    int32_t *ids;                  /* label; owned */
    size_t count, capacity;        /* tokens of the label */
    size_t end;                    /* tokens from the root to the label's end */
    struct tl_llm_node **children; /* sorted by the first token of their labels */
    size_t child_count, child_capacity;
    struct tl_llm_mark *marks[TL_LLM_MARK_KINDS]; /* that end in this label */
    size_t below[TL_LLM_MARK_KINDS];              /* marks in this node and all nodes under it */
    uint64_t salt;                 /* of a root */
};

struct tl_llm_tree {
    struct tl_llm_node **roots; /* sorted by salt; none without marks */
    size_t root_count, root_capacity;
};

/* Zeroed: empty. All marks must have been removed before fini. */
void tl_llm_tree_fini(struct tl_llm_tree *tree);

/* Puts the mark, which is in no tree, at the first mark->length tokens of ids. */
void tl_llm_tree_insert(struct tl_llm_tree *tree, uint64_t salt, const int32_t *ids, struct tl_llm_mark *mark);
/* The same for a mark on the sequence of another one, of its length or less. */
void tl_llm_tree_insert_like(struct tl_llm_mark *mark, const struct tl_llm_mark *like);
void tl_llm_tree_remove(struct tl_llm_tree *tree, struct tl_llm_mark *mark); /* one that is in none is let be */

/* Gives the mark another length. Shorter: ids is not looked at. Longer: ids spells the whole sequence, and
 * must agree with the tree up to the present length. */
void tl_llm_tree_move(struct tl_llm_tree *tree, struct tl_llm_mark *mark, const int32_t *ids, size_t length);

/* What find found. */
struct tl_llm_match {
    size_t length;                  /* longest common prefix with a mark; 0: none */
    const struct tl_llm_node *node; /* every mark that reaches `length` is in this node or under it, and every
                                       mark there which is at least `length` long reaches it; NULL when length is 0 */
};

/* Longest common prefix of ids[0..count) and the marks of a kind. O(count). */
struct tl_llm_match tl_llm_tree_find(const struct tl_llm_tree *tree, uint64_t salt, const int32_t *ids, size_t count,
                                     enum tl_llm_mark_kind kind);
/* The longest mark that is whole within ids[0..count), NULL when there is none (or of length 0). */
struct tl_llm_mark *tl_llm_tree_find_whole(const struct tl_llm_tree *tree, uint64_t salt, const int32_t *ids,
                                           size_t count, enum tl_llm_mark_kind kind);

/* The marks of a kind in a node and under it, in no particular order: start with NULL; NULL at the end. The tree
 * must not change meanwhile. */
struct tl_llm_mark *tl_llm_tree_next(const struct tl_llm_node *top, enum tl_llm_mark_kind kind,
                                     const struct tl_llm_mark *mark);

/* Writes the mark's tokens, mark->length of them, to `ids`. */
void tl_llm_tree_spell(const struct tl_llm_mark *mark, int32_t *ids);

/* How many of the mark's tokens other marks of its kind have too. */
size_t tl_llm_tree_shared(const struct tl_llm_mark *mark);
/* Whether a mark of `kind` goes through or ends on the mark's sequence behind its first `length` tokens. */
bool tl_llm_tree_reaches(const struct tl_llm_mark *mark, size_t length, enum tl_llm_mark_kind kind);

/* Aborts when an invariant is broken; for tests. */
void tl_llm_tree_check(const struct tl_llm_tree *tree);

#endif
