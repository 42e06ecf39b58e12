#include "gocore/arch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

extern const struct gc_arch gc_arch_x86_64;
extern const struct gc_arch gc_arch_aarch64;

static const struct gc_arch *const archs[] = {
	&gc_arch_x86_64,
	&gc_arch_aarch64,
};

const struct gc_arch *gc_arch_at(size_t index)
{
	return index < GC_COUNT(archs) ? archs[index] : NULL;
}

const struct gc_arch *gc_arch_by_machine(uint16_t elf_machine)
{
	for (size_t i = 0; i < GC_COUNT(archs); i++)
		if (archs[i]->elf_machine == elf_machine)
			return archs[i];
	return NULL;
}

int gc_arch_reg_named(const struct gc_arch *arch, const char *name)
{
	for (size_t i = 0; i < arch->nregs; i++)
		if (strcmp(arch->regs[i].name, name) == 0)
			return (int)i;
	return -1;
}

void gc_regmap_init(struct gc_regmap *map, const struct gc_arch *arch)
{
	*map = (struct gc_regmap){ .arch = arch, .features = arch->base_features };
}

static uint32_t reg_size(const struct gc_regmap *map, const struct gc_reg *reg)
{
	switch (reg->scale) {
	case GC_SCALE_VL:
		return map->vl;
	case GC_SCALE_VL_8:
		return map->vl / 8;
	case GC_SCALE_SVL_SQ:
		return map->svl * map->svl;
	default:
		return reg->bits / 8;
	}
}

void gc_regmap_seal(struct gc_regmap *map)
{
	const struct gc_arch *arch = map->arch;

	assert(arch->nregs <= GC_MAX_REGS && arch->nfeatures <= GC_MAX_FEATURES);
	map->total = 0;
	for (size_t i = 0; i < arch->nregs; i++) {
		bool present = map->features & 1U << arch->regs[i].feature;

		map->offset[i] = map->total;
		map->size[i] = present ? reg_size(map, &arch->regs[i]) : 0;
		map->total += map->size[i];
	}
}

int gc_regmap_reg_named(const struct gc_regmap *map, const char *name)
{
	for (size_t i = 0; i < map->arch->nregs; i++)
		if (map->size[i] && strcmp(map->arch->regs[i].name, name) == 0)
			return (int)i;
	return -1;
}

int gc_regmap_row(const struct gc_regmap *map, unsigned number)
{
	size_t low = 0, high = map->arch->nregs;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		unsigned at = map->arch->regs[mid].number;

		if (at == number && map->size[mid])
			return (int)mid;
		if (at < number)
			low = mid + 1;
		else
			high = mid;
	}
	return -1;
}

enum gc_code gc_regs_init(struct gc_regs *regs, const struct gc_regmap *map, struct gc_error *err)
{
	*regs = (struct gc_regs){ .map = map, .bytes = calloc(1, map->total ? map->total : 1) };
	return regs->bytes ? GC_OK : gc_fail_memory(err);
}

void gc_regs_deinit(struct gc_regs *regs)
{
	free(regs->bytes);
	regs->bytes = NULL;
}

void gc_regs_load(struct gc_regs *regs, unsigned bank, const uint8_t *bytes, size_t len)
{
	const struct gc_regmap *map = regs->map;

	for (size_t i = 0; i < map->arch->nregs; i++) {
		const struct gc_reg *reg = &map->arch->regs[i];

		if (reg->bank != bank || !map->size[i] || reg->scale != GC_SCALE_NONE ||
		    reg->offset > len || map->size[i] > len - reg->offset)
			continue;
		memcpy(regs->bytes + map->offset[i], bytes + reg->offset, map->size[i]);
		regs->valid[i] = true;
	}
}

enum gc_code gc_regs_load_note(struct gc_regs *regs, unsigned bank, const struct gc_note *note, uint32_t skip,
			       uint32_t want, struct gc_error *err)
{
	uint64_t have = note->desc_len > skip ? note->desc_len - skip : 0;

	if (have)
		gc_regs_load(regs, bank, note->desc + skip, have < want ? have : want);
	if (have < want)
		return gc_fail(err, GC_E_TRUNCATED,
			       "file offset 0x%" PRIx64 ": need %" PRIu32 " bytes, have %" PRIu64,
			       note->file_off, skip + want, note->desc_len);
	return GC_OK;
}

size_t gc_regs_store(const struct gc_regs *regs, unsigned bank, uint8_t *bytes, size_t len)
{
	const struct gc_regmap *map = regs->map;
	size_t count = 0;

	for (size_t i = 0; i < map->arch->nregs; i++) {
		const struct gc_reg *reg = &map->arch->regs[i];

		if (reg->bank != bank || !regs->valid[i] || reg->scale != GC_SCALE_NONE ||
		    reg->offset > len || map->size[i] > len - reg->offset)
			continue;
		memcpy(bytes + reg->offset, regs->bytes + map->offset[i], map->size[i]);
		count++;
	}
	return count;
}

void gc_regs_set_bytes(struct gc_regs *regs, unsigned row, const uint8_t *bytes, size_t len)
{
	uint32_t size = regs->map->size[row];

	if (!size || len > size)
		return;
	memset(regs->bytes + regs->map->offset[row], 0, size);
	if (len)
		memcpy(regs->bytes + regs->map->offset[row], bytes, len);
	regs->valid[row] = true;
}

void gc_regs_set_u64(struct gc_regs *regs, unsigned row, uint64_t value)
{
	uint32_t size = regs->map->size[row];
	uint8_t bytes[8];

	gc_store_le64(bytes, value);
	gc_regs_set_bytes(regs, row, bytes, size < 8 ? size : 8);
}

bool gc_regs_u64(const struct gc_regs *regs, int row, uint64_t *out)
{
	uint8_t bytes[8] = { 0 };
	uint32_t size;

	if (row < 0 || !regs->valid[row])
		return false;
	size = regs->map->size[row];
	memcpy(bytes, regs->bytes + regs->map->offset[row], size < 8 ? size : 8);
	*out = gc_load_le64(bytes);
	return true;
}
