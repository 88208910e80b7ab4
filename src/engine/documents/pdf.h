/* pdf.h: the text of a PDF, by poppler's pdftotext as a confined child process. */
#ifndef TL_ENGINE_DOCUMENTS_PDF_H
#define TL_ENGINE_DOCUMENTS_PDF_H

#include "base/str.h"
#include "engine/documents/writer.h"

/* `repaired` counts malformed bytes in the program's output. `title` gets the document's own, when it
 * has a usable one. TL_ERR_UNSUPPORTED: no pdftotext; TL_ERR_INVALID: broken or protected; TL_ERR_LIMIT.
 * The message is a clause without a subject. */
enum tl_status tl_pdf_extract(const char *data, size_t length, const struct tl_document_limits *limits,
                              struct tl_writer *writer, struct tl_str *title, size_t *repaired, struct tl_error *error);

#endif
