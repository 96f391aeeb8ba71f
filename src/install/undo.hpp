// Taking our things out again.
#pragma once

#include <string>
#include <vector>

#include "base/atomic_update.hpp"
#include "base/result.hpp"
#include "install/record.hpp"

namespace install {

/// What happened to a file, for people; "" when nothing was there to do.
using Undone = base::Result<std::string>;

/// Removes our entry from one list; what is missing or has none is done already.
/// Errc::refused where the rest would be no network; Errc::unavailable where
/// another program changes the file all the time.
Undone take_out_entry(const std::string& conf_dir, const std::string& name,
                      const base::RenameCall& rename);

/// Deletes a file of ours. One that somebody replaced by a list of his own only
/// loses our entry.
Undone remove_own_file(const std::string& conf_dir, const std::string& name,
                       const base::RenameCall& rename);

/// Puts back what a killed installer had taken out of a list's place although it
/// was another program's newer version (base::recover_update). What happened, for
/// people: a version that is left beside its list is named.
std::vector<std::string> recover_lists(const Place& place, const base::RenameCall& rename);

/// Deletes a plugin that is still the one that was installed; another stays.
Undone remove_binary(const Binary& binary);

/// The first file below the folders that names our plugin, or may do so as it
/// cannot be read; "" for none.
base::Result<std::string> names_our_plugin(const std::vector<std::string>& conf_dirs);

}  // namespace install
