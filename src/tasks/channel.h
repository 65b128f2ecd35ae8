/* Channels: where tasklets meet to hand over a value.
 *
 * Whoever comes first waits: senders or receivers, never both.  They stand in
 * a ring, the first come at `first`; each is owned by it, and owns the channel
 * in turn.
 */
#ifndef PICKLETASK_CHANNEL_H
#define PICKLETASK_CHANNEL_H

#include "tasklet.h"

struct channel {
    PyObject_HEAD
    tasklet *first;             /* ring of those that wait, or NULL; owned */
    Py_ssize_t balance;         /* > 0: senders wait; < 0: receivers */
    signed char preference;     /* who goes on after a meeting: -1 receiver,
                                 * 1 sender, 0 who came last */
    char schedule_all;          /* neither: the next in the run queue */
    char closing;
    signed char aside_direction;
    Py_ssize_t aside_ready;     /* so many of them have been loaded */
    PyObject *aside;            /* list of tasklets that will wait here when
                                 * they have been loaded, or NULL; owned */
    PyObject *weakrefs;
};

extern PyTypeObject *channel_type;
extern PyObject *channel_callback;      /* owned, or NULL */

/* Makes the type and adds it. 0, or -1 with an exception. */
int channel_setup(PyObject *module);

/* The first tasklet at the channel where t is blocked. Borrowed. */
static inline tasklet *
channel_first(tasklet *t)
{
    return t->channel->first;
}

/* ---- for reducers ----------------------------------------------------- */

/* The tasklets that wait there, first come first. New list, or NULL. */
PyObject *channel_waiting(channel *c);

/* Gives a new channel its state: each of the tasklets (a list; they are
 * suspended and in no queue) waits there, in direction 1 sending or -1
 * receiving.  0, or -1 with an exception, nothing changed. */
int channel_set_state(channel *c, PyObject *waiting, int direction,
                      int preference, int schedule_all, int closing);

#endif
