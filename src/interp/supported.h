/* Where pickletask works, and where it says that it doesn't. */
#ifndef PICKLETASK_INTERP_SUPPORTED_H
#define PICKLETASK_INTERP_SUPPORTED_H

#include "interp/interp.h"

/* 0, or -1 with an ImportError that names what is not supported. */
int interp_supported(void);

#endif
