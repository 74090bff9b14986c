//go:build !cgo

package flash

// SQLite is C. This makes a build without a C compiler fail with the remedy as the error.
var _ = this_build_needs_a_C_compiler__run_apt_install_gcc_libc6_dev__or_set_CC_and_CGO_ENABLED_1
