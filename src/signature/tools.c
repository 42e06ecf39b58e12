/* What reads stacks, opened together. */
#include "gocore/crash.h"

enum gc_code gc_stack_tools_open(struct gc_stack_tools *tools, const struct gc_process *p,
				 const struct gc_find_options *find, struct gc_problems *problems,
				 struct gc_error *err)
{
	enum gc_code code;

	*tools = (struct gc_stack_tools){ .p = p };
	if (gc_go_is_likely(p) && gc_go_open(&tools->go, p, problems, err) != GC_OK)
		tools->go = NULL;
	code = gc_symbols_new(&tools->symbols, p, find, problems, err);
	if (code == GC_OK)
		code = gc_process_lines_new(&tools->lines, p, tools->symbols, find, problems, err);
	if (code == GC_OK)
		code = gc_unwinder_new(&tools->unwinder, p, tools->symbols, tools->go, problems, err);
	if (code == GC_OK)
		gc_unwinder_set_lines(tools->unwinder, gc_process_lines_frames, NULL, tools->lines);
	else
		gc_stack_tools_close(tools);
	return code;
}

void gc_stack_tools_close(struct gc_stack_tools *tools)
{
	gc_unwinder_free(tools->unwinder);
	gc_process_lines_free(tools->lines);
	gc_symbols_free(tools->symbols);
	gc_go_close(tools->go);
	*tools = (struct gc_stack_tools){ .p = NULL };
}
