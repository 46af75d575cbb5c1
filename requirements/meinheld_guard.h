/* Included before every file of meinheld when it is compiled (CPPFLAGS=-include …): a request with a
 * trailer after its chunks makes meinheld 1.0.2 add a header that it does not have, which ends the
 * process. Its own limit on the number of headers stands right before that, so it is the place to
 * refuse: 400 when there is no value to add. */
#include "meinheld/server/request.h"
#undef LIMIT_REQUEST_FIELDS
#define LIMIT_REQUEST_FIELDS (req->value == NULL ? 0 : 128)
