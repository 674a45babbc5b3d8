/* A PKCS#11 module over Mozilla's softokn, a second token beside SoftHSM.
 *
 * softokn takes the folder of its keys in C_Initialize, where our binding gives nothing: this
 * takes it from the environment variable RHCARD_NSS_PARAMETERS.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define CKR_GENERAL_ERROR 5UL
#define CKF_OS_LOCKING_OK 2UL
#define FUNCTIONS 68

typedef unsigned long (*function)();
struct functions {
    unsigned char major, minor;
    function entry[FUNCTIONS];
};
struct arguments {
    void *create, *destroy, *lock, *unlock;
    unsigned long flags;
    char *parameters;
    void *reserved;
};

static struct functions ours;
static function initialize_softokn;

static unsigned long initialize(void *ignored)
{
    struct arguments arguments = {0};

    (void)ignored;
    arguments.flags = CKF_OS_LOCKING_OK;
    arguments.parameters = getenv("RHCARD_NSS_PARAMETERS");
    return initialize_softokn(&arguments);
}

unsigned long C_GetFunctionList(struct functions **list)
{
    struct functions *theirs;
    unsigned long (*get)(struct functions **) = 0;
    void *softokn = dlopen("libsoftokn3.so", RTLD_NOW);

    if (softokn)
        get = (unsigned long (*)(struct functions **))dlsym(softokn, "C_GetFunctionList");
    if (!get || get(&theirs))
        return CKR_GENERAL_ERROR;
    memcpy(&ours, theirs, sizeof ours);
    initialize_softokn = ours.entry[0];
    ours.entry[0] = (function)initialize;
    *list = &ours;
    return 0;
}
