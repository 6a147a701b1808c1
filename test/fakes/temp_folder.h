// A folder of a test's own.
#ifndef MESHCA_TEST_FAKES_TEMP_FOLDER_H_
#define MESHCA_TEST_FAKES_TEMP_FOLDER_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "ca/base/check.h"

namespace meshca {

// Mode 0700, gone with all in it when this ends.
class TempFolder {
 public:
  TempFolder() : path_(testing::TempDir() + "meshca-XXXXXX") { MESHCA_CHECK(mkdtemp(path_.data()) != nullptr); }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace meshca

#endif  // MESHCA_TEST_FAKES_TEMP_FOLDER_H_
