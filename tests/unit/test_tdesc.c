/*
 * The target description: well-formed, complete, and what GDB's own
 * descriptions say. A type that GDB does not know makes it drop the whole
 * document, so every reference is followed here.
 */
#include "rsp/tdesc.h"

#include <check.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gocore/bytes.h"

static struct gc_regmap map;
static struct gc_buf xml;

static void describe(uint16_t machine, uint32_t features, unsigned vl, unsigned svl)
{
	gc_regmap_init(&map, gc_arch_by_machine(machine));
	map.features = features ? features : map.features;
	map.vl = vl;
	map.svl = svl;
	gc_regmap_seal(&map);
	gc_buf_deinit(&xml);
	gc_tdesc_xml(&map, false, &xml);
	ck_assert(!xml.failed);
}

static bool says(const char *text)
{
	return strstr(gc_buf_text(&xml), text);
}

/* How lldb reads what is wider than an integer. */
#define VECTOR " encoding=\"vector\" format=\"vector-uint8\"/>"

#define MAX_TYPES 64
#define MAX_DEPTH 8

/** GDB manual, "Predefined Target Types"; "int" and "float" go by bitsize. */
static const char *const predefined[] = {
	"bool", "int", "float", "int8", "int16", "int32", "int64", "int128", "uint8", "uint16", "uint32", "uint64",
	"uint128", "code_ptr", "data_ptr", "ieee_half", "ieee_single", "ieee_double", "bfloat16", "i387_ext",
};

/** What was read so far of the document. */
struct reader {
	char open[MAX_DEPTH][32];
	size_t depth;
	char types[MAX_TYPES][32]; /* of the current feature */
	size_t ntypes;
	char feature[64];
	char features[32][64];
	size_t nfeatures;
	long last_number;
	size_t regs;
	uint64_t bits;
};

/** Value of an attribute of the tag @tag, "" if it has none. */
static const char *attribute(const char *tag, const char *name)
{
	static char values[4][64];
	static unsigned turn;
	char *value = values[turn++ % 4], key[40];
	const char *at;

	snprintf(key, sizeof(key), " %s=\"", name);
	at = strstr(tag, key);
	value[0] = '\0';
	if (at)
		sscanf(at + strlen(key), "%63[^\"]", value);
	return value;
}

static void check_type(const struct reader *r, const char *type)
{
	for (size_t i = 0; i < GC_COUNT(predefined); i++)
		if (strcmp(type, predefined[i]) == 0)
			return;
	for (size_t i = 0; i < r->ntypes; i++)
		if (strcmp(type, r->types[i]) == 0)
			return;
	ck_abort_msg("type %s is not known in %s", type, r->feature);
}

static void add_type(struct reader *r, const char *id)
{
	ck_assert_uint_lt(r->ntypes, MAX_TYPES);
	ck_assert_str_ne(id, "");
	for (size_t i = 0; i < r->ntypes; i++)
		ck_assert_str_ne(id, r->types[i]);
	snprintf(r->types[r->ntypes++], sizeof(r->types[0]), "%s", id);
}

static void add_feature(struct reader *r, const char *name)
{
	for (size_t i = 0; i < r->nfeatures; i++)
		ck_assert_str_ne(name, r->features[i]);
	snprintf(r->features[r->nfeatures++], sizeof(r->features[0]), "%s", name);
	snprintf(r->feature, sizeof(r->feature), "%s", name);
	r->ntypes = 0;
}

static void read_reg(struct reader *r, const char *tag)
{
	long number = atol(attribute(tag, "regnum"));
	long bits = atol(attribute(tag, "bitsize"));
	int row = gc_regmap_row(&map, (unsigned)number);

	check_type(r, attribute(tag, "type"));
	ck_assert_int_gt(number, r->last_number);
	ck_assert_msg(row >= 0, "%s", tag);
	ck_assert_str_eq(map.arch->regs[row].name, attribute(tag, "name"));
	ck_assert_uint_eq(map.size[row] * 8, (uint64_t)bits);
	ck_assert_str_eq(attribute(tag, "encoding"), bits > 64 ? "vector" : "");
	r->last_number = number;
	r->regs++;
	r->bits += (uint64_t)bits;
}

static void read_tag(struct reader *r, const char *tag)
{
	char name[32] = "";

	sscanf(tag, "%31[a-z]", name);
	if (strcmp(name, "feature") == 0)
		add_feature(r, attribute(tag, "name"));
	else if (strcmp(name, "reg") == 0)
		read_reg(r, tag);
	else if (strcmp(name, "vector") == 0 || strcmp(name, "field") == 0)
		check_type(r, attribute(tag, "type"));
	if (strcmp(name, "vector") == 0 || strcmp(name, "union") == 0 || strcmp(name, "flags") == 0)
		add_type(r, attribute(tag, "id"));
	if (tag[strlen(tag) - 1] == '/')
		return;
	ck_assert_uint_lt(r->depth, MAX_DEPTH);
	snprintf(r->open[r->depth++], sizeof(r->open[0]), "%s", name);
}

/** Follow the document from tag to tag. */
static void read_document(struct reader *r)
{
	*r = (struct reader){ .last_number = -1 };
	for (const char *at = strchr(gc_buf_text(&xml), '<'), *end; at; at = strchr(end, '<')) {
		char tag[256];

		end = strchr(at, '>');
		ck_assert_ptr_nonnull(end);
		ck_assert_int_lt(end - at, (long)sizeof(tag));
		snprintf(tag, sizeof(tag), "%.*s", (int)(end - at - 1), at + 1);
		if (tag[0] == '/') {
			ck_assert_uint_gt(r->depth, 0);
			ck_assert_str_eq(tag + 1, r->open[--r->depth]);
		} else if (tag[0] != '?' && tag[0] != '!') {
			read_tag(r, tag);
		}
	}
	ck_assert_uint_eq(r->depth, 0);
	ck_assert_uint_eq(r->bits, 8 * (uint64_t)map.total);
}

START_TEST(test_every_combination)
{
	static const uint16_t machines[] = { EM_X86_64, EM_AARCH64 };
	struct reader r;

	for (size_t m = 0; m < GC_COUNT(machines); m++) {
		const struct gc_arch *arch = gc_arch_by_machine(machines[m]);

		for (uint32_t features = 1; features < 1U << arch->nfeatures; features++) {
			size_t rows = 0;

			describe(machines[m], features, 48, 32);
			read_document(&r);
			for (size_t i = 0; i < arch->nregs; i++)
				rows += map.size[i] != 0;
			ck_assert_uint_eq(r.regs, rows);
		}
	}
}
END_TEST

START_TEST(test_x86)
{
	static const char *const want[] = {
		"core", "sse", "linux", "segments", "avx", "avx512", "pkeys", "pl3_ssp",
	};
	struct reader r;

	describe(EM_X86_64, 0xff, 0, 0);
	read_document(&r);
	ck_assert_uint_eq(r.nfeatures, GC_COUNT(want));
	for (size_t i = 0; i < GC_COUNT(want); i++) {
		char name[64];

		snprintf(name, sizeof(name), "org.gnu.gdb.i386.%s", want[i]);
		ck_assert_str_eq(r.features[i], name);
	}
	ck_assert_uint_eq(r.regs, 150);
	ck_assert_int_eq(strncmp(gc_buf_text(&xml), "<?xml version=\"1.0\"?>\n", 22), 0);
	ck_assert(says("<architecture>i386:x86-64</architecture>\n<osabi>GNU/Linux</osabi>\n"));
	ck_assert(says("<reg name=\"rax\" bitsize=\"64\" type=\"int64\" regnum=\"0\"/>"));
	ck_assert(says("<reg name=\"rip\" bitsize=\"64\" type=\"code_ptr\" regnum=\"16\" generic=\"pc\"/>"));
	ck_assert(says("<reg name=\"st7\" bitsize=\"80\" type=\"i387_ext\" regnum=\"31\""
			VECTOR));
	ck_assert(says("<reg name=\"ftag\" bitsize=\"32\" type=\"int\" regnum=\"34\" group=\"float\"/>"));
	ck_assert(says("<reg name=\"orig_rax\" bitsize=\"64\" type=\"int\" regnum=\"57\"/>"));
	ck_assert(says("<reg name=\"fs_base\" bitsize=\"64\" type=\"int\" regnum=\"58\" generic=\"tp\"/>"));
	ck_assert(says("<reg name=\"zmm31h\" bitsize=\"256\" type=\"v2ui128\" regnum=\"147\""
			VECTOR));
	ck_assert(says("<field name=\"ZF\" start=\"6\" end=\"6\" type=\"bool\"/>"));
}
END_TEST

START_TEST(test_x86_base)
{
	struct reader r;

	describe(EM_X86_64, 0, 0, 0);
	read_document(&r);
	ck_assert_uint_eq(r.nfeatures, 4);
	ck_assert_uint_eq(r.regs, 60);
}
END_TEST

START_TEST(test_arm_base)
{
	struct reader r;

	describe(EM_AARCH64, 0, 0, 0);
	read_document(&r);
	ck_assert_uint_eq(r.nfeatures, 3);
	ck_assert_str_eq(r.features[0], "org.gnu.gdb.aarch64.core");
	ck_assert_str_eq(r.features[1], "org.gnu.gdb.aarch64.fpu");
	ck_assert_str_eq(r.features[2], "org.gnu.gdb.aarch64.tls");
	ck_assert_uint_eq(r.regs, 34 + 34 + 1);
	ck_assert(says("<architecture>aarch64</architecture>"));
	ck_assert(says("<reg name=\"sp\" bitsize=\"64\" type=\"data_ptr\" regnum=\"31\" generic=\"sp\"/>"));
	ck_assert(says("<reg name=\"cpsr\" bitsize=\"32\" type=\"cpsr_flags\" regnum=\"33\" generic=\"flags\"/>"));
	ck_assert(says("<reg name=\"v0\" bitsize=\"128\" type=\"aarch64v\""));
	ck_assert(says("<reg name=\"fpsr\" bitsize=\"32\" type=\"fpsr_flags\""));
}
END_TEST

/* As notes of a thread make it, rather than by feature bits. */
START_TEST(test_arm_from_notes)
{
	uint8_t sve[16] = { 0 }, ssve[16] = { 0 }, bytes[64] = { 0 };
	const struct { uint32_t type; const uint8_t *desc; uint32_t len; } notes[] = {
		{ 0x405, sve, 16 }, { 0x40b, ssve, 16 }, { 0x40d, bytes, 64 }, { 0x406, bytes, 16 },
		{ 0x401, bytes, 16 },
	};
	const struct gc_arch *arch = gc_arch_by_machine(EM_AARCH64);
	struct reader r;

	gc_store_le16(sve + 8, 64);
	gc_store_le16(ssve + 8, 32);
	gc_regmap_init(&map, arch);
	for (size_t i = 0; i < GC_COUNT(notes); i++) {
		struct gc_note note = { .owner = "LINUX", .owner_len = 5, .type = notes[i].type,
					.desc = notes[i].desc, .desc_len = notes[i].len };

		for (size_t k = 0; k < arch->nnotes; k++)
			if (arch->notes[k].type == note.type)
				arch->notes[k].probe(&map, &note);
	}
	arch->probe_hwcap(&map, 0, 1 << 18);
	gc_regmap_seal(&map);
	gc_buf_deinit(&xml);
	gc_tdesc_xml(&map, false, &xml);
	read_document(&r);
	ck_assert_uint_eq(r.nfeatures, 7);
	ck_assert_str_eq(r.features[1], "org.gnu.gdb.aarch64.sve");
	ck_assert_str_eq(r.features[2], "org.gnu.gdb.aarch64.pauth");
	ck_assert_str_eq(r.features[3], "org.gnu.gdb.aarch64.mte");
	ck_assert_str_eq(r.features[4], "org.gnu.gdb.aarch64.tls");
	ck_assert_str_eq(r.features[5], "org.gnu.gdb.aarch64.sme");
	ck_assert_str_eq(r.features[6], "org.gnu.gdb.aarch64.sme2");
	ck_assert(!says("\"v0\""));
	ck_assert(says("<vector id=\"svevqu\" type=\"uint128\" count=\"4\"/>"));
	ck_assert(says("<vector id=\"svevbs\" type=\"int8\" count=\"64\"/>"));
	ck_assert(says("<vector id=\"svep\" type=\"uint8\" count=\"8\"/>"));
	ck_assert(says("<reg name=\"z0\" bitsize=\"512\" type=\"svev\""));
	ck_assert(says("<reg name=\"p15\" bitsize=\"64\" type=\"svep\""));
	ck_assert(says("<reg name=\"vg\" bitsize=\"64\" type=\"int\""));
	ck_assert(says("<reg name=\"tpidr2\" bitsize=\"64\" type=\"data_ptr\""));
	ck_assert(says("<reg name=\"tag_ctl\" bitsize=\"64\" type=\"uint64\" regnum=\"122\" group=\"system\"/>"));
	ck_assert(says("<vector id=\"sme_bvv\" type=\"sme_bv\" count=\"32\"/>"));
	ck_assert(says("<reg name=\"za\" bitsize=\"8192\" type=\"sme_bvv\""));
	ck_assert(says("<reg name=\"zt0\" bitsize=\"512\" type=\"sme2_bv\""));
}
END_TEST

static Suite *tdesc_suite(void)
{
	Suite *suite = suite_create("tdesc");
	TCase *tcase = tcase_create("tdesc");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, test_every_combination);
	tcase_add_test(tcase, test_x86);
	tcase_add_test(tcase, test_x86_base);
	tcase_add_test(tcase, test_arm_base);
	tcase_add_test(tcase, test_arm_from_notes);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(tdesc_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	gc_buf_deinit(&xml);
	return failed ? 1 : 0;
}
