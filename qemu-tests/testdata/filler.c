/*
 * filler DIR: takes all inodes and all blocks of the file system that DIR is on.
 * filler sync DIR COUNT: writes a block and flushes it, so many times.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char data[1 << 20];

static void fill(const char *dir)
{
	char name[256];
	size_t piece;
	long i;
	int fd;
	snprintf(name, sizeof name, "%s/fill", dir);
	fd = open(name, O_WRONLY | O_CREAT, 0600);
	for (i = 0;; i++) {
		int empty;
		snprintf(name, sizeof name, "%s/%ld", dir, i);
		if ((empty = open(name, O_WRONLY | O_CREAT, 0600)) < 0)
			break;
		close(empty);
	}
	for (piece = sizeof data; piece > 0; piece /= 2)
		while (write(fd, data, piece) > 0)
			;
	fsync(fd);
	printf("%ld files\n", i);
}

int main(int argc, char **argv)
{
	if (argc == 2)
		fill(argv[1]);
	else if (argc == 4 && !strcmp(argv[1], "sync")) {
		char name[256];
		long i;
		snprintf(name, sizeof name, "%s/synced", argv[2]);
		int fd = open(name, O_WRONLY | O_CREAT, 0600);
		for (i = atol(argv[3]); i > 0; i--)
			if (pwrite(fd, data, 4096, 0) < 0 || fsync(fd) < 0)
				return 1;
	} else
		return 2;
	return 0;
}
