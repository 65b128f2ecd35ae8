/* Tools that watch memory: see tools.h. */

#include "tools.h"

#if TOOLS_ASAN
#  include <sanitizer/asan_interface.h>
#  include <sanitizer/common_interface_defs.h>
#endif
#if TOOLS_VALGRIND
#  include <valgrind/memcheck.h>
#endif

/* ------------------------------------------------------------------------- */
/* Memory */

#if TOOLS_ASAN || TOOLS_VALGRIND

static size_t
size_of(const stack *s)
{
    return (size_t)(s->high - s->low);
}

void
tools_add(stack *s)
{
#if TOOLS_VALGRIND
    s->valgrind_id = VALGRIND_STACK_REGISTER(s->low, s->high - 1);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(s->low, size_of(s));
#endif
}

void
tools_remove(stack *s)
{
    tools_open(s);
#if TOOLS_VALGRIND
    VALGRIND_STACK_DEREGISTER(s->valgrind_id);
#endif
}

void
tools_open(stack *s)
{
#if TOOLS_ASAN
    __asan_unpoison_memory_region(s->low, size_of(s));
#endif
#if TOOLS_VALGRIND
    (void)VALGRIND_MAKE_MEM_UNDEFINED(s->low, size_of(s));
#endif
}

void
tools_close(stack *s)
{
#if TOOLS_ASAN
    __asan_poison_memory_region(s->low, size_of(s));
#endif
#if TOOLS_VALGRIND
    (void)VALGRIND_MAKE_MEM_NOACCESS(s->low, size_of(s));
#endif
}

#endif

/* ------------------------------------------------------------------------- */
/* Swaps */

#if TOOLS_ASAN

/* The thread's own stack, as AddressSanitizer knows it: the first that is
   left in a thread. */
static _Thread_local struct {
    const void *low;
    size_t size;
} home;

void
tools_leave(void **mark, const stack *to)
{
    if (to != NULL) {
        __sanitizer_start_switch_fiber(mark, to->low, size_of(to));
    }
    else {
        __sanitizer_start_switch_fiber(mark, home.low, home.size);
    }
}

void
tools_arrive(void **mark)
{
    const void *low;
    size_t size;

    __sanitizer_finish_switch_fiber(mark == NULL ? NULL : *mark, &low, &size);
    if (home.low == NULL) {
        home.low = low;
        home.size = size;
    }
}

#endif
