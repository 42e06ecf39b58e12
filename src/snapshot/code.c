/* The instructions around a thread's pc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

#include "snapshot/snap.h"

/*
 * Where instructions differ in length, those before the pc are found by going
 * there from the start of the function. A longer way is not worth the time.
 */
#define MAX_WAY 16384

/** Where instructions start that are to be shown, in order; the newest ones when there are too many. */
struct starts {
	uint64_t *ring;
	size_t cap, count;
};

static void add_start(struct starts *starts, uint64_t addr)
{
	if (starts->cap)
		starts->ring[starts->count++ % starts->cap] = addr;
}

/** @return bytes that lie at @addr, at most @want of them, in @buf */
static size_t read_code(const struct gc_snap *s, uint64_t addr, uint8_t *buf, size_t want)
{
	size_t got;

	return gc_space_read(&s->p->space, addr, buf, want, &got, NULL) == GC_OK ? got : 0;
}

/** Go from @entry to @pc by instructions. What is no instruction on the way, or across the pc, leaves none. */
static void walk(struct gc_snap *s, uint64_t entry, uint64_t pc, struct starts *starts)
{
	size_t len = (size_t)(pc - entry), at = 0;
	uint8_t *code = malloc(len + GC_INSTRUCTION_MAX);

	if (!code) {
		s->d.failed = true;
		return;
	}
	if (read_code(s, entry, code, len) != len)
		len = 0;
	while (at < len) {
		size_t step = gc_disasm_len(s->disasm, entry + at, code + at, len - at);

		if (!step || step > len - at)
			break;
		add_start(starts, entry + at);
		at += step;
	}
	if (at != len)
		starts->count = 0;
	free(code);
}

/** Starts of the instructions before the pc. */
static void find_before(struct gc_snap *s, const struct gc_snap_thread *t, uint64_t pc, struct starts *starts)
{
	uint64_t step = s->p->core.arch->insn_len, n = starts->cap;

	if (step) {
		if (t->entry && t->entry <= pc && (pc - t->entry) / step < n)
			n = (pc - t->entry) / step;
		for (; n > 0; n--)
			if (n * step <= pc)
				add_start(starts, pc - n * step);
	} else if (t->entry && t->entry < pc && pc - t->entry <= MAX_WAY) {
		walk(s, t->entry, pc, starts);
	}
}

static void set_bytes(struct gc_snap *s, json_t *object, const uint8_t *bytes, size_t len)
{
	char hex[2 * GC_INSTRUCTION_MAX + 1];

	for (size_t i = 0; i < len; i++) {
		static const char digits[] = "0123456789abcdef";

		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * len] = '\0';
	gc_doc_str(&s->d, object, "bytes", hex);
}

/** What the disassembler does not know; where all have one length the next can be shown all the same. */
static bool as_word(const struct gc_arch *arch, const uint8_t *bytes, size_t len, struct gc_instruction *out)
{
	if (arch->insn_len != 4 || len < 4)
		return false;
	out->len = 4;
	memcpy(out->bytes, bytes, 4);
	snprintf(out->text, sizeof(out->text), ".inst 0x%08x", gc_load_le32(bytes));
	return true;
}

/** @return length of the instruction at @addr, which was appended; 0: none there */
static size_t add_instruction(struct gc_snap *s, json_t *list, uint64_t addr, bool current)
{
	struct gc_instruction insn;
	uint8_t bytes[GC_INSTRUCTION_MAX];
	size_t got = read_code(s, addr, bytes, sizeof(bytes));
	json_t *object;

	if (!got || (gc_disasm_one(s->disasm, addr, bytes, got, &insn, NULL) != GC_OK &&
		     !as_word(s->p->core.arch, bytes, got, &insn)))
		return 0;
	object = gc_doc_object(&s->d);
	gc_doc_hex(&s->d, object, "address", addr);
	set_bytes(s, object, insn.bytes, insn.len);
	gc_doc_str(&s->d, object, "text", insn.text);
	gc_doc_bool(&s->d, object, "current", current);
	gc_doc_append(&s->d, list, object);
	return insn.len;
}

static void add_before(struct gc_snap *s, json_t *list, const struct gc_snap_thread *t, uint64_t pc, size_t n)
{
	struct starts starts = { .ring = calloc(n + 1, sizeof(*starts.ring)), .cap = n };
	size_t first;

	if (!starts.ring) {
		s->d.failed = true;
		return;
	}
	find_before(s, t, pc, &starts);
	first = starts.count > n ? starts.count - n : 0;
	for (size_t i = first; i < starts.count; i++)
		add_instruction(s, list, starts.ring[i % n], false);
	free(starts.ring);
}

/** The instructions around @pc. */
static json_t *list_of(struct gc_snap *s, const struct gc_snap_thread *t, uint64_t pc)
{
	const size_t n = s->options->instructions;
	json_t *list = gc_doc_array(&s->d);
	uint64_t addr = pc;

	add_before(s, list, t, pc, (n - 1) / 2);
	for (size_t i = 0; i <= n / 2; i++) {
		size_t step = add_instruction(s, list, addr, addr == pc);

		if (!step || step > UINT64_MAX - addr)
			break;
		addr += step;
	}
	/* without the current one the others only mislead */
	if (addr == pc)
		json_array_clear(list);
	return list;
}

void gc_snap_code(struct gc_snap *s, json_t *object, const struct gc_snap_thread *t)
{
	struct gc_snap_shown *shown;
	uint64_t pc;

	if (!s->disasm || !s->options->instructions || !gc_regs_u64(t->regs, t->regs->map->arch->pc, &pc))
		return;
	shown = &s->shown[(pc * 0x9e3779b97f4a7c15 >> 32) % GC_SNAP_SHOWN];
	if (!shown->list || shown->pc != pc || shown->entry != t->entry) {
		json_decref(shown->list);
		*shown = (struct gc_snap_shown){ .pc = pc, .entry = t->entry, .list = list_of(s, t, pc) };
	}
	gc_doc_set_filled(&s->d, object, "disassembly", json_incref(shown->list));
}

void gc_snap_code_end(struct gc_snap *s)
{
	for (size_t i = 0; i < GC_SNAP_SHOWN; i++)
		json_decref(s->shown[i].list);
}
