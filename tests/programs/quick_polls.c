/* Preloaded into the pcscd of the tests: it looks at its readers every 40 ms, not every 400 ms. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

typedef int (*sleeper)(const struct timespec *, struct timespec *);

int nanosleep(const struct timespec *asked, struct timespec *left)
{
	struct timespec time = *asked;

	if (time.tv_sec == 0 && time.tv_nsec == 400 * 1000 * 1000)
		time.tv_nsec /= 10;
	return ((sleeper)dlsym(RTLD_NEXT, "nanosleep"))(&time, left);
}
