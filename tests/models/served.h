/* served.h: the server of server.py as a child of a test. */
#ifndef TL_TESTS_MODELS_SERVED_H
#define TL_TESTS_MODELS_SERVED_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

struct served {
    pid_t child;
    int input; /* closing it ends the server */
    unsigned port;
    uint64_t size;       /* of the contents */
    char a[65], b[65];   /* their SHA-256 */
    char folder[64];     /* a scratch folder; the environment's XDG_* and TEOLA_MODELS point into it */
};

/* Starts the server and sets up a scratch environment; fails the test when it cannot. */
void served_start(struct served *served);
void served_stop(struct served *served); /* removes the folder */

/* Writes "http://127.0.0.1:PORT/<path>" into out and returns it. */
const char *served_url(const struct served *served, const char *path, char out[128]);

/* What was asked for so far, a list of objects; returns owned. */
json_t *served_log(const struct served *served);
/* Of these, how many had this path. */
size_t served_requests(const struct served *served, const char *path);

#endif
