/* Functions that ways.c reaches through the linker. */
#define APART __attribute__((noinline))

extern volatile int seen;
extern int die(int n);

APART static int near(int n)
{
	seen = 30;
	return die(n + 4);
}

APART int elsewhere(int n)
{
	seen = 20;
	return near(n);
}

APART int further(int n)
{
	seen = 21;
	return elsewhere(n - 1);
}

APART int through(int (*fn)(int), int n)
{
	int (*volatile kept)(int) = fn;

	seen = 22;
	return kept(n);
}
