//go:build integration && race

package main

// raced says that the tests run with the race detector, so that the binary
// they drive is built with it too.
const raced = true
