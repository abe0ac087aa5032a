/* Write load for the state partition, and the check of what it left.
 *
 *   load DIR         goes to the background and writes files in DIR for ever: each is written under another
 *                    name, flushed, renamed, its directory flushed; then, and
 *                    only then, the ledger says so, and is flushed
 *   load check DIR   every file that the ledger names is there, whole, and not
 *                    older than the ledger says; prints the number of the last
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES = 64, WORDS = 16 << 10 };

static unsigned long ledger[FILES]; /* number of the write that file i holds at least */

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

/* What write number n puts into word i of its file. */
static unsigned long word(unsigned long n, unsigned long i)
{
	return i == 0 ? n : n * 0x9e3779b97f4a7c15 + i;
}

/* A file's length differs from write to write. */
static unsigned long length(unsigned long n) { return 1 + n * 2654435761 % WORDS; }

static void write_file(int dir, unsigned long n)
{
	static unsigned long content[WORDS];
	char name[16];
	size_t size = length(n) * sizeof *content;
	for (unsigned long i = 0; i < length(n); i++)
		content[i] = word(n, i);
	snprintf(name, sizeof name, "%lu", n % FILES);
	int f = openat(dir, "new", O_WRONLY | O_CREAT | O_TRUNC, 0666);
	if (f < 0 || write(f, content, size) != (ssize_t)size || fsync(f) || close(f))
		fail("write file");
	if (renameat(dir, "new", dir, name) || fsync(dir))
		fail("rename file");
}

static void check_file(int dir, int i)
{
	static unsigned long content[WORDS];
	char name[16];
	snprintf(name, sizeof name, "%d", i);
	int f = openat(dir, name, O_RDONLY);
	if (f < 0)
		fail(name);
	ssize_t size = read(f, content, sizeof content);
	unsigned long n = content[0];
	close(f);
	if (size < 8 || n < ledger[i] || n % FILES != (unsigned long)i || size != (ssize_t)(length(n) * sizeof n)) {
		fprintf(stderr, "file %d holds write %lu, %zd bytes; the ledger says %lu\n", i, n, size, ledger[i]);
		exit(1);
	}
	for (unsigned long k = 0; k < length(n); k++)
		if (content[k] != word(n, k)) {
			fprintf(stderr, "file %d, write %lu: word %lu is %lx\n", i, n, k, content[k]);
			exit(1);
		}
}

int main(int argc, char **argv)
{
	int check = argc == 3;
	unsigned long last = 0;
	int dir = open(argv[argc - 1], O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		fail(argv[argc - 1]);
	int book = openat(dir, "ledger", O_RDWR | O_CREAT, 0666);
	if (book < 0 || pread(book, ledger, sizeof ledger, 0) < 0)
		fail("ledger");
	for (int i = 0; i < FILES; i++)
		if (ledger[i] > last)
			last = ledger[i];
	if (check) {
		for (int i = 0; i < FILES; i++)
			if (ledger[i])
				check_file(dir, i);
		printf("%lu\n", last);
		return 0;
	}
	if (daemon(1, 0))
		fail("go to the background");
	for (unsigned long n = last + 1;; n++) {
		write_file(dir, n);
		ledger[n % FILES] = n;
		if (pwrite(book, ledger, sizeof ledger, 0) != sizeof ledger || fdatasync(book))
			fail("write ledger");
	}
}
