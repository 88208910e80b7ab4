/* documents_engine.h: the engine "documents": executes chunk. It reads the documents of an item one
 * after the other, extracts their text, and cuts it into chunks; a document that cannot be used is left
 * out with a notice that names it and says why, and the item fails only when none could be used.
 *
 * Settings:
 *   tokenizer    required: path of the embedding model, whose tokens are counted; "approximate" when
 *                its vocabulary is not at hand (a remote engine embeds): about 4 bytes a token
 *   max_bytes    most bytes of a document, and of its text (268435456)
 *   pdf_seconds  most seconds for the text of a PDF (30)
 *   pdftotext    path of that program (searched in PATH)
 *
 * Runs on the pool: step reads one document, or cuts at most 256 chunks. */
#ifndef TL_ENGINE_DOCUMENTS_DOCUMENTS_ENGINE_H
#define TL_ENGINE_DOCUMENTS_DOCUMENTS_ENGINE_H

#include "engine/engine_impl.h"

extern const struct tl_engine_ops tl_documents_engine;

#endif
