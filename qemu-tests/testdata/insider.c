/*
 * What a container is, seen from inside: one line for each thing that is tried, on its
 * standard output. The argument is the port that it listens on.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/ip_icmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static void said(const char *what, int failed)
{
	printf("%s: %s\n", what, failed ? strerror(errno) : "yes");
}

static void owner(const char *path)
{
	struct stat s;
	if (lstat(path, &s))
		printf("owner of %s: %s\n", path, strerror(errno));
	else
		printf("owner of %s: %u:%u\n", path, s.st_uid, s.st_gid);
}

static int ping(int type)
{
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct icmphdr echo = {.type = ICMP_ECHO};
	struct timeval limit = {.tv_sec = 10};
	char answer[256];
	int fd = socket(AF_INET, type, IPPROTO_ICMP);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (sendto(fd, &echo, sizeof echo, 0, (struct sockaddr *)&self, sizeof self) < 0)
		return -1;
	return recv(fd, answer, sizeof answer, 0) > 0 ? 0 : -1;
}

static int listens(int port)
{
	struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return bind(fd, (struct sockaddr *)&self, sizeof self) || listen(fd, 1);
}

static int writes(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	return fd < 0 || write(fd, "x", 1) != 1;
}

static int holds(const char *path)
{
	char data[64];
	int fd = open(path, O_RDONLY);
	return fd < 0 || read(fd, data, sizeof data) < 0;
}

int main(int argc, char **argv)
{
	char map[128] = "";
	FILE *file = fopen("/proc/self/uid_map", "r");
	unsigned inside, outside, count;
	if (file && fgets(map, sizeof map, file) && sscanf(map, "%u %u %u", &inside, &outside, &count) == 3)
		printf("map: %u %s %u\n", inside, outside == 0 ? "host" : outside < 524288 ? "low" : "own", count);
	printf("user: %u:%u\n", getuid(), getgid());
	said("kept from before", access("/kept", F_OK));
	owner("/kept");
	owner("/root-owned");
	owner("/user-owned");
	said("writes to its root", writes("/kept"));
	said("gives a file to user 1000", chown("/kept", 1000, 1000));
	said("gives a file to user 65535", chown("/user-owned", 65535, 65535));
	said("gives a file to user 70000", chown("/user-owned", 70000, 70000));
	said("gives a file back", chown("/user-owned", 1000, 1000));
	said("opens a device of its /dev", writes("/dev/null"));
	said("opens a terminal", (file = fopen("/dev/ptmx", "r+")) == NULL);
	said("opens /dev/net/tun", open("/dev/net/tun", O_RDWR) < 0);
	said("writes to /dev/shm", writes("/dev/shm/x"));
	said("writes to /run", writes("/run/x"));
	said("reads its limits", holds("/sys/fs/cgroup/memory.max"));
	said("reads /sys", holds("/sys/class/net/lo/mtu"));
	said("writes to /sys", writes("/sys/class/net/lo/mtu"));
	said("writes to /proc/sys", writes("/proc/sys/net/ipv4/ip_forward"));
	said("reads /etc/hosts", holds("/etc/hosts"));
	said("reads /etc/resolv.conf", holds("/etc/resolv.conf"));
	said("listens on its port", listens(atoi(argv[argc - 1])));
	said("pings", ping(SOCK_DGRAM));
	said("reads all packets", socket(AF_PACKET, SOCK_RAW, 0) < 0);
	said("makes a device", mknod("/device", S_IFCHR | 0600, makedev(1, 3)));
	said("mounts", mount("none", "/run", "tmpfs", 0, NULL));
	puts("that is all");
	fflush(stdout);
	signal(SIGTERM, _exit);
	for (;;)
		pause();
}
