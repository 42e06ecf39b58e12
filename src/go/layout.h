/*
 * Where the runtime keeps what: offsets by Go version. Taken from the debug
 * information of programs of these versions; equal on all 64-bit architectures.
 */
#ifndef GO_LAYOUT_H
#define GO_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* The same since Go 1.18. */
enum {
	/* moduledata */
	MD_PCHEADER = 0,
	MD_NAMES = 8,
	MD_CUS = 32,
	MD_FILES = 56,
	MD_VALUES = 80,
	MD_PCLNTABLE = 104,
	MD_FTAB = 128,
	MD_FINDFUNCTAB = 152,
	MD_MINPC = 160,
	MD_MAXPC = 168,
	MD_TEXT = 176,
	MD_ETEXT = 184,
	MD_NOPTRDATA = 192,   /* then enoptrdata, data, edata, bss, ebss, noptrbss, enoptrbss */
	MD_SIZE = 640,        /* as much as is looked at */

	/* g */
	G_STACK_LO = 0,
	G_STACK_HI = 8,
	G_STACKGUARD = 16,

	/* gobuf */
	GOBUF_SP = 0,
	GOBUF_PC = 8,
	GOBUF_G = 16,

	/* m */
	M_G0 = 0,

	/* p */
	P_SCHEDWHEN = 32,     /* sysmontick.schedwhen */
};

/* A field that this version does not have, or that is not known. */
#define NO_FIELD 0

struct go_layout {
	int minor;
	uint8_t wrapper;      /* funcID of wrappers (internal/abi/funcid.go) */
	struct {
		uint16_t types, etypes, gofunc, textsectmap, next;
	} md;
	struct {
		uint16_t sched_lr, sched_fp;
		uint16_t syscallsp, syscallpc, syscallbp;
		uint16_t status, goid, waitsince, waitreason;
		uint16_t lockedm, sig, sigcode0, sigcode1, sigpc;
		uint16_t parent, gopc, startpc, labels;
		uint16_t panic, m, sched;
		uint16_t size;    /* bytes to read for all of these */
	} g;
	struct {
		uint16_t procid, gsignal, curg, p, id, throwing, dying, incgo, alllink;
		uint16_t vdsosp, vdsopc;
		uint16_t size;
	} m;
	struct {
		uint16_t arg, link, recovered, goexit, repanicked;
	} panic;
};

/** Rows by ascending version. */
extern const struct go_layout go_layouts[];
extern const size_t go_nlayouts;

/** The row for Go 1.@minor; the newest for newer ones, the oldest for older ones and 0. */
const struct go_layout *go_layout_for(int minor);

/** Texts of runtime/runtime2.go, waitReasonStrings, of Go 1.@minor (known ones only). */
void go_wait_reasons(int minor, const char *const **list, size_t *count);

#endif
