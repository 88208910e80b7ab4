/* reader.h: typed members of a mapping, with findings at their places; for this folder only. A member that is not there
 * leaves what it is read into as it is. */
#ifndef TL_SCENARIO_READER_H
#define TL_SCENARIO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/yaml.h"

struct reader {
    struct tl_diagnostics *findings;
    struct tl_arena *arena;
    const char *directory; /* of the scenario file, with its slash; "" when it is the working directory */
};

/* "'KEY': expected WHAT, found ..." */
void tl_reader_expected(struct reader *reader, const struct tl_yaml_node *at, const char *key, const char *what);
/* A finding for each key that is not in the list. `what` is what the mapping is: "a load". */
void tl_reader_keys(struct reader *reader, const struct tl_yaml_node *map, const char *what, const char *const *keys,
                    size_t count);
void tl_reader_number(struct reader *reader, const struct tl_yaml_node *map, const char *key, double least, double most,
                      double *number);
void tl_reader_whole(struct reader *reader, const struct tl_yaml_node *map, const char *key, uint64_t least,
                     uint64_t most, uint64_t *number);
void tl_reader_count(struct reader *reader, const struct tl_yaml_node *map, const char *key, uint32_t most,
                     uint32_t *number);
void tl_reader_time(struct reader *reader, const struct tl_yaml_node *map, const char *key, uint64_t *ns);
void tl_reader_flag(struct reader *reader, const struct tl_yaml_node *map, const char *key, bool *flag);
/* Memory of the arena. */
void tl_reader_text(struct reader *reader, const struct tl_yaml_node *map, const char *key, const char **text);
/* A text that is the path of a file, made whole; NULL when the member is not there. */
const char *tl_reader_path(struct reader *reader, const struct tl_yaml_node *map, const char *key);
/* The path, seen from the scenario's folder. */
const char *tl_reader_whole_path(struct reader *reader, const char *path);

#endif
