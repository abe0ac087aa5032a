/*
 * A workload that takes all it can get of one resource, and keeps it. Which one is
 * the word in /attack; what came of it is one line in /result. With no word it
 * waits, so that one container serves for attack after attack.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void result(const char *format, ...)
{
	va_list args;
	FILE *file = fopen("/result.new", "w");
	if (!file)
		_exit(3);
	va_start(args, format);
	vfprintf(file, format, args);
	va_end(args);
	fclose(file);
	rename("/result.new", "/result");
}

/* Takes what it is refused now as soon as it is there, for ever. */
static void hold(void)
{
	for (;;)
		pause();
}

static void *sleeper(void *nothing)
{
	hold();
	return nothing;
}

static void processes(void)
{
	long made = 0;
	int said = 0;
	for (;;) {
		pid_t pid = fork();
		if (pid == 0)
			hold();
		if (pid > 0)
			made++;
		else if (!said++)
			result("refused after %ld: %s\n", made, strerror(errno));
		else
			usleep(1000);
	}
}

static void threads(void)
{
	pthread_attr_t small;
	pthread_t thread;
	long made = 0;
	int fault;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	while ((fault = pthread_create(&thread, &small, sleeper, NULL)) == 0)
		made++;
	result("refused after %ld: %s\n", made, strerror(fault));
	for (;;) {
		pthread_create(&thread, &small, sleeper, NULL);
		usleep(1000);
	}
}

/* Descriptors of one kind, in as many processes as it takes. */
static void descriptors(int (*open_one)(void))
{
	struct rlimit most;
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	long made = 0;
	while (open_one() >= 0)
		made++;
	result("refused after %ld: %s\n", made, strerror(errno));
	hold();
}

static int open_file(void) { return open("/hostile", O_RDONLY); }

static int open_socket(void)
{
	static char data[4096];
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	while (send(pair[0], data, sizeof data, 0) > 0)
		;
	return pair[0];
}

static int open_pipe(void)
{
	static char data[4096];
	int ends[2];
	if (pipe2(ends, O_NONBLOCK) < 0)
		return -1;
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	while (write(ends[1], data, sizeof data) > 0)
		;
	return ends[0];
}

/* The kernel searches the watches of a file from one end for each new one: with all
 * of them on one file that would take hours. */
static int open_inotify(void)
{
	enum { files = 512 };
	static long made;
	char name[32];
	int file, fd = inotify_init();
	sprintf(name, "/watched%ld", made++ % files);
	if (made <= files && (file = open(name, O_CREAT | O_RDONLY, 0600)) >= 0)
		close(file);
	if (fd >= 0 && inotify_add_watch(fd, name, IN_ALL_EVENTS) < 0)
		return -1;
	return fd;
}

static int open_epoll(void)
{
	enum { events = 900 };
	static int event[events];
	struct epoll_event all = {.events = EPOLLIN};
	int i, fd = epoll_create1(0);
	for (i = 0; fd >= 0 && i < events; i++) {
		if (!event[i] && (event[i] = eventfd(0, 0)) < 0)
			return -1;
		if (epoll_ctl(fd, EPOLL_CTL_ADD, event[i], &all) < 0)
			return -1;
	}
	return fd;
}

static void keys(void)
{
	long made = 0;
	char name[32];
	for (;; made++) {
		sprintf(name, "key %ld", made);
		if (syscall(SYS_add_key, "user", name, "x", 1, -3) < 0)
			break;
	}
	result("refused after %ld: %s\n", made, strerror(errno));
	hold();
}

static void memory(void)
{
	const size_t piece = 1 << 20;
	for (;;) {
		char *more = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more != MAP_FAILED)
			memset(more, 0x5a, piece);
	}
}

static void disk(void)
{
	static char data[1 << 20];
	long written = 0;
	ssize_t n;
	int fd = open("/fill", O_WRONLY | O_CREAT | O_APPEND, 0600);
	result("begun\n"); /* there is no room for it later */
	while ((n = write(fd, data, sizeof data)) > 0)
		written += n;
	printf("disk: refused after %ld MiB: %s\n", written >> 20, strerror(errno));
	hold();
}

static void inodes(void)
{
	char name[64];
	long made;
	mkdir("/inodes", 0700);
	result("begun\n");
	for (made = 0;; made++) {
		sprintf(name, "/inodes/%ld", made);
		int fd = open(name, O_WRONLY | O_CREAT, 0600);
		if (fd < 0)
			break;
		close(fd);
	}
	printf("inodes: refused after %ld: %s\n", made, strerror(errno));
	hold();
}

static void lines(void)
{
	static char data[64 << 10];
	size_t i;
	for (i = 0; i < sizeof data; i++)
		data[i] = i % 64 == 63 ? '\n' : 'L';
	result("begun\n");
	for (;;)
		if (write(1, data, sizeof data) < 0)
			hold();
}

/* Locks of open file descriptions: those that no descriptor need show. */
static void ofd(void)
{
	struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
	int fd = open("/hostile", O_RDONLY);
	long made = 0;
	for (; fcntl(fd, F_OFD_SETLK, &range) == 0; made++)
		range.l_start += 2;
	result("refused after %ld: %s\n", made, strerror(errno));
	hold();
}

/* Locks of ranges: the kernel charges them to nobody. */
static void locks(void)
{
	struct flock range = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
	int fd = open("/hostile", O_RDONLY);
	while (fcntl(fd, F_SETLK, &range) == 0)
		range.l_start += 2;
	hold();
}

/* Signals that wait, for a process that takes none. */
static void signals(void)
{
	union sigval value = {0};
	sigset_t all;
	long made = 0;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	while (sigqueue(getpid(), SIGRTMIN, value) == 0)
		made++;
	result("refused after %ld: %s\n", made, strerror(errno));
	hold();
}

/* Messages in queues, of POSIX until they are refused and then of System V. */
static void queues(void)
{
	struct mq_attr attr = {.mq_maxmsg = 10, .mq_msgsize = 8192};
	static struct { long type; char text[8192]; } message = {.type = 1};
	char name[32];
	long made;
	int id;
	for (made = 0;; made++) {
		sprintf(name, "/q%ld", made);
		mqd_t queue = mq_open(name, O_CREAT | O_RDWR | O_NONBLOCK, 0600, &attr);
		if (queue == (mqd_t)-1)
			break;
		while (mq_send(queue, message.text, 8192, 0) == 0)
			;
		mq_close(queue);
	}
	printf("queues: POSIX refused after %ld: %s\n", made, strerror(errno));
	for (made = 0; (id = msgget(IPC_PRIVATE, IPC_CREAT | 0600)) >= 0; made++)
		while (msgsnd(id, &message, sizeof message.text, IPC_NOWAIT) == 0)
			;
	result("refused after %ld: %s\n", made, strerror(errno));
	hold();
}

/* User namespaces in its own: what is root there could get at more of the kernel. */
static void namespaces(void)
{
	char stack[4096];
	unsigned long args[11] = {CLONE_NEWUSER, [4] = SIGCHLD};
	long made = 0;
	int i;
	for (i = 0; i < 2000; i++) {
		if (unshare(CLONE_NEWUSER) == 0)
			made++;
		if (syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, stack + sizeof stack, NULL, NULL, 0) >= 0)
			made++;
		if (syscall(SYS_clone3, args, sizeof args) >= 0)
			made++;
	}
	result("made %ld\n", made);
	hold();
}

static void terminals(void)
{
	struct rlimit most;
	long made = 0;
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
	while (posix_openpt(O_RDWR | O_NOCTTY) >= 0)
		made++;
	result("refused after %ld: %s\n", made, strerror(errno));
	hold();
}

/* Whoever it could end: its shim is its parent, the machine's services live beside it. */
static void murder(void)
{
	pid_t pid;
	int reached = 0;
	if (kill(-1, SIGKILL) == 0)
		reached++;
	if (kill(getppid() ? getppid() : 1 << 30, SIGKILL) == 0)
		reached++;
	for (pid = 2; pid < 1 << 15; pid++)
		if (kill(pid, SIGKILL) == 0)
			reached++;
	result("reached %d\n", reached);
	hold();
}

/* Sockets that have no file, so that whoever shares the network sees them: abstract
 * ones, and ports but the demo's. */
static void doors(void)
{
	char line[512];
	int reached = 0;
	FILE *file = fopen("/proc/net/unix", "r");
	while (file && fgets(line, sizeof line, file)) {
		struct sockaddr_un to = {.sun_family = AF_UNIX};
		char *name = strchr(line, '@');
		if (!name)
			continue;
		name[strcspn(name, "\n")] = 0;
		strncpy(to.sun_path + 1, name + 1, sizeof to.sun_path - 2);
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&to, offsetof(struct sockaddr_un, sun_path) + strlen(name)) == 0) {
			printf("doors: %s\n", name);
			reached++;
		}
	}
	int family;
	for (family = 0; family < 2; family++) {
		file = fopen(family ? "/proc/net/tcp6" : "/proc/net/tcp", "r");
		while (file && fgets(line, sizeof line, file)) {
			unsigned port, state;
			if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x", &port, &state) == 2 && state == 10 && port != 8080) {
				printf("doors: port %u\n", port);
				reached++;
			}
		}
	}
	result("reached %d\n", reached);
	hold();
}

/* Devices by their numbers, by nodes that it makes and by those that its image
 * brings; and the kernel's log by its system call. */
static void devices(void)
{
	static const struct { const char *name; mode_t type; unsigned major, minor; } all[] = {
		{"console", S_IFCHR, 5, 1}, {"tty0", S_IFCHR, 4, 0}, {"ttyS0", S_IFCHR, 4, 64}, {"kmsg", S_IFCHR, 1, 11},
		{"vda", S_IFBLK, 254, 0}, {"vda", S_IFBLK, 253, 0}, {"watchdog", S_IFCHR, 10, 130}, {"tun", S_IFCHR, 10, 200},
	};
	static const char *const brought[] = {"/dev/net/tun", "/dev/console", "/dev/kmsg", "/node-console", "/node-ttyS0", "/node-kmsg", "/node-tun", "/node-null"};
	const char forged[] = "ketch: FATAL: a line that a container has forged\r\n";
	char path[32];
	size_t i;
	int opened = 0, way;
	for (i = 0; i < sizeof all / sizeof *all; i++) {
		sprintf(path, "/dev-%zu", i);
		mknod(path, all[i].type | 0600, makedev(all[i].major, all[i].minor));
		int fd = open(path, O_RDWR | O_NOCTTY);
		if (fd >= 0) {
			printf("devices: opened %s\n", all[i].name);
			write(fd, forged, strlen(forged));
			opened++;
		}
	}
	for (i = 0; i < sizeof brought / sizeof *brought; i++)
		for (way = O_RDONLY; way <= O_WRONLY; way++) {
			int fd = open(brought[i], way | O_NOCTTY | O_NONBLOCK);
			if (fd >= 0) {
				printf("devices: opened %s\n", brought[i]);
				if (way == O_WRONLY)
					write(fd, forged, strlen(forged));
				opened++;
			}
		}
	if (klogctl(3, malloc(4096), 4096) > 0) {
		puts("devices: read the kernel log");
		opened++;
	}
	result("opened %d\n", opened);
	hold();
}

/* Children that crash: what is done about them must not be the machine's work. */
static void crashes(void)
{
	int *volatile nowhere = NULL;
	int i;
	for (i = 0; i < 100; i++) {
		pid_t pid = fork();
		if (pid == 0 && i % 2)
			abort();
		if (pid == 0)
			*nowhere = 1;
		waitpid(pid, NULL, 0);
	}
	result("crashed %d times\n", i);
	hold();
}

int main(void)
{
	char word[32] = "";
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, _exit);
	unlink("/fill");
	unlink("/result");
	puts("hostile: waits");
	close(open("/waits", O_CREAT | O_WRONLY, 0600));
	while (!*word) {
		FILE *file = fopen("/attack", "r");
		usleep(50000);
		if (!file)
			continue;
		if (fscanf(file, "%31s", word) != 1)
			*word = 0;
		fclose(file);
	}
	unlink("/attack");
	unlink("/waits");
	if (!strcmp(word, "processes")) processes();
	if (!strcmp(word, "threads")) threads();
	if (!strcmp(word, "files")) descriptors(open_file);
	if (!strcmp(word, "sockets")) descriptors(open_socket);
	if (!strcmp(word, "pipes")) descriptors(open_pipe);
	if (!strcmp(word, "inotify")) descriptors(open_inotify);
	if (!strcmp(word, "epoll")) descriptors(open_epoll);
	if (!strcmp(word, "keys")) keys();
	if (!strcmp(word, "memory")) memory();
	if (!strcmp(word, "disk")) disk();
	if (!strcmp(word, "inodes")) inodes();
	if (!strcmp(word, "lines")) lines();
	if (!strcmp(word, "devices")) devices();
	if (!strcmp(word, "locks")) locks();
	if (!strcmp(word, "ofd")) ofd();
	if (!strcmp(word, "signals")) signals();
	if (!strcmp(word, "queues")) queues();
	if (!strcmp(word, "namespaces")) namespaces();
	if (!strcmp(word, "terminals")) terminals();
	if (!strcmp(word, "murder")) murder();
	if (!strcmp(word, "doors")) doors();
	if (!strcmp(word, "crashes")) crashes();
	return 2;
}
