//go:build integration && !race

package main

const raced = false
