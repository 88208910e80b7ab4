/* odd_files.h: documents as they should not be, made on the spot. */
#ifndef TEOLA_TESTS_DOCUMENTS_ODD_FILES_H
#define TEOLA_TESTS_DOCUMENTS_ODD_FILES_H

#include "base/str.h"
#include "teola/status.h"

/* What may come of reading it. */
enum odd_outcome {
    ODD_READ,   /* must give chunks */
    ODD_SKIP,   /* must be left out, with `status` */
    ODD_EITHER, /* may be either: which of the two is not the point */
};

struct odd_file {
    const char *name;              /* of the file, made in the test's folder; may hold anything but '/' */
    void (*make)(struct tl_str *); /* writes its content; NULL: the file is made by the test itself */
    enum odd_outcome outcome;
    enum tl_status status; /* for ODD_SKIP */
    const char *contains;  /* of the text when read, of the message when left out; NULL: not looked at */
};

extern const struct odd_file odd_files[];
extern const size_t odd_file_count;

/* A one-page PDF with this content stream, cross-reference table and all. */
void odd_pdf(struct tl_str *out, const char *stream, size_t length);

#endif
