# Run by CPack on what it is about to pack: as %install and %files of the spec.
if(NOT CPACK_GENERATOR STREQUAL "RPM")
  return()
endif()
file(COPY ${CPACK_ICN_SOURCE_DIR}/LICENSE
     DESTINATION ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/licenses/istio-cni-node)
file(COPY ${CPACK_ICN_SOURCE_DIR}/README.md
     DESTINATION ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share/doc/istio-cni-node)
