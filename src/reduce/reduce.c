/* The layer that pickles: see reduce.h. */
#include "reduce.h"

#include "awaitables.h"
#include "codes.h"
#include "containers.h"
#include "errors.h"
#include "exceptions.h"
#include "functions.h"
#include "iterators.h"
#include "override.h"
#include "references.h"
#include "sealed.h"
#include "shorten.h"
#include "snapshot.h"
#include "state.h"
#include "substitute.h"
#include "typevars.h"

int
reduce_setup(PyObject *module)
{
    if (errors_setup(module) < 0 || codes_setup(module) < 0
        || substitute_setup(module) < 0 || exceptions_setup(module) < 0
        || sealed_setup(module) < 0 || functions_setup(module) < 0
        || references_setup(module) < 0 || awaitables_setup(module) < 0
        || state_setup(module) < 0 || snapshot_setup(module) < 0
        || iterators_setup(module) < 0 || containers_setup(module) < 0
        || override_setup(module) < 0 || shorten_setup(module) < 0
        || typevars_setup(module) < 0)
    {
        return -1;
    }
    return 0;
}
