# cpack -G DEB: from a build folder, what dpkg-buildpackage makes from the sources. The
# files and scripts are debian/rules' work: see cpack-stage.cmake.
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "apparmor, bash-completion")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_ICN_DEBHELPER_DIR ${PROJECT_BINARY_DIR}/cpack-debhelper)
foreach(name conffiles postinst postrm prerm)
  list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
       ${CPACK_ICN_DEBHELPER_DIR}/debian/istio-cni-node/DEBIAN/${name})
endforeach()
list(APPEND CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/debian/cpack-stage.cmake)
