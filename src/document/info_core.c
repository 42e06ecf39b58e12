/* What a core is: the crash, its threads, notes, memory and images. */
#include <stdlib.h>
#include <string.h>

#include "document/doc.h"
#include "gocore/disasm.h"
#include "gocore/document.h"
#include "gocore/signals.h"

/* linux/elf.h: the notes of the process, which lie among those of its first thread */
#define NT_PRPSINFO_TYPE 3
#define NT_AUXV_TYPE     6
#define NT_FILE_TYPE     0x46494c45

static json_t *core_file(struct gc_doc *d, const struct gc_core *core)
{
	json_t *file = gc_doc_object(d);

	gc_doc_size(d, file, "size", core->input.size);
	gc_doc_str(d, file, "compression", core->input.compression);
	gc_doc_bool(d, file, "cut", core->cut);
	if (core->cut)
		gc_doc_size(d, file, "expected_size", core->expected_size);
	return file;
}

/** pr_psargs: the kernel makes blanks of the NULs between arguments, and of the last one. */
static void add_command_line(struct gc_doc *d, json_t *root, const char *args)
{
	size_t len = strlen(args);

	while (len && args[len - 1] == ' ')
		len--;
	if (len)
		gc_doc_strn(d, root, "command_line", args, len);
}

void gc_doc_process(struct gc_doc *d, json_t *root)
{
	const struct gc_core *core = &d->p->core;
	const struct gc_prpsinfo *ps = &core->prpsinfo;

	gc_doc_str(d, root, "kind", "core");
	gc_doc_str(d, root, "made_by", gc_core_maker_name(core->maker));
	gc_doc_str(d, root, "os", "linux");
	gc_doc_set(d, root, "file", core_file(d, core));
	gc_doc_size(d, root, "page_size", core->page_size);
	if (core->pid > 0)
		gc_doc_int(d, root, "pid", core->pid);
	gc_doc_str(d, root, "executable", gc_process_exe(d->p));
	if (!core->has_prpsinfo)
		return;
	if (ps->ppid > 0)
		gc_doc_int(d, root, "ppid", ps->ppid);
	gc_doc_int(d, root, "uid", ps->uid);
	gc_doc_int(d, root, "gid", ps->gid);
	gc_doc_str(d, root, "name", ps->fname);
	add_command_line(d, root, ps->args);
}

json_t *gc_doc_signal_named(struct gc_doc *d, int number)
{
	json_t *signal = gc_doc_object(d);
	char name[16];

	gc_doc_int(d, signal, "number", number);
	gc_doc_str(d, signal, "name", gc_signal_name(number, name));
	gc_doc_str(d, signal, "description", gc_signal_text(number));
	return signal;
}

json_t *gc_doc_signal(struct gc_doc *d)
{
	const struct gc_core *core = &d->p->core;

	if (!core->signal)
		return NULL;
	return core->has_siginfo && core->siginfo.signo == core->signal ?
		       gc_doc_siginfo(d, &core->siginfo) : gc_doc_signal_named(d, core->signal);
}

json_t *gc_doc_siginfo(struct gc_doc *d, const struct gc_siginfo *info)
{
	json_t *signal = gc_doc_signal_named(d, info->signo);

	gc_doc_int(d, signal, "code", info->code);
	gc_doc_str(d, signal, "code_name", gc_signal_code_name(info->signo, info->code));
	gc_doc_str(d, signal, "code_description", gc_signal_code_text(info->signo, info->code));
	if (info->has_addr)
		gc_doc_hex(d, signal, "address", info->addr);
	if (info->has_sender) {
		gc_doc_int(d, signal, "sender_pid", info->sender_pid);
		gc_doc_int(d, signal, "sender_uid", info->sender_uid);
	}
	return signal;
}

/** PRODUCT's "frame", as far as the registers alone tell it. */
static json_t *frame_of_regs(struct gc_doc *d, const struct gc_regs *regs, uint64_t pc)
{
	json_t *frame = gc_doc_object(d);
	struct gc_place place;
	uint64_t sp;

	gc_doc_hex(d, frame, "pc", pc);
	if (gc_regs_u64(regs, regs->map->arch->sp, &sp))
		gc_doc_hex(d, frame, "sp", sp);
	gc_doc_place(d, pc, &place);
	if (place.symbol) {
		gc_doc_str(d, frame, "function", place.symbol);
		gc_doc_size(d, frame, "offset", place.symbol_offset);
	}
	if (place.image) {
		gc_doc_str(d, frame, "module", place.image->path);
		gc_doc_build_id(d, frame, &place.image->build_id);
		gc_doc_hex(d, frame, "module_offset", place.offset);
	}
	gc_doc_str(d, frame, "how", "registers");
	return frame;
}

/** "disassembly": the instruction at @pc, if its bytes are there. */
static void add_instruction(struct gc_doc *d, json_t *thread, uint64_t pc)
{
	uint8_t bytes[GC_INSTRUCTION_MAX];
	char hex[2 * GC_INSTRUCTION_MAX + 1];
	struct gc_instruction insn;
	json_t *list, *one;
	size_t got;

	if (gc_space_read(&d->p->space, pc, bytes, sizeof(bytes), &got, NULL) != GC_OK ||
	    gc_disasm(d->p->core.arch, pc, bytes, got, &insn, NULL) != GC_OK)
		return;
	for (size_t i = 0; i < insn.len; i++) {
		static const char digits[] = "0123456789abcdef";

		hex[2 * i] = digits[insn.bytes[i] >> 4];
		hex[2 * i + 1] = digits[insn.bytes[i] & 15];
	}
	hex[2 * insn.len] = '\0';
	one = gc_doc_object(d);
	gc_doc_hex(d, one, "address", pc);
	gc_doc_str(d, one, "bytes", hex);
	gc_doc_str(d, one, "text", insn.text);
	gc_doc_bool(d, one, "current", true);
	list = gc_doc_array(d);
	gc_doc_append(d, list, one);
	gc_doc_set(d, thread, "disassembly", list);
}

static void add_position(struct gc_doc *d, json_t *thread, const struct gc_thread *t, bool crashed)
{
	struct gc_regs regs;
	json_t *frames;
	uint64_t pc;

	if (gc_core_regs(&d->p->core, t, &d->p->regmap, &regs, &d->problems, NULL) != GC_OK) {
		d->failed = true;
		return;
	}
	if (gc_regs_u64(&regs, d->p->core.arch->pc, &pc)) {
		frames = gc_doc_array(d);
		gc_doc_append(d, frames, frame_of_regs(d, &regs, pc));
		gc_doc_set(d, thread, "frames", frames);
		if (crashed)
			add_instruction(d, thread, pc);
	}
	gc_regs_deinit(&regs);
}

static json_t *threads_of(struct gc_doc *d)
{
	const struct gc_core *core = &d->p->core;
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < core->nthreads; i++) {
		const struct gc_thread *t = &core->threads[i];
		bool crashed = i == 0 && core->signal;
		json_t *thread = gc_doc_object(d);

		gc_doc_int(d, thread, "tid", t->tid);
		/* pr_fname is the name of the thread group's leader (fill_psinfo in fs/binfmt_elf.c) */
		if (core->has_prpsinfo && t->tid == core->prpsinfo.pid)
			gc_doc_str(d, thread, "name", core->prpsinfo.fname);
		gc_doc_bool(d, thread, "crashed", crashed);
		/* the kernel writes the fatal signal into every thread's note */
		if (crashed)
			gc_doc_set(d, thread, "signal", gc_doc_signal_named(d, t->cursig));
		add_position(d, thread, t, crashed);
		gc_doc_append(d, array, thread);
	}
	return array;
}

static bool is_of_process(const struct gc_core *core, const struct gc_note *note)
{
	return gc_note_is(core, note, "CORE", NT_PRPSINFO_TYPE) || gc_note_is(core, note, "CORE", NT_AUXV_TYPE) ||
	       gc_note_is(core, note, "CORE", NT_FILE_TYPE);
}

static json_t *note_of(struct gc_doc *d, const struct gc_note *note, gc_tid tid)
{
	const struct gc_core *core = &d->p->core;
	json_t *object = gc_doc_object(d);

	gc_doc_strn(d, object, "owner", note->owner, note->owner_len);
	gc_doc_int(d, object, "type", note->type);
	gc_doc_str(d, object, "name", gc_note_name(core, note));
	gc_doc_size(d, object, "size", note->desc_len);
	if (tid && !is_of_process(core, note))
		gc_doc_int(d, object, "tid", tid);
	return object;
}

static json_t *notes_of(struct gc_doc *d)
{
	const struct gc_core *core = &d->p->core;
	gc_tid *tids = calloc(core->nnotes + 1, sizeof(*tids));
	json_t *array = gc_doc_array(d);

	if (!tids) {
		d->failed = true;
		return array;
	}
	for (size_t i = 0; i < core->nthreads; i++)
		for (size_t k = 0; k < core->threads[i].nnotes; k++)
			tids[core->threads[i].first_note + k] = core->threads[i].tid;
	for (size_t i = 0; i < core->nnotes; i++)
		gc_doc_append(d, array, note_of(d, &core->notes[i], tids[i]));
	free(tids);
	return array;
}

/** Missing memory that the process itself could not read: reservations and guard pages. */
static uint64_t inaccessible(const struct gc_space *space)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < space->count; i++) {
		const struct gc_range *r = &space->ranges[i];

		if (r->what == GC_RANGE_ABSENT && !r->unlisted && !(r->flags & (PF_R | PF_W | PF_X)))
			sum += r->end - r->start;
	}
	return sum;
}

static json_t *memory_of(struct gc_doc *d)
{
	json_t *memory = gc_doc_object(d);
	uint64_t totals[4];

	gc_space_totals(&d->p->space, totals);
	gc_doc_size(d, memory, "ranges", d->p->space.count);
	gc_doc_size(d, memory, "size", totals[0] + totals[1] + totals[2] + totals[3]);
	for (enum gc_range_class what = GC_RANGE_DUMPED; what <= GC_RANGE_CUT; what++)
		gc_doc_size(d, memory, gc_doc_class(what), totals[what]);
	gc_doc_size(d, memory, "inaccessible", inaccessible(&d->p->space));
	return memory;
}

static json_t *image_of(struct gc_doc *d, const struct gc_image *image)
{
	json_t *object = gc_doc_object(d);

	gc_doc_str(d, object, "path", image->path);
	gc_doc_hex(d, object, "base", image->base);
	gc_doc_hex(d, object, "end", image->end);
	if (image->is_program)
		gc_doc_bool(d, object, "program", true);
	if (image->is_interp)
		gc_doc_bool(d, object, "interpreter", true);
	gc_doc_build_id(d, object, &image->build_id);
	gc_doc_str(d, object, "go_build_id", image->go_build_id);
	gc_doc_str(d, object, "status", gc_image_status_name(image->status));
	if (image->check != GC_CHECK_NONE)
		gc_doc_str(d, object, "check", gc_image_check_name(image->check));
	gc_doc_str(d, object, "found_path", image->found_path);
	gc_doc_str(d, object, "found_by", image->found_path ? image->found_by : NULL);
	gc_doc_str(d, object, "refused", image->refused);
	return object;
}

json_t *gc_doc_images(struct gc_doc *d)
{
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < d->p->images.count; i++)
		gc_doc_append(d, array, image_of(d, &d->p->images.list[i]));
	return array;
}

/** "libraries": the dynamic linker's own list. */
static json_t *libraries_of(struct gc_doc *d)
{
	const struct gc_link_map *links = &d->p->links;
	json_t *array = gc_doc_array(d);

	for (size_t i = 0; i < links->count; i++) {
		const struct gc_link *link = &links->list[i];
		json_t *object = gc_doc_object(d);

		gc_doc_str(d, object, "name", link->name);
		if (link->is_program)
			gc_doc_bool(d, object, "program", true);
		gc_doc_hex(d, object, "link_map", link->lm);
		gc_doc_hex(d, object, "load_offset", link->l_addr);
		gc_doc_hex(d, object, "dynamic", link->l_ld);
		if (link->lmid != links->r_debug)
			gc_doc_hex(d, object, "namespace", link->lmid);
		if (link->image)
			gc_doc_str(d, object, "image", link->image->path);
		gc_doc_append(d, array, object);
	}
	return array;
}

/** What the program's file says, and what Go put into it. */
static void add_program(struct gc_doc *d, json_t *root)
{
	const struct gc_image *image = gc_images_program(&d->p->images);
	json_t *info, *go;

	if (!image || !image->file) {
		go = gc_doc_go(d, NULL);
		if (go)
			gc_doc_set(d, root, "go", go);
		return;
	}
	info = gc_doc_object(d);
	gc_doc_str(d, info, "path", image->found_path);
	gc_doc_program_facts(d, info, image->file);
	go = json_object_get(info, "go");
	if (go) {
		gc_doc_set(d, root, "go", json_incref(go));
		json_object_del(info, "go");
	}
	gc_doc_set(d, root, "program_info", info);
}

json_t *gc_info_core(const struct gc_process *p)
{
	struct gc_doc d = { .p = p };
	json_t *root = gc_doc_begin(&d, "info", p->core.input.path, gc_doc_program(p), p->core.arch);
	json_t *signal = gc_doc_signal(&d);

	gc_doc_process(&d, root);
	if (signal)
		gc_doc_set(&d, root, "signal", signal);
	gc_doc_set(&d, root, "threads", threads_of(&d));
	gc_doc_set(&d, root, "memory", memory_of(&d));
	gc_doc_set(&d, root, "images", gc_doc_images(&d));
	gc_doc_set_filled(&d, root, "libraries", libraries_of(&d));
	gc_doc_set(&d, root, "notes", notes_of(&d));
	add_program(&d, root);
	return gc_doc_end(&d, root);
}
