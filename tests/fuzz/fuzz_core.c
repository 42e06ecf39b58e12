/* Any bytes as a core: opened, described, asked what a debugger asks first, and written anew. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gocore/document.h"
#include "gocore/normalize.h"
#include "gocore/rsp.h"

static const char *const packets[] = {
	"qSupported:vContSupported+;multiprocess+;binary-upload+;memory-tagging+",
	"QStartNoAckMode",
	"?",
	"Hgp0.0",
	"g",
	"p20",
	"qXfer:features:read:target.xml:0,1000",
	"qXfer:threads:read::0,1000",
	"qXfer:libraries-svr4:read::0,1000",
	"qXfer:exec-file:read:1:0,1000",
	"qXfer:auxv:read::0,1000",
	"qXfer:siginfo:read::0,1000",
	"vFile:open:2f70726f632f312f6d617073,0,0",
	"vFile:pread:0,1000,0",
	"m400000,40",
	"x0,1000",
	"qSearch:memory:400000;1000;ELF",
	"qGetTLSAddr:p1.1,0,0",
	"qMemTags:400000,40:1",
	"vCont;c",
};

static bool open_bytes(struct gc_input *in, const uint8_t *data, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct gc_error err;
	char path[64];
	bool ok;

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ok = gc_input_open(in, path, NULL, NULL, &err) == GC_OK;
	close(fd);
	return ok;
}

static void describe(const struct gc_process *p)
{
	struct gc_buf text = GC_BUF_INIT;
	const uint64_t addr = 0x400010;
	json_t *info = gc_info_core(p);
	json_t *maps = gc_maps(p, &addr, 1);

	gc_info_text(info, &text);
	gc_maps_text(maps, &text);
	json_decref(info);
	json_decref(maps);
	gc_buf_deinit(&text);
}

static void send(struct gc_rsp *rsp, const char *payload)
{
	struct gc_buf out = GC_BUF_INIT;
	char packet[256];
	unsigned sum = 0;

	for (const char *c = payload; *c; c++)
		sum += (unsigned char)*c;
	snprintf(packet, sizeof(packet), "$%s#%02x", payload, sum & 0xff);
	gc_rsp_feed(rsp, packet, strlen(packet), &out);
	gc_buf_deinit(&out);
}

static void debug(const struct gc_process *p)
{
	const struct gc_rsp_options options = { 0 };
	struct gc_target *target;
	struct gc_rsp *rsp;
	struct gc_error err;

	if (gc_core_target_new(&target, p, &err) != GC_OK)
		return;
	if (gc_rsp_new(&rsp, target, &options, &err) == GC_OK) {
		for (size_t i = 0; i < GC_COUNT(packets); i++)
			send(rsp, packets[i]);
		gc_rsp_free(rsp);
	}
	gc_target_free(target);
}

/** What is written of a core can be opened and has its threads. */
static void reopen(int fd, const struct gc_process *p)
{
	struct gc_core core;
	struct gc_input in;
	struct gc_error err;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (gc_input_open(&in, path, NULL, NULL, &err) != GC_OK)
		return; /* too large for our memory */
	if (gc_core_open(&core, &in, &err) != GC_OK || core.nthreads != p->core.nthreads || core.cut)
		abort();
	gc_core_close(&core);
}

static void normalize(const struct gc_process *p)
{
	struct gc_problems problems = { .list = NULL };
	struct gc_normalized written;
	struct gc_error err;

	for (int reader = GC_READER_ANY; reader <= GC_READER_DELVE; reader++) {
		const struct gc_normalize_options options = { .reader = (enum gc_reader)reader };
		int fd = memfd_create("normalized", MFD_CLOEXEC);

		gc_normalize_reasons(p, options.reader, &problems);
		if (gc_normalize(p, &options, fd, &written, &problems, &err) == GC_OK)
			reopen(fd, p);
		close(fd);
	}
	gc_problems_deinit(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct gc_find_options options = { .no_host_paths = true, .no_debuginfod = true };
	struct gc_process process;
	struct gc_input in;
	struct gc_error err;

	if (!open_bytes(&in, data, size))
		return 0;
	if (gc_process_open(&process, &in, &options, &err) != GC_OK)
		return 0;
	describe(&process);
	debug(&process);
	normalize(&process);
	gc_process_close(&process);
	return 0;
}
