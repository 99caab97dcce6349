// A process that is to hold a guest itself must lie elsewhere than guests do.
#pragma once

namespace heddle::cli {

// Where this process lies in the way of a guest (its stack does one time in twenty, the guest's
// addresses not being random), the program starts again with the same arguments, which places it
// elsewhere: at most kStarts times. After that, or where the system will not have it, it goes on as
// it is: guests are then run in processes of their own.
void start_where_guests_have_room();

}  // namespace heddle::cli
