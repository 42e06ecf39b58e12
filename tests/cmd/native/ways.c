/* Ways to die, by name: stacks that unwinders get wrong. Built by native.py in many ways. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define APART __attribute__((noinline, noclone))
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

#ifdef __clang__
#undef APART
#define APART __attribute__((noinline))
#endif

int elsewhere(int n), further(int n), through(int (*fn)(int), int n); /* other.c */

volatile int seen;

static int *volatile nowhere = (int *)8;

APART int die(int n)
{
	seen = n;
	*nowhere = n;
	return n + 1;
}

/* Calls and jumps. */

APART static int one(int n)
{
	seen = n + 1;
	return die(n * 2);
}

APART static int two(int n)
{
	seen = n + 2;
	return one(n + 3);
}

APART static int one_of_two_ways(int n)
{
	seen = n + 4;
	if (n & 1)
		return two(n + 3);
	return one(n - 1);
}

APART static int left(int n)
{
	seen = 1;
	return die(n);
}

APART static int right(int n)
{
	seen = 2;
	return die(n + 1);
}

APART static int left_or_right(int n)
{
	seen = 4;
	if (n > 5)
		return left(n);
	return right(n);
}

APART static int pong(int n);

APART static int ping(int n)
{
	seen = 8;
	if (n < 0)
		return die(n);
	return pong(n - 2);
}

APART static int pong(int n)
{
	seen = 9;
	if (n < -4)
		return one(n);
	return ping(n - 3);
}

static inline __attribute__((always_inline)) int inside(int n)
{
	seen += n;
	return die(n ^ 5) + seen;
}

APART static int with_inlined(int n)
{
	seen = 3;
	return inside(n + 9);
}

APART static int recursive(int n)
{
	seen = n;
	if (n > 0)
		return recursive(n - 1) + seen;
	return die(n);
}

APART static int varying(int n)
{
	volatile char room[n * 16 + 16];

	room[0] = (char)n;
	return die(n) + room[n];
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b + die(1);
}

APART static int in_qsort(int n)
{
	int list[] = { 4, 3, 2, n };

	qsort(list, COUNT(list), sizeof(list[0]), compare);
	return list[0];
}

APART static int call_null(int n)
{
	int (*volatile fn)(int) = NULL;

	return fn(n) + 1;
}

APART static int call_data(int n)
{
	static int data[16];
	int (*volatile fn)(int) = (int (*)(int))(void *)data;

	return fn(n) + 1;
}

APART static int aborts(int n)
{
	if (n)
		abort();
	return n;
}

/* Signals. */

static void handler(int number)
{
	seen = number;
	die(number);
	seen = 0;
}

static void first_handler(int number)
{
	struct sigaction action = { .sa_handler = handler };

	sigaction(SIGUSR2, &action, NULL);
	raise(SIGUSR2);
	seen = number;
}

APART static int in_handler(int n)
{
	signal(SIGUSR1, handler);
	raise(SIGUSR1);
	return n;
}

APART static int in_nested_handlers(int n)
{
	signal(SIGUSR1, first_handler);
	raise(SIGUSR1);
	return n;
}

APART static int on_other_stack(int n)
{
	static char stack[65536];
	const stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };

	sigaltstack(&other, NULL);
	sigaction(SIGUSR1, &action, NULL);
	raise(SIGUSR1);
	return n;
}

static void late(int number, siginfo_t *info, void *context)
{
	seen = number + info->si_signo + (context != NULL);
	die(1);
}

/** The signal comes between two instructions. */
APART static int interrupted(int n)
{
	struct sigaction action = { .sa_sigaction = late, .sa_flags = SA_SIGINFO };

	sigaction(SIGALRM, &action, NULL);
	ualarm(1000, 0);
	while (n)
		seen++;
	return n;
}

/* Stacks. */

static ucontext_t main_context, other_context;

static void in_context(void)
{
	seen = 5;
	die(2);
	seen = 6;
}

APART static int on_made_context(int n)
{
	static char stack[65536];

	getcontext(&other_context);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = sizeof(stack);
	other_context.uc_link = &main_context;
	makecontext(&other_context, in_context, 0);
	swapcontext(&main_context, &other_context);
	return n;
}

static jmp_buf place;

APART static void jump_back(int n)
{
	longjmp(place, n);
}

APART static int after_longjmp(int n)
{
	if (setjmp(place) == 0)
		jump_back(n);
	return die(n) + 1;
}

/* Threads. */

static void *in_thread(void *arg)
{
	seen = 12;
	return (char *)arg + two(3);
}

static void *waiting(void *arg)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

	pthread_mutex_lock(&mutex);
	for (;;)
		pthread_cond_wait(&cond, &mutex);
	return arg;
}

static void *reading(void *arg)
{
	int ends[2];
	char byte;

	if (pipe(ends) != 0)
		return NULL;
	while (read(ends[0], &byte, 1) == 1)
		seen = byte;
	return arg;
}

APART static int thread_dies(int n)
{
	pthread_t threads[3];

	pthread_create(&threads[0], NULL, waiting, NULL);
	pthread_create(&threads[1], NULL, reading, NULL);
	usleep(50000);
	pthread_create(&threads[2], NULL, in_thread, NULL);
	pthread_join(threads[2], NULL);
	return n;
}

APART static int main_dies(int n)
{
	pthread_t thread;

	pthread_create(&thread, NULL, waiting, NULL);
	usleep(50000);
	return die(n) + 1;
}

APART static int by_pointer(int n)
{
	int (*volatile fn)(int) = two;

	return fn(n);
}

APART static int by_pointer_elsewhere(int n)
{
	return through(one, n) + 1;
}

static const struct {
	const char *name;
	int (*fn)(int);
} ways[] = {
	{ "one", one }, { "two", two }, { "one_of_two_ways", one_of_two_ways }, { "left_or_right", left_or_right },
	{ "ping", ping }, { "with_inlined", with_inlined }, { "recursive", recursive }, { "varying", varying },
	{ "in_qsort", in_qsort }, { "call_null", call_null }, { "call_data", call_data }, { "aborts", aborts },
	{ "in_handler", in_handler }, { "in_nested_handlers", in_nested_handlers },
	{ "on_other_stack", on_other_stack }, { "interrupted", interrupted }, { "on_made_context", on_made_context },
	{ "after_longjmp", after_longjmp }, { "thread_dies", thread_dies }, { "main_dies", main_dies },
	{ "by_pointer", by_pointer }, { "by_pointer_elsewhere", by_pointer_elsewhere },
	{ "elsewhere", elsewhere }, { "further", further },
};

/** Called directly: then debug information tells how it went on from there. */
APART static int call(char way, int n)
{
	switch (way) {
	case '1': return one(n) + 1;
	case '2': return two(n) + 1;
	case '3': return one_of_two_ways(n) + 1;
	case '4': return left_or_right(n) + 1;
	case '5': return ping(n) + 1;
	case '6': return elsewhere(n) + 1;
	case '7': return further(n) + 1;
	case '8': return with_inlined(n) + 1;
	default: return 0;
	}
}

int main(int argc, char **argv)
{
	int result = 0;

	if (argc == 1)
		for (size_t i = 0; i < COUNT(ways); i++)
			puts(ways[i].name);
	for (size_t i = 0; argc > 1 && i < COUNT(ways); i++)
		if (strcmp(ways[i].name, argv[1]) == 0)
			result += ways[i].fn(argc + 1);
	for (int i = 2; i < argc; i++) /* calls that compilers know the target of */
		result += call(argv[i][0], argc);
	return result + seen;
}
