/* Takes memory, and uses it, until the kernel ends this process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
	const size_t piece = 4 << 20;
	puts("greedy: begins");
	fflush(stdout);
	for (;;) {
		char *memory = malloc(piece);
		if (memory)
			memset(memory, 0x5a, piece);
	}
}
