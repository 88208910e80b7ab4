/* tree.c: see tree.h. */
#include "engine/llm/tree.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

/* ---- nodes ---- */

static void append_ids(struct tl_llm_node *node, const int32_t *ids, size_t count) {
    node->ids = tl_mem_grow(node->ids, &node->capacity, node->count + count, sizeof *node->ids);
    memcpy(node->ids + node->count, ids, count * sizeof *ids);
    node->count += count;
    node->end += count;
}

/* Where among the children the one that begins with `id` is, or would be. */
static size_t child_position(const struct tl_llm_node *node, int32_t id) {
    size_t low = 0, high = node->child_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (node->children[middle]->ids[0] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tl_llm_node *child_of(const struct tl_llm_node *node, int32_t id) {
    size_t position = child_position(node, id);
    bool found = position < node->child_count && node->children[position]->ids[0] == id;
    return found ? node->children[position] : NULL;
}

static struct tl_llm_node *create_leaf(struct tl_llm_node *parent, const int32_t *ids, size_t count) {
    struct tl_llm_node *leaf = tl_mem_zalloc(sizeof *leaf);
    leaf->parent = parent;
    leaf->end = parent->end;
    append_ids(leaf, ids, count);
    size_t position = child_position(parent, ids[0]);
    parent->children = tl_mem_grow(parent->children, &parent->child_capacity, parent->child_count + 1,
                                   sizeof(struct tl_llm_node *));
    memmove(parent->children + position + 1, parent->children + position,
            (parent->child_count - position) * sizeof(struct tl_llm_node *));
    parent->children[position] = leaf;
    parent->child_count++;
    return leaf;
}

static void free_node(struct tl_llm_node *node) {
    tl_mem_free(node->ids);
    tl_mem_free(node->children);
    tl_mem_free(node);
}

static void link_mark(struct tl_llm_node *node, struct tl_llm_mark *mark) {
    mark->node = node;
    mark->before = NULL;
    mark->next = node->marks[mark->kind];
    if (mark->next)
        mark->next->before = mark;
    node->marks[mark->kind] = mark;
}

static void unlink_mark(struct tl_llm_mark *mark) {
    if (mark->before)
        mark->before->next = mark->next;
    else
        mark->node->marks[mark->kind] = mark->next;
    if (mark->next)
        mark->next->before = mark->before;
    mark->next = mark->before = NULL;
}

static void count_up(struct tl_llm_node *node, enum tl_llm_mark_kind kind) {
    for (; node; node = node->parent)
        node->below[kind]++;
}

static void count_down(struct tl_llm_node *node, enum tl_llm_mark_kind kind) {
    for (; node; node = node->parent)
        node->below[kind]--;
}

static bool has_marks(const struct tl_llm_node *node) {
    for (int kind = 0; kind < TL_LLM_MARK_KINDS; kind++)
        if (node->marks[kind])
            return true;
    return false;
}

/* Makes one node of a node without marks and its only child: the child stays. */
static void merge_with_child(struct tl_llm_node *node) {
    struct tl_llm_node *child = node->children[0];
    child->ids = tl_mem_grow(child->ids, &child->capacity, node->count + child->count, sizeof *child->ids);
    memmove(child->ids + node->count, child->ids, child->count * sizeof *child->ids);
    memcpy(child->ids, node->ids, node->count * sizeof *child->ids);
    child->count += node->count;
    child->parent = node->parent;
    child->parent->children[child_position(child->parent, child->ids[0])] = child;
    free_node(node);
}

/* Cuts the node's label behind `count` tokens: returns a new node with these, under its parent. */
static struct tl_llm_node *split(struct tl_llm_node *node, size_t count) {
    struct tl_llm_node *upper = tl_mem_zalloc(sizeof *upper), *parent = node->parent;
    upper->parent = parent;
    upper->end = parent->end;
    append_ids(upper, node->ids, count);
    parent->children[child_position(parent, node->ids[0])] = upper;
    memmove(node->ids, node->ids + count, (node->count - count) * sizeof *node->ids);
    node->count -= count;
    node->parent = upper;
    upper->children = tl_mem_grow(NULL, &upper->child_capacity, 1, sizeof(struct tl_llm_node *));
    upper->children[0] = node;
    upper->child_count = 1;
    for (int kind = 0; kind < TL_LLM_MARK_KINDS; kind++) {
        upper->below[kind] = node->below[kind];
        for (struct tl_llm_mark *mark = node->marks[kind], *next; mark; mark = next) {
            next = mark->next;
            if (mark->length > upper->end)
                continue;
            unlink_mark(mark);
            link_mark(upper, mark);
            node->below[kind]--;
        }
    }
    if (!has_marks(node) && node->child_count == 1)
        merge_with_child(node);
    return upper;
}

/* How many ids at the beginning are equal, of `most`. Blocks first: labels are long and mostly equal. */
static size_t common(const int32_t *a, const int32_t *b, size_t most) {
    enum { BLOCK = 64 };
    size_t same = 0;
    while (same + BLOCK <= most && memcmp(a + same, b + same, BLOCK * sizeof *a) == 0)
        same += BLOCK;
    while (same < most && a[same] == b[same])
        same++;
    return same;
}

/* The node that the first `length` tokens of ids end in, made if need be; `node` is on their way. */
static struct tl_llm_node *reach(struct tl_llm_node *node, const int32_t *ids, size_t length) {
    while (node->end < length) {
        size_t missing = length - node->end;
        struct tl_llm_node *child = child_of(node, ids[node->end]);
        if (!child && node->child_count == 0 && node->parent) {
            append_ids(node, ids + node->end, missing);
            return node;
        }
        if (!child)
            return create_leaf(node, ids + node->end, missing);
        size_t same = common(child->ids, ids + node->end, child->count < missing ? child->count : missing);
        if (same == missing)
            return child;
        node = same == child->count ? child : split(child, same);
    }
    return node;
}

/* ---- roots ---- */

static size_t root_position(const struct tl_llm_tree *tree, uint64_t salt) {
    size_t low = 0, high = tree->root_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tree->roots[middle]->salt < salt)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct tl_llm_node *root_of(const struct tl_llm_tree *tree, uint64_t salt) {
    size_t position = root_position(tree, salt);
    return position < tree->root_count && tree->roots[position]->salt == salt ? tree->roots[position] : NULL;
}

static struct tl_llm_node *make_root(struct tl_llm_tree *tree, uint64_t salt) {
    struct tl_llm_node *root = root_of(tree, salt);
    if (root)
        return root;
    size_t position = root_position(tree, salt);
    root = tl_mem_zalloc(sizeof *root);
    root->salt = salt;
    tree->roots =
        tl_mem_grow(tree->roots, &tree->root_capacity, tree->root_count + 1, sizeof(struct tl_llm_node *));
    memmove(tree->roots + position + 1, tree->roots + position,
            (tree->root_count - position) * sizeof(struct tl_llm_node *));
    tree->roots[position] = root;
    tree->root_count++;
    return root;
}

static void drop_root(struct tl_llm_tree *tree, struct tl_llm_node *root) {
    size_t position = root_position(tree, root->salt);
    tree->root_count--;
    memmove(tree->roots + position, tree->roots + position + 1,
            (tree->root_count - position) * sizeof(struct tl_llm_node *));
    free_node(root);
}

/* ---- keeping the invariants after a mark has gone ---- */

static size_t longest_mark(const struct tl_llm_node *node) {
    size_t longest = 0;
    for (int kind = 0; kind < TL_LLM_MARK_KINDS; kind++)
        for (const struct tl_llm_mark *mark = node->marks[kind]; mark; mark = mark->next)
            if (mark->length > longest)
                longest = mark->length;
    return longest;
}

static void tidy(struct tl_llm_tree *tree, struct tl_llm_node *node) {
    for (;;) {
        bool marked = has_marks(node);
        if (!node->parent) {
            if (!marked && node->child_count == 0)
                drop_root(tree, node);
            return;
        }
        if (marked || node->child_count > 1) {
            size_t longest = node->child_count == 0 ? longest_mark(node) : node->end;
            node->count -= node->end - longest;
            node->end = longest;
            return;
        }
        if (node->child_count == 1) {
            merge_with_child(node);
            return;
        }
        struct tl_llm_node *parent = node->parent;
        size_t position = child_position(parent, node->ids[0]);
        parent->child_count--;
        memmove(parent->children + position, parent->children + position + 1,
                (parent->child_count - position) * sizeof(struct tl_llm_node *));
        free_node(node);
        node = parent;
    }
}

/* ---- marks ---- */

void tl_llm_tree_insert(struct tl_llm_tree *tree, uint64_t salt, const int32_t *ids, struct tl_llm_mark *mark) {
    TL_ASSERT(!mark->node);
    struct tl_llm_node *node = reach(make_root(tree, salt), ids, mark->length);
    link_mark(node, mark);
    count_up(node, mark->kind);
}

void tl_llm_tree_insert_like(struct tl_llm_mark *mark, const struct tl_llm_mark *like) {
    TL_ASSERT(!mark->node && mark->length <= like->length);
    struct tl_llm_node *node = like->node;
    while (node->parent && node->parent->end >= mark->length)
        node = node->parent;
    link_mark(node, mark);
    count_up(node, mark->kind);
}

void tl_llm_tree_remove(struct tl_llm_tree *tree, struct tl_llm_mark *mark) {
    struct tl_llm_node *node = mark->node;
    if (!node)
        return;
    unlink_mark(mark);
    count_down(node, mark->kind);
    mark->node = NULL;
    tidy(tree, node);
}

void tl_llm_tree_move(struct tl_llm_tree *tree, struct tl_llm_mark *mark, const int32_t *ids, size_t length) {
    struct tl_llm_node *node = mark->node;
    bool grows = length > mark->length;
    if (grows) { /* what is written goes on at the end of a label: nothing before it is looked at again */
        node = reach(mark->length == node->end ? node : node->parent, ids, length);
    } else {
        while (node->parent && node->parent->end >= length)
            node = node->parent;
    }
    struct tl_llm_node *old = mark->node; /* a split may have moved it */
    mark->length = length;
    if (node != old) {
        unlink_mark(mark);
        count_down(old, mark->kind);
        link_mark(node, mark);
        count_up(node, mark->kind);
    }
    if (node != old || !grows)
        tidy(tree, old);
}

void tl_llm_tree_fini(struct tl_llm_tree *tree) {
    TL_ASSERT(tree->root_count == 0);
    tl_mem_free(tree->roots);
    *tree = (struct tl_llm_tree){0};
}

/* ---- finding ---- */

/* Follows ids from a root as far as there are marks of the kind. Returns the last node reached, NULL for none;
 * *matched is how many tokens agree, perhaps not all of its label. */
static const struct tl_llm_node *follow(const struct tl_llm_tree *tree, uint64_t salt, const int32_t *ids, size_t count,
                                        enum tl_llm_mark_kind kind, size_t *matched) {
    const struct tl_llm_node *node = root_of(tree, salt);
    *matched = 0;
    if (!node || node->below[kind] == 0)
        return NULL;
    while (*matched == node->end && *matched < count) {
        const struct tl_llm_node *child = child_of(node, ids[node->end]);
        if (!child || child->below[kind] == 0)
            break;
        size_t most = child->count < count - node->end ? child->count : count - node->end;
        *matched = node->end + common(child->ids, ids + node->end, most);
        node = child;
    }
    return node;
}

/* The longest mark of the kind in the node's own label that is at most `most` long. */
static struct tl_llm_mark *longest_within(const struct tl_llm_node *node, enum tl_llm_mark_kind kind, size_t most) {
    struct tl_llm_mark *longest = NULL;
    for (struct tl_llm_mark *mark = node->marks[kind]; mark; mark = mark->next)
        if (mark->length <= most && (!longest || mark->length > longest->length))
            longest = mark;
    return longest;
}

static size_t own_marks(const struct tl_llm_node *node, enum tl_llm_mark_kind kind) {
    size_t count = 0;
    for (const struct tl_llm_mark *mark = node->marks[kind]; mark; mark = mark->next)
        count++;
    return count;
}

struct tl_llm_match tl_llm_tree_find(const struct tl_llm_tree *tree, uint64_t salt, const int32_t *ids, size_t count,
                                     enum tl_llm_mark_kind kind) {
    size_t matched;
    const struct tl_llm_node *node = follow(tree, salt, ids, count, kind, &matched);
    if (matched == 0)
        return (struct tl_llm_match){0};
    if (node->below[kind] == own_marks(node, kind)) { /* none goes beyond the label: the longest in it counts */
        size_t longest = longest_within(node, kind, SIZE_MAX)->length;
        matched = longest < matched ? longest : matched;
    }
    return (struct tl_llm_match){matched, node};
}

struct tl_llm_mark *tl_llm_tree_find_whole(const struct tl_llm_tree *tree, uint64_t salt, const int32_t *ids,
                                           size_t count, enum tl_llm_mark_kind kind) {
    size_t matched;
    for (const struct tl_llm_node *node = follow(tree, salt, ids, count, kind, &matched); node; node = node->parent) {
        struct tl_llm_mark *mark = longest_within(node, kind, matched);
        if (mark)
            return mark->length > 0 ? mark : NULL;
    }
    return NULL;
}

/* The first node behind `node` in preorder, within top, that has marks of the kind itself. */
static const struct tl_llm_node *next_node(const struct tl_llm_node *top, const struct tl_llm_node *node,
                                           enum tl_llm_mark_kind kind) {
    size_t position = 0;
    for (;;) {
        while (position < node->child_count && node->children[position]->below[kind] == 0)
            position++;
        if (position < node->child_count) {
            node = node->children[position];
            if (node->marks[kind])
                return node;
            position = 0;
        } else if (node == top) {
            return NULL;
        } else {
            position = child_position(node->parent, node->ids[0]) + 1;
            node = node->parent;
        }
    }
}

struct tl_llm_mark *tl_llm_tree_next(const struct tl_llm_node *top, enum tl_llm_mark_kind kind,
                                     const struct tl_llm_mark *mark) {
    if (!top)
        return NULL;
    if (!mark && top->marks[kind])
        return top->marks[kind];
    if (mark && mark->next)
        return mark->next;
    const struct tl_llm_node *node = next_node(top, mark ? mark->node : top, kind);
    return node ? node->marks[kind] : NULL;
}

void tl_llm_tree_spell(const struct tl_llm_mark *mark, int32_t *ids) {
    for (const struct tl_llm_node *node = mark->node; node; node = node->parent) {
        size_t begin = node->end - node->count, end = node->end < mark->length ? node->end : mark->length;
        if (end > begin)
            memcpy(ids + begin, node->ids, (end - begin) * sizeof *ids);
    }
}

size_t tl_llm_tree_shared(const struct tl_llm_mark *mark) {
    const struct tl_llm_node *child = NULL; /* on the mark's way, under `node` */
    for (const struct tl_llm_node *node = mark->node; node; child = node, node = node->parent) {
        size_t own = own_marks(node, mark->kind), under = node->below[mark->kind] - own;
        if (under > (child ? child->below[mark->kind] : 0))
            return mark->length < node->end ? mark->length : node->end;
        size_t longest = 0;
        for (const struct tl_llm_mark *other = node->marks[mark->kind]; other; other = other->next)
            if (other != mark && other->length > longest)
                longest = other->length;
        if (longest > 0)
            return mark->length < longest ? mark->length : longest;
    }
    return 0;
}

bool tl_llm_tree_reaches(const struct tl_llm_mark *mark, size_t length, enum tl_llm_mark_kind kind) {
    if (mark->length <= length)
        return false;
    const struct tl_llm_node *node = mark->node;
    while (node->parent && node->parent->end > length)
        node = node->parent;
    if (node->below[kind] > own_marks(node, kind))
        return true;
    const struct tl_llm_mark *longest = longest_within(node, kind, SIZE_MAX);
    return longest && longest->length > length;
}

/* ---- checking ---- */

static void check_node(const struct tl_llm_node *node) {
    size_t start = node->parent ? node->parent->end : 0;
    TL_ASSERT(node->end == start + node->count && (node->count > 0) == (node->parent != NULL));
    TL_ASSERT(has_marks(node) || node->child_count > (node->parent ? 1 : 0));
    TL_ASSERT(node->child_count > 0 || longest_mark(node) == node->end);
    for (int kind = 0; kind < TL_LLM_MARK_KINDS; kind++) {
        size_t below = own_marks(node, kind);
        for (const struct tl_llm_mark *mark = node->marks[kind]; mark; mark = mark->next)
            TL_ASSERT(mark->node == node && (int)mark->kind == kind && mark->length <= node->end &&
                      (mark->length > start || !node->parent));
        for (size_t i = 0; i < node->child_count; i++)
            below += node->children[i]->below[kind];
        TL_ASSERT(below == node->below[kind]);
    }
    for (size_t i = 0; i < node->child_count; i++) {
        TL_ASSERT(node->children[i]->parent == node);
        TL_ASSERT(i == 0 || node->children[i - 1]->ids[0] < node->children[i]->ids[0]);
    }
}

void tl_llm_tree_check(const struct tl_llm_tree *tree) {
    for (size_t i = 0; i < tree->root_count; i++) {
        TL_ASSERT(i == 0 || tree->roots[i - 1]->salt < tree->roots[i]->salt);
        const struct tl_llm_node *node = tree->roots[i];
        size_t position = 0;
        while (node) { /* preorder */
            if (position == 0)
                check_node(node);
            if (position < node->child_count) {
                node = node->children[position];
                position = 0;
            } else {
                position = node->parent ? child_position(node->parent, node->ids[0]) + 1 : 0;
                node = node->parent;
            }
        }
    }
}
