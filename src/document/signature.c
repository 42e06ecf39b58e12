/* A signature in a document. */
#include "document/signature.h"

void gc_doc_signature(struct gc_doc *d, json_t *object, const struct gc_signature *s)
{
	json_t *signature = gc_doc_object(d), *skipped = gc_doc_array(d);

	gc_doc_str(d, signature, "kind", gc_signature_kind_name(s->kind));
	gc_doc_str(d, signature, "exact", s->exact);
	gc_doc_str(d, signature, "top", s->top);
	gc_doc_str(d, signature, "site", s->site);
	for (size_t i = 0; i < s->nskipped; i++)
		gc_doc_add_str(d, skipped, s->skipped[i]);
	gc_doc_set(d, signature, "skipped", skipped);
	gc_doc_set(d, object, "signature", signature);
}
