//go:build !cgo

package main

// SQLite is C. Without a C compiler Go would build a program that fails at run
// time; this makes it fail now, with the remedy as the error.
var _ = this_build_needs_a_C_compiler__run_apt_install_gcc_libc6_dev__or_set_CC_and_CGO_ENABLED_1
