/* Makes processes that PID 1 has to collect. It is C because a process of this
 * size forks ten times as fast as one of Go.
 *
 *   storm exit N   leaves an orphan that ends with status N+1, and ends with N
 *   storm          makes ORPHANS orphans and waits until PID 1 has collected them
 *                  all; prints how long that took, and ends with status 41, or
 *                  with 42 when some are still there after PATIENCE seconds
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ORPHANS = 20000, BROOD = 100, PATIENCE = 240 };

/* A parent that ends before it has waited for its children: all of them fall to
 * PID 1, most of them dead already, every tenth still alive. */
static void brood(void)
{
	for (int i = 0; i < BROOD; i++) {
		if (i % 10 == 0) {
			if (fork() == 0) {
				usleep(2000);
				_exit(i);
			}
		} else if (vfork() == 0) {
			_exit(i);
		}
	}
	_exit(0);
}

/* The name of a process as /proc/PID/stat has it, with its parentheses. */
static const char *name(const char *pid)
{
	static char stat[512];
	char path[64];
	snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
	memset(stat, 0, sizeof stat);
	FILE *f = fopen(path, "r");
	if (!f)
		return ""; /* has just gone */
	if (!fread(stat, 1, sizeof stat - 1, f))
		stat[0] = 0;
	fclose(f);
	char *open = strchr(stat, '('), *shut = strrchr(stat, ')');
	if (!open || !shut)
		return "";
	shut[1] = 0;
	return open;
}

/* How many processes of this program's name there are, zombies included. */
static int left(void)
{
	char own[64];
	struct dirent *entry;
	int count = 0;
	snprintf(own, sizeof own, "%s", name("self"));
	DIR *proc = opendir("/proc");
	while (proc && (entry = readdir(proc)))
		if (isdigit(entry->d_name[0]) && strcmp(name(entry->d_name), own) == 0)
			count++;
	if (proc)
		closedir(proc);
	return count;
}

static long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		int status = atoi(argv[2]);
		if (fork() == 0)
			_exit((status + 1) % 256);
		return status;
	}
	long began = now();
	for (int made = 0; made < ORPHANS; made += BROOD) {
		pid_t parent = fork();
		if (parent < 0)
			return 1;
		if (parent == 0)
			brood();
		waitpid(parent, NULL, 0);
	}
	while (left() != 1) {
		if (now() - began > PATIENCE * 1000)
			return 42;
		usleep(1000);
	}
	printf("%d orphans in %ld ms\n", ORPHANS, now() - began);
	return 41;
}
