/* lanes.h: lanes: the work on the elements of a list as a map region, one lane per element.
 * What passes that pipeline share.
 *
 *   before   list ──► embed ──► search ──► score ──► top            each takes the whole list of the former
 *   after    list ──► map { embed ──► search ──► score } ──► top    each element goes its own way
 *
 * A consumer of the list, or of what has been taken into the lanes, is taken in when
 *   - its work on one element is independent of the others: it is ELEMENTWISE, and the value comes in where
 *     elements are counted (the first input, every input of a variadic one), at one list level more than it needs;
 *   - none of its other inputs, and nothing that it waits for, depends on what is in the lanes: an instance would
 *     wait for the whole region, which waits for the instance;
 *   - it is not effectful.
 * Waits of what is taken in become waits of the region, and what waited for it waits for the region: control edges
 * hold, at the price that the region as a whole waits.
 */
#ifndef TL_OPT_LANES_H
#define TL_OPT_LANES_H

#include "graph/graph.h"

/* With a slice, a lane is given that many elements at once, and what comes out is made one list again:
 *
 *   after    list ──► map over slices { embed ──► search ──► score } ──► flatten ──► top
 *
 * Nobody must get anything later than before, so what is taken in then waits for nothing but its inputs, since all slices
 * would wait for it, and one value alone comes out of it, since what comes out is there when all slices are done. */
struct tl_lanes_options {
    const char *name; /* of the region: its label is "<step of the list>/<name>" */
    bool streamed;    /* elements are taken as they come */
    int64_t slice;    /* the most elements of a lane; 0: one element as such */
    unsigned engines; /* at least so many have work in a lane, else none are built */
};

/* Builds the region. Returns it, or NULL (and changes nothing) when no consumer can be taken in.
 * `list` has at least one list level. */
struct tl_node *tl_opt_lanes(struct tl_ref list, const struct tl_lanes_options *options, size_t *taken_in);

/* The same into the body of a map that is there: what follows it goes on in its instances.
 *
 *   before   map { decode } ──► distinct ──► embed ──► search ──► top        (distinct or not)
 *   after    map { decode ──► embed ──► search } ──► distinct ──► top        the same ones are kept, by the texts
 *
 * Beside what is said above, what is taken in waits for nothing but its inputs (else the whole map would wait), nothing
 * waits for the map, and all that its elements are used for is taken in: they are there when the map is complete, so
 * anyone else would get them later than before. Returns whether it changed anything. */
bool tl_opt_lanes_into(struct tl_node *map, size_t *taken_in);

#endif
