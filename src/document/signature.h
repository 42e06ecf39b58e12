/* A signature in a document. */
#ifndef DOCUMENT_SIGNATURE_H
#define DOCUMENT_SIGNATURE_H

#include "document/doc.h"
#include "gocore/signature.h"

/** Key "signature". */
void gc_doc_signature(struct gc_doc *d, json_t *object, const struct gc_signature *s);

#endif
