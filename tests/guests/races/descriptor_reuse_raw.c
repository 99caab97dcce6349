#define RAW
#include "descriptor_reuse.c"
