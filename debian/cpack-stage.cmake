# Run by CPack on what it is about to pack: debhelper does to it what it does in
# dpkg-buildpackage, and makes the maintainer scripts.
if(NOT CPACK_GENERATOR STREQUAL "DEB")
  return()
endif()
set(work ${CPACK_ICN_DEBHELPER_DIR})
file(REMOVE_RECURSE ${work})
file(COPY ${CPACK_ICN_SOURCE_DIR}/debian ${CPACK_ICN_SOURCE_DIR}/README.md DESTINATION ${work})
execute_process(
  COMMAND ${CMAKE_COMMAND} -E env ICN_STAGED=${CPACK_TEMPORARY_INSTALL_DIRECTORY} debian/rules binary
  WORKING_DIRECTORY ${work} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(REMOVE_RECURSE ${CPACK_TEMPORARY_INSTALL_DIRECTORY})
file(COPY ${work}/debian/istio-cni-node/ DESTINATION ${CPACK_TEMPORARY_INSTALL_DIRECTORY}
     PATTERN DEBIAN EXCLUDE)
