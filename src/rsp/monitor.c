#include <string.h>

#include "rsp/commands.h"

#define MAX_COMMAND 1024

static const char *skip_blanks(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

static void add_help_row(struct gc_buf *out, const char *name, const char *args, const char *help)
{
	int width = 24 - (int)strlen(name) - 1;

	gc_buf_printf(out, "  %s %-*s %s\n", name, width > 0 ? width : 0, args ? args : "", help);
}

static void add_help(const struct gc_rsp *rsp, struct gc_buf *out)
{
	gc_buf_str(out, "gocore-stub knows these monitor commands:\n");
	add_help_row(out, "help", NULL, "this list");
	for (size_t i = 0; i < rsp->options.nmonitors; i++) {
		const struct gc_monitor *m = &rsp->options.monitors[i];

		add_help_row(out, m->name, m->args, m->help);
	}
}

static const struct gc_monitor *find(const struct gc_rsp *rsp, const char *name, size_t len)
{
	for (size_t i = 0; i < rsp->options.nmonitors; i++) {
		const struct gc_monitor *m = &rsp->options.monitors[i];

		if (strlen(m->name) == len && memcmp(m->name, name, len) == 0)
			return m;
	}
	return NULL;
}

static void run(struct gc_rsp *rsp, const char *command, struct gc_buf *out)
{
	size_t len = strcspn(command, " \t");
	const struct gc_monitor *m = find(rsp, command, len);
	const char *args = skip_blanks(command + len);
	struct gc_error err = { GC_OK, "" };

	if (len == 0 || (len == 4 && memcmp(command, "help", 4) == 0)) {
		add_help(rsp, out);
	} else if (!m) {
		gc_buf_printf(out, "\"%.*s\" is no monitor command; \"monitor help\" lists them\n", (int)len,
			      command);
	} else if (!m->args && *args) {
		gc_buf_printf(out, "%s: takes no arguments\n", m->name);
	} else if (m->run(rsp->target, args, out, &err) != GC_OK) {
		gc_buf_printf(out, "%s: %s\n", m->name, err.text);
	}
}

/** qRcmd,HEX: all that there is to say goes to the user's console, errors too. */
enum gc_code gc_monitor_command(struct gc_rsp *rsp, struct gc_args *args, struct gc_reply *reply,
				struct gc_error *err)
{
	char command[MAX_COMMAND];
	struct gc_buf text = GC_BUF_INIT;
	size_t len;

	if (!gc_args_hex_text(args, command, sizeof(command)))
		return gc_bad_packet(err);
	for (len = strlen(command); len && strchr(" \t\r\n", command[len - 1]); len--)
		command[len - 1] = '\0';
	run(rsp, skip_blanks(command), &text);
	if (text.len)
		gc_reply_console(reply, text.data, text.len);
	gc_buf_str(reply->out, text.failed ? "E01" : "OK");
	gc_buf_deinit(&text);
	return GC_OK;
}
