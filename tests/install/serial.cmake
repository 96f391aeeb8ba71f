# Read by ctest after the tests are known, where they are built.
foreach(test ${install_reassert_test_TESTS})
  set_tests_properties(${test} PROPERTIES RUN_SERIAL ON)
endforeach()
