/* Where pickletask works, and where it says that it doesn't. */
#ifndef PICKLETASK_INTERP_SUPPORTED_H
#define PICKLETASK_INTERP_SUPPORTED_H

#include "interp/interp.h"

/* 0, or -1 with an ImportError that names what is not supported. */
int interp_supported(void);

/* 0, or -1 with an ImportError: this is a subinterpreter.  CPython sets a
 * module up in the main interpreter wherever it is imported. */
int interp_is_main(void);

#endif
