/*
 * filler DIR: takes all inodes and all blocks of the file system that DIR is on.
 */
#include <fcntl.h>
#include <stdio.h>
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
	if (argc != 2)
		return 2;
	fill(argv[1]);
	return 0;
}
